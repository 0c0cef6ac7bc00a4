"""Mid-sagittal outlines in head coordinates (y to posterior, z to superior, mm; origin midway between AC and PC).

The corpus callosum is a band about a smooth centre line; the numbers were set by hand, with real slices in view, for
average measures (73 x 27 mm, genu and splenium about 9 mm thick, body 5, isthmus 4.3, area about 600 mm2).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mediseg.phantom._distance import Field

Outline = npt.NDArray[np.float64]

# y, z, thickness: rostrum, genu, body, isthmus, splenium
_CALLOSUM = (
    (-21.5, 3.8, 1.6), (-27.0, 4.2, 2.6), (-32.3, 7.0, 6.0), (-35.4, 13.0, 9.2), (-32.8, 19.6, 8.4),
    (-26.0, 24.0, 6.4), (-14.0, 27.2, 5.4), (-1.0, 27.7, 5.3), (11.0, 25.4, 4.7), (19.5, 21.6, 4.3),
    (25.2, 17.6, 6.4), (28.0, 13.2, 9.2), (27.0, 10.0, 8.6),
)  # fmt: skip

_BELOW_CALLOSUM = ((24.0, 2.0), (20.0, -5.0), (14.0, -13.0), (4.0, -15.0), (-7.0, -14.0), (-15.0, -9.0), (-20.0, -2.0))
_THIRD_VENTRICLE = (
    (-15.5, -8.0), (-15.0, -1.0), (-12.0, 5.0), (-6.0, 9.0), (3.0, 10.5), (12.0, 9.5), (18.0, 5.0), (14.5, 1.0),
    (10.0, -2.5), (4.0, -5.0), (-2.0, -8.0), (-7.0, -14.0),
)  # fmt: skip
_LATERAL_VENTRICLE = (
    (-30.3, 9.5), (-29.6, 15.5), (-24.5, 20.5), (-14.0, 24.6), (-1.0, 25.2), (10.0, 23.2), (19.0, 19.8), (25.0, 15.0),
    (19.0, 15.6), (9.0, 17.6), (0.0, 15.4), (-8.0, 10.5), (-13.0, 5.5), (-20.0, 4.6), (-27.0, 5.4),
)  # fmt: skip


@lru_cache(maxsize=1)
def callosum_outline() -> Outline:
    """Return the callosum's closed contour (n, 2) as y, z in mm, first point not repeated, about 0.25 mm apart."""
    from scipy.interpolate import CubicSpline, PchipInterpolator

    y, z, thickness = np.array(_CALLOSUM).T
    along = np.concatenate([[0], np.cumsum(np.hypot(np.diff(y), np.diff(z)))])
    t = np.linspace(0, along[-1], 420)
    line = CubicSpline(along, np.stack([y, z], axis=1))
    center, tangent = line(t), line(t, 1)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    outward = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1)
    half = PchipInterpolator(along, thickness)(t)[:, None] / 2
    outer, inner = center + outward * half, center - outward * half
    turn = np.linspace(0, np.pi, 42)[1:-1, None]
    end = center[-1] + half[-1] * (np.cos(turn) * outward[-1] + np.sin(turn) * tangent[-1])
    begin = center[0] + half[0] * (-np.cos(turn) * outward[0] - np.sin(turn) * tangent[0])
    outline = np.concatenate([outer, end, inner[::-1], begin])
    outline.setflags(write=False)
    return outline


def area_mm2(outline: Outline) -> float:
    """Area of a closed polygon."""
    y, z = outline.T
    return 0.5 * abs(float(y @ np.roll(z, -1) - z @ np.roll(y, -1)))


def centroid(outline: Outline) -> Outline:
    """Centre of area of a closed polygon."""
    following = np.roll(outline, -1, axis=0)
    cross = outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]
    return np.asarray(((outline + following) * cross[:, None]).sum(axis=0) / (3 * cross.sum()))


