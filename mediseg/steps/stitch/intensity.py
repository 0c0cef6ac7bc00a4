"""One scale for all stations: gain, gamma and shading along and across each, from what neighbours both see.

All stations are solved together by least squares on logarithms (after Brown and Lowe 2007, IJCV 74:59, for gains):
``log truth = slope * log value + offset - shading(u, v)``, u from -1 to 1 along the station, v across it; the
reference's slope is 1 and its offset 0. Shading is identified by how the ratio of two stations changes over their
overlap; what changes nothing there (one straight trend through all stations, or what all lose alike from back to front)
is left alone. Values are compared in cells of some
millimetres, so that noise and what is left of misalignment do not bend the slope.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mediseg.geometry import Array, Geometry, Rigid
from mediseg.steps.stitch.features import FOREGROUND, Pixels, bright_level, sampled, within
from mediseg.volume import Volume

_CELL_MM = 4.0
_MOST = 4000  # cells of one pair
_FEW = 60
_QUANTILES = np.linspace(0.02, 0.98, 33)
_TERMS = 6  # u to u^4 along a station, v and v^2 across it
_NO_WORSE = 1e-3  # share of the value
_FIELD_MM = 25.0


@dataclass(frozen=True, eq=False)
class Matching:
    """How one station's values reach the common scale; all in the logarithm of value / level."""

    level: float
    offset: float = 0.0
    slope: float = 1.0
    shading: tuple[float, ...] = (0.0,) * _TERMS
    lut: tuple[Array, Array] | None = None  # (log values, what to add)
    field: Volume | None = None  # what to add, on a coarse grid of the station's own

    def log_of(self, one: Cells, column: int) -> Array:
        """Take a station's side of the cells to the common scale."""
        out = self.slope * one.logs[:, column] + self.offset - _terms(one.along[:, column]) @ np.array(self.shading)
        if self.lut is not None:
            out = out + np.interp(out, *self.lut)
        if self.field is not None:
            out = out + sampled(self.field.array, self.field.geometry, one.headers_lps_mm[:, column], 1)
        return np.asarray(out)


@dataclass(frozen=True, eq=False)
class Cells:
    """What two stations hold at the same places: logarithms (n, 2), places along and across each (n, 2, 2).

    ``headers_lps_mm`` (n, 2, 3): the places in each station's own header space; ``grids``: of both stations.
    """

    pair: tuple[int, int]
    logs: Array
    along: Array
    headers_lps_mm: Array
    grids: tuple[Geometry, Geometry]
    is_registered: bool = True  # else what lies side by side may not be the same, and only its histograms are used


def _terms(uv: Array) -> Array:
    u, v = uv[..., 0], uv[..., 1]
    return np.stack([u, u**2, u**3, u**4, v, v**2], axis=-1)


def along(grid: Geometry, points_lps_mm: Array) -> Array:
    """Return places (..., 2) along a station and across it, -1 at its first and 1 at its last voxel."""
    down = down_axis(grid)
    index = grid.ijk_from_lps(points_lps_mm)[..., [down, 1 - down]]
    steps = np.maximum(np.array([grid.shape[down], grid.shape[1 - down]]) - 1, 1)
    return np.asarray(2 * index / steps - 1)


def down_axis(grid: Geometry) -> int:
    """Return the axis within the slices (0 or 1) that runs along the body."""
    return int(np.abs(grid.axes_lps[2, :2]).argmax())


