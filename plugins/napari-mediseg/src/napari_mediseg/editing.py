"""Masks corrected with a rule: smoothed, filled, interpolated, cleaned, compared. Arrays in, arrays out.

Masks are boolean arrays of three axes; ``axis`` is the one across the slices that the user paints on, None for 3-D.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage

Mask = npt.NDArray[np.bool_]


def smoothed(mask: Mask, spacing_mm: tuple[float, float, float], radius_mm: float, axis: int | None) -> Mask:
    """Return a mask with its border smoothed over ``radius_mm``; it keeps its number of voxels (2-D: of every slice).

    The mask is blurred, and of the blurred values the largest are taken, as many as there were.
    """
    sigma = [0.0 if n == axis else radius_mm / s for n, s in enumerate(spacing_mm)]
    blurred = ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="constant")
    if axis is None:
        return _largest(blurred, mask)
    out = np.zeros_like(mask)
    for index in np.flatnonzero(_used(mask, axis)):
        at = _slice(axis, int(index))
        out[at] = _largest(blurred[at], mask[at])
    return out


def _largest(values: npt.NDArray[np.float32], mask: Mask) -> Mask:
    """Return where the ``mask.sum()`` largest values are; of equal ones those inside the mask first."""
    count = int(np.count_nonzero(mask))
    out = np.zeros(mask.shape, bool)
    if count == 0:
        return out
    ranked = np.lexsort((~mask.ravel(), -values.ravel()))
    out.ravel()[ranked[:count]] = True
    return out


def filled(mask: Mask, axis: int | None) -> Mask:
    """Return a mask with its holes filled: those closed within a slice, or within the volume."""
    if axis is None:
        return np.asarray(ndimage.binary_fill_holes(mask))
    out = mask.copy()
    for index in np.flatnonzero(_used(mask, axis)):
        at = _slice(axis, int(index))
        out[at] = ndimage.binary_fill_holes(mask[at])
    return out


def largest_part(mask: Mask) -> Mask:
    """Return the largest connected part (all neighbours count)."""
    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count <= 1:
        return mask.copy()
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == int(sizes.argmax()))


def interpolated(mask: Mask, spacing_mm: tuple[float, float, float], axis: int) -> Mask:
    """Return a mask with empty slices between painted ones filled in, by the mean of the distances to both borders."""
    painted = np.flatnonzero(_used(mask, axis))
    out = mask.copy()
    flat = tuple(s for n, s in enumerate(spacing_mm) if n != axis)
    for low, high in itertools.pairwise(painted):
        if high - low < 2:
            continue
        first, last = (_distance(mask[_slice(axis, int(k))], flat) for k in (low, high))
        for k in range(int(low) + 1, int(high)):
            share = (k - low) / (high - low)
            out[_slice(axis, k)] = (1 - share) * first + share * last > 0
    return out


def _distance(mask: Mask, spacing_mm: tuple[float, ...]) -> npt.NDArray[np.float64]:
    """Signed distance to the border in mm, positive inside."""
    inside = ndimage.distance_transform_edt(mask, sampling=spacing_mm)
    outside = ndimage.distance_transform_edt(~mask, sampling=spacing_mm)
    return np.asarray(inside - outside)


def _used(mask: Mask, axis: int) -> Mask:
    return np.asarray(mask.any(axis=tuple(n for n in range(mask.ndim) if n != axis)))


def _slice(axis: int, index: int) -> tuple[Any, ...]:
    return tuple(index if n == axis else slice(None) for n in range(3))


@dataclass(frozen=True)
class Change:
    """How a mask differs from the one before: Dice, and what was added and taken away."""

    dice: float
    added: int
    removed: int
    overlay: npt.NDArray[np.uint8]  # 1 added, 2 removed


def change(before: Mask, after: Mask) -> Change:
    """Compare two masks of one grid. Two empty ones agree (Dice 1)."""
    if before.shape != after.shape:
        raise ValueError(f"the masks have shapes {before.shape} and {after.shape}: they lie on different grids")
    added, removed = after & ~before, before & ~after
    total = int(np.count_nonzero(before)) + int(np.count_nonzero(after))
    dice = 1.0 if total == 0 else 2.0 * int(np.count_nonzero(before & after)) / total
    overlay = added.astype(np.uint8) + 2 * removed.astype(np.uint8)
    return Change(dice, int(np.count_nonzero(added)), int(np.count_nonzero(removed)), overlay)
