"""The rotated ROI under a hand: moved, resized, turned, undone. Pure functions on plain numbers; no Qt, no napari.

Angles in degrees, positive when the posterior end lies lower, counted on past +-180: every state is made from the
state at the press and the whole way of the pointer, so a ROI that is turned twice round and back has its old numbers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from mediseg import RotatedROI

Array = npt.NDArray[np.float64]
Point = tuple[float, float]
Part = Literal["inside", "resize", "turn"]

SMALLEST_MM = 1.0
_LARGEST_MM = 400.0
_HANDLES: tuple[tuple[int, int], ...] = ((-1, -1), (0, -1), (1, -1), (1, 0), (1, 1), (0, 1), (-1, 1), (-1, 0))


@dataclass(frozen=True)
class PlaneROI:
    """A rectangle on a plane.

    ``base_lps`` (3 x 3, unit columns): to the back, down, and the plane's normal: angle 0 lies along the first.
    ``center`` (mm) counts along the first two from ``origin_lps_mm``; ``size_mm``: length, width, depth.
    """

    origin_lps_mm: Array
    base_lps: Array
    center: Point
    angle_deg: float
    size_mm: tuple[float, float, float]
    frame_of_reference: str | None = None

    @property
    def center_lps_mm(self) -> Array:
        """The middle in the patient."""
        return np.asarray(self.origin_lps_mm + self.base_lps[:, :2] @ np.array(self.center))

    @property
    def wrapped_deg(self) -> float:
        """The angle in (-180, 180]."""
        return wrapped(self.angle_deg)

    def axes_2d(self) -> tuple[Array, Array]:
        """Unit directions along and across, on the plane."""
        angle = math.radians(self.angle_deg)
        cosine, sine = math.cos(angle), math.sin(angle)
        return np.array([cosine, sine]), np.array([-sine, cosine])

    def to_roi(self) -> RotatedROI:
        """Return the box in the patient."""
        along, across = self.axes_2d()
        flat = self.base_lps[:, :2]
        axes = np.column_stack([flat @ along, flat @ across, self.base_lps[:, 2]])
        return RotatedROI(self.center_lps_mm, axes, self.size_mm, self.frame_of_reference)

    def lift(self, points: npt.ArrayLike) -> Array:
        """Take points (..., 2) of the plane to the patient."""
        return np.asarray(self.origin_lps_mm + np.asarray(points, dtype=np.float64) @ self.base_lps[:, :2].T)

    def drop(self, points_lps_mm: npt.ArrayLike, view_lps: npt.ArrayLike) -> Array:
        """Take patient points (..., 3) to the plane along the direction that is looked in."""
        view = np.asarray(view_lps, dtype=np.float64)
        normal = self.base_lps[:, 2]
        offset = np.asarray(points_lps_mm, dtype=np.float64) - self.origin_lps_mm
        depth = (offset @ normal) / float(view @ normal)
        return np.asarray((offset - depth[..., None] * view) @ self.base_lps[:, :2])

    def corners(self) -> Array:
        """The four corners on the plane (4, 2), in order around."""
        along, across = self.axes_2d()
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(self.size_mm[:2]) / 2
        return np.asarray(np.array(self.center) + half[:, :1] * along + half[:, 1:] * across)

    def handles(self) -> Array:
        """The eight handles on the plane (8, 2): corners and middles of sides."""
        along, across = self.axes_2d()
        half = np.array(_HANDLES) * np.array(self.size_mm[:2]) / 2
        return np.asarray(np.array(self.center) + half[:, :1] * along + half[:, 1:] * across)

    @property
    def ring_mm(self) -> float:
        """Radius of the ring that turns it."""
        return 0.5 * math.hypot(*self.size_mm[:2]) + 8.0

    def ring(self, points: int = 72) -> Array:
        """The ring as a closed line (points, 2), starting where the long axis leaves it."""
        turn = np.radians(self.angle_deg) + np.linspace(0, 2 * np.pi, points, endpoint=False)
        return np.asarray(np.array(self.center) + self.ring_mm * np.column_stack([np.cos(turn), np.sin(turn)]))


def wrapped(angle_deg: float) -> float:
    """Return an angle in (-180, 180]."""
    rest = math.fmod(angle_deg, 360.0)
    if rest > 180.0:
        return rest - 360.0
    return rest + 360.0 if rest <= -180.0 else rest


def upright_base(normal_lps: npt.ArrayLike) -> Array:
    """Return the plane's directions to the back, down and across, upright in the patient, as mediseg's planes have it.

    For a plane that lies flat (axial), down is to the back.
    """
    normal = np.asarray(normal_lps, dtype=np.float64) / np.linalg.norm(np.asarray(normal_lps, dtype=np.float64))
    low = np.array([0.0, 0.0, -1.0]) if abs(normal[2]) < 0.9 else np.array([0.0, 1.0, 0.0])
    down = low - (low @ normal) * normal
    down /= np.linalg.norm(down)
    back = np.cross(down, normal)
    return np.column_stack([back, down, normal])


def on_plane(roi: RotatedROI, base_lps: npt.ArrayLike | None = None) -> PlaneROI:
    """Return an ROI as a rectangle on its own plane; ``base_lps``: where its angle 0 lies, else upright."""
    base = upright_base(roi.axes_lps[:, 2]) if base_lps is None else np.array(base_lps, dtype=np.float64)
    along = roi.axes_lps[:, 0]
    angle = math.degrees(math.atan2(float(along @ base[:, 1]), float(along @ base[:, 0])))
    return PlaneROI(roi.center_lps_mm, base, (0.0, 0.0), angle, roi.size_mm, roi.frame_of_reference)


@dataclass(frozen=True)
class Hit:
    """What lies under the pointer: the inside, a handle (its signs along and across), or the ring."""

    part: Part
    handle: tuple[int, int] = (0, 0)


def hit(roi: PlaneROI, point: Point, tolerance_mm: float) -> Hit | None:
    """Return what a point of the plane hits: a handle first, then the ring, then the inside."""
    at = np.array(point)
    near = np.linalg.norm(roi.handles() - at, axis=1)
    if near.min() <= tolerance_mm:
        return Hit("resize", _HANDLES[int(near.argmin())])
    offset = at - roi.center
    if abs(float(np.linalg.norm(offset)) - roi.ring_mm) <= tolerance_mm:
        return Hit("turn")
    along, across = roi.axes_2d()
    inside = abs(offset @ along) <= roi.size_mm[0] / 2 and abs(offset @ across) <= roi.size_mm[1] / 2
    return Hit("inside") if inside else None


def moved(start: PlaneROI, press: Point, point: Point) -> PlaneROI:
    """Return the ROI shifted by the pointer's way."""
    x, y = start.center
    return replace(start, center=(x + point[0] - press[0], y + point[1] - press[1]))


