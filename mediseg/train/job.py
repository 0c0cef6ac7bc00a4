"""What a task is: a module that turns a configuration into a job, and a trained job into a bundle.

A task's module has

- ``prepare(run, say) -> Job``: read the data, build the network (with what ``start`` names in it), choose the loss;
- ``bundle(stage, checkpoint) -> Model``: the trained network as it is exported, with all that is known of it.

``TASKS`` names the modules; they are imported when used, and they alone load torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

from torch import nn

from mediseg.errors import UsageError, did_you_mean
from mediseg.train.config import Run, Stage
from mediseg.train.look import Reading
from mediseg.train.loop import Batch, Loss, Pair

Say = Callable[[str], None]

TASKS = {
    "callosum": "mediseg.train.tasks.callosum",
    "callosum-fine": "mediseg.train.tasks.callosum_fine",
    "acpc": "mediseg.train.tasks.acpc",
    "brain-coarse": "mediseg.train.tasks.brain_coarse",
    "brain-fine": "mediseg.train.tasks.brain_fine",
    "brain": "mediseg.train.tasks.brain_whole",
}


@dataclass(frozen=True, slots=True)
class Job:
    """All that ``loop.fit`` needs. ``dev`` pairs are judged and looked at now and then, read as ``reading`` says."""

    network: nn.Module
    batch: Batch
    loss: Loss
    dev: Sequence[Pair] = ()
    reading: Reading | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """A network to export, activation and all, and its metadata (MONAI's keys, and ``mediseg``).

    ``samples``: pairs on the network's grid, to calibrate and to judge what rounding costs. ``reading`` reads outputs.
    """

    network: nn.Module
    metadata: Mapping[str, Any]
    example_shape: tuple[int, ...]
    samples: Sequence[Pair] = field(default=())
    reading: Reading | None = None


class Task(Protocol):
    """A module in ``TASKS``."""

    def prepare(self, run: Run, say: Say) -> Job:
        """Read the data, build the network, choose the loss."""

    def bundle(self, stage: Stage, checkpoint: Path) -> Model:
        """Return the trained network as it is exported."""


def task(name: str) -> Task:
    """Return a task's module by its name. Raises UsageError."""
    if name not in TASKS:
        raise UsageError(f'there is no task "{name}"{did_you_mean(name, TASKS)}')
    return cast(Task, import_module(TASKS[name]))
