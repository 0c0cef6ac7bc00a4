"""Closed outlines (n, 2) in mm: which points lie inside, where lines cross them, and how far they reach."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


def grid_inside(polygon: Array, low: Array, step: float, shape: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Tell which points ``low + step * (i, j)`` of a grid lie inside (even-odd rule)."""
    rows, columns = shape
    x = low[0] + step * np.arange(rows)
    inside = np.zeros(shape, bool)
    start, end = polygon, np.roll(polygon, -1, axis=0)
    for column in range(columns):
        y = low[1] + step * column
        edges = np.flatnonzero((start[:, 1] > y) != (end[:, 1] > y))
        (x0, y0), (x1, y1) = start[edges].T, end[edges].T
        cuts = np.sort(x0 + (y - y0) * (x1 - x0) / (y1 - y0))
        inside[:, column] = np.searchsorted(cuts, x) % 2 == 1
    return inside


def crossings(polygon: Array, start: Array, direction: Array) -> tuple[Array, npt.NDArray[np.intp]]:
    """Return where a straight line crosses the outline, as signed distances along it, sorted; and each one's edge.

    ``direction`` is a unit vector; edge i runs from point i to point i + 1.
    """
    offset = polygon - start
    side = offset @ np.array([-direction[1], direction[0]])
    along = offset @ direction
    next_side, next_along = np.roll(side, -1), np.roll(along, -1)
    edges = np.flatnonzero((side < 0) != (next_side < 0))
    share = side[edges] / (side[edges] - next_side[edges])
    places = along[edges] + share * (next_along[edges] - along[edges])
    order = np.argsort(places, kind="stable")
    return places[order], edges[order]


def farthest_pair(polygon: Array) -> tuple[Array, Array]:
    """Return the two points that lie farthest apart; the one of smaller x (then y) first. Needs three points."""
    from scipy.spatial import ConvexHull

    hull = polygon[ConvexHull(polygon).vertices]
    apart = np.linalg.norm(hull[:, None] - hull[None], axis=2)
    first, second = np.unravel_index(int(apart.argmax()), apart.shape)
    a, b = sorted((hull[first], hull[second]), key=lambda point: (float(point[0]), float(point[1])))
    return a, b


def deepest_pocket(polygon: Array) -> tuple[tuple[int, int], float]:
    """Return the two hull points between which the outline falls farthest behind its convex hull, and how far.

    The outline runs from the first to the second of them through the pocket. Needs three points.
    """
    from scipy.spatial import ConvexHull

    hull = np.sort(ConvexHull(polygon).vertices)
    best, deepest = (int(hull[0]), int(hull[1])), -1.0
    for first, second in zip(hull, np.roll(hull, -1), strict=True):
        within = polygon[(first + np.arange((second - first) % len(polygon) + 1)) % len(polygon)]
        lid = within[-1] - within[0]
        offset = within - within[0]
        depth = float(np.abs(offset[:, 0] * lid[1] - offset[:, 1] * lid[0]).max() / np.linalg.norm(lid))
        if depth > deepest:
            best, deepest = (int(first), int(second)), depth
    return best, deepest


def with_point(polygon: Array, edge: int, point: Array) -> Array:
    """Return the outline with a point put in after point ``edge``."""
    return np.insert(polygon, edge + 1, point, axis=0)
