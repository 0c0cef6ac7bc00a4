"""Thickness of a band-shaped region by Laplace's equation (Jones et al. 2000, Hum Brain Mapp 11:12).

The band's two ends are found from its own shape, so that nothing depends on how it lies in the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.numerics.curves import resample_line, smoothed_line
from mediseg.numerics.polygons import crossings, deepest_pocket, grid_inside, with_point
from mediseg.numerics.shapes import polygon_area, polygon_perimeter

Array = npt.NDArray[np.float64]
Cells = npt.NDArray[np.bool_]

_STEP_MM = 0.25
_MOST_CELLS = 50_000
_REACH, _ROUNDS = 0.85, 3  # how far before an arch's ends (in mean widths) its medial line is drawn on, how often
_BELOW = 0.3
_MOST_TURN = np.radians(20)
_SMOOTH_MM = 1.0  # of the medial line, against the grid's steps


@dataclass(frozen=True)
class Band:
    """A band measured from one end to the other.

    ``medial_mm`` (n, 2): equally spaced points of the medial line; ``thickness_mm`` (n,): length of the field line
    through each; ``first_mm``, ``second_mm`` (n, 2): where that line meets the two sides; ``length_mm``: of the line.
    """

    medial_mm: Array
    thickness_mm: Array
    first_mm: Array
    second_mm: Array
    length_mm: float


def band_thickness(polygon_mm: Array, tips: tuple[int, int], samples: int, step_mm: float | None = None) -> Band:
    """Measure a band between two tips of its closed outline.

    ``polygon_mm`` (n, 2); ``tips`` are two of its point indices, which split it into two sides. A potential that is 0
    on one side and 1 on the other, harmonic between, is solved on a grid of ``step_mm`` (0.25, finer where the band is
    thin; the border counts where it lies between two cells). Its 0.5 line, smoothed by 1 mm along itself, is the medial
    line; thickness is the length of the field line through each of ``samples`` points on it, side to side.
    """
    field = _solve(polygon_mm, tips, step_mm or _step(polygon_mm))
    even, length = resample_line(_medial_line(field, polygon_mm[tips[0]], polygon_mm[tips[1]]), samples)
    up, second = field.reach(even, 1.0)
    down, first = field.reach(even, -1.0)
    return Band(even, up + down, first, second, length)


def band_ends(polygon_mm: Array) -> tuple[Array, tuple[int, int]]:
    """Find the two ends of a band: return its outline, with both among its points, and their indices.

    Of an arch, the outline points nearest to two places below it (``_below_the_arch``): for a callosum the rostrum's
    tip and the splenium's underside. Of a straight shape, the two with the longest way between them inside. Then the
    medial line between the two is drawn on, bent as it was before, from a short way before each end to the outline, so
    that the end of a band that is cut off is the middle of the cut. The end of smaller x (then y) comes first.
    """
    arch = _below_the_arch(polygon_mm)
    outline, tips = polygon_mm, arch or _far_apart(polygon_mm)
    reach = _REACH * _mean_width(polygon_mm) if arch else np.inf
    for _ in range(_ROUNDS):
        field = _solve(outline, tips, 2 * _step(polygon_mm))
        medial, length = resample_line(_medial_line(field, outline[tips[0]], outline[tips[1]]), 200)
        across = np.minimum(field.reach(medial, 1.0)[0] + field.reach(medial, -1.0)[0], reach)
        sides = ((medial, across), (medial[::-1], across[::-1]))
        outline, tips = _with_both(polygon_mm, [_drawn_on(polygon_mm, line, wide, length) for line, wide in sides])
    a, b = sorted(tips, key=lambda tip: (float(outline[tip, 0]), float(outline[tip, 1])))
    return outline, (a, b)


def _below_the_arch(polygon: Array) -> tuple[int, int] | None:
    """Return the outline points of either half nearest to the two places below an arch; None for no arch.

    An arch is open where its convex hull leaves the outline farthest, by more than the band's mean width. The places
    stand where the commissures lie under a callosum: at thirds of the opening, 0.3 of its width away from the arch.
    """
    hull, depth = deepest_pocket(polygon)
    if depth <= _mean_width(polygon):
        return None
    front, back = polygon[hull[0]], polygon[hull[1]]
    way = back - front
    width = float(np.linalg.norm(way))
    away = np.array([way[1], -way[0]]) / width
    pocket = polygon[(hull[0] + 1 + np.arange((hull[1] - hull[0] - 1) % len(polygon))) % len(polygon)]
    away *= -np.sign(((pocket - front) @ away)[np.abs((pocket - front) @ away).argmax()])
    along = (polygon - front) @ way / width**2
    tips = []
    for share, half in ((1 / 3, along < 0.5), (2 / 3, along >= 0.5)):
        place = front + share * way + _BELOW * width * away
        tips.append(int(np.where(half, np.linalg.norm(polygon - place, axis=1), np.inf).argmin()))
    return tips[0], tips[1]


def _drawn_on(polygon: Array, line: Array, thickness: Array, length: float) -> tuple[int, Array]:
    """Return the outline's edge, and the place on it, where the line's beginning drawn on straight leaves the band."""
    step = length / (len(line) - 1)
    along = np.arange(len(line)) * step
    # the first point farther from the end than the band is thick there, but not beyond a quarter of the line
    near = np.flatnonzero((along <= thickness) & (along < length / 4))
    inner = int(near[-1]) + 1
    ahead = min(inner + max(1, int(np.ceil(1.0 / step))), len(line) - 1)
    direction = line[inner] - line[ahead]
    # and half as much again as the line turns over the thickness before it, so that a bent band stays in its middle
    before = min(ahead + max(1, round(float(thickness[inner]) / step)), len(line) - 1)
    earlier = line[before - (ahead - inner)] - line[before]
    turn = np.arctan2(earlier[0] * direction[1] - earlier[1] * direction[0], earlier @ direction) / 2
    unit = _turned(direction / np.linalg.norm(direction), float(np.clip(turn, -_MOST_TURN, _MOST_TURN)))
    places, edges = crossings(polygon, line[inner], unit)
    beyond = np.flatnonzero(places > 0)
    if not len(beyond):  # the point lies on the outline already
        nearest = int(np.linalg.norm(polygon - line[0], axis=1).argmin())
        return nearest, polygon[nearest]
    hit = beyond[0]
    return int(edges[hit]), line[inner] + places[hit] * unit


def _turned(vector: Array, angle: float) -> Array:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([cosine * vector[0] - sine * vector[1], sine * vector[0] + cosine * vector[1]])


def _with_both(polygon: Array, ends: list[tuple[int, Array]]) -> tuple[Array, tuple[int, int]]:
    (edge_a, a), (edge_b, b) = sorted(ends, key=lambda end: end[0])
    if edge_a == edge_b:  # only where both ends are one: let the second be the farthest point
        edge_b = int(np.linalg.norm(polygon - a, axis=1).argmax())
        b = polygon[edge_b]
        (edge_a, a), (edge_b, b) = sorted(((edge_a, a), (edge_b, b)), key=lambda end: end[0])
    longer = with_point(with_point(polygon, edge_b, b), edge_a, a)
    return longer, (edge_a + 1, edge_b + 2)


def _far_apart(polygon: Array) -> tuple[int, int]:
    """Return the two outline points with the longest way inside between them (two sweeps over a grid's graph)."""
    from scipy import spatial
    from scipy.sparse.csgraph import dijkstra

    step = 2 * _step(polygon)
    low, shape = _grid(polygon, step)
    inside = grid_inside(polygon, low, step, shape)
    cells = np.argwhere(inside)
    if len(cells) < 2:
        first = int(np.linalg.norm(polygon - polygon.mean(axis=0), axis=1).argmax())
        return first, int(np.linalg.norm(polygon - polygon[first], axis=1).argmax())
    graph = _graph(inside, cells)
    start = 0
    for _ in range(2):
        away = dijkstra(graph, indices=start)
        start, end = int(np.where(np.isfinite(away), away, -1).argmax()), start
    nearest = spatial.cKDTree(polygon).query(cells[[start, end]] * step + low)[1]
    first, second = int(nearest[0]), int(nearest[1])
    if first == second:
        second = int(np.linalg.norm(polygon - polygon[first], axis=1).argmax())
    return first, second


def _graph(inside: Cells, cells: npt.NDArray[np.intp]) -> object:
    """Return the graph of neighbouring cells (16 directions, so that ways are at most 3 % too long)."""
    from scipy import sparse

    padded = np.pad(inside, 2)
    index = -np.ones(padded.shape, int)
    index[padded] = np.arange(len(cells))
    rows, columns, lengths = [], [], []
    for offset in ((0, 1), (1, 0), (1, 1), (1, -1), (1, 2), (2, 1), (1, -2), (2, -1)):
        near = cells + 2 + offset
        target = index[near[:, 0], near[:, 1]]
        rows.append(np.flatnonzero(target >= 0))
        columns.append(target[target >= 0])
        lengths.append(np.full(np.count_nonzero(target >= 0), float(np.hypot(*offset))))
    parts = [np.concatenate(part) for part in (rows, columns, lengths)]
    half = sparse.coo_matrix((parts[2], (parts[0], parts[1])), shape=(len(cells), len(cells))).tocsr()
    return half + half.T


@dataclass(frozen=True)
class _Field:
    """The potential, whose gradient is followed, and the signed distance to the outline, which ends the way."""

    potential: Array
    distance: Array
    low: Array
    step: float

    def reach(self, points: Array, sign: float) -> tuple[Array, Array]:
        """Follow the field lines from points (n, 2) up (sign 1) or down to the outline (midpoint rule).

        Returns their lengths (n,) and ends (n, 2), in mm.
        """
        gradient = np.stack([np.gradient(self.potential, axis=axis) for axis in range(2)])
        here = ((points - self.low) / self.step).T.copy()
        stride = 0.25  # cells
        length = np.zeros(here.shape[1])
        before = np.minimum(_at(self.distance, here), 0.0)
        moving = before < 0
        for _ in range(int(sum(self.potential.shape) / stride)):  # no way across is longer than the picture
            if not moving.any():
                break
            middle = here + sign * stride / 2 * _unit(gradient, here)
            there = here + sign * stride * _unit(gradient, middle)
            now = _at(self.distance, there)
            left = moving & (now >= 0)
            # the last stride ends on the outline
            share = np.where(left, before / np.where(left, before - now, -1.0), 1.0)
            length += np.where(moving, share * stride * self.step, 0.0)
            here = np.where(moving, here + share * (there - here), here)
            moving &= ~left
            before = np.where(moving, now, before)
        return length, here.T * self.step + self.low


def _solve(polygon: Array, tips: tuple[int, int], step: float) -> _Field:
    first, second = _sides(polygon, tips)
    low, shape = _grid(polygon, step)
    distance = _signed_distance(polygon, low, step, shape)
    return _Field(_harmonic(distance, first, second, low, step), distance, low, step)


def _step(polygon: Array) -> float:
    """Return the grid's step: a twelfth of the mean width, at most 0.25 mm; coarser for shapes of many cells."""
    return max(min(_STEP_MM, _mean_width(polygon) / 12), float(np.sqrt(abs(polygon_area(polygon)) / _MOST_CELLS)))


def _mean_width(polygon: Array) -> float:
    return 2 * abs(polygon_area(polygon)) / polygon_perimeter(polygon)


def _grid(polygon: Array, step: float) -> tuple[Array, tuple[int, int]]:
    low = polygon.min(axis=0) - 2 * step
    rows, columns = (np.ceil((polygon.max(axis=0) - low) / step).astype(int) + 3).tolist()
    return low, (rows, columns)


def _sides(polygon: Array, tips: tuple[int, int]) -> tuple[Array, Array]:
    a, b = sorted(tips)
    return polygon[a : b + 1], np.concatenate([polygon[b:], polygon[: a + 1]])


def _signed_distance(polygon: Array, low: Array, step: float, shape: tuple[int, int]) -> Array:
    """Distance of each grid cell's centre to the outline (mm), negative inside; to a cell or so far from it."""
    from scipy import ndimage, spatial

    inside = grid_inside(polygon, low, step, shape)
    outward, inward = (ndimage.distance_transform_edt(mask) for mask in (~inside, inside))
    distance = np.asarray((outward - inward) * step)
    near = np.abs(distance) <= 3 * step
    border = spatial.cKDTree(_dense(np.concatenate([polygon, polygon[:1]]), step / 4))
    exact = border.query(np.argwhere(near) * step + low)[0]
    distance[near] = np.where(inside[near], -exact, exact)
    return distance


def _harmonic(distance: Array, first: Array, second: Array, low: Array, step: float) -> Array:
    """Solve Laplace's equation inside; each cell outside is 0 or 1 after the side that lies nearer.

    Between a cell inside and one outside the border is where the distance is 0; the side's value holds there
    (Gibou et al. 2002, J Comput Phys 176:205: symmetric, second order).
    """
    from scipy import sparse, spatial
    from scipy.sparse import linalg

    inside = distance < 0
    index = -np.ones(inside.shape, int)
    cells = np.argwhere(inside)
    index[inside] = np.arange(len(cells))
    near_first, near_second = spatial.cKDTree(_dense(first, step)), spatial.cKDTree(_dense(second, step))
    side = np.zeros(inside.shape)
    around = ~inside & (distance < 3 * step)
    places = np.argwhere(around) * step + low
    side[around] = near_second.query(places)[0] < near_first.query(places)[0]
    depth = -distance[inside]
    rows, columns = [], []
    right, diagonal = np.zeros(len(cells)), np.zeros(len(cells))
    for offset in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        row, column = (cells + offset).T
        target = index[row, column]
        rows.append(np.flatnonzero(target >= 0))
        columns.append(target[target >= 0])
        beyond = np.flatnonzero(target < 0)
        outside = distance[row[beyond], column[beyond]]
        weight = 1 / np.maximum(depth[beyond] / (depth[beyond] + outside), 1e-3)
        right[beyond] += weight * side[row[beyond], column[beyond]]
        diagonal[beyond] += weight
        diagonal[rows[-1]] += 1
    all_rows, all_columns = np.concatenate(rows), np.concatenate(columns)
    size = len(cells)
    matrix = sparse.csc_matrix((-np.ones(len(all_rows)), (all_rows, all_columns)), shape=(size, size))
    potential = side
    if size:
        potential[inside] = linalg.spsolve(matrix + sparse.diags_array(diagonal, format="csc"), right)
    return np.asarray(potential)


def _dense(line: Array, step: float) -> Array:
    """Fill a line with points, so that the nearest point is the nearest place on it."""
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    return resample_line(line, max(2, int(np.ceil(2 * length / step))))[0]


def _medial_line(field: _Field, start: Array, end: Array) -> Array:
    """Return the 0.5 line from tip to tip (mm), smoothed along itself."""
    import contourpy
    from scipy import ndimage

    # the line may end at the tips' last cells, so one ring of cells about the region still counts
    near = ndimage.binary_dilation(field.distance < 0)
    lines = contourpy.contour_generator(z=np.ma.array(field.potential, mask=~near).T).lines(0.5)
    if not lines:
        return np.stack([start, end])
    longest = max(lines, key=lambda line: float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()))
    medial = np.asarray(longest) * field.step + field.low
    if np.linalg.norm(medial[0] - start) > np.linalg.norm(medial[-1] - start):
        medial = medial[::-1]
    return smoothed_line(np.concatenate([start[None], medial, end[None]]), _SMOOTH_MM)


def _at(values: Array, places: Array) -> Array:
    from scipy import ndimage

    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="nearest"))


def _unit(gradient: Array, places: Array) -> Array:
    vector = np.stack([_at(component, places) for component in gradient])
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=0), 1e-12))