def cells(a: int, b: int, volumes: Sequence[Volume], placed: Sequence[Rigid], levels: Sequence[float]) -> Cells | None:
    """Return what two placed stations hold where both see tissue, in cells; None where that is too little."""
    first, second = _coarse(volumes[a]), _coarse(volumes[b])
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in first.geometry.shape], indexing="ij"), axis=-1).reshape(-1, 3)
    mine = first.geometry.lps_from_ijk(ijk)
    theirs = placed[b].inverse().after(placed[a]).apply(mine)
    valid = within(volumes[b].geometry, theirs, _CELL_MM / 2) & within(volumes[a].geometry, mine, _CELL_MM / 2)
    mine, theirs = mine[valid], theirs[valid]
    values = np.stack(
        [sampled(v.array, v.geometry, where, 1) / levels[n] for v, where, n in ((first, mine, a), (second, theirs, b))],
        axis=1,
    )
    tissue = (values > 1.5 * FOREGROUND).all(axis=1)
    if tissue.sum() < _FEW:
        return None
    chosen = np.flatnonzero(tissue)[:: max(1, int(tissue.sum()) // _MOST)]
    places = np.stack([along(volumes[n].geometry, where[chosen]) for n, where in ((a, mine), (b, theirs))], axis=1)
    headers = np.stack([mine[chosen], theirs[chosen]], axis=1)
    grids = volumes[a].geometry, volumes[b].geometry
    return Cells((a, b), np.log(values[chosen].astype(np.float64)), places, headers, grids)


def _coarse(volume: Volume) -> Volume:
    i, j, k = volume.geometry.spacing_mm
    small = volume.resample(volume.geometry.with_spacing((max(i, _CELL_MM), max(j, _CELL_MM), k)))
    return small.with_array(np.clip(np.asarray(small.array, np.float32), 0, None))


def levels_of(volumes: Sequence[Volume]) -> list[float]:
    """Return each station's 99th percentile, which its logarithms are taken against."""
    return [bright_level(np.asarray(volume.array)) for volume in volumes]


def matched(
    levels: Sequence[float], shared: Sequence[Cells], anchor: int, method: str, shading: bool
) -> list[Matching]:
    """Return how every station reaches the reference's scale.

    ``method``: ``none``, ``gain`` (a factor each), ``histogram`` (gain, gamma and a look-up table from the overlap's
    quantiles) or ``blocks`` (gain and a smooth field). What makes an overlap worse is not used.
    """
    found = [Matching(level, float(np.log(level / levels[anchor]))) for level in levels]
    if method == "none" or not shared:
        return found
    solved = _solved(found, shared, anchor, with_slope=method == "histogram", with_shading=shading)
    for plainer in ((method == "histogram", False), (False, False)):
        if _worse(solved, found, shared):
            solved = _solved(found, shared, anchor, with_slope=plainer[0], with_shading=plainer[1])
    found = found if _worse(solved, found, shared) else solved
    for step in {"histogram": (_with_lut,), "blocks": (_with_field,)}.get(method, ()):
        found = _outward(found, shared, anchor, step)
    return found


def step_of(one: Cells, found: Sequence[Matching]) -> float:
    """Return the median difference of two stations where both see tissue, as a share of the value."""
    a, b = one.pair
    return float(np.expm1(np.median(np.abs(_difference(one, found[a], found[b])))))


def _difference(one: Cells, first: Matching, second: Matching) -> Array:
    logs = [m.log_of(one, n) for n, m in enumerate((first, second))]
    return np.asarray(logs[0] - logs[1])


def _worse(new: Sequence[Matching], old: Sequence[Matching], shared: Sequence[Cells]) -> bool:
    return any(step_of(one, new) > step_of(one, old) + _NO_WORSE for one in shared)


def _solved(
    found: Sequence[Matching], shared: Sequence[Cells], anchor: int, *, with_slope: bool, with_shading: bool
) -> list[Matching]:
    """Solve all stations at once, robustly (Huber), with mild pulls towards no change.

    Unknowns: offset and slope of every station, shading that all have alike (the coil's), and each one's own.
    """
    count = len(found)
    size = 2 * count + _TERMS * (count + 1)
    rows, wanted = [], []
    for one in map(_by_value, shared):
        rows.append(_rows(one, size, count, found))
        a, b = one.pair
        wanted.append(-(one.logs[:, 0] + found[a].offset - one.logs[:, 1] - found[b].offset))
    design, target = np.concatenate(rows), np.concatenate(wanted)
    pulls = _pulls(count, anchor, len(target), with_slope=with_slope, with_shading=with_shading)
    weight = np.ones(len(target))
    solution = np.zeros(size)
    for _ in range(12):
        root = np.sqrt(weight)[:, None]
        both = np.concatenate([root * design, np.diag(pulls)])
        solution = np.linalg.lstsq(both, np.concatenate([root[:, 0] * target, np.zeros(size)]), rcond=None)[0]
        left = np.abs(design @ solution - target)
        limit = max(1.5 * float(np.median(left)), 1e-6)
        weight = np.minimum(1.0, limit / np.maximum(left, 1e-12))
    return [_matching(found[n], solution, n, count) for n in range(count)]


def _by_value(one: Cells) -> Cells:
    """Return cells as they are, or, where two stations are not registered, their values by rank and no places."""
    if one.is_registered:
        return one
    return replace(one, logs=np.sort(one.logs, axis=0), along=np.zeros_like(one.along))


def _rows(one: Cells, size: int, count: int, found: Sequence[Matching]) -> Array:
    """Return what each unknown adds to the difference of the two stations; slopes turn about the middle value."""
    rows = np.zeros((len(one.logs), size))
    for column, (n, sign) in enumerate(zip(one.pair, (1.0, -1.0), strict=True)):
        rows[:, n] += sign
        rows[:, count + n] += sign * (one.logs[:, column] + _MIDDLE)
        terms = sign * -_terms(one.along[:, column])
        rows[:, 2 * count : 2 * count + _TERMS] += terms
        start = 2 * count + _TERMS * (n + 1)
        rows[:, start : start + _TERMS] += terms
    return rows


_MIDDLE = 1.2  # minus the logarithm of a usual value / level: slope and offset then hardly depend on one another


def _pulls(count: int, anchor: int, cells_used: int, *, with_slope: bool, with_shading: bool) -> Array:
    root, firm = np.sqrt(cells_used), 1e6
    offsets, slopes = np.full(count, 1e-4 * root), np.full(count, 5e-3 * root if with_slope else firm)
    offsets[anchor], slopes[anchor] = firm, firm
    common, own = np.full(_TERMS, firm), np.full(_TERMS, firm)
    if with_shading:
        common[1], common[3] = 5e-3 * root, 1e-2 * root
        own = np.array([5e-1, 1e-1, 5e-1, 2e-1, 3e-2, 3e-2]) * root
    return np.concatenate([offsets, slopes, common, np.tile(own, count)])


def _matching(start: Matching, solution: Array, n: int, count: int) -> Matching:
    slope = 1.0 + float(solution[count + n])
    offset = start.offset + float(solution[n]) + _MIDDLE * float(solution[count + n])
    begin = 2 * count + _TERMS * (n + 1)
    shading = solution[2 * count : 2 * count + _TERMS] + solution[begin : begin + _TERMS]
    return replace(start, offset=offset, slope=slope, shading=tuple(float(c) for c in shading))


_Step = Callable[[Cells, Matching, Matching, int], Matching]


def _outward(found: list[Matching], shared: Sequence[Cells], anchor: int, step: _Step) -> list[Matching]:
    """Match each station to the one before it on the way out from the reference, where that helps their overlap."""
    by_pair = {one.pair: one for one in shared}
    out, done = list(found), {anchor}
    while True:
        edges = [(pair, (pair[0] in done)) for pair in by_pair if (pair[0] in done) != (pair[1] in done)]
        if not edges:
            return out
        pair, first_is_done = min(edges, key=lambda edge: (edge[0][1] - edge[0][0], edge[0]))
        near, far = pair if first_is_done else pair[::-1]
        trial = [*out]
        if by_pair[pair].is_registered:
            trial[far] = step(by_pair[pair], out[near], out[far], 0 if first_is_done else 1)
        if step_of(by_pair[pair], trial) < step_of(by_pair[pair], out):
            out = trial
        done.add(far)


def _with_lut(one: Cells, near: Matching, far: Matching, column: int) -> Matching:
    """Return the far station with the table that makes its quantiles in the overlap the near one's."""
    values = [m.log_of(one, c) for m, c in ((near, column), (far, 1 - column))]
    quantiles = [np.quantile(v, _QUANTILES) for v in values]
    if np.ptp(quantiles[1]) < 1e-3:
        return far
    steps = np.maximum.accumulate(quantiles[1] + np.arange(len(_QUANTILES)) * 1e-9)
    return replace(far, lut=(steps, quantiles[0] - quantiles[1]))


def _with_field(one: Cells, near: Matching, far: Matching, column: int) -> Matching:
    """Return the far station with a smooth field that carries it to the near one; one value beyond the overlap."""
    left = near.log_of(one, column) - far.log_of(one, 1 - column)
    grid = one.grids[1 - column]
    whole = grid.with_spacing((_FIELD_MM / 2, _FIELD_MM / 2, grid.spacing_mm[2] * grid.shape[2]))
    nodes = np.stack(np.meshgrid(*[np.arange(n) for n in whole.shape[:2]], indexing="ij"), axis=-1).reshape(-1, 2)
    places = whole.ijk_from_lps(one.headers_lps_mm[:, 1 - column])[:, :2]
    squared = ((nodes[:, None] - places[None]) ** 2).sum(axis=2) / 4
    weight = np.exp(-squared / 2)
    usual = float(np.median(left))
    smooth = (weight @ left + usual) / (weight.sum(axis=1) + 1)
    return replace(far, field=Volume(smooth.reshape(whole.shape).astype(np.float32), whole))


def applied(volume: Volume, how: Matching, scale: float) -> Pixels:
    """Return a station's values on the common scale times ``scale``, float32; nothing stays nothing."""
    pixels = np.clip(np.asarray(volume.array, np.float32), 0, None)
    factor = scale * np.exp(how.offset) / how.level  # one, in double precision: values that need none keep every bit
    if abs(how.slope - 1) > 1e-12:
        factor = scale * np.exp(how.offset)
        np.power(pixels / np.float32(how.level), np.float32(how.slope), out=pixels)
    pixels *= np.float32(factor)
    for place, axis in enumerate((down_axis(volume.geometry), 1 - down_axis(volume.geometry))):
        count = volume.geometry.shape[axis]
        uv = np.zeros((count, 2))
        uv[:, place] = np.linspace(-1, 1, max(count, 2))[:count]
        factor = np.exp(-_terms(uv) @ np.array(how.shading)).astype(np.float32)
        pixels *= factor.reshape([-1 if n == axis else 1 for n in range(3)])
    if how.lut is not None:
        table = scale * np.exp(how.lut[0]), np.exp(how.lut[1])
        pixels *= np.interp(pixels, *table).astype(np.float32)
    if how.field is not None:
        grid = volume.geometry
        flat = Geometry((*grid.shape[:2], 1), how.field.geometry.affine_lps @ _flat(how.field.geometry, grid))
        pixels *= np.exp(how.field.resample(flat).array)
    return np.asarray(pixels, np.float32)


def _flat(field: Geometry, grid: Geometry) -> Array:
    """Return the map from a station's indices within the slices to its field's."""
    index = field.ijk_from_lps_matrix @ grid.affine_lps
    index[2] = (0, 0, 1, 0)
    index[:2, 2] = 0
    return np.asarray(index)


def scale_of(levels: Sequence[float], anchor: int) -> float:
    """Return what turns the common scale into the reference's values."""
    return float(levels[anchor])
