"""Corpus-callosum morphometry: size, shape, thickness along the medial line, and sub-areas."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.geometry import Geometry
from mediseg.numerics.laplace import Band, band_thickness
from mediseg.numerics.moments import principal_axis
from mediseg.numerics.shapes import isolated, outline, polygon_area, polygon_perimeter
from mediseg.results import Callosum, Measurement, Measurements
from mediseg.steps.setting import Setting
from mediseg.volume import CodedConcept, Segment, Segmentation

Array = npt.NDArray[np.float64]

# Fractions of the length at which straight cuts fall, front to back.
SCHEMES: dict[str, tuple[tuple[str, float], ...]] = {
    "witelson": (
        ("anterior third", 1 / 3),
        ("anterior midbody", 1 / 2),
        ("posterior midbody", 2 / 3),
        ("isthmus", 4 / 5),
        ("splenium", 1.0),
    ),
    "hofer_frahm": (("I", 1 / 6), ("II", 1 / 2), ("III", 2 / 3), ("IV", 3 / 4), ("V", 1.0)),
}
SCHEME_SOURCE = {
    "witelson": "Witelson 1989, Brain 112:799",
    "hofer_frahm": "Hofer & Frahm 2006, NeuroImage 32:989",
}

_AREA = CodedConcept("42798000", "SCT", "Area")
_LENGTH = CodedConcept("410668003", "SCT", "Length")
_PERIMETER = CodedConcept("131191004", "SCT", "Perimeter")


def measure_callosum(
    callosum: Callosum,
    *,
    parts: Annotated[
        str, Setting("scheme of the parts' label map; areas are given for both", choices=tuple(sorted(SCHEMES)))
    ] = "hofer_frahm",
    samples: Annotated[int, Setting("points along the medial line", 10, 1000)] = 100,
) -> Measurements:
    """Measure the corpus callosum on its mid-sagittal slice, in mm, at sub-pixel precision.

    The outline is where the probability of the largest part crosses 0.5 (linear interpolation). Area: the polygon's
    (shoelace); perimeter: its length; circularity: 4 pi A / P^2; length: extent along the principal axis of the soft
    second moments; thickness: Laplace's equation between the upper and lower border (Jones et al. 2000), at equally
    spaced points of the medial line from the rostrum's to the splenium's lowest point; parts: cuts at right angles to
    the principal axis at the scheme's fractions of the length.

    Raises Refusal when there is nothing to measure.
    """
    upright = callosum.probability.reorient("PIR")
    spacing = np.array(upright.geometry.spacing_mm[:2])
    probability = np.asarray(upright.array[:, :, 0], dtype=np.float64)
    soft = isolated(probability, 0.5)
    part = soft >= 0.5
    if np.count_nonzero(part) < 20:
        raise Refusal("the corpus callosum is too small to measure")
    polygon = outline(soft, 0.5) * spacing
    axis = _axis(soft, spacing)
    along = polygon @ axis
    start, length = float(along.min()), float(along.max() - along.min())
    band = band_thickness(polygon, _tips(polygon, axis), samples)
    area, perimeter = abs(polygon_area(polygon)), polygon_perimeter(polygon)
    values = _values(area, perimeter, length, band)
    for scheme in SCHEMES:
        values += _part_areas(scheme, polygon, axis, start, length)
    labels = _part_labels(parts, part, upright.geometry, axis, start, length)
    medial = upright.geometry.lps_from_ijk(np.column_stack([band.medial_mm / spacing, np.zeros(samples)]))
    return Measurements(tuple(values), band.thickness_mm, medial, labels.resample(callosum.probability))


def _axis(soft: Array, spacing: Array) -> Array:
    cells = np.argwhere(soft > 0.05)
    _, axis = principal_axis(cells * spacing, soft[cells[:, 0], cells[:, 1]])
    return axis


def _tips(polygon: Array, axis: Array) -> tuple[int, int]:
    """Return the lowest outline point (at right angles to the axis) of the front half and of the back half."""
    down = np.array([-axis[1], axis[0]])
    along, depth = polygon @ axis, polygon @ down
    middle = (along.min() + along.max()) / 2
    front = int(np.argmax(np.where(along < middle, depth, -np.inf)))
    back = int(np.argmax(np.where(along >= middle, depth, -np.inf)))
    return front, back


def _values(area: float, perimeter: float, length: float, band: Band) -> list[Measurement]:
    thickness = band.thickness_mm
    laplace = "Laplace field lines across the medial line"
    jones = "Jones et al. 2000, Hum Brain Mapp 11:12"
    return [
        Measurement(
            "area", area, "mm2", _AREA, method="polygon of the 0.5 probability line", source="shoelace formula"
        ),
        Measurement("perimeter", perimeter, "mm", _PERIMETER, method="length of the 0.5 probability line"),
        Measurement("circularity", 4 * np.pi * area / perimeter**2, "1", method="4 pi area / perimeter^2"),
        Measurement("length", length, "mm", _LENGTH, method="extent along the principal axis of the soft moments"),
        Measurement(
            "medial_line_length", band.length_mm, "mm", _LENGTH, method="length of the medial line", source=jones
        ),
        Measurement("thickness_mean", float(thickness.mean()), "mm", method=laplace, source=jones),
        Measurement(
            "thickness_min", float(thickness[5:-5].min()), "mm", method=f"{laplace}, ends left out", source=jones
        ),
        Measurement("thickness_max", float(thickness.max()), "mm", method=laplace, source=jones),
    ]


def _part_areas(scheme: str, polygon: Array, axis: Array, start: float, length: float) -> list[Measurement]:
    """Areas between straight cuts, from the outline itself."""
    names = [name for name, _ in SCHEMES[scheme]]
    edges = [0.0, *[fraction for _, fraction in SCHEMES[scheme]]]
    below = [_area_below(polygon, axis, start + fraction * length) for fraction in edges]
    return [
        Measurement(
            f"area_{scheme}_{name.replace(' ', '_')}",
            high - low,
            "mm2",
            _AREA,
            method="between straight cuts at right angles to the principal axis",
            source=SCHEME_SOURCE[scheme],
        )
        for name, low, high in zip(names, below[:-1], below[1:], strict=True)
    ]


def _area_below(polygon: Array, axis: Array, limit: float) -> float:
    """Area of the polygon where ``point . axis <= limit`` (Sutherland-Hodgman clipping against one line)."""
    height = polygon @ axis - limit
    nxt, next_height = np.roll(polygon, -1, axis=0), np.roll(height, -1)
    kept: list[Array] = []
    for point, after, h, g in zip(polygon, nxt, height, next_height, strict=True):
        if h <= 0:
            kept.append(point)
        if (h < 0 < g) or (g < 0 < h):
            kept.append(point + (after - point) * h / (h - g))
    return abs(polygon_area(np.array(kept))) if len(kept) >= 3 else 0.0


def _part_labels(
    scheme: str, part: npt.NDArray[np.bool_], geometry: Geometry, axis: Array, start: float, length: float
) -> Segmentation:
    spacing = np.array(geometry.spacing_mm[:2])
    cells = np.argwhere(part)
    share = ((cells * spacing) @ axis - start) / length
    edges = [fraction for _, fraction in SCHEMES[scheme]][:-1]
    labels = np.zeros((*part.shape, 1), np.uint8)
    labels[cells[:, 0], cells[:, 1], 0] = 1 + np.searchsorted(edges, share)
    segments = tuple(Segment(n, f"{scheme} {name}") for n, (name, _) in enumerate(SCHEMES[scheme], start=1))
    return Segmentation(labels, geometry, segments)
