"""From a rotated ROI to slice groups for the next scan, in DICOM's terms."""

from __future__ import annotations

from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.geometry import Array
from mediseg.results import Brain, Callosum, ScanPlan, SliceGroup
from mediseg.steps.setting import Setting
from mediseg.volume import RotatedROI

_HEAD_MM = 200.0  # coverage in every direction where no brain mask is given


def plan_scan(
    roi: RotatedROI,
    brain: Brain | None = None,
    callosum: Callosum | None = None,
    *,
    align: Annotated[
        str, Setting("what the slices are parallel to: the ROI's axis or the AC-PC line", choices=("callosum", "acpc"))
    ] = "callosum",
    center: Annotated[str, Setting("what the groups are centred on", choices=("roi", "brain"))] = "roi",
    margin_mm: Annotated[float, Setting("added around the brain on every side", 0, 100)] = 5.0,
    thickness_mm: Annotated[float, Setting("slice thickness", 0.2, 20)] = 4.0,
    gap_mm: Annotated[float, Setting("gap between slices", 0, 20)] = 0.4,
    fov_mm: Annotated[float, Setting("smallest side of the field of view; grows to hold the brain", 50, 600)] = 220.0,
    pixel_mm: Annotated[float, Setting("in-plane pixel size", 0.1, 5)] = 1.0,
) -> ScanPlan:
    """Plan transversal slices parallel to the ROI's long axis, coronal ones across it, sagittal ones in its plane.

    ``align="acpc"`` takes the direction of the callosum's AC-PC frame, laid into the ROI's plane, instead of the ROI's.
    Each group covers the brain plus a margin (200 mm without a brain), symmetrically about its centre, and is given
    as DICOM has it: orientation, position of the first slice's first pixel (its centre),
    number of slices, thickness, gap, field of view, phase direction, and the angulation in scanner notation.
    """
    if center == "brain" and brain is None:
        raise Refusal("center=brain needs a brain mask, and there is none: use center=roi or add extract_brain")
    points = None if brain is None else _surface_points(brain)
    if points is not None and brain is not None:
        _same_space(roi, brain)
    middle = roi.center_lps_mm if center == "roi" or points is None else points.mean(axis=0)
    axes = roi.axes_lps if align == "callosum" else _acpc_axes(roi, callosum)
    along, across = _signed(axes[:, 0], 1, 1), _signed(axes[:, 1], 2, -1)
    left = np.cross(along, -across)
    left = left if left[0] > 0 else -left
    # (row direction, column direction), as radiologists look at them; slices count along their cross product
    directions = {"transversal": (left, along), "coronal": (left, across), "sagittal": (along, across)}
    size = _Sizes(margin_mm, thickness_mm, gap_mm, fov_mm, pixel_mm)
    groups = tuple(_group(name, pair, middle, points, size) for name, pair in directions.items())
    return ScanPlan(groups, align, center, roi.frame_of_reference)


class _Sizes(NamedTuple):
    margin_mm: float
    thickness_mm: float
    gap_mm: float
    fov_mm: float
    pixel_mm: float


def _acpc_axes(roi: RotatedROI, callosum: Callosum | None) -> Array:
    """Return the ROI's axes turned in its plane so that the first is the AC-PC line."""
    if callosum is None or callosum.acpc is None:
        raise Refusal("align=acpc needs the AC-PC frame, and the callosum's model gives none: use align=callosum")
    normal = roi.axes_lps[:, 2]
    along = callosum.acpc.direction_lps - (callosum.acpc.direction_lps @ normal) * normal
    along /= np.linalg.norm(along)
    return np.column_stack([along, np.cross(normal, along), normal])


def _signed(direction: npt.NDArray[np.float64], axis: int, sign: int) -> Array:
    """Turn a direction so that its component along a patient axis has the sign wanted."""
    return np.asarray(direction if direction[axis] * sign >= 0 else -direction, dtype=np.float64)


def _same_space(roi: RotatedROI, brain: Brain) -> None:
    mine, theirs = roi.frame_of_reference, brain.mask.geometry.frame_of_reference
    if mine is not None and theirs is not None and mine != theirs:
        raise Refusal("the ROI and the brain mask have different frames of reference")


def _surface_points(brain: Brain) -> Array:
    """Return the brain's voxels' positions, thinned to some 20,000."""
    voxels = np.argwhere(brain.mask.mask())
    if len(voxels) == 0:
        raise Refusal("the brain mask is empty: there is nothing to cover")
    step = max(1, len(voxels) // 20_000)
    return brain.mask.geometry.lps_from_ijk(voxels[::step])


def _group(name: str, axes: tuple[Array, Array], middle: Array, points: Array | None, sizes: _Sizes) -> SliceGroup:
    row, column = axes
    normal = np.cross(row, column)

    def reach(direction: Array) -> float:
        """Full length that holds the brain and its margin, symmetric about the centre."""
        if points is None:
            return _HEAD_MM
        return 2 * float(np.abs((points - middle) @ direction).max()) + 2 * sizes.margin_mm

    step = sizes.thickness_mm + sizes.gap_mm
    slices = max(1, int(np.ceil((reach(normal) - sizes.thickness_mm) / step - 1e-9)) + 1)
    # whole pixels, so that the field of view and the first pixel's centre fit together
    fov = [np.ceil(max(sizes.fov_mm, reach(d)) / sizes.pixel_mm - 1e-9) * sizes.pixel_mm for d in (row, column)]
    corner = middle - normal * step * (slices - 1) / 2 - row * fov[0] / 2 - column * fov[1] / 2
    first = corner + (row + column) * sizes.pixel_mm / 2
    return SliceGroup(
        name=name,
        image_orientation=_six(row, column),
        image_position_mm=_three(first),
        center_lps_mm=_three(middle),
        normal_lps=_three(normal),
        slices=slices,
        thickness_mm=sizes.thickness_mm,
        gap_mm=sizes.gap_mm,
        fov_mm=(float(fov[0]), float(fov[1])),
        pixel_mm=sizes.pixel_mm,
        # rows run left-right, or front to back on sagittal slices: the shorter ways through a head
        phase_direction="ROW",
        angulation=angulation(normal),
    )


def _three(vector: Array) -> tuple[float, float, float]:
    x, y, z = (round(float(v), 9) for v in vector)
    return x, y, z


def _six(row: Array, column: Array) -> tuple[float, float, float, float, float, float]:
    return (*_three(row), *_three(column))


def angulation(normal_lps: npt.ArrayLike) -> str:
    """Return a plane's name as a scanner's console shows it, such as ``T > C -12.3 > S 1.5``.

    Main orientation first; then the turn (degrees) towards the next one, then towards the third.
    """
    normal = np.asarray(normal_lps, dtype=np.float64)
    letters = "SCT"  # normal along x: sagittal, y: coronal, z: transversal
    order = np.argsort(-np.abs(normal), kind="stable")
    main, second, third = (int(n) for n in order)
    normal = normal * (1 if normal[main] >= 0 else -1)
    first_deg = float(np.degrees(np.arctan2(normal[second], normal[main])))
    second_deg = float(np.degrees(np.arcsin(np.clip(normal[third], -1, 1))))
    text = letters[main]
    if abs(first_deg) >= 0.05:
        text += f" > {letters[second]} {first_deg:.1f}"
    if abs(second_deg) >= 0.05:
        text += f" > {letters[third]} {second_deg:.1f}"
    return text
