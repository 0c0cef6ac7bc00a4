"""Open lines (n, 2) or (n, 3) in mm: even spacing, smoothing, curvature."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def resample_line(points: Array, samples: int) -> tuple[Array, float]:
    """Return ``samples`` equally spaced points along an open line (m, d), and its length."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0, along[-1], samples)
    columns = [np.interp(wanted, along, points[:, d]) for d in range(points.shape[1])]
    return np.stack(columns, axis=1), float(along[-1])


def smoothed_line(points: Array, sigma_mm: float, step_mm: float = 0.25) -> Array:
    """Return the line on even steps after a Gaussian along it; its two ends stay where they are.

    A circle of radius R shrinks by about sigma^2 / 2 R. A line shorter than eight sigmas is smoothed less.
    """
    from scipy import ndimage

    length = resample_line(points, 2)[1]
    count = max(3, round(length / step_mm) + 1)
    even = resample_line(points, count)[0]
    sigma = min(sigma_mm / length, 1 / 8) * (count - 1) if length > 0 else 0.0
    reach = min(count - 1, int(np.ceil(4 * sigma)) + 1)
    # mirrored through its ends, the line goes on straight and the ends do not move
    before, after = 2 * even[0] - even[reach:0:-1], 2 * even[-1] - even[-2 : -reach - 2 : -1]
    longer = np.concatenate([before, even, after])
    smooth = ndimage.gaussian_filter1d(longer, sigma, axis=0, mode="nearest")
    return np.asarray(smooth[reach : reach + count])


def turning_rad(points: Array) -> Array:
    """Return the angle (n - 2,) between each segment of a line (n, d) and the next, 0 to pi."""
    edges = np.zeros((len(points) - 1, 3))
    edges[:, : points.shape[1]] = np.diff(points, axis=0)
    across = np.linalg.norm(np.cross(edges[:-1], edges[1:]), axis=1)
    return np.asarray(np.arctan2(across, (edges[:-1] * edges[1:]).sum(axis=1)))
