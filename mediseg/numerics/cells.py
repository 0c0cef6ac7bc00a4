"""A large image seen in a coarse grid of cells: in each cell the grey value of its purest part, and how pure it is.

Averaging over a whole cell would mix tissues; taking single voxels would keep the noise. So every cell is cut in two
along each axis, each part is averaged, and the part that varies least inside speaks for the cell. The image is passed
over once, a layer at a time: nothing of its size is made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
_IMPURE = 0.1  # a coefficient of variation inside a part at which it counts half


@dataclass(frozen=True, eq=False)
class Cells:
    """The image by cells. ``spacing_mm`` of the cells along each axis; the first begins where the first voxel begins.

    ``values``: mean of the purest part; ``purity`` 0..1; ``covered``: share of that part within the mask (1 without
    one). All float32, of one shape. ``voxels`` is the image's shape, ``voxel_mm`` its spacing.
    """

    values: Floats
    purity: Floats
    covered: Floats
    spacing_mm: tuple[float, ...]
    voxels: tuple[int, ...]
    voxel_mm: tuple[float, ...]

    @property
    def points_mm(self) -> list[Doubles]:
        """Middles of the cells along each axis, from the outer edge of the image."""
        return _middles(self.values.shape, self.spacing_mm)

    @property
    def voxel_points_mm(self) -> list[Doubles]:
        """Middles of the voxels along each axis, in the same measure."""
        return _middles(self.voxels, self.voxel_mm)


def _middles(shape: Sequence[int], spacing_mm: Sequence[float]) -> list[Doubles]:
    return [(np.arange(n, dtype=np.float64) + 0.5) * s for n, s in zip(shape, spacing_mm, strict=True)]


def cells(
    image: npt.NDArray[Any],
    spacing_mm: Sequence[float],
    cell_mm: float,
    mask: npt.NDArray[np.bool_] | None = None,
    least: int = 20_000,
) -> Cells:
    """Return an image of 1 to 3 dimensions (any real dtype) by cells of about ``cell_mm``.

    Cells get smaller where the image holds fewer than ``least`` of them, and are never smaller than a voxel. Turning
    the image round turns the cells round: the grid is symmetric about the image's middle.
    """
    shape = image.shape
    count = _counts(shape, spacing_mm, cell_mm, least)
    parts = tuple(2 * c if 2 * c <= n else c for c, n in zip(count, shape, strict=True))
    mean, square, inside = _averages(image, parts, mask)
    spread = np.maximum(square - mean * mean, 0) + _steps(mean, shape)
    impure = spread / np.maximum(mean * mean, np.float32(1e-30))
    group = [p // c for p, c in zip(parts, count, strict=True)]
    mean, impure, inside = (_grouped(a, count, group) for a in (mean, impure, inside))
    if mask is not None:
        impure = np.where(inside > 0.5, impure, np.float32(1e30))
    purest = impure <= impure.min(axis=-1, keepdims=True) * np.float32(1 + 1e-6)  # several where they are equally pure
    share = purest / purest.sum(axis=-1, keepdims=True, dtype=np.float32)
    least_impure = (share * impure).sum(axis=-1)
    cell = tuple(n * float(s) / c for n, s, c in zip(shape, spacing_mm, count, strict=True))
    return Cells(
        (share * mean).sum(axis=-1),
        1 / (1 + least_impure / np.float32(_IMPURE**2)),
        (share * inside).sum(axis=-1),
        cell,
        shape,
        tuple(float(s) for s in spacing_mm),
    )


def _counts(shape: tuple[int, ...], spacing_mm: Sequence[float], cell_mm: float, least: int) -> tuple[int, ...]:
    """Return how many cells lie along each axis."""
    extent = [n * float(s) for n, s in zip(shape, spacing_mm, strict=True)]
    live = [e for n, e in zip(shape, extent, strict=True) if n > 1]
    if live:
        cell_mm = min(cell_mm, float(np.prod(live) / least) ** (1 / len(live)))
    return tuple(min(n, max(1, round(e / cell_mm))) for n, e in zip(shape, extent, strict=True))


def _averages(
    image: npt.NDArray[Any], parts: tuple[int, ...], mask: npt.NDArray[np.bool_] | None
) -> tuple[Floats, Floats, Floats]:
    """Return mean, mean square and share of the mask in each part; one pass, slowest axis first."""
    order = sorted(range(image.ndim), key=lambda axis: -abs(image.strides[axis]))
    turned, wanted = image.transpose(order), [parts[axis] for axis in order]
    flat = _shares(turned.shape[1:], wanted[1:])
    sums = np.empty((3, wanted[0], int(np.prod(wanted[1:]))), np.float32)
    sums[2] = 1
    for n, (layers, weights) in enumerate(_layers(turned.shape[0], wanted[0])):
        values = turned[layers].reshape(len(weights), -1).astype(np.float32)
        np.maximum(values, 0, out=values)
        sums[0, n] = flat @ (weights @ values)
        sums[1, n] = flat @ (weights @ np.square(values, out=values))
        if mask is not None:
            covered = mask.transpose(order)[layers].reshape(len(weights), -1)
            sums[2, n] = flat @ (weights @ covered.astype(np.float32))
    back = np.argsort(order)
    mean, square, inside = (s.reshape(wanted).transpose(back) for s in sums)
    return mean, square, inside


def _edges(size: int, parts: int) -> Doubles:
    return np.arange(parts + 1, dtype=np.float64) * (size / parts)


def _layers(size: int, parts: int) -> Iterator[tuple[slice, Floats]]:
    """Yield for each part the layers it touches and the share of each, sum 1."""
    for low, high in zip(_edges(size, parts)[:-1], _edges(size, parts)[1:], strict=True):
        first, stop = int(low + 1e-9), min(size, int(np.ceil(high - 1e-9)))
        at = np.arange(first, stop)
        shares = np.minimum(at + 1, high) - np.maximum(at, low)
        yield slice(first, stop), (shares / shares.sum()).astype(np.float32)


def _shares(shape: tuple[int, ...], parts: Sequence[int]) -> csr_matrix:
    """Return the matrix that averages a layer, flattened, into its parts."""
    from scipy import sparse

    total = sparse.csr_matrix(np.ones((1, 1), np.float32))
    for size, count in zip(shape, parts, strict=True):
        rows: list[int] = []
        columns: list[int] = []
        shares: list[float] = []
        for n, (layers, weights) in enumerate(_layers(size, count)):
            rows += [n] * len(weights)
            columns += range(layers.start, layers.stop)
            shares += weights.tolist()
        one = sparse.csr_matrix((np.array(shares, np.float32), (rows, columns)), shape=(count, size))
        total = sparse.kron(total, one, format="csr")
    return total


def _steps(mean: Floats, shape: tuple[int, ...]) -> Floats:
    """Return what a part would vary inside if it changed as gently as towards its more alike neighbour.

    Only along axes where parts are about as large as voxels: within one voxel nothing is seen to vary.
    """
    total = np.zeros_like(mean)
    for axis, (n, size) in enumerate(zip(mean.shape, shape, strict=True)):
        if n > 2 and size < 2 * n:
            step = np.abs(np.diff(mean, axis=axis))
            ends = [(0, 0)] * mean.ndim
            ends[axis] = (1, 1)
            padded = np.pad(step, ends, mode="edge")
            before, after = (np.take(padded, range(s, s + n), axis) for s in (0, 1))
            total += np.minimum(before, after) ** 2 / np.float32(12)
    return total


def _grouped(array: Floats, count: Sequence[int], group: Sequence[int]) -> Floats:
    """Return the parts of each cell along a new last axis."""
    dims = len(count)
    split = array.reshape([n for pair in zip(count, group, strict=True) for n in pair])
    return split.transpose([2 * a for a in range(dims)] + [2 * a + 1 for a in range(dims)]).reshape(*count, -1)
