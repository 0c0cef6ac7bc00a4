"""Thickness of a band-shaped region by Laplace's equation (Jones et al. 2000, Hum Brain Mapp 11:12)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """A medial line from one tip to the other (n, 2) in mm, equally spaced, and the thickness across it (n,) in mm."""

    medial_mm: Array
    thickness_mm: Array
    length_mm: float


def band_thickness(polygon_mm: Array, tips: tuple[int, int], samples: int, step_mm: float = 0.25) -> Band:
    """Measure a band between two tips of its closed outline.

    ``polygon_mm`` (n, 2); ``tips`` are two of its point indices, which split it into two sides. A potential that is 0
    on one side and 1 on the other, harmonic between, is solved on a grid of ``step_mm``; its 0.5 line is the medial
    line, and thickness is the length of the field line through each of ``samples`` points on it, side to side.
    """
    first, second = _sides(polygon_mm, tips)
    low = polygon_mm.min(axis=0) - 2 * step_mm
    shape = np.ceil((polygon_mm.max(axis=0) - low) / step_mm).astype(int) + 3
    distance = _signed_distance(polygon_mm, low, step_mm, shape)
    inside = distance < 0
    potential = _harmonic(inside, first, second, low, step_mm)
    medial = _medial_line(potential, inside, low, step_mm, polygon_mm[tips[0]], polygon_mm[tips[1]])
    even, length = resample_line(medial, samples)
    field = _Field(potential, distance, low, step_mm)
    thickness = field.reach(even, 1.0) + field.reach(even, -1.0)
    return Band(even, thickness, length)


def resample_line(points: Array, samples: int) -> tuple[Array, float]:
    """Return ``samples`` equally spaced points along an open line (m, 2), and its length."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0, along[-1], samples)
    return np.stack([np.interp(wanted, along, points[:, d]) for d in range(2)], axis=1), float(along[-1])


def _sides(polygon: Array, tips: tuple[int, int]) -> tuple[Array, Array]:
    a, b = sorted(tips)
    return polygon[a : b + 1], np.concatenate([polygon[b:], polygon[: a + 1]])


def _signed_distance(polygon: Array, low: Array, step: float, shape: npt.NDArray[np.int_]) -> Array:
    """Distance of each grid cell's centre to the outline (mm), negative inside (even-odd rule)."""
    from scipy import spatial

    places = np.argwhere(np.ones(shape, bool)) * step + low
    border = _dense(np.concatenate([polygon, polygon[:1]]), step / 4)
    distance = spatial.cKDTree(border).query(places)[0]
    after = np.roll(polygon, -1, axis=0)
    inside = np.zeros(len(places), bool)
    for (x0, y0), (x1, y1) in zip(polygon, after, strict=True):
        if y0 != y1:
            crosses = (places[:, 1] < y0) != (places[:, 1] < y1)
            inside ^= crosses & (places[:, 0] < x0 + (places[:, 1] - y0) * (x1 - x0) / (y1 - y0))
    return np.asarray(np.where(inside, -distance, distance).reshape(shape))


def _harmonic(inside: npt.NDArray[np.bool_], first: Array, second: Array, low: Array, step: float) -> Array:
    """Solve Laplace's equation inside; each cell outside is 0 or 1 after the side that lies nearer."""
    from scipy import sparse, spatial
    from scipy.sparse import linalg

    index = -np.ones(inside.shape, int)
    cells = np.argwhere(inside)
    index[inside] = np.arange(len(cells))
    near_first, near_second = spatial.cKDTree(_dense(first, step)), spatial.cKDTree(_dense(second, step))
    rows, columns, right = [], [], np.zeros(len(cells))
    # every cell outside takes its side's value, so that gradients next to the border point across it
    everywhere = np.argwhere(np.ones(inside.shape, bool)) * step + low
    side = (near_second.query(everywhere)[0] < near_first.query(everywhere)[0]).astype(float).reshape(inside.shape)
    for offset in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        neighbours = cells + offset
        target = index[neighbours[:, 0], neighbours[:, 1]]
        rows.append(np.flatnonzero(target >= 0))
        columns.append(target[target >= 0])
        beyond = np.flatnonzero(target < 0)
        right[beyond] += side[neighbours[beyond, 0], neighbours[beyond, 1]]
    all_rows, all_columns = np.concatenate(rows), np.concatenate(columns)
    size = len(cells)
    matrix = sparse.csc_matrix((-np.ones(len(all_rows)), (all_rows, all_columns)), shape=(size, size))
    matrix += 4 * sparse.identity(size, format="csc")
    potential = side
    potential[inside] = linalg.spsolve(matrix, right)
    return np.asarray(potential)


def _dense(line: Array, step: float) -> Array:
    """Fill a line with points, so that the nearest point is the nearest place on it."""
    length = float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum())
    return resample_line(line, max(2, int(np.ceil(2 * length / step))))[0]


def _medial_line(
    potential: Array, inside: npt.NDArray[np.bool_], low: Array, step: float, start: Array, end: Array
) -> Array:
    """Return the 0.5 line from tip to tip (mm)."""
    import contourpy
    from scipy import ndimage

    # the line may end at the tips' last cells, so one ring of cells about the region still counts
    near = ndimage.binary_dilation(inside)
    lines = contourpy.contour_generator(z=np.ma.array(potential, mask=~near).T).lines(0.5)
    longest = max(lines, key=lambda line: float(np.linalg.norm(np.diff(line, axis=0), axis=1).sum()))
    medial = np.asarray(longest) * step + low
    if np.linalg.norm(medial[0] - start) > np.linalg.norm(medial[-1] - start):
        medial = medial[::-1]
    return np.concatenate([start[None], medial, end[None]])


@dataclass(frozen=True)
class _Field:
    """The potential, whose gradient is followed, and the signed distance to the outline, which ends the way."""

    potential: Array
    distance: Array
    low: Array
    step: float

    def reach(self, points: Array, sign: float) -> Array:
        """Length (mm) of the field lines from points (n, 2) up (sign 1) or down to the outline (midpoint rule)."""
        gradient = np.stack([np.gradient(self.potential, axis=axis) for axis in range(2)])
        here = ((points - self.low) / self.step).T.copy()
        stride = 0.25  # cells
        length = np.zeros(here.shape[1])
        before = np.minimum(_at(self.distance, here), 0.0)
        moving = before < 0
        for _ in range(int(40 / (stride * self.step))):  # no callosum is 40 mm thick
            if not moving.any():
                break
            middle = here + sign * stride / 2 * _unit(gradient, here)
            there = here + sign * stride * _unit(gradient, middle)
            now = _at(self.distance, there)
            left = moving & (now >= 0)
            # the last stride ends on the outline
            share = np.where(left, before / np.where(left, before - now, -1.0), 1.0)
            length += np.where(moving, share * stride * self.step, 0.0)
            moving &= ~left
            here = np.where(moving, there, here)
            before = np.where(moving, now, before)
        return length


def _at(values: Array, places: Array) -> Array:
    from scipy import ndimage

    return np.asarray(ndimage.map_coordinates(values, places, order=1, mode="nearest"))


def _unit(gradient: Array, places: Array) -> Array:
    vector = np.stack([_at(component, places) for component in gradient])
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=0), 1e-12))
