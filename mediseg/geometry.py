"""Where voxels lie: grids, planes and rigid motions in the patient's coordinates (LPS, mm). No pixels here.

Index order ``ijk`` is the order of the array's axes and of the affine's columns; an integer index is a voxel's centre.
LPS means +x to the patient's left, +y to posterior, +z to superior, as in DICOM (PS3.3 C.7.6.2.1.1). Names of matrices
read right to left: ``lps_from_ijk`` takes an index to a point.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))  # (towards negative, towards positive) for each LPS axis


def _frozen(values: npt.ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    array = np.array(values, dtype=np.float64)
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, not {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} must be finite")
    array.setflags(write=False)
    return array


def _transformed(matrix: Array, points: npt.ArrayLike) -> Array:
    array = np.asarray(points, dtype=np.float64)
    return array @ matrix[:3, :3].T + matrix[:3, 3]


@dataclass(frozen=True, eq=False)
class Rigid:
    """A rotation and a shift of patient space: ``q = R p + t``, as a 4 x 4 matrix in LPS mm."""

    matrix: Array

    def __post_init__(self) -> None:
        matrix = _frozen(self.matrix, (4, 4), "matrix")
        rotation = matrix[:3, :3]
        if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-6) or np.linalg.det(rotation) < 0:
            raise ValueError("a rigid motion needs a proper rotation (orthonormal, determinant +1)")
        object.__setattr__(self, "matrix", matrix)

    def apply(self, points_lps_mm: npt.ArrayLike) -> Array:
        """Move points of shape (..., 3)."""
        return _transformed(self.matrix, points_lps_mm)

    def inverse(self) -> Rigid:
        """Return the motion that undoes this one."""
        rotation = self.matrix[:3, :3].T
        matrix = np.eye(4)
        matrix[:3, :3] = rotation
        matrix[:3, 3] = -rotation @ self.matrix[:3, 3]
        return Rigid(matrix)

    def after(self, first: Rigid) -> Rigid:
        """Return the motion that does ``first`` and then this one."""
        return Rigid(self.matrix @ first.matrix)


@dataclass(frozen=True, eq=False)
class Plane:
    """An oriented plane in patient space: a point on it (mm) and a unit normal."""

    point_lps_mm: Array
    normal_lps: Array

    def __post_init__(self) -> None:
        point = _frozen(self.point_lps_mm, (3,), "point_lps_mm")
        normal = np.array(self.normal_lps, dtype=np.float64)
        length = float(np.linalg.norm(normal))
        if normal.shape != (3,) or not np.isfinite(length) or length < 1e-9:
            raise ValueError("normal_lps must be three finite numbers that are not all zero")
        object.__setattr__(self, "point_lps_mm", point)
        object.__setattr__(self, "normal_lps", _frozen(normal / length, (3,), "normal_lps"))

    def distance_mm(self, points_lps_mm: npt.ArrayLike) -> Array:
        """Signed distance of points (..., 3) along the normal."""
        offset: Array = np.asarray(points_lps_mm, dtype=np.float64) - self.point_lps_mm
        return np.asarray(offset @ self.normal_lps)

    def angle_to_deg(self, direction_lps: npt.ArrayLike) -> float:
        """Angle between the normal and a direction, without regard to sign, in 0..90 degrees."""
        direction = np.asarray(direction_lps, dtype=np.float64)
        cosine = abs(float(direction @ self.normal_lps)) / float(np.linalg.norm(direction))
        return float(np.degrees(np.arccos(min(1.0, cosine))))


@dataclass(frozen=True)
class Geometry:
    """A voxel grid in patient space: ``shape`` (3 ints), ``affine_lps`` (4 x 4, mm) and a frame of reference UID.

    The grid may be left- or right-handed and may have one slice; its axes need not be orthogonal to be held (a tilted
    gantry), ``is_orthogonal`` tells. ``frame_of_reference`` is None where the file says nothing of it (NIfTI).
    Raises ValueError for an empty shape or a singular affine.
    """

    shape: tuple[int, int, int]
    affine_lps: Array
    frame_of_reference: str | None = None

    def __post_init__(self) -> None:
        shape = tuple(int(n) for n in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be three sizes of at least 1, not {self.shape}")
        affine = _frozen(self.affine_lps, (4, 4), "affine_lps")
        if not np.array_equal(affine[3], (0, 0, 0, 1)):
            raise ValueError("the last row of affine_lps must be 0 0 0 1")
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):  # absurd numbers of a header: refused below
            spacing = np.linalg.norm(affine[:3, :3], axis=0)
            volume = abs(np.linalg.det(affine[:3, :3] / spacing))
        if not (np.isfinite(spacing).all() and spacing.min() > 0 and volume >= 1e-3):
            raise ValueError("affine_lps is singular: two axes point the same way, or a spacing is 0")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "affine_lps", affine)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Geometry):
            return NotImplemented
        return (
            self.shape == other.shape
            and self.frame_of_reference == other.frame_of_reference
            and np.array_equal(self.affine_lps, other.affine_lps)
        )

    def __hash__(self) -> int:
        return hash((self.shape, self.frame_of_reference, (self.affine_lps + 0.0).tobytes()))  # -0.0 is 0.0

    @classmethod
    def from_axes(
        cls,
        shape: Sequence[int],
        axes_lps: npt.ArrayLike,
        spacing_mm: Sequence[float],
        *,
        center_lps_mm: npt.ArrayLike,
        frame_of_reference: str | None = None,
    ) -> Geometry:
        """Return the grid whose axes are the columns of ``axes_lps`` (3 x 3, unit) and whose middle lies at a point."""
        affine = np.eye(4)
        affine[:3, :3] = np.asarray(axes_lps, dtype=np.float64) * np.asarray(spacing_mm, dtype=np.float64)
        middle = (np.asarray(shape, dtype=np.float64) - 1) / 2
        affine[:3, 3] = np.asarray(center_lps_mm, dtype=np.float64) - affine[:3, :3] @ middle
        return cls((shape[0], shape[1], shape[2]), affine, frame_of_reference)

    @cached_property
    def ijk_from_lps_matrix(self) -> Array:
        """The inverse affine."""
        inverse = np.asarray(np.linalg.inv(self.affine_lps), dtype=np.float64)
        inverse.setflags(write=False)
        return inverse

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along i, j, k."""
        i, j, k = np.linalg.norm(self.affine_lps[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def axes_lps(self) -> Array:
        """Unit directions of i, j, k as columns (3 x 3)."""
        return np.asarray(self.affine_lps[:3, :3] / np.linalg.norm(self.affine_lps[:3, :3], axis=0))

    @property
    def origin_lps_mm(self) -> Array:
        """Centre of voxel (0, 0, 0)."""
        return self.affine_lps[:3, 3].copy()

    @property
    def center_lps_mm(self) -> Array:
        """Middle of the grid."""
        return self.lps_from_ijk((np.array(self.shape) - 1) / 2)

    @property
    def is_right_handed(self) -> bool:
        """True when i x j points along k."""
        return bool(np.linalg.det(self.affine_lps[:3, :3]) > 0)

    @property
    def is_orthogonal(self) -> bool:
        """True when the axes are at right angles within 0.06 degrees."""
        gram = self.axes_lps.T @ self.axes_lps
        return bool(np.abs(gram - np.eye(3)).max() < 1e-3)

    @property
    def voxel_mm3(self) -> float:
        """Volume of one voxel."""
        return float(abs(np.linalg.det(self.affine_lps[:3, :3])))

    @property
    def codes(self) -> str:
        """Three letters: where i, j, k increase to. ``LPS`` for DICOM axial order, ``RAS`` for NIfTI's."""
        return "".join(
            _LETTERS[patient][int(self.axes_lps[patient, index] > 0)]
            for index, patient in enumerate(self._patient_axes())
        )

    def _patient_axes(self) -> tuple[int, int, int]:
        """For each index axis the patient axis nearest to it, each used once, best matches first."""
        strength = np.abs(self.axes_lps).copy()
        found = [0, 0, 0]
        for _ in range(3):
            patient, index = np.unravel_index(int(strength.argmax()), (3, 3))
            found[index] = int(patient)
            strength[patient, :] = -1
            strength[:, index] = -1
        return found[0], found[1], found[2]

    def lps_from_ijk(self, points_ijk: npt.ArrayLike) -> Array:
        """Take indices (..., 3), fractions allowed, to patient points in mm."""
        return _transformed(self.affine_lps, points_ijk)

    def ijk_from_lps(self, points_lps_mm: npt.ArrayLike) -> Array:
        """Take patient points (..., 3) in mm to fractional indices."""
        return _transformed(self.ijk_from_lps_matrix, points_lps_mm)

    def corners_lps_mm(self) -> Array:
        """The eight corners of the voxel block, outer faces (8, 3)."""
        steps = np.array(np.meshgrid(*[(-0.5, n - 0.5) for n in self.shape], indexing="ij"))
        return self.lps_from_ijk(steps.reshape(3, -1).T)

    def same_space(self, other: Geometry) -> bool:
        """False only when both frames of reference are known and differ."""
        mine, theirs = self.frame_of_reference, other.frame_of_reference
        return mine is None or theirs is None or mine == theirs

    def same_grid(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """True when both hold the same voxels: shape, every corner within a tolerance, and the same space."""
        return (
            self.shape == other.shape
            and self.same_space(other)
            and bool(np.abs(self.corners_lps_mm() - other.corners_lps_mm()).max() <= tolerance_mm)
        )

    def axis_steps(self, codes: str) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
        """How to reach an orientation by transposing and flipping: (axes of this grid in the new order, flipped?).

        ``codes`` names where the new axes increase to, such as ``RAS``. Raises ValueError for an impossible name.
        """
        patient_of = {letter: axis for axis, pair in enumerate(_LETTERS) for letter in pair}
        wanted = [patient_of.get(letter, -1) for letter in codes]
        if sorted(wanted) != [0, 1, 2]:
            raise ValueError(f'"{codes}" is no orientation: one letter each of L/R, P/A and S/I')
        mine = self._patient_axes()
        order = [mine.index(patient) for patient in wanted]
        flips = [self.codes[axis] != letter for axis, letter in zip(order, codes, strict=True)]
        return (order[0], order[1], order[2]), (flips[0], flips[1], flips[2])

    def reorient(self, codes: str) -> Geometry:
        """Return the same voxels indexed in another order, as near to ``codes`` as transposing and flipping gets."""
        order, flips = self.axis_steps(codes)
        old_from_new = np.zeros((4, 4))
        old_from_new[3, 3] = 1
        for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
            old_from_new[old, new] = -1 if flip else 1
            old_from_new[old, 3] = self.shape[old] - 1 if flip else 0
        shape = (self.shape[order[0]], self.shape[order[1]], self.shape[order[2]])
        return Geometry(shape, self.affine_lps @ old_from_new, self.frame_of_reference)

    def crop(self, start: Sequence[int], stop: Sequence[int]) -> Geometry:
        """Return the grid of ``array[start[0]:stop[0], ...]``; negative starts and stops past the end pad it."""
        affine = self.affine_lps.copy()
        affine[:3, 3] = self.lps_from_ijk(start)
        i, j, k = (int(b) - int(a) for a, b in zip(start, stop, strict=True))
        return Geometry((i, j, k), affine, self.frame_of_reference)

    def pad(self, before: Sequence[int], after: Sequence[int]) -> Geometry:
        """Return the grid with voxels added on both sides of each axis."""
        return self.crop([-n for n in before], [n + extra for n, extra in zip(self.shape, after, strict=True)])

    def with_spacing(self, spacing_mm: Sequence[float]) -> Geometry:
        """Return a grid over the same block (at least), same axes and middle, at another spacing."""
        extent = np.array(self.shape) * self.spacing_mm
        shape = np.maximum(1, np.ceil(extent / np.asarray(spacing_mm) - 1e-6)).astype(int)
        return Geometry.from_axes(
            [int(n) for n in shape],
            self.axes_lps,
            spacing_mm,
            center_lps_mm=self.center_lps_mm,
            frame_of_reference=self.frame_of_reference,
        )


def axial_grid_around(geometry: Geometry, spacing_mm: float, codes: str = "RAS") -> Geometry:
    """Return the patient-aligned grid of cubic voxels that just holds every corner of ``geometry``."""
    signs = np.array([1.0 if code in "LPS" else -1.0 for code in codes])
    axes = np.zeros((3, 3))
    for index, code in enumerate(codes):
        axes["LPS".find(code) if code in "LPS" else "RAI".find(code), index] = signs[index]
    corners = geometry.corners_lps_mm()
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    extent = (corners @ axes).max(axis=0) - (corners @ axes).min(axis=0)
    shape = [int(n) for n in np.maximum(1, np.ceil(extent / spacing_mm - 1e-6))]
    return Geometry.from_axes(
        shape, axes, (spacing_mm,) * 3, center_lps_mm=middle, frame_of_reference=geometry.frame_of_reference
    )
