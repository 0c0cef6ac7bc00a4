"""A station on the composite's grid: its values, and how far each voxel is from its border."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mediseg.geometry import Array, Geometry, Rigid
from mediseg.steps.stitch.features import Pixels

_SAME = 0.02  # of a slice: a tilt that moves less than this across the image is none


@dataclass(frozen=True, eq=False)
class Placed:
    """A part of the grid (start, and the arrays' shape): values, and mm to the station's nearest border, 0 outside."""

    start: tuple[int, int, int]
    values: Pixels
    inside_mm: Pixels

    @property
    def where(self) -> tuple[slice, slice, slice]:
        """The part of the grid as slices."""
        i, j, k = (slice(a, a + n) for a, n in zip(self.start, self.values.shape, strict=True))
        return i, j, k

    def page(self, k: int) -> Pixels | None:
        """Return the values on slice k of the grid; None where the station does not reach it."""
        own = k - self.start[2]
        return self.values[:, :, own] if 0 <= own < self.values.shape[2] else None


def place(pixels: Pixels, own: Geometry, placed: Rigid, grid: Geometry) -> Placed | None:
    """Return a station's values on a grid (cubic within slices, linear across), None where it does not reach it."""
    index_of = own.ijk_from_lps_matrix @ placed.inverse().matrix
    corners = grid.ijk_from_lps(placed.apply(own.corners_lps_mm()))
    start = np.maximum(np.floor(corners.min(axis=0)), 0).astype(int)
    stop = np.minimum(np.ceil(corners.max(axis=0)) + 1, grid.shape).astype(int)
    if (stop <= start).any():
        return None
    part = grid.crop([int(n) for n in start], [int(n) for n in stop])
    own_from_part = np.asarray(index_of @ part.affine_lps)
    inside = _inside_mm(own_from_part, part.shape, own)
    values = _flat(pixels, own_from_part, part.shape) if _is_flat(own_from_part, part) else None
    if values is None:
        values = _interpolated(pixels, own_from_part, part.shape)
    np.maximum(values, 0, out=values)  # cubic interpolation swings below nothing beside a sharp border
    return Placed((int(start[0]), int(start[1]), int(start[2])), values, inside)


def _inside_mm(matrix: Array, shape: tuple[int, int, int], own: Geometry) -> Pixels:
    """Return mm to the nearest border within the slices (at least a thousandth inside), 0 outside of the station."""
    i, j, k = (np.arange(n, dtype=np.float64) for n in shape)
    out = np.full(shape, np.inf, np.float32)
    for axis, size in enumerate(own.shape):
        row = matrix[axis]
        plane = (row[0] * i)[:, None] + (row[1] * j)[None, :] + row[3]
        index = (plane[:, :, None] + row[2] * k).astype(np.float32)
        edge = np.minimum(index + np.float32(0.5), np.float32(size - 0.5) - index)
        if axis < 2:
            np.minimum(out, np.maximum(edge, -1e-3) * np.float32(own.spacing_mm[axis]), out=out)
        out[edge < -1e-3] = 0
    np.maximum(out, 0, out=out)
    return out


def _is_flat(matrix: Array, part: Geometry) -> bool:
    """True where every slice of the grid lies along the station's slices."""
    across = abs(matrix[2, 0]) * part.shape[0] + abs(matrix[2, 1]) * part.shape[1]
    return bool(across < _SAME)


def _flat(pixels: Pixels, matrix: Array, shape: tuple[int, int, int]) -> Pixels:
    """Interpolate slice by slice: linear between the two nearest slices, cubic within."""
    from scipy import ndimage

    out = np.empty(shape, np.float32)
    last = pixels.shape[2] - 1
    kept: dict[int, Pixels] = {}

    def coefficients(k: int) -> Pixels:
        if k not in kept:
            kept[k] = np.asarray(ndimage.spline_filter(pixels[:, :, k], order=3, output=np.float32, mode="nearest"))
        return kept[k]

    middle = [(n - 1) / 2 for n in shape[:2]]
    for k in range(shape[2]):
        at = float(np.clip(matrix[2, :2] @ middle + matrix[2, 2] * k + matrix[2, 3], 0, last))
        below = min(int(at), max(last - 1, 0))
        share = at - below
        flat = coefficients(below)
        if share > 1e-6:
            flat = (1 - share) * flat + share * coefficients(below + 1)
        offset = matrix[:2, 2] * k + matrix[:2, 3]
        ndimage.affine_transform(
            flat, matrix[:2, :2], offset, output_shape=shape[:2], output=out[:, :, k], order=3,
            mode="nearest", prefilter=False,
        )  # fmt: skip
    return out


def _interpolated(pixels: Pixels, matrix: Array, shape: tuple[int, int, int]) -> Pixels:
    from scipy import ndimage

    out = np.empty(shape, np.float32)
    order = 3 if min(pixels.shape) > 3 else 1
    ndimage.affine_transform(
        pixels, matrix[:3, :3], matrix[:3, 3], output_shape=shape, output=out, order=order, mode="nearest"
    )
    return out
