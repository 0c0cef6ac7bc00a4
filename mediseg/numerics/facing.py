"""Which end of a corpus callosum is the front: by its shape alone, so that a mirrored image does not pass unseen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mediseg.numerics.moments import principal_axis

Array = npt.NDArray[np.float64]
BINS = 16
_FINE_MM = 0.5
_TO_BACK: Array = np.array([
    -3.41, -3.65, -8.14, -9.35, -6.38, -1.21, 0.77, 0.18,
    -8.62, -4.99, 5.34, 2.72, 0.12, 3.94, 7.1, 1.27,
    -2.17, -8.04, -4.88, -5.98, 0.27, 7.85, 2.71, 0.9,
])  # fmt: skip


def asymmetry(probability: Array, spacing_mm: float) -> Array:
    """Return how front and back halves of a face-left map (rows, columns) of square pixels differ, 24 numbers.

    What reaches 0.5 in the map, made finer to about 0.5 mm, is laid along its principal axis and cut across it into
    BINS slabs of equal width. Of each slab: where its upper and its lower border lie, and how high the mask stands in
    it, all as a part of the mask's length; then the front half less the mirrored back half. A mirrored mask gives the
    same numbers with the other sign. The mask must not be empty.
    """
    import cv2

    finer = max(1, round(spacing_mm / _FINE_MM))
    fine = cv2.resize(probability.astype(np.float32), None, fx=finer, fy=finer, interpolation=cv2.INTER_LINEAR)
    rows, columns = np.nonzero(fine >= 0.5)
    pixel_mm = spacing_mm / finer
    points: Array = np.stack([columns, rows], axis=1).astype(np.float64) * pixel_mm
    center, axis = principal_axis(points, np.ones(len(points)))
    along, across = (points - center) @ axis, (points - center) @ np.array([-axis[1], axis[0]])
    length = float(along.max() - along.min()) + pixel_mm
    slab = np.clip(((along - along.min() + pixel_mm / 2) / length * BINS).astype(int), 0, BINS - 1)
    low, high = np.full(BINS, across.min()), np.full(BINS, across.max())
    np.maximum.at(low, slab, across)
    np.minimum.at(high, slab, across)
    height = np.bincount(slab, minlength=BINS) * pixel_mm**2 / (length / BINS)
    profiles = np.stack([high, low, height]) / length
    return np.asarray((profiles - profiles[:, ::-1])[:, : BINS // 2].ravel())


def facing(probability: Array, spacing_mm: float) -> float:
    """Return 1 on average for a mask whose front is on the left, as said, -1 where it is on the right; 0 is even odds.

    A linear discriminant of ``asymmetry``.
    """
    return float(asymmetry(probability, spacing_mm) @ _TO_BACK)
