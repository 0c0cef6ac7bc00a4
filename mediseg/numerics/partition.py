"""How far along a shape points lie, 0 to 1 from its front to its back: what parts are cut by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mediseg.numerics.curves import resample_line

Array = npt.NDArray[np.float64]


def along_axis(points: Array, start: Array, end: Array) -> Array:
    """Return the share (n,) of the straight way from ``start`` to ``end``: cuts lie at right angles to it."""
    way = end - start
    return np.asarray(np.clip((points - start) @ way / (way @ way), 0, 1))


def along_angle(points: Array, center: Array, front: Array) -> Array:
    """Return the angle (n,) about ``center`` from the direction ``front`` to its opposite, as a share of 180 degrees.

    Either way round counts the same; the points are taken to lie on one side of the line through ``center``.
    """
    offset = points - center
    angle = np.arctan2(np.abs(offset @ np.array([-front[1], front[0]])), offset @ front)
    return np.asarray(angle / np.pi)


def along_line(points: Array, line: Array) -> Array:
    """Return where on a line (m, 2) the nearest place to each point lies: cuts lie at right angles to the line."""
    from scipy import spatial

    samples = 2001
    return np.asarray(spatial.cKDTree(resample_line(line, samples)[0]).query(points)[1] / (samples - 1))


def subpixels(cells: npt.NDArray[np.intp], spacing: Array, step_mm: float = 0.15) -> tuple[Array, int]:
    """Cut each of n pixels (indices) into k equal pieces: return their middles (n * k, 2) in mm, pixel by pixel, and k.

    Pieces are at most ``step_mm`` wide, but no more than about a quarter of a million in all.
    """
    coarsest = float(np.sqrt(len(cells) * spacing.prod() / 250_000))
    counts = np.ceil(spacing / max(step_mm, coarsest)).astype(int)
    shares = [(np.arange(n) + 0.5) / n - 0.5 for n in counts]
    offsets = np.stack(np.meshgrid(*shares, indexing="ij"), axis=-1).reshape(-1, 2)
    return ((cells[:, None] + offsets[None]) * spacing).reshape(-1, 2), len(offsets)
