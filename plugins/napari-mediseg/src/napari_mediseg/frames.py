"""Where a grid lies in napari's world, and the way back to it. No Qt and no napari in here.

napari's world is (z, y, x): patient millimetres as in DICOM (LPS) in numpy's order, so the first view is axial, as
radiologists look at it. Of the array axes a layer gets the ones nearest to S, P and L, in three ways:

- ``exact``: the grid lies along the patient's axes. Voxels are reordered, nothing is computed.
- ``slice``: one slice. Its voxels are reordered; napari draws the in-plane affine as it is. The slice's tilt against
  the view cannot be drawn, so it is shown as a slab that is as deep as the tilt makes it.
- ``canonical``: an oblique volume, which napari cannot slice in 2-D. It is shown on a grid along the patient's axes;
  its own grid is kept, and what is drawn is written back onto it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Geometry, axial_grid_around
from mediseg.volume import Segmentation, Volume

Array = npt.NDArray[np.float64]
Kind = Literal["exact", "slice", "canonical"]

CODES = "SPL"
_EXACT_MM = 0.005  # how far leaving out a tilt may move a corner
_MOST_VOXELS = 1.6e8
_PLANES_KEPT = 96


def world_from_lps(points_lps_mm: npt.ArrayLike) -> Array:
    """Take patient points (..., 3) to napari's world."""
    return np.asarray(points_lps_mm, dtype=np.float64)[..., ::-1].copy()


def lps_from_world(points_world: npt.ArrayLike) -> Array:
    """Take points (..., 3) of napari's world to patient points in mm."""
    return world_from_lps(points_world)


@dataclass(frozen=True)
class Placing:
    """How a native grid is shown: ``shown`` is the grid of the layer's data, with axes nearest to S, P and L."""

    native: Geometry
    shown: Geometry
    kind: Kind

    @property
    def world_from_data(self) -> Array:
        """The 4 x 4 matrix that napari draws with: data index to (z, y, x) mm."""
        flip = np.eye(4)
        flip[:3, :3] = np.eye(3)[::-1]
        matrix: Array = flip @ self.shown.affine_lps
        if self.kind == "canonical":
            return matrix
        if self.kind == "exact":
            return _without_tilt(matrix, self.shown)
        return _flattened(matrix, self.shown)

    def layer_keywords(self) -> dict[str, Any]:
        """The arguments of a layer that put it in its place."""
        matrix = self.world_from_data
        if np.count_nonzero(matrix[:3, :3]) == 3 and (np.diag(matrix)[:3] > 0).all():
            return {"scale": tuple(np.diag(matrix)[:3]), "translate": tuple(matrix[:3, 3])}
        return {"affine": matrix}


def _without_tilt(matrix: Array, shown: Geometry) -> Array:
    """Keep scales and the middle; what is left out is below a hundredth of a millimetre."""
    straight = np.diag([*np.diag(matrix)[:3], 1.0])
    middle = (np.array(shown.shape) - 1) / 2
    straight[:3, 3] = matrix[:3, :3] @ middle + matrix[:3, 3] - straight[:3, :3] @ middle
    return straight


def _flattened(matrix: Array, shown: Geometry) -> Array:
    """Leave the tilt of a one-slice grid out of the matrix, and make the slice as deep as the tilt is."""
    axis = through(shown)
    corners = np.array(np.meshgrid(*[(0, n - 1) for n in shown.shape], indexing="ij")).reshape(3, -1).T
    along = corners @ matrix[axis, :3] + matrix[axis, 3]
    flat = matrix.copy()
    flat[axis, :3] = 0.0
    flat[:3, axis] = 0.0
    flat[axis, axis] = max(abs(matrix[axis, axis]), 2 * float(np.ptp(along)), 1.0)
    flat[axis, 3] = (along.min() + along.max()) / 2
    return flat


def through(geometry: Geometry) -> int:
    """Return the axis across a one-slice grid."""
    return int(np.argmin(geometry.shape))


def placing_of(native: Geometry) -> Placing:
    """Return how a grid is to be shown; see the module."""
    ordered = native.reorient(CODES)
    if min(native.shape) == 1:
        return Placing(native, ordered, "slice")
    tilt = ordered.affine_lps[:3, :3].copy()
    for axis in range(3):
        tilt[2 - axis, axis] = 0.0
    moved_mm = np.abs(tilt) @ (np.array(ordered.shape) / 2)
    if moved_mm.max() <= _EXACT_MM:
        return Placing(native, ordered, "exact")
    fine = min(native.spacing_mm)
    extent = np.ptp(native.corners_lps_mm(), axis=0)
    spacing = max(fine, float(np.prod(extent) / _MOST_VOXELS) ** (1 / 3))
    return Placing(native, axial_grid_around(native, spacing, CODES), "canonical")


