"""Pixels with a place: volumes, label maps and regions, all immutable.

``volume.resample(geometry)`` is the only way from one grid to another, so undoing anything is
``result.resample(original)``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mediseg.errors import Warn
from mediseg.geometry import Array, Geometry
from mediseg.resampling import resampled

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class CodedConcept:
    """A coded term, such as ``88442005, SCT, "Corpus callosum"``."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True)
class Source:
    """Where a volume came from, as plain data; nothing in it identifies a person.

    ``sop_uids[k]`` is the SOP Instance UID of the k-th slice of ``grid`` (None for an interpolated one); for a
    multi-frame object all are that object's and ``frames[k]`` is the 1-based frame number. ``grid`` is the stack as it
    was read, so that results can be written back to it. ``facts`` holds sequence facts for the report (echo time, ...).
    """

    files: tuple[Path, ...] = ()
    kind: str = "array"  # dicom | nifti | mgh | nrrd | metaimage | array
    modality: str = ""
    study_uid: str | None = None
    series_uid: str | None = None
    sop_class: str | None = None
    sop_uids: tuple[str | None, ...] = ()
    frames: tuple[int, ...] = ()
    grid: Geometry | None = None
    manufacturer: str = ""
    sequence: str = ""
    facts: Mapping[str, str | float | int] = field(default_factory=lambda: MappingProxyType({}))


class _Gridded(Protocol):
    @property
    def geometry(self) -> Geometry: ...


def as_geometry(target: Geometry | _Gridded) -> Geometry:
    """Return the grid of a volume, a label map, or the grid itself."""
    return target if isinstance(target, Geometry) else target.geometry


def _read_only(array: Pixels) -> Pixels:
    view = array.view()
    view.setflags(write=False)
    return view


@dataclass(frozen=True, eq=False)
class Volume:
    """An image on a grid: ``array`` has shape ``geometry.shape`` (i, j, k), any real dtype, read-only.

    One slice is a volume with a size of 1 along one axis. ``warnings`` are those met while reading.
    """

    array: Pixels
    geometry: Geometry
    source: Source | None = None
    warnings: tuple[Warn, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array has shape {self.array.shape}, its geometry {self.geometry.shape}")
        object.__setattr__(self, "array", _read_only(self.array))

    @classmethod
    def from_affine(
        cls,
        array: npt.ArrayLike,
        affine_lps: npt.ArrayLike,
        *,
        frame_of_reference: str | None = None,
        source: Source | None = None,
    ) -> Volume:
        """Build a volume from a 3-D array (a 2-D one becomes one slice) and a 4 x 4 affine to LPS mm, either hand."""
        pixels = np.asarray(array)
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        if pixels.ndim != 3:
            raise ValueError(f"array must have 2 or 3 dimensions, not {pixels.ndim}")
        i, j, k = pixels.shape
        geometry = Geometry((i, j, k), np.asarray(affine_lps, dtype=np.float64), frame_of_reference)
        return cls(pixels, geometry, source)

    def with_array(self, array: Pixels) -> Volume:
        """Return other pixels on the same grid, same source."""
        return replace(self, array=array)

    def reorient(self, codes: str) -> Volume:
        """Return the same voxels in another axis order (exact; no interpolation)."""
        order, flips = self.geometry.axis_steps(codes)
        array = self.array.transpose(order)[tuple(slice(None, None, -1 if f else 1) for f in flips)]
        return replace(self, array=array, geometry=self.geometry.reorient(codes))

    def resample(self, target: Geometry | _Gridded, *, order: int = 1, fill: float = 0.0) -> Volume:
        """Return this image on another grid.

        Linear by default (``order`` 0 nearest, 3 cubic); a voxel is taken to reach half a spacing beyond its centre,
        outside of that lies ``fill``. Where the new grid only reorders, crops or pads this one, voxels are copied
        exactly. Where it is coarser, the image is smoothed first (Gaussian, 0.42 of the new spacing in quadrature), so
        that thin structures are averaged and not skipped. Raises Refusal when the frames of reference differ.
        """
        geometry = as_geometry(target)
        array = resampled(self.array, self.geometry, geometry, order=order, fill=fill)
        return replace(self, array=array, geometry=geometry)


@dataclass(frozen=True, slots=True)
class Segment:
    """One label of a segmentation: its number in the array, a name, and a code of the field's terminology."""

    number: int
    name: str
    code: CodedConcept | None = None


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Labels on a grid: ``labels`` uint8 of shape ``geometry.shape``, 0 is background, read-only.

    Raises ValueError for another shape, and for values that are no whole numbers from 0 to 255.
    """

    labels: npt.NDArray[np.uint8]
    geometry: Geometry
    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        if self.labels.shape != self.geometry.shape:
            raise ValueError(f"labels have shape {self.labels.shape}, their geometry {self.geometry.shape}")
        with np.errstate(invalid="ignore"):  # NaN is told below
            labels = np.asarray(self.labels).astype(np.uint8, copy=False)
        if labels is not self.labels and not np.array_equal(labels, self.labels):
            raise ValueError("labels must be whole numbers from 0 to 255")
        object.__setattr__(self, "labels", _read_only(labels))

    def mask(self, number: int | None = None) -> npt.NDArray[np.bool_]:
        """Return where one segment lies, or where any does."""
        return np.asarray(self.labels > 0 if number is None else self.labels == number)

    def volume_ml(self, number: int | None = None) -> float:
        """Volume of one segment, or of all, in millilitres."""
        return float(np.count_nonzero(self.mask(number))) * self.geometry.voxel_mm3 / 1000

    def resample(self, target: Geometry | _Gridded) -> Segmentation:
        """Return the labels on another grid, nearest neighbour."""
        geometry = as_geometry(target)
        labels = resampled(self.labels, self.geometry, geometry, order=0, fill=0)
        return replace(self, labels=labels, geometry=geometry)


@dataclass(frozen=True, eq=False)
class RotatedROI:
    """An oriented box in patient space.

    ``axes_lps``: unit columns (3 x 3): 0 the long axis, from anterior to posterior; 1 across it in the plane, towards
    inferior; 2 the plane's normal. ``size_mm`` are full lengths along them.
    """

    center_lps_mm: Array
    axes_lps: Array
    size_mm: tuple[float, float, float]
    frame_of_reference: str | None = None

    def __post_init__(self) -> None:
        center = np.array(self.center_lps_mm, dtype=np.float64)
        axes = np.array(self.axes_lps, dtype=np.float64)
        if center.shape != (3,) or axes.shape != (3, 3):
            raise ValueError("an ROI needs a centre of 3 and axes of 3 x 3 numbers")
        if not np.allclose(axes.T @ axes, np.eye(3), atol=1e-5):
            raise ValueError("the ROI's axes must be unit vectors at right angles")
        if min(self.size_mm) < 0:
            raise ValueError("the ROI's sizes must not be negative")
        center.setflags(write=False)
        axes.setflags(write=False)
        object.__setattr__(self, "center_lps_mm", center)
        object.__setattr__(self, "axes_lps", axes)

    def corners_lps_mm(self) -> Array:
        """The four corners of the rectangle in its plane, in order around it (4, 3)."""
        half = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * np.array(self.size_mm[:2]) / 2
        return np.asarray(self.center_lps_mm + half @ self.axes_lps[:, :2].T)
