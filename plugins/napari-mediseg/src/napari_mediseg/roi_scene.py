"""Where an ROI comes from and what is planned along it: a case's estimates, a mask, the middle of an image. No Qt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mediseg import Brain, Callosum, Geometry, ScanPlan, Segmentation, Volume, load, localize_roi, plan_scan
from napari_mediseg.cases import brain_of, record_of
from napari_mediseg.roi_geometry import PlaneROI, upright_base

METHODS = ("robust", "box", "line", "final")
_DEPTH_MM = 20.0
_LINE_WIDTH_MM = 25.0  # a line has no width of its own
_COARSE_MM = 5.0


@dataclass(frozen=True, eq=False)
class RoiScene:
    """The ROIs to pick from by method, what they are planned with, and the brain in full and coarse (for dragging)."""

    choices: Mapping[str, PlaneROI]
    settings: Mapping[str, Any]
    brain: Brain | None = None
    coarse: Brain | None = None

    def plan(self, roi: PlaneROI, *, exact: bool) -> ScanPlan:
        """Return the scan plan of an ROI; while it is dragged the brain is taken coarsely."""
        return plan_scan(roi.to_roi(), self.brain if exact else self.coarse or self.brain, **self.settings)


def scene_of_case(folder: Path) -> RoiScene:
    """Return what a finished case knows of its ROI. Raises InputError."""
    record = record_of(folder)
    settings = dict(record.recipe.parameters.get("plan_scan") or {})
    if settings:
        settings["align"] = "callosum"  # the hand sets the angle
    choices: dict[str, PlaneROI] = {}
    image = folder / "midsagittal.nii.gz"
    if record.roi is not None and image.is_file():
        choices = choices_on(load(image).geometry, record.roi.estimates)
    brain = brain_of(folder)
    return RoiScene(choices, settings, brain, coarse_of(brain))


def scene_of_mask(mask: Segmentation, settings: Mapping[str, Any] | None = None) -> RoiScene:
    """Return the ROIs that a (corrected) mask of one sagittal slice gives. Raises Refusal."""
    certain = Volume(mask.mask().astype(np.float32), mask.geometry)
    found = localize_roi(Callosum(mask, certain), min_confidence=0.0)
    return RoiScene(choices_on(mask.geometry, found.estimates), settings or {})


def choices_on(geometry: Geometry, estimates: Mapping[str, Any]) -> dict[str, PlaneROI]:
    """Return estimates (face left, mm from the image's middle) as rectangles on a one-slice image's plane."""
    grid = geometry.reorient("PIR")
    return {
        name: PlaneROI(
            grid.center_lps_mm,
            grid.axes_lps,
            (float(one.center_mm[0]), float(one.center_mm[1])),
            float(one.angle_deg),
            (float(one.size_mm[0]), float(one.size_mm[1]) or _LINE_WIDTH_MM, _DEPTH_MM),
            geometry.frame_of_reference,
        )
        for name in METHODS
        if (one := estimates.get(name)) is not None
    }


def roi_in_the_middle(geometry: Geometry, normal_lps: Any) -> PlaneROI:
    """Return a rectangle in the middle of an image, a third of it in size, on the plane that is looked at."""
    base = upright_base(normal_lps)
    if geometry.shape.count(1) == 1:  # one slice: on its own plane
        own = geometry.axes_lps[:, int(np.argmin(geometry.shape))]
        base = upright_base(own if own @ base[:, 2] >= 0 else -own)
    extent = np.ptp(geometry.corners_lps_mm() @ base, axis=0)
    size = (float(extent[0]) / 3, float(extent[1]) / 6, _DEPTH_MM)
    return PlaneROI(geometry.center_lps_mm, base, (0.0, 0.0), 0.0, size, geometry.frame_of_reference)


def coarse_of(brain: Brain | None) -> Brain | None:
    """Return a brain on some 5 mm, whose plan takes a millisecond."""
    if brain is None:
        return None
    steps = [max(1, round(_COARSE_MM / s)) for s in brain.mask.geometry.spacing_mm]
    a, b, c = steps
    labels = brain.mask.labels[::a, ::b, ::c]
    affine = brain.mask.geometry.affine_lps @ np.diag([a, b, c, 1.0])
    shape = (labels.shape[0], labels.shape[1], labels.shape[2])
    grid = Geometry(shape, affine, brain.mask.geometry.frame_of_reference)
    mask = Segmentation(labels, grid, brain.mask.segments)
    return Brain(mask, Volume(np.asarray(labels), grid), brain.confidence)
