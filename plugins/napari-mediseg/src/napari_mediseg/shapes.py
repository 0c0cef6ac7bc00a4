"""The ROI and the scan plan as shapes. No Qt in here.

Shapes that napari is to show in 2-D must lie flat in a slice, and a mid-sagittal plane is tilted by a few degrees. So
the data count from the ROI's centre in units of ``SLAB_MM``, flat along the axis they are looked at: they are drawn
where they are seen from there, for as long as the slice lies within half a slab of the centre. The true box is in
``layer.metadata["mediseg_roi"]``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg import RotatedROI, ScanPlan, SliceGroup
from napari_mediseg.frames import world_from_lps
from napari_mediseg.layers import KEY, LayerTuple, Origin
from napari_mediseg.roi_geometry import PlaneROI, on_plane

Array = npt.NDArray[np.float64]

ROI_KEY = "mediseg_roi"
PLAN_KEY = "mediseg_plan"
SLAB_MM = 20.0
ROI_COLOUR, RING_COLOUR, HANDLE_COLOUR = "#ffd23f", "#ffd23f80", "#ffffff"
GROUP_COLOURS = {"transversal": "#3ddc97", "coronal": "#4cc9f0", "sagittal": "#f78fb3"}
_HANDLE_MM = 1.6
_MOST_LINES = 120


def facing_axis(normal_lps: npt.ArrayLike) -> int:
    """Return the axis of napari's world that a plane is looked at along."""
    return int(np.abs(world_from_lps(normal_lps)).argmax())


def flat(points_lps_mm: npt.ArrayLike, center_lps_mm: npt.ArrayLike, axis: int) -> Array:
    """Return a layer's data of patient points, flat along a world axis."""
    data = (world_from_lps(points_lps_mm) - world_from_lps(center_lps_mm)) / SLAB_MM
    data[..., axis] = 0.0
    return data


def roi_shapes(roi: PlaneROI, center_lps_mm: npt.ArrayLike, *, handles: bool) -> tuple[list[Array], list[str]]:
    """Return data and types: the rectangle, its long axis; for the hand also the ring and eight handles."""
    axis = facing_axis(roi.base_lps[:, 2])

    def put(points: Array) -> Array:
        return flat(roi.lift(points), center_lps_mm, axis)

    along, _ = roi.axes_2d()
    ends = np.array(roi.center) + np.outer([-0.5, 0.5], along) * roi.size_mm[0]
    data, kinds = [put(roi.corners()), put(ends)], ["polygon", "line"]
    if handles:
        square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * _HANDLE_MM / 2
        data += [put(roi.ring()), *(put(at + square) for at in roi.handles())]
        kinds += ["polygon"] * 9
    return data, kinds


def roi_layer(roi: RotatedROI, *, base_lps: Array | None = None, case: Path | None = None) -> LayerTuple:
    """Return an ROI as a layer of shapes."""
    state = on_plane(roi, base_lps)
    data, kinds = roi_shapes(state, roi.center_lps_mm, handles=False)
    keywords = {
        "name": "ROI",
        "shape_type": kinds,
        "edge_color": [ROI_COLOUR] * len(data),
        "face_color": ["transparent"] * len(data),
        "edge_width": 0.05,
        "metadata": {KEY: Origin(None, None, case=case, role="roi"), ROI_KEY: state},
        **placed(roi.center_lps_mm),
    }
    return data, keywords, "shapes"


def placed(center_lps_mm: npt.ArrayLike) -> dict[str, Any]:
    """Return the arguments that put flat data in their place."""
    return {
        "scale": (SLAB_MM,) * 3,
        "translate": tuple(world_from_lps(center_lps_mm)),
        "axis_labels": ("S", "P", "L"),
        "units": "mm",
    }


def roi_state(metadata: Mapping[str, Any]) -> PlaneROI | None:
    """Return the ROI that a layer of ours shows."""
    found = metadata.get(ROI_KEY)
    return found if isinstance(found, PlaneROI) else None


def plan_layer(plan: ScanPlan, roi: RotatedROI, *, case: Path | None = None) -> LayerTuple:
    """Return a scan plan as a layer: on each of the three planes through its centre the slices that cut it."""
    data, colours = plan_shapes(plan)
    keywords = {
        "name": "scan plan",
        "shape_type": "path",
        "edge_color": colours,
        "edge_width": 0.02,
        "opacity": 0.8,
        "visible": False,
        "metadata": {KEY: Origin(None, None, case=case, role="scan_plan"), PLAN_KEY: plan},
        **placed(plan_center(plan)),
    }
    return data, keywords, "shapes"


def plan_center(plan: ScanPlan) -> Array:
    """Return the middle that all groups share."""
    return np.array(plan.groups[0].center_lps_mm)


def plan_shapes(plan: ScanPlan, center_lps_mm: Array | None = None) -> tuple[list[Array], list[str]]:
    """Return six lines and their colours: every group on the two planes that it cuts across.

    A group's slices are one line that goes to and fro: two hundred shapes could not follow a hand. ``center_lps_mm``:
    where the layer's data count from, the plan's middle where nothing is said.
    """
    data: list[Array] = []
    colours: list[str] = []
    center = plan_center(plan) if center_lps_mm is None else center_lps_mm
    across = {group.name: facing_axis(group.normal_lps) for group in plan.groups}
    for group in plan.groups:
        for other in plan.groups:
            if other.name == group.name:
                continue
            lines = np.array(slice_lines(group, np.array(other.normal_lps)))
            lines[1::2] = lines[1::2, ::-1]
            data.append(flat(lines.reshape(-1, 3), center, across[other.name]))
            colours.append(GROUP_COLOURS[group.name])
    return data, colours


def slice_lines(group: SliceGroup, plane_normal_lps: Array) -> list[Array]:
    """Return where a group's slices cut the plane through its centre, as ends in the patient (2, 3)."""
    row, column = np.array(group.image_orientation[:3]), np.array(group.image_orientation[3:])
    normal, center = np.array(group.normal_lps), np.array(group.center_lps_mm)
    along = row if abs(row @ plane_normal_lps) < abs(column @ plane_normal_lps) else column
    reach = group.fov_mm[0] if along is row else group.fov_mm[1]
    step = group.thickness_mm + group.gap_mm
    thinned = max(1, -(-group.slices // _MOST_LINES))
    offsets = (np.arange(0, group.slices, thinned) - (group.slices - 1) / 2) * step
    return [center + offset * normal + np.outer([-0.5, 0.5], along) * reach for offset in offsets]
