"""Slices named by a manifest (the one of ``mediseg evaluate`` and of napari's corrections), as the callosum is trained.

Any format that mediseg reads, one sagittal slice an entry: each is turned face left and brought to 512 x 512 pixels of
0.5 mm about its middle. The split ``train`` is trained on, ``dev`` is looked at, ``test`` is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mediseg.errors import InputError, Refusal, UsageError
from mediseg.evaluate.manifest import Entry, load_manifest
from mediseg.evaluate.pairs import read_pair
from mediseg.geometry import Geometry
from mediseg.train.callosum import SOURCE_MM, Bytes, Slices
from mediseg.volume import Volume

SIDE = 512
STRUCTURE = "callosum"


def load_slices(manifest: Path, say: Callable[[str], None]) -> tuple[Slices, Slices]:
    """Return the slices to train on and those to look at. An entry that cannot be used is told and left out.

    Raises UsageError for a manifest that is wrong or has nothing to train on.
    """
    entries = [entry for entry in load_manifest(manifest).entries if entry.structure == STRUCTURE]
    train, dev = (
        _slices([entry for entry in entries if entry.split == split], manifest, say) for split in ("train", "dev")
    )
    if not train.ids:
        raise UsageError(f"{manifest.name} has no usable slice of the split train; see mediseg evaluate's manifest")
    return train, dev


def _slices(entries: list[Entry], manifest: Path, say: Callable[[str], None]) -> Slices:
    read: list[tuple[Entry, tuple[Bytes, Bytes]]] = []
    for entry in entries:
        try:
            read.append((entry, frame(*_pair(entry))))
        except (InputError, Refusal) as error:
            say(f"{manifest.name}: left out: {error}")
    empty = np.zeros((0, SIDE, SIDE), np.uint8)
    images, masks = (np.stack([pair[k] for _, pair in read]) if read else empty for k in (0, 1))
    return Slices(images, masks, tuple(e.id for e, _ in read), tuple(e.group for e, _ in read))


def _pair(entry: Entry) -> tuple[Volume, Volume]:
    image, label = read_pair(entry)
    upright = image.reorient("PIR")
    if upright.geometry.shape[2] != 1:
        raise Refusal(f"{entry.id} is no single sagittal slice; find_midsagittal gives one from a volume")
    mask = Volume(label.mask().astype(np.float32), label.geometry)
    return upright, mask.reorient("PIR")


def frame(image: Volume, mask: Volume) -> tuple[Bytes, Bytes]:
    """Return image and mask as (512, 512) uint8, rows to inferior, columns to posterior, 0.5 mm, the mask 0 or 255.

    Both are one slice in the order PIR. Grey values go from 0 at the first percentile to 255 at the last.
    """
    old = image.geometry
    spacing = (SOURCE_MM, SOURCE_MM, old.spacing_mm[2])
    grid = Geometry.from_axes((SIDE, SIDE, 1), old.axes_lps, spacing, center_lps_mm=old.center_lps_mm)
    seen = image.with_array(image.array.astype(np.float32)).resample(grid).array[:, :, 0].T
    found = mask.resample(grid).array[:, :, 0].T
    low, high = np.percentile(image.array, (1.0, 99.9))
    grey = np.clip((seen - low) / max(float(high - low), 1e-6), 0.0, 1.0) * 255.0
    return np.rint(grey).astype(np.uint8), np.where(found >= 0.5, 255, 0).astype(np.uint8)
