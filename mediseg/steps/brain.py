"""Brain extraction: a network predicts the signed distance to the brain's border, in a level box about the brain."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, Refusal, Warn
from mediseg.inference import load_bundle
from mediseg.numerics.shapes import largest_component
from mediseg.results import Brain
from mediseg.steps.brain_looks import brain_pose, level_box, whole_head
from mediseg.steps.setting import Setting
from mediseg.volume import CodedConcept, Segment, Segmentation, Volume

BRAIN = Segment(1, "brain", CodedConcept("12738006", "SCT", "Brain"))

# A whole brain with its CSF: 99 % of children over 2 years and adults lie well within (Dekaban & Sadowsky 1978, Ann
# Neurol 4:345, brain weights; label maps and heads of the training data 1.3 to 1.8 l).
_PLAUSIBLE_ML = (600.0, 2300.0)
_MIN_CONFIDENCE = 0.35
# A brain that lies against the image's side with more than this has lost scalp, skull and some of itself.
_CUT_CM2 = 6.0

# Of the outline's points so many lie within the image where a head is whole (at hand: 0.97 and more).
_MIN_SEEN = 0.9

Float = npt.NDArray[np.float32]


def extract_brain(
    head: Volume,
    *,
    border_mm: Annotated[float, Setting("move the border outward (or inward, negative)", -5, 8)] = 0.0,
    csf: Annotated[bool, Setting("keep the CSF between brain and skull")] = True,
    model: Annotated[str, Setting("name or folder of a brain bundle")] = "brain-unet",
) -> Brain:
    """Return the whole brain with ventricular and sulcal CSF, inside the inner skull, down to the foramen magnum.

    Any MR contrast and orientation. The mask is one part without holes on the head's own grid; ``distance`` is in mm,
    negative inside, clipped at +-8. ``confidence`` is the product of four marks in 0..1: a plausible volume, a brain's
    shape, a distance map that rises by 1 mm a mm at the border, and how little of that lies on the image's edge.

    Raises Refusal when there is no whole brain.
    """
    bundle = load_bundle(model, "brain")
    if min(head.geometry.shape) < 2:
        raise Refusal("a single slice holds no whole brain; this step needs a volume")
    first = whole_head(head, bundle)
    found = first.with_array(_one_part(first.array, 0.0))
    pose = brain_pose(found, bundle)
    raw = level_box(head, found, pose, bundle)
    brain = _one_part(raw.array, 0.0)
    volume_ml = float(np.count_nonzero(brain <= 0)) * raw.geometry.voxel_mm3 / 1000
    marks = _volume_mark(volume_ml), _slope_mark(raw.array, bundle.spacing_mm), _shape_mark(pose.residual_mm)
    confidence = float(np.prod(marks))
    if volume_ml < _PLAUSIBLE_ML[0] / 2 or confidence < _MIN_CONFIDENCE:
        raise Refusal(f"no whole brain found: {volume_ml:.0f} ml look like brain, confidence {confidence:.2f}")
    cleaned = raw.with_array(_one_part(raw.array, border_mm) if border_mm else brain)
    distance = cleaned.resample(head.geometry, fill=float(bundle.settings["output"]["clip_mm"]))
    inside = np.asarray(distance.array <= border_mm)
    if not csf:
        inside = _without_csf(np.asarray(head.array), np.asarray(distance.array), inside)
    mask = Segmentation(inside.astype(np.uint8), head.geometry, (BRAIN,))
    warnings, edge_mark = _edges(mask)
    if pose.seen < _MIN_SEEN and not any(warning.code == Code.CUT_OFF_HEAD for warning in warnings):
        share = round(100 * (1 - pose.seen))
        text = f"part of the head lies outside the image: {share} % of a usual brain's outline laid onto this one do"
        warnings = (*warnings, Warn(Code.CUT_OFF_HEAD, text, {"outside_percent": share}))
    return Brain(mask, distance, round(confidence * edge_mark, 3), warnings)


def _one_part(distance: Float, border_mm: float) -> Float:
    """Keep the largest part and fill its holes, in the distance map itself, so that every later threshold sees them."""
    from scipy import ndimage

    inside = distance <= border_mm
    part = largest_component(inside)
    filled = part.copy()
    for box in ndimage.find_objects(part.astype(np.uint8)):
        filled[box] = ndimage.binary_fill_holes(part[box])
    cleaned = np.where(inside & ~part, border_mm + 1.0, distance)
    return np.asarray(np.where(filled & ~part, border_mm - 1.0, cleaned), dtype=np.float32)


def _volume_mark(volume_ml: float) -> float:
    low, high = _PLAUSIBLE_ML
    outside = max(0.0, (low - volume_ml) / low, (volume_ml - high) / high)
    return max(0.0, 1.0 - 2.0 * outside)


def _slope_mark(distance: Float, spacing_mm: float) -> float:
    """A true border's distance rises by 1 mm a mm; a guess is flat. Median slope within 3 mm of the brain's border.

    Far from the brain, in air without noise, a network may say anything: that does not count.
    Heads of every contrast at hand reach 0.70 to 0.81, noise (white or smooth) 0.39 to 0.47.
    """
    from scipy import ndimage

    around = ndimage.binary_dilation(largest_component(distance <= 0), iterations=2)
    near = around & (np.abs(distance) < 3)
    if not near.any():
        return 0.0
    slope = np.sqrt(sum(np.square(g) for g in np.gradient(distance, spacing_mm)))[near]
    return float(np.clip((np.median(slope) - 0.4) / 0.35, 0, 1))


def _shape_mark(residual_mm: float) -> float:
    """What looked like a brain at first lies on a brain's outline (whole heads: within 2.4 mm), or it is none."""
    return float(np.clip((5.0 - residual_mm) / 2.5, 0, 1))


