"""From a placement within a few mm to one within a tenth: Gauss-Newton on the correlation of the fine structure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mediseg.geometry import Array, Rigid
from mediseg.steps.stitch.features import Feature, sampled, within
from mediseg.steps.stitch.search import turned

_LARGEST_STEP_MM = 3.0
_STILL_MM = 5e-3
_SLACK = 0.02
_ENOUGH = 200  # points: with fewer, a correlation says nothing


@dataclass(frozen=True)
class Fit:
    """A refined placement: the motion from the fixed station's points to the moving one's, NCC, points compared."""

    moving_from_fixed: Rigid
    ncc: float
    points: int

    @property
    def score(self) -> float:
        """How unlikely the agreement is by chance: Fisher's z times the root of the points."""
        return float(np.arctanh(np.clip(self.ncc, 0, 0.999)) * np.sqrt(self.points))


@dataclass(frozen=True, eq=False)
class Problem:
    """Points of the fixed station (n, 3) and the moving station; which motions are allowed."""

    fixed: Feature
    moving: Feature
    points_lps_mm: Array
    directions: Array  # unit shifts allowed (m, 3)
    axes: Array  # unit axes of the turns allowed (r, 3)
    inset_mm: float = 2.0

    def reversed(self, points_lps_mm: Array) -> Problem:
        """Return the problem with the stations' roles exchanged."""
        return Problem(self.moving, self.fixed, points_lps_mm, self.directions, self.axes, self.inset_mm)


def problem(fixed: Feature, moving: Feature, points_lps_mm: Array, *, is_3d: bool) -> Problem:
    """Allow motions within the fixed station's slices, or all six."""
    axes = fixed.geometry.axes_lps
    normal = np.cross(axes[:, 0], axes[:, 1])
    if is_3d:
        return Problem(fixed, moving, points_lps_mm, np.eye(3), np.eye(3))
    return Problem(fixed, moving, points_lps_mm, np.asarray(axes[:, :2].T), normal[None, :] / np.linalg.norm(normal))


def compared(task: Problem, motion: Rigid, order: int = 1) -> tuple[Array, Array, Array]:
    """Return the points that lie in both tissues, where they fall in the moving station, and their values (n, 2)."""
    moved = motion.apply(task.points_lps_mm)
    valid = within(task.moving.geometry, moved, task.inset_mm)
    valid &= within(task.fixed.geometry, task.points_lps_mm, task.inset_mm)
    near = np.rint(task.moving.geometry.ijk_from_lps(moved[valid])).astype(np.intp)
    near = np.clip(near, 0, np.array(task.moving.geometry.shape) - 1)
    valid[np.flatnonzero(valid)[~task.moving.tissue[tuple(near.T)]]] = False
    points, moved = task.points_lps_mm[valid], moved[valid]
    values = [
        sampled(one.coefficients if order == 3 else one.detail, one.geometry, where, order)
        for one, where in ((task.fixed, points), (task.moving, moved))
    ]
    return points, moved, np.stack(values, axis=1).astype(np.float64)


def agreement(task: Problem, motion: Rigid, order: int = 1) -> Fit:
    """Return how well the stations agree at a placement."""
    _, _, values = compared(task, motion, order)
    return Fit(motion, _ncc(values), len(values))


def _ncc(values: Array) -> float:
    if len(values) < _ENOUGH:
        return 0.0
    centred = values - values.mean(axis=0)
    norm = float(np.sqrt((centred**2).sum(axis=0).prod()))
    return float((centred[:, 0] * centred[:, 1]).sum() / norm) if norm > 1e-9 else 0.0


def refined(task: Problem, start: Rigid, *, iterations: int = 20, order: int = 1) -> Fit:
    """Climb from a placement to the nearest best one.

    Each step regresses the fixed values on the moving ones and their change under each allowed motion.
    """
    motion = start
    before = agreement(task, start)
    for _ in range(iterations):
        points, moved, values = compared(task, motion, order)
        step = _step(task, moved, values) if len(points) >= _ENOUGH else None
        if step is None:
            break
        motion, size_mm = _moved_by(task, motion, step, moved)
        if size_mm < _STILL_MM:
            break
    # where the steps end, not where the figure was highest on the way: the points compared change with the motion
    now = agreement(task, motion)
    return now if now.ncc > before.ncc - _SLACK else before


def _step(task: Problem, moved: Array, values: Array) -> Array | None:
    """Return the shifts (mm) and turns (rad) about the points' middle of one Gauss-Newton step."""
    grid = task.moving.geometry
    slopes = np.stack([sampled(g, grid, moved, 1) for g in task.moving.gradients], axis=1)
    slopes_mm = slopes.astype(np.float64) @ grid.ijk_from_lps_matrix[:3, :3]
    arm = moved - moved.mean(axis=0)
    columns = [slopes_mm @ direction for direction in task.directions]
    columns += [(slopes_mm * np.cross(axis, arm)).sum(axis=1) for axis in task.axes]
    design = np.column_stack([np.ones(len(values)), values[:, 1], *columns])
    found, _, rank, _ = np.linalg.lstsq(design, values[:, 0], rcond=None)
    if rank < design.shape[1] or found[1] < 0.05:
        return None
    return np.asarray(found[2:] / found[1])


def _moved_by(task: Problem, motion: Rigid, step: Array, moved: Array) -> tuple[Rigid, float]:
    """Return the motion after a step, shortened where it is large, and how far the step moves the points (mm)."""
    middle = moved.mean(axis=0)
    radius = float(np.sqrt(((moved - middle) ** 2).sum(axis=1).mean()))
    count = len(task.directions)
    size = float(np.linalg.norm(step[:count]) + radius * np.linalg.norm(step[count:]))
    step = step * min(1.0, _LARGEST_STEP_MM / max(size, 1e-12))
    vector = (step[count:, None] * task.axes).sum(axis=0)
    angle = float(np.linalg.norm(vector))
    matrix = np.eye(4)
    if angle > 0:
        matrix[:3, :3] = turned(vector / angle, angle)
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle + (step[:count, None] * task.directions).sum(axis=0)
    return Rigid(matrix).after(motion), size