def resized(start: PlaneROI, handle: tuple[int, int], point: Point) -> PlaneROI:
    """Return the ROI with a handle at the pointer; the opposite side stays where it is."""
    center = np.array(start.center)
    size = list(start.size_mm)
    middle = center.copy()
    for n, (sign, axis) in enumerate(zip(handle, start.axes_2d(), strict=True)):
        if sign == 0:
            continue
        fixed = -sign * size[n] / 2
        reach = sign * (float((np.array(point) - center) @ axis) - fixed)
        size[n] = min(max(reach, SMALLEST_MM), _LARGEST_MM)
        middle = middle + axis * (fixed + sign * size[n] / 2)
    return replace(start, center=(float(middle[0]), float(middle[1])), size_mm=(size[0], size[1], size[2]))


@dataclass
class Turn:
    """A turn about the ROI's centre while the mouse is held: counts whole turns, so +-180 makes no jump."""

    start: PlaneROI
    press: Point
    total_deg: float = field(default=0.0, init=False)

    def to(self, point: Point, *, snap: bool = False) -> PlaneROI:
        """Return the ROI turned to where the pointer is; ``snap``: to whole degrees."""
        v1 = np.array(self.press) - self.start.center
        v2 = np.array(point) - self.start.center
        if float(np.hypot(*v2)) > 1e-9 and float(np.hypot(*v1)) > 1e-9:
            raw = math.degrees(math.atan2(float(v1[0] * v2[1] - v1[1] * v2[0]), float(v1 @ v2)))
            self.total_deg = raw + 360.0 * round((self.total_deg - raw) / 360.0)
        angle = self.start.angle_deg + self.total_deg
        return replace(self.start, angle_deg=float(round(angle)) if snap else angle)


def nudged(roi: PlaneROI, *, turn_deg: float = 0.0, back_mm: float = 0.0, down_mm: float = 0.0) -> PlaneROI:
    """Return the ROI turned or shifted by a small step."""
    x, y = roi.center
    return replace(roi, angle_deg=roi.angle_deg + turn_deg, center=(x + back_mm, y + down_mm))


@dataclass
class History:
    """What was, for undo and redo."""

    _past: list[PlaneROI] = field(default_factory=list)
    _future: list[PlaneROI] = field(default_factory=list)

    def push(self, state: PlaneROI) -> None:
        """Keep a state before it is changed."""
        self._past.append(state)
        self._future.clear()

    def undo(self, now: PlaneROI) -> PlaneROI:
        """Return the state before, or ``now`` where there is none."""
        if not self._past:
            return now
        self._future.append(now)
        return self._past.pop()

    def redo(self, now: PlaneROI) -> PlaneROI:
        """Return the state that was undone last, or ``now``."""
        if not self._future:
            return now
        self._past.append(now)
        return self._future.pop()
