"""The composite's grid: the finest pixels of any station, along the patient's axes, the reference's, or an ROI."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mediseg.errors import Refusal
from mediseg.geometry import Array, Geometry, Rigid
from mediseg.volume import RotatedROI, Volume

# columns and rows as films show them, by the patient axis nearest to the slices' normal
_FILM_ORDER = {"L": "PIL", "P": "LIP", "S": "LPS"}
_LARGEST_VOXELS = 600_000_000


def composite_grid(
    volumes: Sequence[Volume], placed: Sequence[Rigid], anchor: int, axes: str, roi: RotatedROI | None
) -> Geometry:
    """Return the grid that holds every placed station, or the user's ROI. Raises Refusal for an absurd size."""
    reference = volumes[anchor].geometry
    pixel = min(min(volume.geometry.spacing_mm[:2]) for volume in volumes)
    spacing = np.array([pixel, pixel, reference.spacing_mm[2]])
    if roi is not None:
        return _roi_grid(roi, spacing, reference)
    axes_lps = _film_axes(reference, axes)
    corners = np.concatenate([m.apply(v.geometry.corners_lps_mm()) for v, m in zip(volumes, placed, strict=True)])
    along = corners @ axes_lps
    low, high = along.min(axis=0), along.max(axis=0)
    # whole steps from the reference's first voxel: where the axes are its own, its slices are not interpolated
    origin = _first_voxel(reference, axes_lps)
    first = np.ceil((low - origin) / spacing - 1e-6 - 0.001)
    count = np.maximum(1, np.floor((high - origin) / spacing + 1e-6) - first + 1).astype(int)
    if int(count.prod()) > _LARGEST_VOXELS:
        raise Refusal("the composite would be absurdly large: the stations lie far apart, or their spacing is wrong")
    affine = np.eye(4)
    affine[:3, :3] = axes_lps * spacing
    affine[:3, 3] = axes_lps @ (origin + first * spacing)
    return Geometry((int(count[0]), int(count[1]), int(count[2])), affine, reference.frame_of_reference)


def _film_axes(reference: Geometry, axes: str) -> Array:
    """Return unit axes: rows and columns as films show the plane, then the normal (right-handed)."""
    order, _ = reference.axis_steps("LPS")
    across = "LPS"[order.index(2)]
    own = reference.reorient(_FILM_ORDER[across]).axes_lps if axes == "reference" else _patient(_FILM_ORDER[across])
    own = own.copy()
    own[:, 2] = np.cross(own[:, 0], own[:, 1])
    return np.asarray(own)


def _patient(codes: str) -> Array:
    axes = np.zeros((3, 3))
    for column, code in enumerate(codes):
        axes[max("LPS".find(code), "RAI".find(code)), column] = 1.0 if code in "LPS" else -1.0
    return axes


def _first_voxel(reference: Geometry, axes_lps: Array) -> Array:
    centers = reference.lps_from_ijk([[i * (n - 1) for i, n in zip(c, reference.shape, strict=True)] for c in _CORNERS])
    return np.asarray((centers @ axes_lps).min(axis=0))


_CORNERS = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]


def _roi_grid(roi: RotatedROI, spacing: Array, reference: Geometry) -> Geometry:
    known = roi.frame_of_reference
    if known is not None and reference.frame_of_reference is not None and known != reference.frame_of_reference:
        raise Refusal("the ROI and the stations have different frames of reference; draw the ROI on these stations")
    axes = roi.axes_lps.copy()
    axes[:, 2] = np.cross(axes[:, 0], axes[:, 1])
    count = np.maximum(1, np.rint(np.array(roi.size_mm) / spacing)).astype(int)
    return Geometry.from_axes(
        [int(n) for n in count], axes, [float(s) for s in spacing],
        center_lps_mm=roi.center_lps_mm, frame_of_reference=reference.frame_of_reference,
    )  # fmt: skip
