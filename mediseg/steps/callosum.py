"""Corpus-callosum segmentation on a mid-sagittal image with a 2-D network."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Geometry
from mediseg.inference import Bundle, load_bundle, predict
from mediseg.numerics.shapes import bridged, isolated, largest_component, outline, polygon_area, polygon_perimeter
from mediseg.results import Callosum
from mediseg.steps.setting import Setting
from mediseg.volume import CodedConcept, Segment, Segmentation, Volume

CALLOSUM = Segment(1, "corpus callosum", CodedConcept("88442005", "SCT", "Corpus callosum"))

_SMALLEST_MM2 = 100.0
# Where a callosum is thinner than the network's pixel its probability falls below the threshold, but hardly to this.
_JOIN = 0.2


def segment_callosum(
    image: Volume,
    *,
    threshold: Annotated[float, Setting("probability from which a pixel is callosum", 0.05, 0.95)] = 0.5,
    model: Annotated[str, Setting("name or folder of a callosum bundle")] = "callosum-unet",
) -> Callosum:
    """Segment the corpus callosum on one mid-sagittal slice (any matrix, spacing and axis order).

    The image is brought to the network's spacing, face left, in four ways that lie half a pixel apart; the
    probabilities are brought back to the image's own grid (linear) and averaged before the threshold, and the largest
    part is kept; a neck too thin for the network is closed, with a
    LOW_CONFIDENCE warning. ``plausibility`` (0..1) compares area, length and
    circularity to the training population, ``certainty`` is the mean probability inside.

    Raises Refusal when the image is no single sagittal slice or no corpus callosum is found.
    """
    bundle = load_bundle(model, "callosum")
    upright = _face_left(image)
    raw = _probability(upright, bundle)
    closed, necks = bridged(raw, threshold, min(_JOIN, threshold))
    probability = closed.astype(np.float32)
    mask = largest_component(probability >= threshold)
    geometry = upright.geometry
    area_mm2 = float(np.count_nonzero(mask)) * geometry.spacing_mm[0] * geometry.spacing_mm[1]
    if area_mm2 < _SMALLEST_MM2:
        raise Refusal(
            "no corpus callosum found on the mid-sagittal image "
            f"(largest candidate {area_mm2:.0f} mm2, highest probability {float(probability.max()):.2f})"
        )
    labels = Segmentation(mask[:, :, None].astype(np.uint8), geometry, (CALLOSUM,))
    certainty = float(probability[mask].mean())
    plausibility = _plausibility(isolated(probability, threshold), threshold, geometry, bundle.settings["population"])
    return Callosum(
        labels.resample(image),
        Volume(probability[:, :, None], geometry, image.source).resample(image),
        acpc=None,
        plausibility=round(plausibility, 3),
        certainty=round(certainty, 3),
        warnings=(*_edge_warning(mask), *_neck_warning(necks)),
    )


def _face_left(image: Volume) -> Volume:
    if min(image.geometry.shape) != 1:
        raise Refusal("segment_callosum needs one slice; find_midsagittal gives it from a volume")
    upright = image.reorient("PIR")
    if upright.geometry.shape[2] != 1:
        raise Refusal("the slice is not sagittal: turn the study's mid-sagittal slice in, or a volume")
    return upright


def _probability(upright: Volume, bundle: Bundle) -> npt.NDArray[np.float32]:
    """Return the callosum's probability on the pixels of an upright slice, the mean over the bundle's grid phases.

    A border then hardly depends on where it falls between the network's pixels.
    """
    geometry, mm = upright.geometry, bundle.spacing_mm
    grid = geometry.with_spacing((mm, mm, geometry.spacing_mm[2]))
    total = np.zeros(geometry.shape[:2], np.float32)
    phases = bundle.settings["output"]["phases"]
    for down, right in phases:
        small = upright.resample(_shifted(grid, (right, down, 0.0)))
        answer = predict(bundle, small.array[:, :, 0].T)
        total += small.with_array(answer.T[:, :, None]).resample(upright).array[:, :, 0]
    return np.asarray(np.clip(total / len(phases), 0, 1), np.float32)


def _shifted(geometry: Geometry, ijk: tuple[float, float, float]) -> Geometry:
    affine = geometry.affine_lps.copy()
    affine[:3, 3] = geometry.lps_from_ijk(np.array(ijk))
    return Geometry(geometry.shape, affine, geometry.frame_of_reference)


def _edge_warning(mask: npt.NDArray[np.bool_]) -> tuple[Warn, ...]:
    if not (mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any()):
        return ()
    return (Warn(Code.MASK_TOUCHES_EDGE, "the corpus callosum runs into the edge of the mid-sagittal image"),)


def _neck_warning(necks: int) -> tuple[Warn, ...]:
    if necks == 0:
        return ()
    message = "the corpus callosum is so thin in one place that it was found in parts, which were joined"
    return (Warn(Code.LOW_CONFIDENCE, message, {"joined": necks}),)


def _plausibility(
    probability: npt.NDArray[np.float64], threshold: float, geometry: Geometry, population: dict[str, Any]
) -> float:
    """Return 1 within two standard deviations of the training masks' shapes, falling to 0 at six (worst measure)."""
    import cv2

    points = outline(probability, threshold) * np.array(geometry.spacing_mm[:2])
    area, perimeter = abs(polygon_area(points)), polygon_perimeter(points)
    sides = cv2.minAreaRect(points.astype(np.float32))[1]
    shape = {
        "area_mm2": area,
        "length_mm": max(sides),
        "width_mm": min(sides),
        "circularity": 4 * np.pi * area / max(perimeter, 1e-6) ** 2,
    }
    off = [
        abs(value - population[name]["mean"]) / population[name]["sd"]
        for name, value in shape.items()
        if name in population
    ]
    return float(np.clip((6.0 - max(off)) / 4.0, 0, 1))
