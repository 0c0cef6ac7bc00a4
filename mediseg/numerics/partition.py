"""How far along a shape points lie, 0 to 1 from its front to its back: what parts are cut by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mediseg.numerics.curves import resample_line

Array = npt.NDArray[np.float64]

HOFER_FRAHM = (("I", 1 / 6), ("II", 1 / 2), ("III", 2 / 3), ("IV", 3 / 4), ("V", 1.0))

#: scheme -> names of its parts, front to back, and the share of the way along at which each ends
SCHEMES: dict[str, tuple[tuple[str, float], ...]] = {
    "witelson": (
        ("anterior third", 1 / 3),
        ("anterior midbody", 1 / 2),
        ("posterior midbody", 2 / 3),
        ("isthmus", 4 / 5),
        ("splenium", 1.0),
    ),
    "hofer_frahm": HOFER_FRAHM,
    "medial": HOFER_FRAHM,
    "vertical": HOFER_FRAHM,
    "angular": tuple((str(n), n / 5) for n in range(1, 6)),
}
#: FreeSurfer's numbers and names, front to back; FastSurfer-CC gives them to Hofer-Frahm shares of the medial line
FREESURFER = (
    (255, "CC_Anterior"),
    (254, "CC_Mid_Anterior"),
    (253, "CC_Central"),
    (252, "CC_Mid_Posterior"),
    (251, "CC_Posterior"),
)


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
