"""Signed distances of simple bodies (mm, negative inside), and how they are joined. Pure float32 numpy.

Distances to ellipsoids are first-order (exact on the surface, right to a few per cent near it), which is all that
partial volume and thin shells need. Source of the formulas: I. Quilez, "Distance functions" (public notes).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Field = npt.NDArray[np.float32]
Point = Sequence[float]


@dataclass(frozen=True)
class Points:
    """Head coordinates of many points, arrays of one shape: x to the left, y to posterior, z to superior (mm)."""

    x: Field
    y: Field
    z: Field

    def mirrored(self) -> Points:
        """Return the points folded onto the left half."""
        return Points(np.abs(self.x), self.y, self.z)

    def where(self, chosen: npt.NDArray[Any]) -> Points:
        """Return some of the points, as flat arrays."""
        return Points(self.x[chosen], self.y[chosen], self.z[chosen])


def ellipsoid(p: Points, center: Point, radii: Point) -> Field:
    """Distance to an ellipsoid with axes along x, y, z."""
    q = [(a - np.float32(c)) / np.float32(r) for a, c, r in zip((p.x, p.y, p.z), center, radii, strict=True)]
    k0 = np.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    g = [a / np.float32(r) for a, r in zip(q, radii, strict=True)]
    k1 = np.sqrt(g[0] * g[0] + g[1] * g[1] + g[2] * g[2])
    return np.asarray(k0 * (k0 - 1) / np.maximum(k1, 1e-6), np.float32)


def sphere(p: Points, center: Point, radius: float) -> Field:
    """Distance to a ball."""
    dx, dy, dz = p.x - np.float32(center[0]), p.y - np.float32(center[1]), p.z - np.float32(center[2])
    return np.asarray(np.sqrt(dx * dx + dy * dy + dz * dz) - np.float32(radius), np.float32)


def box(p: Points, center: Point, half: Point, rounding: float) -> Field:
    """Distance to a box with rounded edges; ``half`` are its half sizes with the rounding."""
    q = [
        np.abs(a - np.float32(c)) - np.float32(h - rounding)
        for a, c, h in zip((p.x, p.y, p.z), center, half, strict=True)
    ]
    outside = np.sqrt(sum(np.maximum(a, 0) ** 2 for a in q))
    inside = np.minimum(np.maximum(np.maximum(q[0], q[1]), q[2]), 0)
    return np.asarray(outside + inside - np.float32(rounding), np.float32)


def capsule(p: Points, a: Point, b: Point, radius_a: float, radius_b: float) -> Field:
    """Distance to a rod from ``a`` to ``b`` whose radius changes linearly."""
    axis = np.subtract(b, a)
    scale = 1 / float(axis @ axis)
    u = [(c - np.float32(s)) for c, s in zip((p.x, p.y, p.z), a, strict=True)]
    t = u[0] * np.float32(axis[0] * scale) + u[1] * np.float32(axis[1] * scale) + u[2] * np.float32(axis[2] * scale)
    t = np.clip(t, 0, 1)
    squared = sum((c - t * np.float32(s)) ** 2 for c, s in zip(u, axis, strict=True))
    return np.asarray(np.sqrt(squared) - (np.float32(radius_a) + t * np.float32(radius_b - radius_a)), np.float32)


def tube(p: Points, course: Sequence[Point], radii: Sequence[float], blend: float = 2.0) -> Field:
    """Distance to a chain of rods."""
    joined = capsule(p, course[0], course[1], radii[0], radii[1])
    for n in range(1, len(course) - 1):
        joined = union(joined, capsule(p, course[n], course[n + 1], radii[n], radii[n + 1]), blend)
    return joined


def union(a: Field, b: Field, blend: float = 0.0) -> Field:
    """Join two bodies; ``blend`` mm rounds the seam."""
    if blend <= 0:
        return np.minimum(a, b)
    h = np.maximum(np.float32(blend) - np.abs(a - b), 0)
    return np.asarray(np.minimum(a, b) - h * h * np.float32(0.25 / blend), np.float32)


def common(a: Field, b: Field, blend: float = 0.0) -> Field:
    """Return what two bodies share."""
    return -union(-a, -b, blend)


def without(a: Field, b: Field, blend: float = 0.0) -> Field:
    """Return ``a`` with ``b`` cut out."""
    return common(a, -b, blend)


def step(value: Field, low: float, high: float) -> Field:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
