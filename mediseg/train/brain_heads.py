"""Heads to train brain extraction on: what each one shows and how far each voxel lies from the brain's border.

Two sources (see data/README.md of the data folder): label maps of whole heads, to be painted, and real T1 and FLAIR
scans of elders with a brain mask at 2 mm. Both are brought to 1 mm, RAS, and kept as uint8 images beside an int8
signed distance, so that a border stays smooth however a head is turned and scaled afterwards.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from mediseg.train.painting import brain_labels

logger = logging.getLogger(__name__)

#: Never trained on. Pairs of one person in both sets of maps stand on one side: 01 = subject07, 06 = subject04.
HELD_OUT_MAPS = (
    "training_seg_01", "training_seg_06", "training_seg_13", "training_seg_17", "subject04_seg", "subject07_seg",
)  # fmt: skip
#: Never trained on, T1 and FLAIR alike; 22 is the smallest brain of all (92 years, 1.2 l).
HELD_OUT_ELDERS = ("subj04", "subj09", "subj12", "subj14", "subj18", "subj22")

CEREBELLAR_CORTEX = (8, 47)
CORD_MARGIN_MM = 10
REACH_MM = 10.0
DISTANCE_STEP_MM = 0.1


@dataclass(frozen=True, slots=True)
class Head:
    """One head, RAS, at ``voxel_mm`` (1 mm as prepared, 2 mm once halved).

    ``image``: uint8, labels if ``painted``, else grey values. ``distance``: int8 of the same shape, in tenths of a mm,
    negative inside the brain, clipped at +-10 mm. ``centre_ijk``: the middle of the brain, in voxels.
    """

    name: str
    painted: bool
    image: npt.NDArray[np.uint8]
    distance: npt.NDArray[np.int8]
    centre_ijk: tuple[float, float, float]
    voxel_mm: float = 1.0

    def halved(self) -> Head:
        """Return every second voxel, for networks that look at the head more coarsely; cheaper to paint and turn."""
        image = self.image if self.painted else ndimage.uniform_filter(self.image, 2)
        i, j, k = (c / 2.0 for c in self.centre_ijk)
        every = (slice(None, None, 2),) * 3
        parts = np.ascontiguousarray(image[every]), np.ascontiguousarray(self.distance[every])
        return Head(self.name, self.painted, *parts, (i, j, k), 2.0 * self.voxel_mm)


def brain_of_labels(labels: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return the brain mask of a label map at 1 mm, RAS: ``brain_labels``, holes filled, cut at the foramen magnum.

    The cut drops what lies more than 10 mm below the lowest voxel of the cerebellar cortex: labels 16 and 24 run down
    the canal of the cord. A map without cerebellum is not cut.
    """
    inside: npt.NDArray[np.bool_] = np.isin(labels, brain_labels())
    levels = np.flatnonzero(np.isin(labels, CEREBELLAR_CORTEX).any(axis=(0, 1)))
    if levels.size:
        inside[:, :, : max(0, int(levels[0]) - CORD_MARGIN_MM)] = False
    parts, count = ndimage.label(inside)
    if count > 1:
        inside = parts == 1 + int(np.argmax(np.bincount(parts.ravel())[1:]))
    filled: npt.NDArray[np.bool_] = ndimage.binary_fill_holes(inside)
    return filled


def signed_distance(share: npt.NDArray[np.float32], reach_mm: float = REACH_MM) -> npt.NDArray[np.int8]:
    """Return the signed distance to the 0.5 level of ``share`` at 1 mm, int8 in steps of 0.1 mm, negative inside.

    ``share`` is a mask or a smooth one, 0..1. The distance to voxel centres of the other side is less half a voxel,
    so that the border runs between voxels; clipped at ``reach_mm``.
    """
    inside = share > 0.5
    distance = np.full(inside.shape, reach_mm, np.float32)
    if not inside.any() or inside.all():
        distance *= -1.0 if inside.any() else 1.0
        return np.rint(distance / DISTANCE_STEP_MM).astype(np.int8)
    box = _grown_box(inside, int(np.ceil(reach_mm)) + 2)
    part = inside[box]
    signed = ndimage.distance_transform_edt(~part).astype(np.float32)
    signed -= ndimage.distance_transform_edt(part).astype(np.float32)
    signed -= 0.5 * np.sign(signed)
    distance[box] = ndimage.gaussian_filter(signed, 0.7)
    steps = np.rint(np.clip(distance, -reach_mm, reach_mm) / DISTANCE_STEP_MM)
    return steps.astype(np.int8)


