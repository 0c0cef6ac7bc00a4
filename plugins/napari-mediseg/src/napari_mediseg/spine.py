"""Stations of a spine placed by hand: nudged, turned, solved again; overlaps, lengths and angles. No Qt in here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mediseg import Geometry, Rigid, Stitched, Volume, stitch_stations

Array = npt.NDArray[np.float64]


def nudge(middle_lps_mm: npt.ArrayLike, shift_lps_mm: npt.ArrayLike, turn_deg: float, axis_lps: npt.ArrayLike) -> Rigid:
    """Return a shift after a turn about a point, about a direction of the patient."""
    axis = np.asarray(axis_lps, dtype=np.float64) / np.linalg.norm(np.asarray(axis_lps, dtype=np.float64))
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.radians(turn_deg)
    rotation = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross
    middle = np.asarray(middle_lps_mm, dtype=np.float64)
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = middle - rotation @ middle + np.asarray(shift_lps_mm, dtype=np.float64)
    return Rigid(matrix)


def moved(station: Volume, motion: Rigid) -> Volume:
    """Return a station with its header moved: the voxels stay."""
    old = station.geometry
    geometry = Geometry(old.shape, motion.matrix @ old.affine_lps, old.frame_of_reference)
    return replace(station, geometry=geometry)


def stitched_by_hand(stations: Sequence[Volume], motions: Sequence[Rigid], *, register: bool) -> Stitched:
    """Return the composite of stations moved by hand; ``register``: align what is left from there. Raises Refusal."""
    placed = [moved(one, motion) for one, motion in zip(stations, motions, strict=True)]
    return stitch_stations(placed, register=register)


def checkerboard(
    first: npt.NDArray[np.float32], second: npt.NDArray[np.float32], size: int = 12
) -> npt.NDArray[np.float32]:
    """Return two images of one grid in turn, square by square; where one is not (NaN), the other."""
    i, j, k = np.indices(first.shape)
    use_first = ((i // size + j // size + k // size) % 2 == 0) | np.isnan(second)
    use_first &= ~np.isnan(first)
    return np.where(use_first, first, second).astype(np.float32)


def length_mm(points: npt.ArrayLike) -> float:
    """Return the length of a line through points in mm (n, 3)."""
    return float(np.linalg.norm(np.diff(np.asarray(points, dtype=np.float64), axis=0), axis=1).sum())


def cobb_deg(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Return the angle between two lines, each two points in mm (2, 3), in 0 to 90 degrees."""
    a, b = (np.asarray(line, dtype=np.float64) for line in (first, second))
    u, v = a[1] - a[0], b[1] - b[0]
    size = float(np.linalg.norm(u) * np.linalg.norm(v))
    if size < 1e-9:
        raise ValueError("a Cobb angle needs two lines that have a length")
    return float(np.degrees(np.arccos(np.clip(abs(float(u @ v)) / size, 0.0, 1.0))))
