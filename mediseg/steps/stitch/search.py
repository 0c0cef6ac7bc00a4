"""Every start at once: masked correlation of two stations over all shifts, for a fan of angles.

Padfield 2012, IEEE TIP 21:2706 (masked normalised cross-correlation by Fourier transforms), summed over the slices, for
one motion within the slices' plane moves all of them alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Array, Geometry, Rigid
from mediseg.steps.stitch.features import Feature, Mask, Pixels, sampled

_LEAST_MM = 10.0  # two stations that share less along the spine cannot be compared
_APART_MM, _APART_DEG = 6.0, 5.0


@dataclass(frozen=True)
class Peak:
    """A placement worth refining: the motion from the fixed station's points to the moving one's, and its NCC."""

    moving_from_fixed: Rigid
    ncc: float
    score: float


@dataclass(frozen=True, eq=False)
class Bench:
    """Where two stations are compared: a grid along the fixed station's own axes, about their common part."""

    fixed: Feature
    moving: Feature
    grid: Geometry
    pivot_lps_mm: Array


def in_plane_turn(grid: Geometry, pivot_lps_mm: Array, turn_deg: float, shift_mm: Array) -> Rigid:
    """Return the motion that turns about a grid's slice normal at a point, then shifts (LPS mm)."""
    matrix = np.eye(4)
    matrix[:3, :3] = turned(np.cross(grid.axes_lps[:, 0], grid.axes_lps[:, 1]), np.radians(turn_deg))
    matrix[:3, 3] = pivot_lps_mm - matrix[:3, :3] @ pivot_lps_mm + shift_mm
    return Rigid(matrix)


def turned(axis: Array, angle: float) -> Array:
    """Return the rotation about a unit axis by an angle in radians (Rodrigues)."""
    x, y, z = axis / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def bench(fixed: Feature, moving: Feature, margin_mm: float) -> Bench:
    """Return where to compare two stations whose headers overlap."""
    own = fixed.geometry
    index = own.ijk_from_lps(moving.geometry.corners_lps_mm())
    low, high = index.min(axis=0), index.max(axis=0)
    margin = np.array([margin_mm / s for s in own.spacing_mm[:2]] + [0.0])
    start = np.maximum(np.floor(low - margin), 0).astype(int)
    stop = np.minimum(np.ceil(high + margin) + 1, own.shape).astype(int)
    shared = [(max(a, -0.5), min(b, n - 0.5)) for a, b, n in zip(low, high, own.shape, strict=True)]
    pivot = own.lps_from_ijk([(a + b) / 2 for a, b in shared])
    return Bench(fixed, moving, own.crop([int(n) for n in start], [int(n) for n in stop]), pivot)


def peaks(where: Bench, max_shift_mm: float, max_turn_deg: float, step_deg: float, most: int) -> list[Peak]:
    """Return the best distinct placements over all shifts and a fan of angles, best first."""
    found: list[Peak] = []
    count = int(np.ceil(max_turn_deg / step_deg))
    for n in range(-count, count + 1):
        found += _peaks_at(where, n * step_deg, max_shift_mm, most)
    found.sort(key=lambda peak: -peak.score)
    kept: list[Peak] = []
    for one in found:
        if all(_apart(one, other, where.pivot_lps_mm) for other in kept):
            kept.append(one)
        if len(kept) == most:
            break
    return kept


def _apart(one: Peak, other: Peak, pivot: Array) -> bool:
    a, b = one.moving_from_fixed, other.moving_from_fixed
    shift = float(np.linalg.norm(a.apply(pivot) - b.apply(pivot)))
    return shift > _APART_MM or angle_deg(a.after(b.inverse())) > _APART_DEG


def angle_deg(motion: Rigid) -> float:
    """Angle of a motion's rotation."""
    return float(np.degrees(np.arccos(np.clip((np.trace(motion.matrix[:3, :3]) - 1) / 2, -1, 1))))