def head_of_map(path: Path) -> Head:
    """Read a label map (1 mm) as a head to be painted."""
    image = nib.as_closest_canonical(nib.load(path))
    labels = np.asarray(image.dataobj).astype(np.uint8)
    brain = brain_of_labels(labels)
    smooth = ndimage.gaussian_filter(brain.astype(np.float32), 0.8)
    return Head(_stem(path), True, labels, signed_distance(smooth), _centre(brain))


def head_of_scan(scan: Path, mask: Path) -> Head:
    """Read a scan and its brain mask on the same 2 mm grid; both are interpolated to 1 mm by cubic splines."""
    image = nib.as_closest_canonical(nib.load(scan))
    grey = np.asarray(image.dataobj, dtype=np.float32)
    inside = np.asarray(nib.as_closest_canonical(nib.load(mask)).dataobj) > 0
    if inside.shape != grey.shape:
        msg = f"{mask} has shape {inside.shape}, {scan} has {grey.shape}: give the mask on the scan's grid"
        raise ValueError(msg)
    top = float(np.percentile(grey[grey > 0], 99.8))
    filled = ndimage.binary_fill_holes(inside).astype(np.float32)
    fine = _upsample(np.clip(grey / top, 0.0, 1.0), image.header.get_zooms()[:3])
    share = _upsample(ndimage.gaussian_filter(filled, 0.6), image.header.get_zooms()[:3])
    bright = np.rint(np.clip(fine, 0.0, 1.0) * 255.0).astype(np.uint8)
    return Head(_stem(scan), False, bright, signed_distance(share), _centre(share > 0.5))


def list_heads(data: Path) -> list[tuple[Path, Path | None]]:
    """Return the training heads of a data folder as (image or label map, mask or None), without the held-out ones."""
    maps = sorted((data / "labelmaps").glob("*seg*.nii.gz"))
    pairs: list[tuple[Path, Path | None]] = [(p, None) for p in maps if _stem(p) not in HELD_OUT_MAPS]
    for scan in sorted((data / "heads_nichart").glob("subj*_t1.nii.gz")):
        person = scan.name.split("_")[0]
        if person not in HELD_OUT_ELDERS:
            pairs.append((scan, scan.with_name(f"{person}_dlmuse.nii.gz")))
            pairs.append((scan.with_name(f"{person}_flair.nii.gz"), scan.with_name(f"{person}_flair_brain.nii.gz")))
    if not pairs:
        msg = f"no heads under {data}: expected labelmaps/*seg*.nii.gz and heads_nichart/subj*_t1.nii.gz"
        raise FileNotFoundError(msg)
    return pairs


def load_heads(data: Path, cache: Path) -> list[Head]:
    """Return all training heads, from ``cache`` where they have been prepared before."""
    cache.mkdir(parents=True, exist_ok=True)
    return [_load(image, mask, cache) for image, mask in list_heads(data)]


def _load(image: Path, mask: Path | None, cache: Path) -> Head:
    kept = cache / f"{_stem(image)}.npz"
    if kept.is_file():
        with np.load(kept) as stored:
            centre = tuple(float(c) for c in stored["centre_ijk"])
            # three numbers: what was written with the head, which no type can say of a tuple made from an array
            return Head(_stem(image), mask is None, stored["image"], stored["distance"], centre)  # type: ignore[arg-type]
    head = head_of_map(image) if mask is None else head_of_scan(image, mask)
    np.savez(kept, image=head.image, distance=head.distance, centre_ijk=np.array(head.centre_ijk))
    logger.info("prepared %s %s", head.name, head.image.shape)
    return head


def _upsample(array: npt.NDArray[np.float32], zooms: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """Interpolate to 1 mm; the outermost voxel centres stay where they are."""
    shape = [1 + round((n - 1) * float(zoom)) for n, zoom in zip(array.shape, zooms, strict=True)]
    factors = [new / old for new, old in zip(shape, array.shape, strict=True)]
    fine: npt.NDArray[np.float32] = ndimage.zoom(array, factors, order=3, mode="nearest", grid_mode=False)
    return fine


def _grown_box(mask: npt.NDArray[np.bool_], margin: int) -> tuple[slice, ...]:
    found = ndimage.find_objects(mask.astype(np.uint8))
    if not found:
        return tuple(slice(0, n) for n in mask.shape)
    return tuple(slice(max(0, s.start - margin), s.stop + margin) for s in found[0])


def _centre(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float]:
    box = _grown_box(mask, 0)
    i, j, k = ((s.start + s.stop - 1) / 2.0 for s in box)
    return i, j, k


def _stem(path: Path) -> str:
    return path.name.removesuffix(".nii.gz")
