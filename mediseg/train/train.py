"""Run a configuration: every stage in order, each from where it stopped; and export what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mediseg.errors import UsageError
from mediseg.train.config import Run, SchedulePart, save
from mediseg.train.job import Say, task
from mediseg.train.look import validation
from mediseg.train.loop import Progress, Schedule, Watch, fit

Follow = Callable[[str, SchedulePart, Progress], None]


def train(runs: Sequence[Run], say: Say, follow: Follow | None = None) -> Path:
    """Train all stages; return the last one's folder. A stage that is done is passed over in a moment.

    Raises UsageError for what the data or the device do not allow.
    """
    for run in runs:
        torch.manual_seed(run.stage.seed)
        torch.set_num_threads(run.stage.schedule.threads)
        schedule = schedule_of(run)
        for change in save(run):
            say(f"{run.out.name} goes on with another setting: {change}")
        job = task(run.stage.task).prepare(run, say)
        watch = Watch(every=run.stage.schedule.look_every or schedule.steps + 1)
        if job.reading is not None and job.dev and run.stage.schedule.look_every:
            watch = replace(watch, validate=validation(job.dev, job.reading, run.out / "looks"))
        if follow is not None:
            part, name = run.stage.schedule, run.out.name
            watch = replace(watch, progress=lambda at, part=part, name=name: follow(name, part, at))
        fit(job.network, job.batch, job.loss, schedule, run.out, watch)
        say(f"trained: {run.out / 'checkpoint.pt'}")
    return runs[-1].out


def schedule_of(run: Run) -> Schedule:
    """Return the loop's schedule: device and precision chosen where the configuration leaves them open."""
    part = run.stage.schedule
    device = device_of(part.device)
    precision = precision_of(part.precision, device)
    return Schedule(
        steps=part.steps,
        learning_rate=part.rate,
        weight_decay=part.weight_decay,
        warmup=part.warmup,
        ema=part.ema,
        checkpoint_every=part.checkpoint_every,
        log_every=part.log_every,
        threads=part.threads,
        seed=run.stage.seed,
        minutes=part.minutes,
        bf16=precision == "bfloat16",
        fp16=precision == "float16",
        clip_norm=part.clip_norm,
        device=device,
        prefetch=part.prefetch,
        frozen_norm=part.frozen_norm,
    )


def device_of(wanted: str) -> str:
    """Return cpu or cuda. Raises UsageError where cuda is asked for and not there."""
    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise UsageError("schedule.device: cuda: this torch sees no GPU; use cpu or auto")
    return "cuda" if there and wanted != "cpu" else "cpu"


def precision_of(wanted: str, device: str) -> str:
    """Return the arithmetic for ``auto``: bfloat16 where the processor or GPU has it, float16 on older GPUs."""
    if wanted != "auto":
        return wanted
    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    return "bfloat16" if torch.backends.cpu.get_cpu_capability().startswith("AVX512") else "float32"
