"""One training loop for every network: resumable to the step, reproducible from its seed, cut short without harm."""

from __future__ import annotations

import copy
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mediseg.train.journal import Journal
from mediseg.train.prefetch import ahead

Pair = tuple[torch.Tensor, torch.Tensor]
Batch = Callable[[int], Pair]
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
#: (averaged network, step) to scores; "score" is the one that counts, the higher the better.
Validate = Callable[[nn.Module, int], Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how hard to train.

    ``steps`` is the length of the cosine. ``minutes`` (working time over all resumed parts) may end it sooner: the
    learning rate then follows whichever is further on, steps or time, so it has always come down when training stops.
    ``bf16`` runs the network under bfloat16 autocast, ``fp16`` under float16 with scaled losses; weights and optimizer
    stay float32. ``prefetch`` batches are made ahead in the background. ``frozen_norm``: batch normalisation keeps the
    statistics it has, as it will at run time.
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
    fp16: bool = False
    device: str = "cpu"
    prefetch: int = 0
    frozen_norm: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a training stands: steps done, the share of the schedule, the loss since the last row, working seconds."""

    step: int
    share: float
    loss: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Watch:
    """Looks on: ``progress`` after every step, ``validate`` every ``every`` steps and at the end."""

    progress: Callable[[Progress], None] | None = None
    validate: Validate | None = None
    every: int = 500


def fit(
    network: nn.Module, batch: Batch, loss: Loss, schedule: Schedule, out: Path, watch: Watch | None = None
) -> nn.Module:
    """Train ``network`` and return the averaged (EMA) copy of it, in eval mode.

    ``batch(step)`` must depend on nothing but its seed and ``step``: then a run that was killed goes on from the last
    checkpoint in ``out`` and ends with the same weights as one that was not. ``out`` receives ``checkpoint.pt``
    (replaced atomically) and ``log.csv``. A finished run goes on if it is called again with more steps.
    """
    torch.set_num_threads(schedule.threads)
    out.mkdir(parents=True, exist_ok=True)
    state = _start(network.to(schedule.device), schedule, out)
    _prepare(network, frozen_norm=schedule.frozen_norm)
    watch = watch or Watch()
    with (
        Journal(out, state.step) as journal,
        ahead(batch, range(state.step, schedule.steps), schedule.prefetch) as made,
    ):
        _go_on(state, made, loss, schedule, _Place(out, journal, watch))
    _save(out / "checkpoint.pt", state)
    return state.average


def _prepare(network: nn.Module, *, frozen_norm: bool) -> None:
    network.train()
    if frozen_norm:
        for part in network.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.eval()


@dataclass(slots=True)
class _State:
    """What a checkpoint holds, and when the clock began."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    step: int
    started: float

    def seconds(self) -> float:
        return time.monotonic() - self.started


@dataclass(frozen=True, slots=True)
class _Place:
    out: Path
    journal: Journal
    watch: Watch


def _start(network: nn.Module, schedule: Schedule, out: Path) -> _State:
    average = copy.deepcopy(network).eval().requires_grad_(requires_grad=False)
    optimizer = torch.optim.AdamW(_groups(network, schedule.weight_decay), lr=schedule.learning_rate)
    scaler = torch.amp.GradScaler(schedule.device, enabled=schedule.fp16)
    state = _State(network, average, optimizer, scaler, 0, time.monotonic())
    _restore(out / "checkpoint.pt", state)
    return state


def _go_on(state: _State, made: Iterator[Pair], loss: Loss, schedule: Schedule, place: _Place) -> None:
    total, count, share = 0.0, 0, progress(state.step, state.seconds(), schedule)
    while share < 1.0:
        rate = schedule.learning_rate * _shape(state.step, share, schedule.warmup)
        total += _step(state, next(made), loss, (rate, schedule))
        _follow(state.average, state.network, min(schedule.ema, (1 + state.step) / (10 + state.step)))
        state.step, count = state.step + 1, count + 1
        share = progress(state.step, state.seconds(), schedule)
        if place.watch.progress is not None:
            place.watch.progress(Progress(state.step, share, total / count, state.seconds()))
        judged = share >= 1.0 or state.step % place.watch.every == 0
        if judged or state.step % schedule.log_every == 0:
            scores = _scores(state, place.watch) if judged else {}
            place.journal.row(state.step, total / count, rate, state.seconds(), scores)
            total, count = 0.0, 0
        if state.step % schedule.checkpoint_every == 0:
            _save(place.out / "checkpoint.pt", state)


def _scores(state: _State, watch: Watch) -> Mapping[str, float]:
    """Judge the averaged weights."""
    if watch.validate is None:
        return {}
    with torch.no_grad():
        return watch.validate(state.average, state.step)


def progress(step: int, seconds: float, schedule: Schedule) -> float:
    """Return the share of the schedule that is done, by steps or by time, whichever is further on."""
    by_time = seconds / (60.0 * schedule.minutes) if schedule.minutes else 0.0
    return max(step / schedule.steps, by_time)


def load_average(network: nn.Module, checkpoint: Path) -> nn.Module:
    """Put the averaged weights of a checkpoint into ``network`` and return it, in eval mode."""
    if not checkpoint.is_file():
        msg = f"no checkpoint at {checkpoint}: train first, with mediseg train"
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


def _step(state: _State, pair: Pair, loss: Loss, at: tuple[float, Schedule]) -> float:
    """Do one update and return the loss; a batch whose loss is not finite stops the run."""
    rate, schedule = at
    inputs, targets = (part.to(schedule.device, non_blocking=True) for part in pair)
    torch.manual_seed(schedule.seed * 1_000_003 + state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    kind = torch.float16 if schedule.fp16 else torch.bfloat16
    with torch.autocast(schedule.device, dtype=kind, enabled=schedule.bf16 or schedule.fp16):
        outputs = state.network(inputs)
    value = loss(outputs.float(), targets)
    if not torch.isfinite(value):
        msg = f"the loss is {value.item()} at step {state.step}: lower the learning rate or look at this batch"
        raise FloatingPointError(msg)
    state.optimizer.zero_grad(set_to_none=True)
    state.scaler.scale(value).backward()
    state.scaler.unscale_(state.optimizer)
    nn.utils.clip_grad_norm_(state.network.parameters(), schedule.clip_norm)
    state.scaler.step(state.optimizer)
    state.scaler.update()
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


def _save(path: Path, state: _State) -> None:
    content = {
        "model": state.network.state_dict(),
        "ema": state.average.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "scaler": state.scaler.state_dict(),
        "step": state.step,
        "seconds": state.seconds(),
    }
    partial = path.with_suffix(".tmp")
    torch.save(content, partial)
    os.replace(partial, path)  # noqa: PTH105 -- said as what it is: the atomic step


def _restore(path: Path, state: _State) -> None:
    """Load a checkpoint into the state if there is one: weights, steps done and the seconds they took."""
    if not path.is_file():
        return
    content = torch.load(path, map_location="cpu", weights_only=True)
    state.network.load_state_dict(content["model"])
    state.average.load_state_dict(content["ema"])
    state.optimizer.load_state_dict(content["optimizer"])
    if content.get("scaler"):
        state.scaler.load_state_dict(content["scaler"])
    state.step = int(content["step"])
    state.started = time.monotonic() - float(content["seconds"])
