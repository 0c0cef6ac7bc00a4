"""How far a mask lies from its reference: overlap, border distances in mm, size, and the ROI laid on both.

Definitions, for one slice (2-D; the axis of size 1 is dropped) and for volumes (3-D):

- **border**: the voxels of a mask with a face neighbour (4 in a slice, 6 in a volume) outside of it; the image's
  edge counts as outside. Distances run between the centres of border voxels, in mm, so that HD95 of a slice comes in
  the pixel's steps. Same as MONAI 1.x and SimpleITK's border voxels; no sub-pixel surface.
- **Dice**: 2 |A and B| / (|A| + |B|).
- **HD95**: the larger of the two directed 95th percentiles of the distances from one border to the nearest point of the
  other (linear between ranks).
- **ASSD**: the mean over all border voxels of both masks of the distance to the other's border.
- **size error**: 100 (found - reference) / reference, of area or volume: positive = too large.

Both masks empty: Dice 1, distances and size error 0. One empty: Dice 0, distances infinite, size error -100, or
infinite where it is the reference that is empty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.geometry import Array, Geometry
from mediseg.results import Callosum, Frame
from mediseg.steps.localize import localize_roi
from mediseg.volume import Segmentation

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Overlap:
    """Agreement of a mask with its reference; see the module for each definition."""

    dice: float
    hd95_mm: float
    assd_mm: float
    size_error_percent: float


@dataclass(frozen=True, slots=True)
class FrameError:
    """A centre and a direction against those of the reference: the ``robust`` ROI's, or the AC-PC frame's.

    ``angle_deg`` is signed (positive = the found posterior end lies lower), in (-90, 90]; ``center_mm`` a distance.
    """

    angle_deg: float
    center_mm: float


def overlap(found: Mask, reference: Mask, spacing_mm: Sequence[float]) -> Overlap:
    """Return all measures of ``found`` against ``reference``: the same shape, 2 or 3 axes, ``spacing_mm`` of each."""
    if found.shape != reference.shape or len(spacing_mm) != found.ndim:
        raise ValueError(f"masks of {found.shape} and {reference.shape} with {len(spacing_mm)} spacings do not fit")
    counts = int(np.count_nonzero(found)), int(np.count_nonzero(reference))
    hd95, assd = surface_distances(found, reference, spacing_mm)
    return Overlap(dice(found, reference), hd95, assd, _size_error(*counts))


def dice(found: Mask, reference: Mask) -> float:
    """Return 2 |A and B| / (|A| + |B|); 1 where both are empty."""
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(reference))
    return 2.0 * int(np.count_nonzero(found & reference)) / total if total else 1.0


def _size_error(found: int, reference: int) -> float:
    if reference:
        return 100.0 * (found - reference) / reference
    return math.inf if found else 0.0


def surface_distances(found: Mask, reference: Mask, spacing_mm: Sequence[float]) -> tuple[float, float]:
    """Return HD95 and ASSD in mm; (0, 0) where both masks are empty, infinite where one is."""
    from scipy import ndimage

    either = found | reference
    if not either.any():
        return 0.0, 0.0
    if not (found.any() and reference.any()):
        return math.inf, math.inf
    axes = [axis for axis, n in enumerate(found.shape) if n > 1] or [0]
    flat = tuple(slice(None) if axis in axes else 0 for axis in range(found.ndim))
    spacing = [spacing_mm[axis] for axis in axes]
    window = ndimage.find_objects(either[flat].astype(np.uint8))[0]
    borders = [_border(mask[flat][window]) for mask in (found, reference)]
    to_found, to_reference = (ndimage.distance_transform_edt(~border, sampling=spacing) for border in borders)
    there, back = to_reference[borders[0]], to_found[borders[1]]
    hd95 = max(float(np.percentile(there, 95)), float(np.percentile(back, 95)))
    return hd95, float(np.concatenate([there, back]).mean())


def _border(mask: Mask) -> Mask:
    from scipy import ndimage

    return np.asarray(mask & ~ndimage.binary_erosion(mask))


def as_callosum(mask: Segmentation) -> Callosum:
    """Return a mask as if a network were sure of it, so that steps that need a probability can read it."""
    from mediseg.volume import Volume

    return Callosum(mask, Volume(mask.mask().astype(np.float32), mask.geometry))


def roi_axis(callosum: Callosum) -> tuple[Array, Array, float]:
    """Return centre (LPS mm), direction of the long axis and confidence of the ``robust`` ROI, however unsure.

    Of a mask (``as_callosum``) the axis is that of its second moments. Raises Refusal where there is nothing.
    """
    where = localize_roi(callosum, method="robust", min_confidence=0.0)
    return where.roi.center_lps_mm, where.roi.axes_lps[:, 0], where.confidence


def roi_error(found: Callosum, reference: Segmentation) -> FrameError:
    """Return how far the ``robust`` ROI lies from the reference mask's second-moment axis and extents' middle.

    Both are one sagittal slice in the same space; nan where the reference is empty.
    """
    try:
        center, axis, _ = roi_axis(as_callosum(reference))
    except Refusal:
        return FrameError(math.nan, math.nan)
    found_center, found_axis, _ = roi_axis(found)
    return FrameError(turn_deg(axis, found_axis), float(np.linalg.norm(found_center - center)))


def acpc_frame(geometry: Geometry, midpoint_mm: tuple[float, float], angle_deg: float) -> Frame:
    """Return the AC-PC frame that stands at a place of a sagittal slice: mm from its middle, face left."""
    upright = geometry.reorient("PIR")
    back, down = upright.axes_lps[:, 0], upright.axes_lps[:, 1]
    angle = math.radians(angle_deg)
    center = upright.center_lps_mm + midpoint_mm[0] * back + midpoint_mm[1] * down
    return Frame(center, math.cos(angle) * back + math.sin(angle) * down)


def frame_error(found: Frame | None, reference: Frame | None) -> FrameError:
    """Return how far one frame lies from another; nan where there is none."""
    if found is None or reference is None:
        return FrameError(math.nan, math.nan)
    apart = float(np.linalg.norm(np.asarray(found.center_lps_mm) - reference.center_lps_mm))
    return FrameError(turn_deg(reference.direction_lps, found.direction_lps), apart)


def turn_deg(from_axis: Array, to_axis: Array) -> float:
    """Return the angle from one sagittal direction to another, in (-90, 90], positive = its posterior end is lower."""
    angles = [math.degrees(math.atan2(-float(axis[2]), float(axis[1]))) for axis in (from_axis, to_axis)]
    turn = (angles[1] - angles[0] + 90.0) % 180.0 - 90.0
    return 90.0 if turn == -90.0 else turn
