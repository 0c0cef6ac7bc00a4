"""Components and sub-pixel outlines of masks and maps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]


def largest_component(mask: Mask) -> Mask:
    """Return the largest connected part (full connectivity; the first in array order on a tie); empty stays empty."""
    from scipy import ndimage

    labels, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    if count == 0:
        return np.zeros(mask.shape, bool)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(labels == sizes.argmax())


def isolated(probability: npt.NDArray[np.floating], level: float) -> Array:
    """Return the map with all but the largest part at or above ``level`` set to 0.

    The ring of pixels that touch the part keeps its values: the sub-pixel border lies between the two.
    """
    from scipy import ndimage

    part = largest_component(np.asarray(probability >= level))
    near = ndimage.binary_dilation(part, np.ones((3,) * part.ndim))
    return np.where(near, probability, 0.0).astype(np.float64)


def alone(probability: npt.NDArray[np.floating], level: float) -> Array:
    """Return the map with all that lies nearer to another part than to the largest set to 0.

    Parts are what reaches ``level``. Unlike ``isolated`` the whole soft border stays, however wide it is.
    """
    from scipy import ndimage

    values = np.asarray(probability, dtype=np.float64)
    part = largest_component(values >= level)
    others = (values >= level) & ~part
    if not others.any():
        return values
    to_part, to_others = (ndimage.distance_transform_edt(~mask) for mask in (part, others))
    return np.where(to_part <= to_others, values, 0.0)


def soft_weights(probability: npt.NDArray[np.floating], level: float, spacing: Array, margin_mm: float) -> Array:
    """Return the weights (0..1) whose sum is the largest part's area in pixels, partial volume included.

    What lies farther than ``margin_mm`` (at least two pixels) from the part counts nothing.
    """
    from scipy import ndimage

    values = alone(probability, level)
    away = ndimage.distance_transform_edt(~largest_component(values >= level), sampling=spacing)
    return np.where(away <= max(margin_mm, 2 * float(max(spacing))), np.clip(values, 0, 1), 0.0)


def bridged(probability: npt.NDArray[np.floating], level: float, join: float) -> tuple[Array, int]:
    """Close the gaps of a thin structure: return the map with necks raised to ``level``, and how many there were.

    Parts at or above ``level`` that are connected at or above ``join`` belong together; the neck between the two
    largest is the pixels of at least ``join`` on the straightest way from one to the other (within a pixel or so).
    """
    from scipy import ndimage

    closed = probability.astype(np.float64)
    every = np.ones((3,) * closed.ndim)
    for count in range(8):
        whole, _ = ndimage.label(closed >= join, every)
        bright = np.bincount(whole[closed >= level], minlength=2)
        bright[0] = 0
        part = whole == bright.argmax()
        pieces, found = ndimage.label(part & (closed >= level), every)
        if found < 2:
            return closed, count
        largest, second = np.argsort(np.bincount(pieces.ravel())[1:])[::-1][:2] + 1
        to_largest = ndimage.distance_transform_edt(pieces != largest)
        to_second = ndimage.distance_transform_edt(pieces != second)
        gap = float(to_largest[pieces == second].min())
        neck = part & (to_largest + to_second <= gap + 1.5)
        if not neck.any() or not (closed[neck] < level).any():
            return closed, count
        closed[neck] = np.maximum(closed[neck], level)
    return closed, 8


def outline(values: npt.NDArray[np.floating], level: float) -> Array:
    """Return the longest iso-line of a 2-D map as a closed polygon (n, 2) of fractional array indices.

    Linear interpolation between pixel centres; the map is taken to be below the level outside of its edge. Raises
    ValueError when nothing reaches the level.
    """
    import contourpy

    padded = np.pad(values.astype(np.float64), 1, constant_values=min(float(values.min()), level - 1.0))
    lines = contourpy.contour_generator(z=padded.T).lines(level)
    if not lines:
        raise ValueError(f"the map never reaches {level}")
    longest = max(lines, key=lambda line: abs(polygon_area(np.asarray(line))))
    points = np.asarray(longest, dtype=np.float64) - 1.0
    return points[:-1] if np.array_equal(points[0], points[-1]) else points


def fine_outline(values: npt.NDArray[np.floating], level: float, spacing: Array, step_mm: float = 0.25) -> Array:
    """Return ``outline`` in mm (n, 2), on a cubic spline through the pixels: ``spacing`` (2,) in mm.

    The spline is read at ``step_mm`` or finer, so that coarse pixels give no chords. Raises ValueError as outline does.
    """
    from scipy import ndimage

    reach = np.argwhere(values >= level)
    if len(reach) == 0:
        raise ValueError(f"the map never reaches {level}")
    border = 4
    low, high = np.maximum(reach.min(axis=0) - border, 0), reach.max(axis=0) + border + 1
    padded = np.pad(values[low[0] : high[0], low[1] : high[1]].astype(np.float64), border)
    finer = np.maximum(1, np.ceil(np.asarray(spacing) / step_mm)).astype(int)
    axes = [np.arange((n - 1) * k + 1) / k for n, k in zip(padded.shape, finer, strict=True)]
    smooth = ndimage.map_coordinates(padded, np.meshgrid(*axes, indexing="ij"), order=3, mode="constant")
    return np.asarray((outline(smooth, level) / finer + low - border) * spacing)


def polygon_area(points: Array) -> float:
    """Return the signed area of a closed polygon (n, 2) (shoelace formula)."""
    x, y = points[:, 0], points[:, 1]
    return float(0.5 * (x @ np.roll(y, -1) - np.roll(x, -1) @ y))


def polygon_perimeter(points: Array) -> float:
    """Return the length of a closed polygon (n, 2)."""
    return float(np.linalg.norm(np.roll(points, -1, axis=0) - points, axis=1).sum())
