"""The rotated ROI: four ways to read a rectangle off the corpus callosum, and how far they can be trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Geometry
from mediseg.numerics.facing import facing
from mediseg.numerics.moments import principal_axis
from mediseg.numerics.shapes import isolated, largest_component, outline
from mediseg.results import Callosum, Estimate, Localization
from mediseg.steps.setting import Setting
from mediseg.volume import RotatedROI, Volume

Array = npt.NDArray[np.float64]

# Published spread between box and axis on real masks is 1.4 degrees SD, between line and box 2.4 (up to 10).
_USUAL_SPREAD_DEG = 6.0
_WORST_SPREAD_DEG = 25.0
# Well below even odds (numerics/facing.py): rather miss a mirrored head than doubt a true one of an unusual shape
_BACKWARD = -0.5


def localize_roi(
    callosum: Callosum,
    *,
    method: Annotated[
        str, Setting("which estimate becomes the ROI", choices=("robust", "box", "line", "final"))
    ] = "robust",
    depth_mm: Annotated[float, Setting("the ROI's size across the mid-sagittal plane", 1, 400)] = 20.0,
    min_confidence: Annotated[float, Setting("refuse the ROI below this confidence", 0, 1)] = 0.3,
    roi: Annotated[RotatedROI | None, Setting("an ROI drawn by hand (roi.json), taken as it is")] = None,
) -> Localization:
    """Lay a rotated rectangle on the corpus callosum.

    Estimates are made face left, on square pixels at the finest in-plane spacing, in mm from the image's middle (x to
    posterior, y to inferior); angles are positive when the posterior end lies lower.

    - ``box``: the smallest rectangle about the outer contour (cv2.minAreaRect).
    - ``line``: from the most anterior to the most posterior contour point (mean row where several tie).
    - ``final``: the mean of both.
    - ``robust``: the principal axis of the probability map's second moments (weights above 0.05 of the largest part);
      the centre is the middle of the extents along and across it, where the map crosses 0.5.

    ``confidence`` = spread mark x plausibility x certainty x (0.6 where the mask touches the edge) x (0.5 where its
    shape faces backward, which warns LATERALITY_UNSURE). Raises Refusal below ``min_confidence``: a wrong ROI on a
    scanner costs more than none.
    """
    probability, spacing_mm = _square_face_left(callosum.probability)
    grid = probability.geometry
    upright = np.asarray(probability.array[:, :, 0], dtype=np.float64).T
    estimates = estimate_all(upright, spacing_mm)
    backward = _backward(facing(isolated(upright, 0.5), spacing_mm))
    spread_deg = _spread_deg(estimates)
    touches = any(w.code is Code.MASK_TOUCHES_EDGE for w in callosum.warnings)
    spread_mark = float(np.clip((_WORST_SPREAD_DEG - spread_deg) / (_WORST_SPREAD_DEG - _USUAL_SPREAD_DEG), 0, 1))
    certainty_mark = float(np.clip((callosum.certainty - 0.5) / 0.35, 0, 1))
    marks = callosum.plausibility * certainty_mark * (0.6 if touches else 1.0) * (0.5 if backward else 1.0)
    confidence = round(spread_mark * marks, 3)
    warnings = (*backward, *_warnings(spread_deg, confidence))
    if roi is not None:
        _check_frame(roi, grid)
        return Localization(roi, "given", estimates, confidence, warnings)
    if confidence < min_confidence:
        raise Refusal(
            f"the ROI is not trustworthy: confidence {confidence:.2f} is below {min_confidence:g} (methods differ by "
            f"{spread_deg:.1f} degrees, shape plausibility {callosum.plausibility:.2f}, mean probability "
            f"{callosum.certainty:.2f})",
            warnings,
        )
    return Localization(_to_roi(estimates[method], grid, depth_mm), method, estimates, confidence, warnings)


def _check_frame(roi: RotatedROI, grid: Geometry) -> None:
    mine, theirs = grid.frame_of_reference, roi.frame_of_reference
    if mine is not None and theirs is not None and mine != theirs:
        raise Refusal("the given ROI belongs to another frame of reference: draw it on this study")


def _backward(score: float) -> tuple[Warn, ...]:
    if score >= _BACKWARD:
        return ()
    message = (
        "the shape of the corpus callosum faces backward: front and back (and with them left and right) may be swapped "
        "in the header; compare with the face or the cerebellum on the picture"
    )
    return (Warn(Code.LATERALITY_UNSURE, message, {"facing": round(score, 2)}),)


def _warnings(spread_deg: float, confidence: float) -> tuple[Warn, ...]:
    warnings = []
    if spread_deg > _USUAL_SPREAD_DEG:
        message = f"the ROI methods differ by {spread_deg:.1f} degrees"
        warnings.append(Warn(Code.METHODS_DISAGREE, message, {"spread_deg": round(spread_deg, 2)}))
    if confidence < 0.6:
        message = f"confidence in the ROI is only {confidence:.2f}: check it by eye"
        warnings.append(Warn(Code.LOW_CONFIDENCE, message, {"confidence": confidence}))
    return tuple(warnings)


def _spread_deg(estimates: Mapping[str, Estimate]) -> float:
    angles = [e.angle_deg for e in estimates.values()]
    return max(angles) - min(angles)


def _square_face_left(probability: Volume) -> tuple[Volume, float]:
    """Return the map face left with square pixels at the finest in-plane spacing (as it is where it is so already)."""
    upright = probability.reorient("PIR")
    if upright.geometry.shape[2] != 1:
        raise Refusal("localize_roi needs the callosum of one sagittal slice")
    a, b, through = upright.geometry.spacing_mm
    fine = min(a, b)
    if abs(a - b) < 1e-4 * fine:
        return upright, fine
    return upright.resample(upright.geometry.with_spacing((fine, fine, through))), fine


def estimate_all(probability: Array, spacing_mm: float) -> dict[str, Estimate]:
    """Return box, line, final and robust for a face-left probability map (rows, columns) of square pixels.

    Raises Refusal when no pixel reaches 0.5.
    """
    part = largest_component(probability >= 0.5)
    if not part.any():
        raise Refusal("there is no corpus callosum to lay an ROI on")
    contour = _outer_contour(part)
    middle = (np.array(part.shape[::-1], dtype=np.float64) - 1) / 2
    box = _scaled(_box(contour), middle, spacing_mm)
    line = _scaled(_line(contour), middle, spacing_mm)
    robust = _scaled(_robust(probability, part), middle, spacing_mm)
    return {"box": box, "line": line, "final": mean_of(box, line), "robust": robust}


def mean_of(box: Estimate, line: Estimate) -> Estimate:
    """Return the mean of centres and angles, with the box's size."""
    center = tuple((a + b) / 2 for a, b in zip(box.center_mm, line.center_mm, strict=True))
    return Estimate((center[0], center[1]), (box.angle_deg + line.angle_deg) / 2, box.size_mm)


