"""Corpus-callosum segmentation on a mid-sagittal image with a 2-D network."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Geometry
from mediseg.inference import Bundle, load_bundle
from mediseg.numerics.shapes import bridged, isolated, largest_component, outline, polygon_area, polygon_perimeter
from mediseg.results import Callosum, Frame
from mediseg.steps.looks import acpc_frame, level_window, pose_of, whole_slice
from mediseg.steps.setting import Setting
from mediseg.volume import CodedConcept, Segment, Segmentation, Volume

CALLOSUM = Segment(1, "corpus callosum", CodedConcept("88442005", "SCT", "Corpus callosum"))

Floats = npt.NDArray[np.float32]

_SMALLEST_MM2 = 100.0
# Where a callosum is thinner than the network's pixel its probability falls below the threshold, but hardly to this.
_JOIN = 0.2


def segment_callosum(
    image: Volume,
    *,
    threshold: Annotated[float, Setting("probability from which a pixel is callosum", 0.05, 0.95)] = 0.5,
    model: Annotated[str, Setting("name or folder of a callosum bundle")] = "callosum-bisenetv2",
) -> Callosum:
    """Segment the corpus callosum on one mid-sagittal slice (any matrix, spacing and axis order).

    A first network sees the whole slice, face left, in ways that lie half a pixel apart. Where the bundle names a
    companion for it, that one sees the window about what was found, turned level, and draws the border. Probabilities
    are brought back to the image's own grid (linear) and averaged before the threshold, and the largest part is kept; a
    neck too thin for the network is closed, with a LOW_CONFIDENCE warning. Another companion gives the AC-PC frame.
    ``plausibility`` (0..1) compares area, length and circularity to the training population, ``certainty`` is the mean
    probability inside, the lower of the first network's and the last: the second looks where it is told to, and may
    see a callosum where the first hardly did.

    Raises Refusal when the image is no single sagittal slice or no corpus callosum is found.
    """
    bundle = load_bundle(model, "callosum")
    upright = _face_left(image)
    first = whole_slice(upright, bundle)
    raw = _refined(upright, first, bundle, threshold)
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
    part = isolated(probability, threshold)
    return Callosum(
        labels.resample(image),
        Volume(probability[:, :, None], geometry, image.source).resample(image),
        acpc=_acpc(upright, part, bundle),
        plausibility=round(_plausibility(part, threshold, geometry, bundle.settings["population"]), 3),
        certainty=round(float(min(probability[mask].mean(), first[mask].mean())), 3),
        warnings=(*_edge_warning(mask), *_neck_warning(necks)),
    )


def _refined(upright: Volume, first: Floats, bundle: Bundle, threshold: float) -> Floats:
    """Look a second time, at the window about the largest part; and once more, level on what that showed."""
    fine = bundle.companion("callosum-fine")
    if fine is None or not (first >= _JOIN).any():
        return first
    probability = first
    for _ in range(2):
        level = threshold if (probability >= threshold).any() else _JOIN
        whole, _ = bridged(probability, level, min(_JOIN, level))
        seen = level_window(upright, pose_of(upright, isolated(whole, level)), fine)
        if not (seen >= _JOIN).any():
            return seen
        probability = seen
    return probability


def _acpc(upright: Volume, part: npt.NDArray[np.float64], bundle: Bundle) -> Frame | None:
    model = bundle.companion("acpc")
    return None if model is None else acpc_frame(upright, pose_of(upright, part), model)


def _face_left(image: Volume) -> Volume:
    if min(image.geometry.shape) != 1:
        raise Refusal("segment_callosum needs one slice; find_midsagittal gives it from a volume")
    upright = image.reorient("PIR")
    if upright.geometry.shape[2] != 1:
        raise Refusal("the slice is not sagittal: turn the study's mid-sagittal slice in, or a volume")
    return upright


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
