"""Cuts a whole spine into stations as a scanner would give them, with everything that is wrong about them known.

The uncut image is the truth. A station is sampled where the patient truly lies; its header may say another place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mediseg.errors import UsageError
from mediseg.geometry import Array, Geometry, Rigid
from mediseg.volume import Volume

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True)
class StationPlan:
    """How one station is cut and spoilt.

    ``top_mm`` and ``tall_mm``: what it covers along z. ``matrix`` (columns, rows), ``slices``, ``slice_mm``: its grid,
    ``deep_mm`` from front to back. ``tilt_deg``: its plane's rotation about the left-right axis, as planned and said in
    its header. ``shift_mm`` (posterior, superior, left) and ``turn_deg``: how far its header is off the truth, turned
    about the middle of its upper end, where it meets the station above. ``gain``, ``gamma``: value = gain * signal **
    gamma (of the white level). ``roll_off``: what share of the signal is lost at both ends; ``front_loss``: at the
    front, far from a coil under the back. ``noise``: Rician sigma, of the white level.
    """

    top_mm: float
    tall_mm: float
    matrix: tuple[int, int] = (160, 256)
    deep_mm: float = 200.0
    slices: int = 9
    slice_mm: float = 4.0
    slice_offset_mm: float = 0.0
    tilt_deg: float = 0.0
    shift_mm: tuple[float, float, float] = (0.0, 0.0, 0.0)
    turn_deg: float = 0.0
    gain: float = 1.0
    gamma: float = 1.0
    roll_off: float = 0.0
    front_loss: float = 0.0
    noise: float = 0.0
    seed: int = 0


@dataclass(frozen=True, eq=False)
class CutStation:
    """A station as its files would give it, and the motion that takes its header's points to where they truly lie."""

    volume: Volume
    true_from_header: Rigid
    plan: StationPlan = field(repr=False)


def plan_stations(
    count: int, *, overlap_mm: float = 60.0, top_mm: float = 350.0, bottom_mm: float = -350.0, **more: object
) -> tuple[StationPlan, ...]:
    """Return ``count`` equal stations that share ``overlap_mm`` with the next; ``more`` goes into every plan."""
    if count < 1:
        raise UsageError(f"a spine needs at least one station, not {count}")
    tall = (top_mm - bottom_mm + (count - 1) * overlap_mm) / count
    return tuple(
        StationPlan(top_mm - n * (tall - overlap_mm), tall, seed=n, **more)  # type: ignore[arg-type] # fields of any type
        for n in range(count)
    )


def true_grid(plan: StationPlan) -> Geometry:
    """Return where a station's voxels truly lie: i to posterior, j to inferior, k to the right."""
    turn = np.radians(plan.tilt_deg)
    down = np.array([0.0, np.sin(turn), -np.cos(turn)])
    back = np.array([0.0, np.cos(turn), np.sin(turn)])
    axes = np.column_stack([back, down, [-1.0, 0.0, 0.0]])
    spacing = (plan.deep_mm / plan.matrix[0], plan.tall_mm / plan.matrix[1], plan.slice_mm)
    center = (plan.slice_offset_mm, 0.0, plan.top_mm - plan.tall_mm / 2)
    return Geometry.from_axes((*plan.matrix, plan.slices), axes, spacing, center_lps_mm=center)


def header_error(plan: StationPlan) -> Rigid:
    """Return the motion from where the station truly lies to where its header says."""
    turn = np.radians(plan.turn_deg)
    matrix = np.eye(4)
    matrix[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    pivot = np.array([0.0, 0.0, plan.top_mm - 30.0])
    posterior, superior, left = plan.shift_mm
    matrix[:3, 3] = pivot - matrix[:3, :3] @ pivot + (left, posterior, superior)
    return Rigid(matrix)


def cut_stations(whole: Volume, plans: Sequence[StationPlan]) -> tuple[CutStation, ...]:
    """Return the stations of an uncut image, spoilt as planned; ``whole`` must cover them, or they hold zeros there.

    A plan's header error is against the station before it.
    """
    white = float(np.percentile(whole.array, 99.5))
    cuts, error = [], Rigid(np.eye(4))
    for plan in plans:
        # as if the patient moved between two stations: what was off stays off
        error = error.after(header_error(plan))
        cuts.append(_cut(whole, plan, white, error))
    return tuple(cuts)


def _cut(whole: Volume, plan: StationPlan, white: float, error: Rigid) -> CutStation:
    grid = true_grid(plan)
    pixels = np.clip(_around(whole, grid).resample(grid, order=3).array, 0, None) / np.float32(white)
    spoilt = plan.gain * roll_off_of(plan, grid) * pixels**plan.gamma
    measured = _noisy(np.asarray(spoilt, np.float32), plan) * np.float32(white)
    said = Geometry(grid.shape, error.matrix @ grid.affine_lps, grid.frame_of_reference)
    return CutStation(Volume(np.asarray(measured, np.float32), said), error.inverse(), plan)


def _around(whole: Volume, grid: Geometry) -> Volume:
    """Return the part of the uncut image that a station is sampled from: a spline's reach (0.27 a voxel) is short."""
    index = whole.geometry.ijk_from_lps(grid.corners_lps_mm())
    start = [int(n) for n in np.maximum(np.floor(index.min(axis=0)) - 12, 0)]
    stop = [int(n) for n in np.minimum(np.ceil(index.max(axis=0)) + 13, whole.geometry.shape)]
    if any(b <= a for a, b in zip(start, stop, strict=True)):
        return whole
    part = whole.array[tuple(slice(a, b) for a, b in zip(start, stop, strict=True))]
    return Volume(part, whole.geometry.crop(start, stop))


def roll_off_of(plan: StationPlan, grid: Geometry) -> Pixels:
    """Return the coil's sensitivity (columns, rows, 1): 1 at the middle of the back.

    ``1 - roll_off`` at both ends of the station, ``1 - front_loss`` at its front.
    """
    u = np.linspace(-1, 1, grid.shape[1], dtype=np.float32)
    front = np.linspace(1, 0, grid.shape[0], dtype=np.float32)
    along = 1 - plan.roll_off * (0.6 * u**2 + 0.4 * u**4)
    across = 1 - plan.front_loss * (0.7 * front + 0.3 * front**2)
    return np.asarray(across[:, None] * along[None, :], np.float32)[:, :, None]


def _noisy(signal: Pixels, plan: StationPlan) -> Pixels:
    if plan.noise <= 0:
        return signal
    random = np.random.default_rng([plan.seed, 31])
    sigma = np.float32(plan.noise)
    real = signal + sigma * random.standard_normal(signal.shape, np.float32)
    return np.asarray(np.hypot(real, sigma * random.standard_normal(signal.shape, np.float32)), np.float32)


def target_error_mm(found: Rigid, cut: CutStation, points_lps_mm: Array) -> Array:
    """Distance (n,) between where a placement puts points of the header's space, and where they truly lie."""
    gap = found.apply(points_lps_mm) - cut.true_from_header.apply(points_lps_mm)
    return np.asarray(np.linalg.norm(gap, axis=-1))
