"""``task: callosum-fine``: the second look, at 0.75 mm, on the window about what a first network found.

Data as for ``task: callosum``; ``augmentation`` is what ``mediseg.train.callosum_fine.batches`` takes by keyword.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train import callosum, callosum_fine
from mediseg.train.config import NetworkPart, Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.look import Reading
from mediseg.train.loop import Pair
from mediseg.train.losses import bce_dice, build_loss
from mediseg.train.networks import architecture, build
from mediseg.train.settings import take
from mediseg.train.start import started
from mediseg.train.tasks.callosum import READING, Add, read_slices

NETWORK = NetworkPart(name="unet")


def prepare(run: Run, say: Say) -> Job:
    """Read the slices and build what is trained on their windows."""
    stage = run.stage
    cv2.setNumThreads(1)
    slices, dev = read_slices(stage, run.out / "slices.npy")
    say(f"{len(slices.ids)} slices of {len(set(slices.sites))} sites, {len(dev.ids)} to look at on the way")
    settings = take(callosum_fine.batches, stage.augmentation, "augmentation", but=("seed", "made"))
    made = callosum.load_made(
        stage.data.maps,
        run.out / "slabs",
        say,
        painted=bool(settings.get("painted")),
        plain=bool(settings.get("plain")),
    )
    network = stage.network or NETWORK
    return Job(
        network=started(lambda: build(network.name, network.widths), stage.start),
        batch=callosum_fine.batches(slices, stage.seed, **settings, made=made),
        loss=build_loss(stage.loss.name, stage.loss.model_extra or {}) if stage.loss else bce_dice(),
        dev=windows(dev),
        reading=READING,
    )


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the trained network with its sigmoid, and how its window is cut."""
    network = stage.network or NETWORK
    _, dev = read_slices(stage, checkpoint.parent / "slices.npy")
    trained = started(lambda: build(network.name, network.widths), [str(checkpoint)]).eval()
    whole = nn.Sequential(trained, Add(stage.bundle.logit_offset), nn.Sigmoid())
    multiple = architecture(network.name).multiple
    metadata: dict[str, Any] = {**callosum_fine.METADATA, "mediseg": {**callosum_fine.RUNTIME}}
    own = metadata["mediseg"]
    own["name"] = f"callosum-fine-{network.name.replace('_', '-')}"
    own["input"] = {**own["input"], "pad_multiple": multiple}
    reading = Reading(output=lambda probability: probability, target=lambda targets: targets)
    example = (1, 1, *callosum_fine.SHAPE)
    return Model(whole.to(memory_format=torch.contiguous_format), metadata, example, windows(dev), reading)


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
