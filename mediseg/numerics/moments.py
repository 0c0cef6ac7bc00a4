"""Second moments of weighted points in the plane."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def principal_axis(points: Array, weights: Array) -> tuple[Array, Array]:
    """Return the weighted mean (2,) and the unit direction (2,) of the largest spread; its x is not negative.

    ``points`` (n, 2), ``weights`` (n,) not negative and not all 0.
    """
    total = weights.sum()
    mean = weights @ points / total
    offset = points - mean
    _, vectors = np.linalg.eigh((offset * weights[:, None]).T @ offset / total)
    axis = vectors[:, 1]
    return mean, axis if axis[0] >= 0 else -axis