def axis_angle_deg(outline: Outline) -> float:
    """Angle of the long axis of a polygon's second moments of area, in (-90, 90], from the first axis to the second."""
    p = outline - centroid(outline)
    q = np.roll(p, -1, axis=0)
    cross = p[:, 0] * q[:, 1] - q[:, 0] * p[:, 1]
    square = ((p * p + p * q + q * q) * cross[:, None]).sum(axis=0) / 12
    mixed = ((p[:, 0] * q[:, 1] + 2 * p[:, 0] * p[:, 1] + 2 * q[:, 0] * q[:, 1] + q[:, 0] * p[:, 1]) * cross).sum() / 24
    sign = np.sign(cross.sum())
    angle = 0.5 * float(np.degrees(np.arctan2(2 * mixed * sign, (square[0] - square[1]) * sign)))
    return angle + 180.0 if angle <= -90.0 else angle


class Flat:
    """A signed distance in the mid-sagittal plane, tabulated every 0.25 mm and read by linear interpolation.

    Beyond the table (``margin_mm`` around the outline) the distance stays what it is at the table's border.
    """

    _STEP_MM = 0.25

    def __init__(self, outline: Outline, margin_mm: float = 24.0) -> None:
        from scipy.spatial import cKDTree

        self._low = outline.min(axis=0) - margin_mm
        size = np.ceil((outline.max(axis=0) + margin_mm - self._low) / self._STEP_MM).astype(int) + 1
        y = self._low[0] + self._STEP_MM * np.arange(size[0])
        z = self._low[1] + self._STEP_MM * np.arange(size[1])
        points = np.stack(np.meshgrid(y, z, indexing="ij"), axis=-1).reshape(-1, 2)
        distance, _ = cKDTree(_dense(outline)).query(points)
        sign = np.where(inside(outline, y, z), -1.0, 1.0)
        self._table = (distance.reshape(size) * sign).astype(np.float32)

    def __call__(self, y: Field, z: Field) -> Field:
        """Distance at points of any shape."""
        from scipy import ndimage

        at = np.stack([(y - np.float32(self._low[0])) / self._STEP_MM, (z - np.float32(self._low[1])) / self._STEP_MM])
        return np.asarray(
            ndimage.map_coordinates(self._table, at, order=1, mode="nearest", output=np.float32), np.float32
        )


def _dense(outline: Outline, step_mm: float = 0.1) -> Outline:
    """Return points along the closed outline, close enough to stand for it."""
    closed = np.concatenate([outline, outline[:1]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    t = np.arange(0, along[-1], step_mm)
    return np.stack([np.interp(t, along, closed[:, axis]) for axis in (0, 1)], axis=1)


def inside(outline: Outline, y: Outline, z: Outline) -> npt.NDArray[np.bool_]:
    """Mark the nodes of the lattice ``y`` x ``z`` that lie in a closed polygon (even-odd rule)."""
    found = np.zeros((len(y), len(z)), bool)
    following = np.roll(outline, -1, axis=0)
    for (y0, z0), (y1, z1) in zip(outline, following, strict=True):
        crossed = (y >= min(y0, y1)) & (y < max(y0, y1))
        if crossed.any():
            height = z0 + (y[crossed] - y0) * (z1 - z0) / (y1 - y0)
            found[crossed] ^= z[None, :] > height[:, None]
    return found


def _smooth(corners: tuple[tuple[float, float], ...]) -> Outline:
    """Return a smooth closed curve through some corners."""
    from scipy.interpolate import CubicSpline

    points = np.array([*corners, corners[0]])
    along = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points, axis=0), axis=1))])
    return np.asarray(CubicSpline(along, points, bc_type="periodic")(np.linspace(0, along[-1], 300)[:-1]))


@lru_cache(maxsize=1)
def callosum() -> Flat:
    """Distance to the callosum in the mid-sagittal plane."""
    return Flat(callosum_outline())


@lru_cache(maxsize=1)
def core() -> Flat:
    """Distance to what joins the hemispheres: all that lies within and under the callosum's arch."""
    arch = [(y, z) for y, z, _ in _CALLOSUM]
    return Flat(np.array([*arch, *_BELOW_CALLOSUM]), margin_mm=60.0)


@lru_cache(maxsize=1)
def third_ventricle() -> Flat:
    """Distance to the third ventricle in the mid-sagittal plane."""
    return Flat(_smooth(_THIRD_VENTRICLE), margin_mm=8.0)


@lru_cache(maxsize=1)
def lateral_ventricle() -> Flat:
    """Distance to the lateral ventricle's frontal horn and body, seen from the side."""
    return Flat(_smooth(_LATERAL_VENTRICLE), margin_mm=12.0)