def _outer_contour(part: npt.NDArray[np.bool_]) -> Array:
    """Return all outer contour pixels (n, 2) as (x, y), each once (a one-pixel spur is walked both ways)."""
    import cv2

    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.unique(max(contours, key=len)[:, 0, :], axis=0).astype(np.float64)


def _slope_deg(direction: Array) -> float:
    """Angle of a direction from anterior (small x) to posterior, in (-90, 90]."""
    x, y = (direction if direction[0] >= 0 else -direction).tolist()
    angle = float(np.degrees(np.arctan2(y, x)))
    return 90.0 if angle <= -90.0 else angle


def _box(contour: Array) -> Estimate:
    import cv2

    rectangle = cv2.minAreaRect(contour.astype(np.float32))
    corners = cv2.boxPoints(rectangle).astype(np.float64)
    sides = np.array([corners[1] - corners[0], corners[2] - corners[1]])
    lengths = np.linalg.norm(sides, axis=1)
    center = corners.mean(axis=0)
    size = (float(lengths.max()), float(lengths.min()))
    return Estimate((float(center[0]), float(center[1])), _slope_deg(sides[int(lengths.argmax())]), size)


def _line(contour: Array) -> Estimate:
    x, y = contour.T
    front = np.array([x.min(), y[x == x.min()].mean()])
    back = np.array([x.max(), y[x == x.max()].mean()])
    center = (front + back) / 2
    length = float(np.linalg.norm(back - front))
    return Estimate((float(center[0]), float(center[1])), _slope_deg(back - front), (length, 0.0))


def _robust(probability: Array, part: npt.NDArray[np.bool_]) -> Estimate:
    weights = np.where(probability > 0.05, probability, 0.0)
    support = largest_component(weights > 0)
    if not (support & part).any():  # a larger, dimmer blob elsewhere must not win
        support = part
    rows, columns = np.nonzero(support)
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    _, axis = principal_axis(points, weights[rows, columns])
    across = np.array([-axis[1], axis[0]])
    border = outline(isolated(probability, 0.5), 0.5)[:, ::-1]
    along_low, along_high = float((border @ axis).min()), float((border @ axis).max())
    across_low, across_high = float((border @ across).min()), float((border @ across).max())
    center = axis * (along_low + along_high) / 2 + across * (across_low + across_high) / 2
    size = (along_high - along_low, across_high - across_low)
    return Estimate((float(center[0]), float(center[1])), _slope_deg(axis), size)


def _scaled(estimate: Estimate, middle: Array, spacing_mm: float) -> Estimate:
    x, y = (np.array(estimate.center_mm) - middle) * spacing_mm
    long_side, short_side = estimate.size_mm
    return Estimate((float(x), float(y)), estimate.angle_deg, (long_side * spacing_mm, short_side * spacing_mm))


def _to_roi(estimate: Estimate, grid: Geometry, depth_mm: float) -> RotatedROI:
    """Lift a face-left estimate into patient space."""
    back, down = grid.axes_lps[:, 0], grid.axes_lps[:, 1]
    angle = np.radians(estimate.angle_deg)
    along = np.cos(angle) * back + np.sin(angle) * down
    across = -np.sin(angle) * back + np.cos(angle) * down
    center = grid.center_lps_mm + estimate.center_mm[0] * back + estimate.center_mm[1] * down
    axes = np.stack([along, across, np.cross(along, across)], axis=1)
    size = (estimate.size_mm[0], estimate.size_mm[1], depth_mm)
    return RotatedROI(center, axes, size, grid.frame_of_reference)