def _edges(mask: Segmentation) -> tuple[tuple[Warn, ...], float]:
    """Warn where the brain runs into the image's edge. Returns the warnings and a mark in 0..1."""
    geometry, inside = mask.geometry, mask.mask()
    touched: dict[str, float] = {}
    for axis, code in enumerate(geometry.codes):
        face_mm2 = geometry.voxel_mm3 / geometry.spacing_mm[axis]
        opposite = {"L": "R", "R": "L", "P": "A", "A": "P", "S": "I", "I": "S"}[code]
        for index, letter in ((0, opposite), (-1, code)):
            area = float(np.count_nonzero(inside.take(index, axis=axis))) * face_mm2 / 100
            if area > 0.5:
                touched[letter] = round(area, 1)
    if not touched:
        return (), 1.0
    names = {"L": "left", "R": "right", "A": "anterior", "P": "posterior", "S": "superior", "I": "inferior"}
    sides = ", ".join(f"{names[letter]} ({area:g} cm2)" for letter, area in sorted(touched.items()))
    warnings = [Warn(Code.MASK_TOUCHES_EDGE, f"the brain touches the image's edge: {sides}", {"cm2": touched})]
    # below, a field of view often ends at the foramen magnum: that cuts no brain off
    lost = sum(area for letter, area in touched.items() if letter != "I") + max(0.0, touched.get("I", 0.0) - 30.0)
    if lost > _CUT_CM2:
        warnings.append(Warn(Code.CUT_OFF_HEAD, f"part of the head lies outside the image ({sides})", {"cm2": touched}))
    return tuple(warnings), float(np.clip(1.0 - lost / 200.0, 0.2, 1.0))


def _without_csf(
    head: npt.NDArray[np.generic], distance: Float, inside: npt.NDArray[np.bool_]
) -> npt.NDArray[np.bool_]:
    """Drop the CSF shell: of three intensity classes (k-means) the one that fills the outermost 1.5 mm is CSF."""
    import cv2
    from scipy import ndimage

    values = np.asarray(head, dtype=np.float32)
    sample = values[inside][:: max(1, int(inside.sum()) // 50_000)]
    criteria = (cv2.TERM_CRITERIA_MAX_ITER + cv2.TERM_CRITERIA_EPS, 50, 1e-3)
    cv2.setRNGSeed(0)
    start = np.zeros((sample.size, 1), np.int32)
    start[:, 0] = np.searchsorted(np.quantile(sample, (0.2, 0.55)), sample)
    _, _, centers = cv2.kmeans(sample[:, None], 3, start, criteria, 1, cv2.KMEANS_USE_INITIAL_LABELS)
    borders = np.sort(centers[:, 0])
    classes = np.searchsorted((borders[:-1] + borders[1:]) / 2, values)
    shell = inside & (distance > distance[inside].max() - 1.5)
    fluid = inside & (classes == np.bincount(classes[shell], minlength=3).argmax())
    # only fluid that reaches the border: ventricles stay
    seeds = fluid & (distance > -2.0)
    outer = ndimage.binary_propagation(seeds, mask=fluid & (distance > -8.0))
    kept = largest_component(ndimage.binary_opening(inside & ~outer))
    return np.asarray(ndimage.binary_fill_holes(kept))
