"""One training loop for every network: resumable to the step, reproducible from its seed, cut short without harm."""

from __future__ import annotations

import copy
import csv
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

Batch = Callable[[int], tuple[torch.Tensor, torch.Tensor]]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

LOG_HEADER = ("step", "loss", "lr", "seconds")


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train.

    ``steps`` is the length of the cosine. ``minutes`` (working time over all resumed parts) may end it sooner: the
    learning rate then follows whichever is further on, steps or time, so it has always come down when training stops.
    ``bf16`` runs the network under bfloat16 autocast; weights and optimizer stay float32.
    """

    steps: int
    learning_rate: float
    weight_decay: float = 1e-2
    warmup: int = 100
    ema: float = 0.999
    checkpoint_every: int = 200
    log_every: int = 20
    threads: int = 1
    seed: int = 0
    minutes: float | None = None
    bf16: bool = False
    clip_norm: float = 5.0


def fit(network: nn.Module, batch: Batch, loss: Loss, schedule: Schedule, out: Path) -> nn.Module:
    """Train ``network`` and return the averaged (EMA) copy of it, in eval mode.

    ``batch(step)`` must depend on nothing but its seed and ``step``: then a run that was killed goes on from the last
    checkpoint in ``out`` and ends with the same weights as one that was not. ``out`` receives ``checkpoint.pt``
    (replaced atomically) and ``log.csv``. A finished run goes on if it is called again with more steps.
    """
    torch.set_num_threads(schedule.threads)
    out.mkdir(parents=True, exist_ok=True)
    average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(_groups(network, schedule.weight_decay), lr=schedule.learning_rate)
    step, before = _restore(out / "checkpoint.pt", network, average, optimizer)
    _trim_log(out / "log.csv", step)
    network.train()
    started, total, count = time.monotonic() - before, 0.0, 0
    while (share := progress(step, time.monotonic() - started, schedule)) < 1.0:
        rate = schedule.learning_rate * _shape(step, share, schedule.warmup)
        total += _step(network, optimizer, batch(step), loss, (rate, schedule, step))
        _follow(average, network, min(schedule.ema, (1 + step) / (10 + step)))
        step, count = step + 1, count + 1
        seconds = time.monotonic() - started
        if step % schedule.log_every == 0 or step == schedule.steps:
            _log(out / "log.csv", (step, f"{total / count:.6f}", f"{rate:.3e}", f"{seconds:.1f}"))
            total, count = 0.0, 0
        if step % schedule.checkpoint_every == 0:
            _save(out / "checkpoint.pt", network, average, optimizer, (step, seconds))
    _save(out / "checkpoint.pt", network, average, optimizer, (step, time.monotonic() - started))
    return average


def progress(step: int, seconds: float, schedule: Schedule) -> float:
    """Return the share of the schedule that is done, by steps or by time, whichever is further on."""
    by_time = seconds / (60.0 * schedule.minutes) if schedule.minutes else 0.0
    return max(step / schedule.steps, by_time)


def load_average(network: nn.Module, checkpoint: Path) -> nn.Module:
    """Put the averaged weights of a checkpoint into ``network`` and return it, in eval mode."""
    if not checkpoint.is_file():
        msg = f"no checkpoint at {checkpoint}: train first, with python -m mediseg.train"
        raise FileNotFoundError(msg)
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    network.load_state_dict(state["ema"])
    return network.eval()


def _shape(step: int, share: float, warmup: int) -> float:
    """Return the learning rate's factor: a linear rise over ``warmup`` steps, then a cosine down to 0."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * 0.5 * (1.0 + math.cos(math.pi * min(1.0, share)))


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Decay matrices and kernels only; biases and the normalisations' scales are left alone."""
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def _step(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    pair: tuple[torch.Tensor, torch.Tensor],
    loss: Loss,
    at: tuple[float, Schedule, int],
) -> float:
    """Do one update and return the loss; a batch whose loss is not finite stops the run."""
    rate, schedule, step = at
    inputs, targets = pair
    torch.manual_seed(schedule.seed * 1_000_003 + step)
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(inputs.device.type, dtype=torch.bfloat16, enabled=schedule.bf16):
        outputs = network(inputs)
    value = loss(outputs.float(), targets)
    if not torch.isfinite(value):
        msg = f"the loss is {value.item()} at step {step}: lower the learning rate or look at this batch"
        raise FloatingPointError(msg)
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(network.parameters(), schedule.clip_norm)
    optimizer.step()
    return float(value.detach())


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the averaged weights and running statistics a step towards the network's."""
    owned = average.state_dict()
    for name, target in network.state_dict().items():
        own = owned[name]
        if own.is_floating_point():
            own.lerp_(target, 1.0 - decay)
        else:
            own.copy_(target)


def _save(
    path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer, at: tuple[int, float]
) -> None:
    state = {
        "model": network.state_dict(),
        "ema": average.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": at[0],
        "seconds": at[1],
    }
    partial = path.with_suffix(".tmp")
    torch.save(state, partial)
    os.replace(partial, path)  # noqa: PTH105 -- said as what it is: the atomic step


def _restore(path: Path, network: nn.Module, average: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """Load a checkpoint if there is one; return the steps done and the seconds they took."""
    if not path.is_file():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    network.load_state_dict(state["model"])
    average.load_state_dict(state["ema"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])


def _log(path: Path, row: tuple[object, ...]) -> None:
    new = not path.is_file()
    with path.open("a", newline="") as stream:
        writer = csv.writer(stream)
        if new:
            writer.writerow(LOG_HEADER)
        writer.writerow(row)


def _trim_log(path: Path, step: int) -> None:
    """Drop the rows of steps that will be done again after a kill."""
    if not path.is_file():
        return
    with path.open(newline="") as stream:
        rows = [row for row in csv.reader(stream) if row[0].isdigit() and int(row[0]) <= step]
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([LOG_HEADER, *rows])