class LazyVolume:
    """An oblique volume on a grid along the patient's axes, interpolated where it is looked at; planes are kept.

    An array for napari: shape, dtype, ndim and indexing by whole numbers and slices.
    """

    ndim = 3

    def __init__(self, volume: Volume, grid: Geometry) -> None:
        self._volume = volume.with_array(volume.array.astype(np.float32, copy=False))
        self._grid = grid
        self._kept: OrderedDict[tuple[int, int], npt.NDArray[np.float32]] = OrderedDict()
        self.shape = grid.shape
        self.dtype = np.dtype(np.float32)
        self.size = int(np.prod(grid.shape))

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Return the part that a key asks for."""
        keys = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys[at : at + 1] = [slice(None)] * (4 - len(keys))
        keys += [slice(None)] * (3 - len(keys))
        if any(not isinstance(one, slice | int | np.integer) for one in keys):
            return np.asarray(np.asarray(self)[tuple(keys)])
        single = [axis for axis, one in enumerate(keys) if not isinstance(one, slice)]
        if len(single) == 1:
            axis = single[0]
            index = range(self.shape[axis])[int(keys[axis])]
            rest = tuple(one for n, one in enumerate(keys) if n != axis)
            return np.asarray(self._plane(axis, index)[rest])
        return np.asarray(np.asarray(self)[tuple(keys)])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the whole, computed now (for 3-D views)."""
        whole = self._volume.resample(self._grid).array
        return whole if dtype is None else whole.astype(dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def _plane(self, axis: int, index: int) -> npt.NDArray[np.float32]:
        found = self._kept.get((axis, index))
        if found is None:
            start, stop = [0, 0, 0], list(self.shape)
            start[axis], stop[axis] = index, index + 1
            found = self._volume.resample(self._grid.crop(start, stop)).array.squeeze(axis)
            self._kept[axis, index] = found
            if len(self._kept) > _PLANES_KEPT:
                self._kept.popitem(last=False)
        else:
            self._kept.move_to_end((axis, index))
        return found


class LateImage:
    """An image that is read when it is first looked at: for layers that are hidden when they are opened."""

    ndim = 3

    def __init__(self, placing: Placing, read: Callable[[], Volume]) -> None:
        self._placing = placing
        self.volume = read
        self._found: npt.NDArray[Any] | LazyVolume | None = None
        self.shape = placing.shown.shape
        self.dtype = np.dtype(np.float32)
        self.size = int(np.prod(self.shape))

    def _data(self) -> npt.NDArray[Any] | LazyVolume:
        if self._found is None:
            self._found = shown_image(self.volume(), self._placing)
        return self._found

    def __getitem__(self, key: Any) -> npt.NDArray[Any]:
        """Return the part that a key asks for."""
        return np.asarray(self._data()[key])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Return the whole."""
        return np.asarray(self._data(), dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]


def shown_image(volume: Volume, placing: Placing) -> npt.NDArray[Any] | LazyVolume:
    """Return an image's data for its layer."""
    if placing.kind == "canonical":
        return LazyVolume(volume, placing.shown)
    return volume.reorient(CODES).array


def shown_labels(segmentation: Segmentation, placing: Placing) -> npt.NDArray[np.uint8]:
    """Return a label map's data for its layer, to be painted on."""
    return np.array(segmentation.resample(placing.shown).labels)


def native_labels(painted: npt.NDArray[Any], placing: Placing, before: Segmentation | None) -> npt.NDArray[np.uint8]:
    """Return what a layer shows on the native grid.

    On a canonical grid only what was changed since ``before`` (the native labels that were shown) is written: the rest
    keeps every voxel.
    """
    whole = np.asarray(painted)
    if whole.shape != placing.shown.shape:
        raise ValueError(f"the layer has shape {whole.shape}, its grid {placing.shown.shape}")
    if not np.array_equal(whole, whole.astype(np.uint8)):
        raise ValueError("labels must lie between 0 and 255")
    shown = Segmentation(whole.astype(np.uint8), placing.shown, ())
    there = np.array(shown.resample(placing.native).labels)
    if placing.kind != "canonical" or before is None:
        return there
    changed = (whole != before.resample(placing.shown).labels).astype(np.uint8)
    touched = Segmentation(changed, placing.shown, ()).resample(placing.native).labels > 0
    return np.where(touched, there, before.labels).astype(np.uint8)


def grid_of_layer(shape: tuple[int, ...], world_from_data: npt.ArrayLike, frame: str | None = None) -> Geometry:
    """Return the patient grid of any 3-D layer, such as one that napari itself has made."""
    matrix = np.asarray(world_from_data, dtype=np.float64)
    flip = np.eye(4)
    flip[:3, :3] = np.eye(3)[::-1]
    return Geometry((int(shape[0]), int(shape[1]), int(shape[2])), flip @ matrix, frame)
