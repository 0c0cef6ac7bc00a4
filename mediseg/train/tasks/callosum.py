"""``task: callosum``: the corpus callosum on a mid-sagittal slice, at 1 mm, by any of the 2-D networks.

``data.folder`` holds ``index.csv`` (id, site), ``images/ID.jpg`` and ``masks/ID.png``: 512 x 512 at 0.5 mm, face left.
``augmentation`` is what ``mediseg.train.callosum.batches`` takes by keyword.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from mediseg.errors import UsageError
from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train import callosum
from mediseg.train.callosum_shapes import population
from mediseg.train.config import NetworkPart, Run, Stage
from mediseg.train.job import Job, Model, Say
from mediseg.train.look import Reading
from mediseg.train.loop import Batch, Pair
from mediseg.train.losses import bce_dice, build_loss
from mediseg.train.manifest_slices import load_slices
from mediseg.train.networks import architecture, build
from mediseg.train.settings import take
from mediseg.train.start import started

NETWORK = NetworkPart(name="unet")
DEV_SIZE = 192
DEV_MOST = 48
READING = Reading(output=lambda logits: torch.sigmoid(logits[:, :1]), target=lambda targets: targets)


def prepare(run: Run, say: Say) -> Job:
    """Read the slices and build what is trained on them."""
    return slices_job(run, say, callosum.batches, windows)


def bundle(stage: Stage, checkpoint: Path) -> Model:
    """Return the trained network with its sigmoid, and what its slices say of callosa's shapes."""
    network = stage.network or NETWORK
    slices, dev = read_slices(stage, checkpoint.parent / "slices.npy")
    multiple = architecture(network.name).multiple
    metadata: dict[str, Any] = {
        **callosum.METADATA,
        "description": f"{architecture(network.name).summary}; probability of the callosum at 1 mm on a whole slice",
        "mediseg": {**callosum.RUNTIME, "population": population(slices.masks)},
    }
    for side in ("inputs", "outputs"):
        metadata["network_data_format"] = _with_shape(metadata["network_data_format"], side, f"{multiple}*n")
    return probability_model(stage, checkpoint, metadata, (1, 1, 256, 256), windows(dev))


def slices_job(
    run: Run, say: Say, batches: Callable[..., Batch], dev_windows: Callable[[callosum.Slices], list[Pair]]
) -> Job:
    """Return the job of a network on windows of slices: ``batches(slices, seed, made=..., **augmentation)``."""
    stage = run.stage
    cv2.setNumThreads(1)
    slices, dev = read_slices(stage, run.out / "slices.npy", say)
    say(f"{len(slices.ids)} slices of {len(set(slices.sites))} sites, {len(dev.ids)} to look at on the way")
    settings = take(batches, stage.augmentation, "augmentation", but=("seed", "made"))
    made = callosum.load_made(
        stage.data.maps,
        run.out / "slabs",
        say,
        painted=bool(settings.get("painted")),
        plain=bool(settings.get("plain")),
    )
    network, loss = stage.network or NETWORK, stage.loss
    return Job(
        network=started(lambda: build(network.name, network.widths), stage.start),
        batch=batches(slices, stage.seed, **settings, made=made),
        loss=build_loss(loss.name, loss.model_extra or {}) if loss else bce_dice(),
        dev=dev_windows(dev),
        reading=READING,
    )


def probability_model(
    stage: Stage, checkpoint: Path, metadata: dict[str, Any], example: tuple[int, ...], samples: list[Pair]
) -> Model:
    """Return the trained network with its sigmoid; its name and its multiple are put into the metadata."""
    network = stage.network or NETWORK
    trained = started(lambda: build(network.name, network.widths), [str(checkpoint)]).eval()
    whole = nn.Sequential(trained, Add(stage.bundle.logit_offset), nn.Sigmoid())
    own = metadata["mediseg"]
    own["name"] = f"{own['kind']}-{network.name.replace('_', '-')}"
    own["input"] = {**own["input"], "pad_multiple": architecture(network.name).multiple}
    reading = Reading(output=lambda probability: probability, target=lambda targets: targets)
    return Model(whole.to(memory_format=torch.contiguous_format), metadata, example, samples, reading)


def windows(slices: callosum.Slices) -> list[Pair]:
    """Return slices as they were scanned, the middle 192 x 192 mm at 1 mm, normalised as at run time, one a pair."""
    pairs = []
    for image, mask in zip(slices.images, slices.masks, strict=True):
        seen = torch.from_numpy(normalize_percentiles(_middle(image)))
        pairs.append((seen[None, None], torch.from_numpy(_middle(mask) / np.float32(255.0))[None, None]))
    return pairs


def _middle(part: callosum.Bytes) -> callosum.Floats:
    """Return the middle of a slice at 1 mm."""
    top, left = ((n // 2 - DEV_SIZE) // 2 for n in part.shape)
    whole = cv2.resize(part, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return whole[top : top + DEV_SIZE, left : left + DEV_SIZE].astype(np.float32)


def _quietly(line: str) -> None:
    """Say nothing: what was left out was told when the run was trained."""


def read_slices(stage: Stage, cache: Path, say: Say = _quietly) -> tuple[callosum.Slices, callosum.Slices]:
    """Return what is trained on, and what of the same sites is left out of it to be looked at."""
    if stage.data.manifest is not None:
        return load_slices(stage.data.manifest, say)
    if stage.data.folder is None:
        raise UsageError("the callosum is trained on a folder of slices or a manifest; give --data")
    try:
        everything = callosum.load(stage.data.folder, cache)
    except FileNotFoundError as error:
        raise UsageError(str(error)) from error
    part = callosum.training_part(everything, stage.seed)
    used = set(part.ids)
    named = zip(everything.ids, everything.sites, strict=True)
    dev = everything.only([name not in used and site not in callosum.HELD_OUT_SITES for name, site in named])
    if not part.ids:
        raise UsageError(f"{stage.data.folder} holds no slice to train on: all are of held-out sites")
    return part, dev.only([k < DEV_MOST for k in range(len(dev.ids))])


def _with_shape(data_format: dict[str, Any], side: str, size: str) -> dict[str, Any]:
    tensors = {name: {**tensor, "spatial_shape": [size, size]} for name, tensor in data_format[side].items()}
    return {**data_format, side: tensors}


class Add(nn.Module):
    """Add a number."""

    def __init__(self, number: float) -> None:
        super().__init__()
        self.number = number

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Return ``values`` + the number."""
        return values + self.number
