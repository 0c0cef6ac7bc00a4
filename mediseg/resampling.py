"""An array from one grid to another: voxels copied where only their order changes, interpolated elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.geometry import Array, Geometry

if TYPE_CHECKING:
    from scipy import sparse

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float32]

# A Gaussian is cut off at three standard deviations.
_REACH = 3.0


def resampled(array: Pixels, old: Geometry, new: Geometry, *, order: int, fill: float) -> Pixels:
    """Return ``array`` (on grid ``old``) on grid ``new``; see Volume.resample for how.

    Raises Refusal when the frames of reference differ.
    """
    if not old.same_space(new):
        raise Refusal(
            "the two images have different frames of reference, so their positions cannot be compared; "
            "register them first"
        )
    old_from_new = old.ijk_from_lps_matrix @ new.affine_lps
    steps = _index_steps(old_from_new)
    if steps is not None:
        return _copied(array, new.shape, steps, fill)
    return _interpolated(array, old_from_new, new.shape, order=order, fill=fill)


def _index_steps(old_from_new: Array, tolerance: float = 1e-4) -> Array | None:
    """Return the map as integers when it only permutes, flips and shifts whole voxels, else None."""
    rounded = np.rint(old_from_new)
    is_permutation = np.array_equal(np.abs(rounded[:3, :3]).sum(axis=0), (1, 1, 1)) and np.array_equal(
        np.abs(rounded[:3, :3]).sum(axis=1), (1, 1, 1)
    )
    # 1e-7 a voxel in the rotation part keeps the far corner of a 1000-voxel axis within the tolerance
    near = np.abs(old_from_new[:3, :3] - rounded[:3, :3]).max() < 1e-7 and (
        np.abs(old_from_new[:3, 3] - rounded[:3, 3]).max() < tolerance
    )
    return rounded.astype(np.int64) if is_permutation and near else None


def _copied(array: Pixels, shape: tuple[int, int, int], steps: Array, fill: float) -> Pixels:
    """Copy whole voxels; ``steps`` takes new indices to old ones."""
    out = np.full(shape, fill, dtype=array.dtype)
    order = [int(np.abs(steps[:3, new]).argmax()) for new in range(3)]
    source = array.transpose(order)
    taken: list[slice] = []
    placed: list[slice] = []
    for new, old in enumerate(order):
        sign, shift, size = int(steps[old, new]), int(steps[old, 3]), array.shape[old]
        first, last = (-shift, size - 1 - shift) if sign > 0 else (shift - size + 1, shift)
        first, last = max(first, 0), min(last, shape[new] - 1)
        if last < first:
            return out
        begin, end = sign * first + shift, sign * last + shift
        stop = end + sign
        taken.append(slice(begin, stop if stop >= 0 else None, sign))
        placed.append(slice(first, last + 1))
    out[tuple(placed)] = source[tuple(taken)]
    return out


def _interpolated(
    array: Pixels, old_from_new: Array, shape: tuple[int, int, int], *, order: int, fill: float
) -> Pixels:
    from scipy import ndimage

    matrix, offset = old_from_new[:3, :3], old_from_new[:3, 3]
    axes = _aligned(matrix)
    if order == 1 and axes is not None:
        return _axis_by_axis(array, [(old, matrix[old, new], offset[old]) for new, old in enumerate(axes)], shape, fill)
    out: Pixels = np.full(shape, fill, array.dtype if order == 0 else np.float32)
    new_from_old = np.asarray(np.linalg.inv(matrix), np.float64)
    first, last = _reach(new_from_old, -new_from_old @ offset, array.shape, shape)
    if (last < first).any():
        return out
    part = out[_slices(first, last)]
    offset = offset + matrix @ first
    pixels, start = (
        (array, np.zeros(3)) if order == 0 else _prepared(array, matrix, offset, part.shape, whole=order > 1)
    )
    ndimage.affine_transform(
        pixels, matrix, offset - start, output_shape=part.shape, output=part, order=order, mode="nearest"
    )
    part[_outside(array.shape, matrix, offset, part.shape)] = fill
    return out


def _reach(to_from: Array, shift: Array, shape: tuple[int, ...], within: tuple[int, ...]) -> tuple[Array, Array]:
    """Return the first and the last index of a grid (``within``) that a box of ``shape`` on another one may need."""
    corners = np.array(list(np.ndindex(2, 2, 2))) * np.array(shape) - 0.5
    ends = corners @ to_from.T + shift
    first = np.maximum(np.floor(ends.min(axis=0)) - 1, 0)
    return first, np.minimum(np.ceil(ends.max(axis=0)) + 1, np.array(within) - 1)


def _slices(first: Array, last: Array) -> tuple[slice, ...]:
    return tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))


def _aligned(matrix: Array) -> list[int] | None:
    """Return the old axis that each new one runs along; None where any runs along several (by 1e-9 voxels a voxel)."""
    along = np.abs(matrix) > 1e-9
    if (along.sum(axis=0) != 1).any() or (along.sum(axis=1) != 1).any():
        return None
    return [int(old) for old in along.argmax(axis=0)]


def _axis_by_axis(
    array: Pixels, maps: list[tuple[int, float, float]], shape: tuple[int, int, int], fill: float
) -> Floats:
    """Interpolate linearly, one axis after another: ``maps`` says of each new axis the old one, its step and start.

    The axis that loses most voxels goes first. The same as the general way, many times as fast.
    """
    places: dict[int, Array] = {
        old: step * np.arange(shape[new], dtype=np.float64) + start for new, (old, step, start) in enumerate(maps)
    }
    sigma = _sigma(np.array([abs(step) for _, step, _ in sorted(maps)]), array.shape)
    moved = _along_axes(array, places, sigma).transpose([old for old, _, _ in maps])
    out = np.array(moved, np.float32, order="C")
    for axis, (old, _, _) in enumerate(maps):
        np.moveaxis(out, axis, 0)[_beyond(places[old], array.shape[old])] = fill
    return out


def _prepared(
    array: Pixels, matrix: Array, offset: Array, shape: tuple[int, ...], *, whole: bool
) -> tuple[Floats, Array]:
    """Return the part of the image that the new grid needs, smoothed, and the index of its first voxel.

    ``whole``: all of it, as a cubic spline needs.
    """
    size = np.array(array.shape)
    first, last = (np.zeros(3), size - 1.0) if whole else _reach(matrix, offset, shape, array.shape)
    first, last = np.minimum(first, size - 1), np.maximum(last, 0)
    sigma = _sigma(np.abs(matrix).max(axis=1), array.shape)
    # where it is smoothed, voxels beyond the part count too
    kept = array[_slices(np.where(sigma, 0, first), np.where(sigma, size - 1, last))]
    places = {axis: np.arange(first[axis], last[axis] + 1) for axis in range(3) if sigma[axis]}
    return _along_axes(kept, places, sigma), first


def _sigma(step: Array, shape: tuple[int, ...]) -> list[float]:
    """Return how much to smooth, in voxels, before one in ``step`` of an axis is taken."""
    return [0.42 * float(np.sqrt(s * s - 1)) if s > 1.05 and n > 1 else 0.0 for s, n in zip(step, shape, strict=True)]


def _along_axes(array: Pixels, places: dict[int, Array], sigma: list[float]) -> Floats:
    """Return the image at fractional ``places`` of some axes, smoothed along these; in memory it lies as it did."""
    order = sorted(range(3), key=lambda axis: -abs(array.strides[axis]))
    out = np.ascontiguousarray(array.transpose(order), np.float32)
    for axis in sorted(places, key=lambda axis: len(places[axis]) / array.shape[axis]):
        out = _along(out, order.index(axis), _weights(array.shape[axis], places[axis], sigma[axis]))
    return out.transpose([order.index(axis) for axis in range(3)])


def _weights(size: int, places: Array, sigma: float) -> sparse.csr_array:
    """Return what each place (rows) takes from every voxel of an axis (columns): linear between voxels, smoothed.

    Beyond the axis' ends its outermost voxel goes on.
    """
    from scipy import sparse

    last = size - 1
    reach = int(_REACH * sigma + 0.5)
    kernel = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / sigma)) if sigma else np.ones(1)
    kernel /= kernel.sum()
    place = np.clip(places, 0, last)
    low = np.minimum(place.astype(np.int64), max(last - 1, 0))
    share = place - low
    taps = np.arange(-reach, reach + 2)
    columns = np.clip(low[:, None] + taps, 0, last)
    values = (1 - share)[:, None] * np.append(kernel, 0) + share[:, None] * np.append(0, kernel)
    rows = np.repeat(np.arange(len(place)), len(taps))
    made = sparse.csr_array((values.ravel().astype(np.float32), (rows, columns.ravel())), (len(place), size))
    made.eliminate_zeros()
    return made


def _along(array: Floats, axis: int, weights: sparse.csr_array) -> Floats:
    """Return the weighted sums along one axis."""
    new = weights.shape[0]
    if axis == 0:
        return np.asarray((weights @ array.reshape(len(array), -1)).reshape(new, *array.shape[1:]))
    out = np.empty((*array.shape[:axis], new, *array.shape[axis + 1 :]), np.float32)
    for index, plane in enumerate(array):
        out[index] = weights @ plane if axis == 1 else (weights @ plane.T).T
    return out


def _beyond(index: Array, size: int) -> npt.NDArray[np.bool_]:
    """Mark places more than half a voxel beyond an axis' ends."""
    return np.asarray((index < -0.5 - 1e-3) | (index > size - 0.5 + 1e-3))


def _outside(
    old_shape: tuple[int, ...], matrix: Array, offset: Array, shape: tuple[int, int, int]
) -> npt.NDArray[np.bool_]:
    """Mark new voxels whose centre lies more than half an old voxel beyond the old grid."""
    i, j, k = (np.arange(n, dtype=np.float32) for n in shape)
    outside = np.zeros(shape, bool)
    for axis, size in enumerate(old_shape):
        row = matrix[axis].astype(np.float32)
        plane = (row[0] * i)[:, None] + (row[1] * j)[None, :] + np.float32(offset[axis])
        index = plane[:, :, None] + row[2] * k
        outside |= _beyond(index, size)
    return outside
