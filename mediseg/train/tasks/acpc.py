"""``task: acpc``: the AC-PC frame in a window about the callosum. Data as for ``task: callosum``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import torch

from mediseg.errors import UsageError
from mediseg.train import acpc
from mediseg.train.config import Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.layout import laid_out
from mediseg.train.settings import take
from mediseg.train.start import started
from mediseg.train.tasks.callosum import read_slices


def prepare(run: Run, say: Say) -> Job:
    """Read the slices and build the network."""
    stage = run.stage
    cv2.setNumThreads(1)
    if stage.data.manifest is not None:
        raise UsageError("the AC-PC task learns from how a folder's slices lie; give --data DIR, no manifest")
    slices, _ = read_slices(stage, run.out / "slices.npy")
    say(f"{len(slices.ids)} slices of {len(set(slices.sites))} sites")
    settings = take(acpc.batches, stage.augmentation, "augmentation", but=("seed",))
    network = started(_network, stage.start)
    return Job(network=network, batch=acpc.batches(slices, stage.seed, **settings), loss=acpc.frame_loss)


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the trained network, and how its window is cut."""
    # torch's stubs do not know memory_format by itself
    trained = laid_out(started(_network, [str(checkpoint)]).eval(), torch.contiguous_format)
    metadata: dict[str, Any] = {**acpc.METADATA, "mediseg": {**acpc.RUNTIME}}
    return Model(trained, metadata, (1, 1, *acpc.SHAPE))


def _network() -> acpc.AcpcNet:
    # torch's stubs do not know memory_format by itself
    return laid_out(acpc.AcpcNet(), torch.channels_last)
