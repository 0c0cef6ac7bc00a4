"""Where one station truly lies against the next, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from mediseg.geometry import Array, Geometry, Rigid
from mediseg.steps.stitch.features import Feature, feature
from mediseg.steps.stitch.refine import Fit, Problem, agreement, compared, problem, refined
from mediseg.steps.stitch.search import Bench, angle_deg, bench, peaks, tissue_points, turned
from mediseg.volume import Volume

COARSE_MM, FINE_MM = 2.5, 1.0
_COARSE_SLICE_MM = 4.0
_THIN_MM = 2.0  # slices nearer than this are registered in 3-D
_STARTS = 5
_STEP_DEG = 3.0
_POINTS, _ROUGH_POINTS = 25_000, 8_000
_RADIUS_MM = 3.0  # two starts that end within this are one answer
_BLOCK_MM = 1.0
_SHORTER_NCC = 0.9  # on the coarse grid, of a shorter overlap that is to outdo a longer one: one slid reaches 0.86
_NO_LESS = 0.005  # NCC: what two ways of sampling the same placement differ by


@dataclass(frozen=True)
class Limits:
    """The gate: what an alignment must reach to be believed."""

    max_shift_mm: float = 30.0
    max_angle_deg: float = 20.0
    min_ncc: float = 0.77
    round_trip_mm: float = 0.5
    rival: float = 1.8  # 1 - NCC of the next best distinct placement must be this many times that of the best


@dataclass(frozen=True)
class Alignment:
    """What was found for two stations, with the numbers; ``reason`` is empty where it passed the gate.

    ``fixed_from_moving`` takes the moving station's header points to the fixed one's; it is what was found, also where
    it was rejected. ``shift_mm`` is at the middle of the overlap. ``rival_ncc``: of the next best distinct placement.
    ``block_mm``: largest shift that a quarter of the overlap alone would still want.
    """

    fixed_from_moving: Rigid
    ncc_before: float
    ncc_after: float
    shift_mm: float
    angle_deg: float
    round_trip_mm: float
    rival_ncc: float
    block_mm: float
    is_3d: bool
    points_lps_mm: Array
    reason: str = ""

    @property
    def is_accepted(self) -> bool:
        """True where the gate lets it through."""
        return not self.reason

    def numbers(self) -> dict[str, object]:
        """Return the figures for a warning or transforms.json."""
        names = ("ncc_before", "ncc_after", "shift_mm", "angle_deg", "round_trip_mm", "rival_ncc", "block_mm")
        return {name: round(float(getattr(self, name)), 3) for name in names}


@dataclass(frozen=True, eq=False)
class Station:
    """A station as registration sees it, at two spacings; made once, however many neighbours it has."""

    volume: Volume

    @cached_property
    def coarse(self) -> Feature:
        """For finding the placement."""
        return feature(self.volume, COARSE_MM, _COARSE_SLICE_MM)

    @cached_property
    def fine(self) -> Feature:
        """For the last tenth of a millimetre."""
        return feature(self.volume, FINE_MM)


def align(fixed: Station, moving: Station, limits: Limits) -> Alignment | None:
    """Register two stations on what they share; None where their headers leave them apart.

    All shifts and a fan of angles are tried on a coarse grid, the best few refined, and the winner refined again on a
    fine one; the way back must lead to the start.
    """
    if not _overlap(fixed.volume.geometry, moving.volume.geometry):
        return None
    coarse = bench(fixed.coarse, moving.coarse, limits.max_shift_mm)
    starts = peaks(coarse, limits.max_shift_mm, limits.max_angle_deg, _STEP_DEG, _STARTS)
    rough = problem(coarse.fixed, coarse.moving, tissue_points(coarse, _ROUGH_POINTS), is_3d=_is_3d(fixed, moving))
    fits = [refined(rough, start.moving_from_fixed, iterations=30) for start in starts]
    fits.sort(key=lambda fit: -fit.score)
    return _decided(fixed, moving, coarse, fits or [agreement(rough, Rigid(np.eye(4)))], limits)


def _overlap(fixed: Geometry, moving: Geometry) -> bool:
    """True where the moving station's header reaches into the fixed one."""
    index = fixed.ijk_from_lps(moving.corners_lps_mm())
    low = np.maximum(index.min(axis=0), -0.5)
    high = np.minimum(index.max(axis=0), np.array(fixed.shape) - 0.5)
    return bool((high > low).all())


def _is_3d(fixed: Station, moving: Station) -> bool:
    return max(one.volume.geometry.spacing_mm[2] for one in (fixed, moving)) <= _THIN_MM


