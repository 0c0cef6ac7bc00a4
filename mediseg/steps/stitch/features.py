"""What registration looks at: a station's fine structure, free of gain, gamma and slow shading.

The logarithm turns gain into a constant and gamma into a factor, which correlation does not see; taking away its
blurred self removes what changes slowly, such as the coil's sensitivity.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Array, Geometry
from mediseg.volume import Volume

Pixels = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

DETAIL_MM = 6.0  # structures larger than about twice this are taken away
FOREGROUND = 0.08  # of the 99th percentile
_FLOOR = 0.1  # of the 99th percentile: below it, noise would be louder than anatomy


@dataclass(frozen=True, eq=False)
class Feature:
    """Fine structure ``detail`` (mean about 0) and where there is tissue, on one grid."""

    detail: Pixels
    tissue: Mask
    geometry: Geometry

    @cached_property
    def coefficients(self) -> Pixels:
        """Cubic B-spline coefficients of the detail."""
        from scipy import ndimage

        return np.asarray(ndimage.spline_filter(self.detail, order=3, output=np.float32, mode="nearest"))

    @cached_property
    def gradients(self) -> tuple[Pixels, ...]:
        """Slopes along i, j, k for one voxel."""
        return tuple(
            np.gradient(self.detail, axis=axis) if n > 1 else np.zeros_like(self.detail)
            for axis, n in enumerate(self.detail.shape)
        )


def bright_level(array: Pixels) -> float:
    """The 99th percentile of what is above 0, 1 for an empty image."""
    some = array[array > 0]
    return float(np.percentile(some[:: max(1, some.size // 200_000)], 99)) if some.size else 1.0


def feature(volume: Volume, spacing_mm: float, slice_mm: float = 0.0) -> Feature:
    """Return a station's fine structure at a spacing within its slices; slices nearer than ``slice_mm`` are joined."""
    i, j, k = volume.geometry.spacing_mm
    grid = volume.geometry
    if max(i, j) < 0.95 * spacing_mm or k < 0.8 * slice_mm:
        grid = grid.with_spacing((max(i, spacing_mm), max(j, spacing_mm), max(k, slice_mm)))
        volume = volume.resample(grid)
    pixels = np.clip(np.asarray(volume.array, np.float32), 0, None)
    level = bright_level(pixels)
    tissue = pixels > FOREGROUND * level
    logs = np.log(pixels / np.float32(level) + np.float32(_FLOOR))
    return Feature(_detail(logs, grid), tissue, grid)


def _detail(logs: Pixels, grid: Geometry) -> Pixels:
    from scipy import ndimage

    sigma = [DETAIL_MM / s for s in grid.spacing_mm[:2]] + [0.0]
    return np.asarray(logs - ndimage.gaussian_filter(logs, sigma, mode="nearest", truncate=3.0), np.float32)


def sampled(coefficients: Pixels, grid: Geometry, points_lps_mm: Array, order: int) -> Pixels:
    """Return values at points (n, 3); beyond the grid its border's values."""
    from scipy import ndimage

    where = grid.ijk_from_lps(points_lps_mm).T
    return np.asarray(
        ndimage.map_coordinates(coefficients, where, np.float32, order=order, mode="nearest", prefilter=False)
    )


def within(grid: Geometry, points_lps_mm: Array, inset_mm: float = 0.0) -> Mask:
    """True for points (n, 3) inside a grid; ``inset_mm`` keeps off the borders within the slices."""
    index = grid.ijk_from_lps(points_lps_mm)
    inset = np.array([inset_mm / s for s in grid.spacing_mm[:2]] + [0.0])
    return np.asarray(((index >= -0.5 + inset) & (index <= np.array(grid.shape) - 0.5 - inset)).all(axis=-1))
