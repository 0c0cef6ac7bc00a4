"""How a known shape lies in an image: points of its surface are laid onto the border in a map of signed distances.

The pose is a similarity: a turn, a size and a shift. It is found by damped least squares from several turns, so that a
shape that lies as much as 45 degrees askew is still found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

#: Turns (degrees about the first, second and third axis) from which the search starts.
_STARTS_DEG = ((0, 0, 0), (30, 0, 0), (-30, 0, 0), (0, 30, 0), (0, -30, 0), (0, 0, 30), (0, 0, -30))
_STEPS = 30
#: A shape much smaller or larger than this is not it: the search stops there.
_SIZES = (0.3, 3.0)
#: Sizes differ by so much (standard deviation of the logarithm), and what a size so far off costs, in mm2: far less
#: than a whole outline says of its size, enough that half a shape is not taken for a small one.
_SIZE_SPREAD = 0.1
_SIZE_COST_MM2 = 1.0
#: Points further than this from the border do not pull harder (Huber).
_ROBUST_MM = 4.0


@dataclass(frozen=True, slots=True)
class Pose:
    """``point -> size * turn @ point + shift``: mm about the shape's own middle to mm in the image.

    ``turn`` (3, 3) is a rotation, ``shift`` (3,) is in mm. ``residual_mm`` is the root mean square distance of the
    points from the border, robustly, over those that lie within the image; ``seen`` is their share.
    """

    turn: Floats
    size: float
    shift: Floats
    residual_mm: float
    seen: float


def fit_pose(distance_mm: npt.NDArray[np.floating], spacing_mm: float, points_mm: Floats) -> Pose:
    """Return how the shape ``points_mm`` (n, 3) lies in an image whose border is at 0 of ``distance_mm`` (i, j, k).

    ``distance_mm`` is negative inside and need not be clipped; its voxels are ``spacing_mm`` wide along every axis, the
    first at 0 mm. Points beyond the image pull at nothing. Raises ValueError if nothing is inside.
    """
    inside = np.argwhere(distance_mm < 0)
    if not len(inside):
        raise ValueError("nothing lies inside: the distance is nowhere negative")
    field = _Field(np.asarray(distance_mm, np.float32), spacing_mm)
    middle = inside.mean(axis=0) * spacing_mm
    # a rough fit from every start, then the best one to its end
    found = [_descend(field, points_mm, _turned(start), 1.0, middle, 10) for start in _STARTS_DEG]
    best = min(found, key=lambda pose: pose.residual_mm)
    return _descend(field, points_mm, best.turn, best.size, best.shift, _STEPS)


@dataclass(frozen=True, slots=True)
class _Field:
    """A distance map that can be asked anywhere, with its slope."""

    distance: npt.NDArray[np.float32]
    spacing_mm: float

    def __call__(self, places_mm: Floats) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
        """Return distance (n,), slope (n, 3) in mm a mm, and which places lie within the image."""
        from scipy import ndimage

        at = places_mm / self.spacing_mm
        step = 0.5
        within = np.asarray(((at >= 0) & (at <= np.array(self.distance.shape) - 1)).all(axis=1))
        asked = np.concatenate([at, *(at + sign * step * axis for axis in np.eye(3) for sign in (1, -1))])
        values = ndimage.map_coordinates(self.distance, asked.T, order=1, mode="nearest").reshape(7, -1)
        slope = (values[1::2] - values[2::2]).T / (2 * step * self.spacing_mm)
        return values[0].astype(np.float64), slope.astype(np.float64), within


def _descend(field: _Field, points: Floats, turn: Floats, size: float, shift: Floats, steps: int) -> Pose:
    """Go down from one pose (Levenberg-Marquardt over turn, shift and the size's logarithm)."""
    damping = 1e-2
    now = _judged(field, points, turn, size, shift)
    for _ in range(steps):
        step = _step(now, damping)
        grown = float(np.clip(now.size * np.exp(np.clip(step[6], -1, 1)), *_SIZES))
        moved = _judged(field, points, _rotation(step[:3]) @ now.turn, grown, now.shift + step[3:6])
        if moved.cost < now.cost:
            gain, now, damping = now.cost - moved.cost, moved, max(damping / 3, 1e-6)
            if gain < 1e-7 * now.cost:
                break
        else:
            damping *= 4
            if damping > 1e3:
                break
    return Pose(now.turn, now.size, now.shift, now.residual_mm, float((now.weight > 0).mean()))


@dataclass(frozen=True, slots=True)
class _Judged:
    """A pose, and how well it fits: ``cost`` is what the search lowers, in mm2."""

    turn: Floats
    size: float
    shift: Floats
    arms: Floats  # from the middle to each point (n, 3), mm
    distance: Floats
    slope: Floats
    weight: Floats
    residual_mm: float
    cost: float


def _judged(field: _Field, points: Floats, turn: Floats, size: float, shift: Floats) -> _Judged:
    arms = size * points @ turn.T
    distance, slope, within = field(arms + shift)
    far = np.maximum(np.abs(distance), 1e-9)
    weight = np.where(within, np.minimum(1.0, _ROBUST_MM / far), 0.0)
    huber = np.where(far <= _ROBUST_MM, far**2, 2 * _ROBUST_MM * far - _ROBUST_MM**2)
    seen = float(within.mean())
    square = float(huber[within].mean()) if seen else np.inf
    # a pose that hides the shape beyond the image's edge is no better for it
    cost = (square / seen if seen else np.inf) + _SIZE_COST_MM2 * (np.log(size) / _SIZE_SPREAD) ** 2
    return _Judged(turn, size, shift, arms, distance, slope, weight, float(np.sqrt(square)), float(cost))


def _step(now: _Judged, damping: float) -> Floats:
    across = np.cross(now.arms, now.slope)
    along = (now.arms * now.slope).sum(axis=1, keepdims=True)
    jacobian = np.concatenate([across, now.slope, along], axis=1)
    scale = jacobian * now.weight[:, None]
    square, slope = jacobian.T @ scale, scale.T @ now.distance
    stiffness = np.count_nonzero(now.weight) * _SIZE_COST_MM2 / _SIZE_SPREAD**2
    square[6, 6] += stiffness
    slope[6] += stiffness * np.log(now.size)
    square += damping * np.diag(np.diag(square) + 1e-9)
    return np.asarray(-np.linalg.solve(square, slope))


def _turned(degrees: tuple[int, int, int]) -> Floats:
    return _rotation(np.radians(degrees))


def _rotation(vector: npt.NDArray[np.floating]) -> Floats:
    """Return the rotation about ``vector`` by its length in radians (Rodrigues)."""
    angle = float(np.linalg.norm(vector))
    if angle < 1e-12:
        return np.eye(3)
    x, y, z = np.asarray(vector, np.float64) / angle
    skew = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew)


def unclipped(distance_mm: npt.NDArray[np.floating], spacing_mm: float, clip_mm: float) -> npt.NDArray[np.float32]:
    """Return a clipped signed distance as one that goes on: beyond 0.9 of the clip, the Euclidean one of its mask."""
    from scipy import ndimage

    inside = distance_mm < 0
    signed = ndimage.distance_transform_edt(~inside) - ndimage.distance_transform_edt(inside)
    signed -= 0.5 * np.sign(signed)
    return np.where(np.abs(distance_mm) < 0.9 * clip_mm, distance_mm, signed * spacing_mm).astype(np.float32)