def _peaks_at(where: Bench, turn_deg: float, max_shift_mm: float, most: int) -> Iterator[Peak]:
    """Yield the best shifts at one angle."""
    grid, steps = where.grid, where.grid.spacing_mm[:2]
    reach = [int(np.ceil(max_shift_mm / s)) for s in steps]
    wide = grid.pad((*reach, 0), (*reach, 0))
    turn = in_plane_turn(grid, where.pivot_lps_mm, turn_deg, np.zeros(3))
    fixed, fixed_mask = _laid(where.fixed, grid, Rigid(np.eye(4)))
    moving, moving_mask = _laid(where.moving, wide, turn)
    ncc, count = _masked_ncc(fixed, fixed_mask, moving, moving_mask)
    rows = fixed_mask.any(axis=(0, 2)).sum() or 1
    least = _LEAST_MM / steps[1] * fixed_mask.sum() / rows
    score = np.where(count >= least, np.arctanh(np.clip(ncc, 0, 0.99)) * np.sqrt(count), 0)
    for di, dj in _maxima(score, most, [max(1, round(_APART_MM / s)) for s in steps]):
        index = np.array([di - reach[0], dj - reach[1], 0.0])
        shift = turn.matrix[:3, :3] @ (grid.affine_lps[:3, :3] @ index)
        motion = np.eye(4)
        motion[:3, 3] = shift
        yield Peak(Rigid(motion).after(turn), float(ncc[di, dj]), float(score[di, dj]))


def _laid(one: Feature, grid: Geometry, motion: Rigid) -> tuple[Pixels, Pixels]:
    """Return a station's detail and tissue on a grid, moved; slices that it does not reach are empty."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points = motion.apply(grid.lps_from_ijk(ijk))
    index = one.geometry.ijk_from_lps(points)
    inside = ((index >= -0.5) & (index <= np.array(one.geometry.shape) - 0.5)).all(axis=-1)
    near = np.clip(np.rint(index), 0, np.array(one.geometry.shape) - 1).astype(np.intp)
    tissue = (inside & one.tissue[tuple(near.T)]).astype(np.float32)
    detail = sampled(one.detail, one.geometry, points, 1) * tissue
    return detail.reshape(grid.shape), tissue.reshape(grid.shape)


def _masked_ncc(f: Pixels, fm: Pixels, g: Pixels, gm: Pixels) -> tuple[Array, Array]:
    """Return NCC and the count of common pixels for every shift of ``f`` within the larger ``g``."""
    from scipy import fft

    size = [fft.next_fast_len(n, real=True) for n in g.shape[:2]]
    valid = tuple(slice(0, b - a + 1) for a, b in zip(f.shape[:2], g.shape[:2], strict=True))

    def spectrum(array: Pixels) -> npt.NDArray[np.complex64]:
        return np.asarray(fft.rfft2(array, size, axes=(0, 1)))

    def correlated(a: npt.NDArray[np.complex64], b: npt.NDArray[np.complex64]) -> Array:
        return np.asarray(fft.irfft2((np.conj(a) * b).sum(axis=2), size, axes=(0, 1))[valid], np.float64)

    sf, sfm, sff = spectrum(f), spectrum(fm), spectrum(f * f)
    sg, sgm, sgg = spectrum(g), spectrum(gm), spectrum(g * g)
    count = np.maximum(correlated(sfm, sgm), 1e-3)
    sum_f, sum_g = correlated(sf, sgm), correlated(sfm, sg)
    top = correlated(sf, sg) - sum_f * sum_g / count
    var_f = np.maximum(correlated(sff, sgm) - sum_f**2 / count, 1e-9)
    var_g = np.maximum(correlated(sfm, sgg) - sum_g**2 / count, 1e-9)
    return top / np.sqrt(var_f * var_g), count


def _maxima(score: Array, most: int, apart: list[int]) -> Iterator[tuple[int, int]]:
    left = score.copy()
    for _ in range(most):
        i, j = np.unravel_index(int(left.argmax()), left.shape)
        if left[i, j] <= 0:
            return
        yield int(i), int(j)
        left[max(0, i - apart[0]) : i + apart[0] + 1, max(0, j - apart[1]) : j + apart[1] + 1] = 0


def tissue_points(where: Bench, most: int) -> Array:
    """Return at most ``most`` points (n, 3) of the fixed station's tissue in the compared part."""
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in where.grid.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    points = where.grid.lps_from_ijk(ijk)
    near = np.rint(where.fixed.geometry.ijk_from_lps(points)).astype(np.intp)
    kept: Mask = where.fixed.tissue[tuple(near.T)]
    points = points[kept]
    if len(points) <= most:
        return np.asarray(points)
    # a fixed random choice: a regular one would beat with the pixels
    chosen = np.random.default_rng(7).choice(len(points), most, replace=False)
    return np.asarray(points[np.sort(chosen)])