def _decided(fixed: Station, moving: Station, coarse: Bench, fits: list[Fit], limits: Limits) -> Alignment:
    is_3d = _is_3d(fixed, moving)
    best, rival = _chosen(fits, coarse.pivot_lps_mm, limits)
    fine_bench = bench(fixed.fine, moving.fine, limits.max_shift_mm)
    fine = problem(fine_bench.fixed, fine_bench.moving, tissue_points(fine_bench, _POINTS), is_3d=is_3d)
    fit = refined(fine, best.moving_from_fixed, iterations=12, order=3)
    points, moved, _ = compared(fine, fit.moving_from_fixed)
    if len(points) < 2:
        points, moved = fine.points_lps_mm, fit.moving_from_fixed.apply(fine.points_lps_mm)
    back = refined(fine.reversed(moved), _nudged(fit.moving_from_fixed.inverse(), moved), iterations=12, order=3)
    there_and_back = back.moving_from_fixed.after(fit.moving_from_fixed)
    apart = np.linalg.norm(there_and_back.apply(_corners(points)) - _corners(points), axis=1).max()
    found = Alignment(
        fixed_from_moving=fit.moving_from_fixed.inverse(),
        ncc_before=agreement(fine, Rigid(np.eye(4))).ncc,
        ncc_after=fit.ncc,
        shift_mm=float(np.linalg.norm(fit.moving_from_fixed.apply(coarse.pivot_lps_mm) - coarse.pivot_lps_mm)),
        angle_deg=angle_deg(fit.moving_from_fixed),
        round_trip_mm=float(apart),
        rival_ncc=float(rival * fit.ncc / max(best.ncc, 1e-6)),
        block_mm=_block_mm(fine, fit),
        is_3d=is_3d,
        points_lps_mm=_corners(points),
    )
    return _gated(found, limits)


def _chosen(fits: list[Fit], pivot: Array, limits: Limits) -> tuple[Fit, float]:
    """Return the placement to go on with, of fits sorted by score, and the NCC of the next best distinct one.

    The score grows with the overlap. A station slid by a vertebra shares much and agrees fairly; where it outscores a
    shorter overlap that agrees far better, the gate could only ever reject it, so the other is put to the gate. It must
    agree very well, for where nothing true is shared, one slid by one vertebra outdoes one slid by two.
    """
    best = fits[0]
    likest = max(fits, key=lambda fit: fit.ncc)
    is_far_better = likest.ncc >= _SHORTER_NCC and 1 - best.ncc >= limits.rival * (1 - likest.ncc)
    if is_far_better and _distance_mm(likest, best, pivot) > _RADIUS_MM:
        best = likest
    rivals = [fit.ncc for fit in fits if _distance_mm(fit, best, pivot) > _RADIUS_MM]
    return best, max(rivals, default=0.0)


def _gated(found: Alignment, limits: Limits) -> Alignment:
    reasons = [
        (found.ncc_after < limits.min_ncc, f"the overlap agrees too little (NCC {found.ncc_after:.2f})"),
        (found.ncc_after < found.ncc_before - _NO_LESS, "the overlap agrees less than where the headers put it"),
        (found.shift_mm > limits.max_shift_mm, f"a shift of {found.shift_mm:.1f} mm is not believed"),
        (found.angle_deg > limits.max_angle_deg, f"a turn of {found.angle_deg:.1f} degrees is not believed"),
        (
            1 - found.rival_ncc < limits.rival * (1 - found.ncc_after),
            f"another placement agrees as well (NCC {found.rival_ncc:.2f})",
        ),
        (found.round_trip_mm > limits.round_trip_mm, f"there and back ends {found.round_trip_mm:.1f} mm off"),
        (found.block_mm > _BLOCK_MM, f"parts of the overlap want to lie {found.block_mm:.1f} mm elsewhere"),
    ]
    return replace(found, reason="; ".join(text for fails, text in reasons if fails))


def _distance_mm(one: Fit, other: Fit, pivot: Array) -> float:
    arms = pivot + 40 * np.vstack([np.zeros(3), np.eye(3)[1:]])
    return float(np.linalg.norm(one.moving_from_fixed.apply(arms) - other.moving_from_fixed.apply(arms), axis=1).max())


def _nudged(motion: Rigid, points: Array) -> Rigid:
    """Return a placement a little off, so that the way back has something to find."""
    middle = motion.apply(points.mean(axis=0))
    matrix = np.eye(4)
    matrix[:3, :3] = turned(np.array([1.0, 0.0, 0.0]), np.radians(0.6))
    matrix[:3, 3] = middle - matrix[:3, :3] @ middle + (0.0, 0.7, -0.7)
    return Rigid(matrix).after(motion)


def _corners(points: Array) -> Array:
    """Return the corners of the points' block (8, 3)."""
    low, high = np.percentile(points, 1, axis=0), np.percentile(points, 99, axis=0)
    return np.array(
        [[(low, high)[a][0], (low, high)[b][1], (low, high)[c][2]] for a in (0, 1) for b in (0, 1) for c in (0, 1)]
    )


def _block_mm(task: Problem, fit: Fit) -> float:
    """Return the largest further shift that a quarter of the overlap would take by itself; infinite without any."""
    points, _, values = compared(task, fit.moving_from_fixed)
    if len(points) < 800:
        return float("inf")
    sides = [points @ direction > np.median(points @ direction) for direction in task.directions[:2]]
    wanted = []
    for a in (True, False):
        for b in (True, False):
            chosen = (sides[0] == a) & (sides[1] == b)
            if chosen.sum() < 200 or values[chosen].std(axis=0).min() < 0.3 * values.std(axis=0).min():
                continue  # too plain to say anything
            part = Problem(task.fixed, task.moving, points[chosen], task.directions, np.empty((0, 3)), task.inset_mm)
            own = refined(part, fit.moving_from_fixed, iterations=6)
            middle = points[chosen].mean(axis=0)
            wanted.append(
                float(np.linalg.norm(own.moving_from_fixed.apply(middle) - fit.moving_from_fixed.apply(middle)))
            )
    return max(wanted, default=float("inf"))
