"""``task: callosum-fine``: the second look, at 0.75 mm, on the window about what a first network found.

Data as for ``task: callosum``; ``augmentation`` is what ``mediseg.train.callosum_fine.batches`` takes by keyword.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train import callosum, callosum_fine
from mediseg.train.config import Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.loop import Pair
from mediseg.train.tasks.callosum import probability_model, read_slices, slices_job


def prepare(run: Run, say: Say) -> Job:
    """Read the slices and build what is trained on their windows."""
    return slices_job(run, say, callosum_fine.batches, windows)


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the trained network with its sigmoid, and how its window is cut."""
    _, dev = read_slices(stage, checkpoint.parent / "slices.npy")
    metadata = {**callosum_fine.METADATA, "mediseg": {**callosum_fine.RUNTIME}}
    return probability_model(stage, checkpoint, metadata, (1, 1, *callosum_fine.SHAPE), windows(dev))


def windows(slices: callosum.Slices) -> list[Pair]:
    """Return the level, centred windows of slices as they were scanned, normalised as at run time, one a pair."""
    shape = callosum_fine.SHAPE
    pairs = []
    for image, mask in zip(slices.images, slices.masks, strict=True):
        pose = callosum_fine.pose_of(mask)
        matrix = callosum_fine.frame_affine(callosum_fine.level_affine(pose.angle), pose)
        where = callosum.bend(np.random.default_rng(0), mask, matrix, shape, share=0.0)
        seen, target = (callosum.resized(callosum.sampled(part, where), shape) for part in (image, mask))
        pairs.append((torch.from_numpy(normalize_percentiles(seen))[None, None], torch.from_numpy(target)[None, None]))
    return pairs
