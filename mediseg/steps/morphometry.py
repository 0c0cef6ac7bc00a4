"""Corpus-callosum morphometry: size, shape, thickness along the medial line, and sub-areas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Geometry
from mediseg.numerics import partition
from mediseg.numerics.curves import turning_rad
from mediseg.numerics.laplace import Band, band_ends, band_thickness
from mediseg.numerics.moments import principal_axis
from mediseg.numerics.partition import FREESURFER, SCHEMES
from mediseg.numerics.polygons import crossings, farthest_pair
from mediseg.numerics.shapes import alone, fine_outline, isolated, largest_component, polygon_perimeter, soft_weights
from mediseg.results import Callosum, Measurement, Measurements
from mediseg.steps.setting import Setting
from mediseg.volume import CodedConcept, Segment, Segmentation

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Share = Callable[[Array], Array]

SCHEME_SOURCE = {
    "witelson": "Witelson 1989, Brain 112:799",
    "hofer_frahm": "Hofer & Frahm 2006, NeuroImage 32:989",
    "medial": "fractions of Hofer & Frahm 2006, NeuroImage 32:989",
    "vertical": "fractions of Hofer & Frahm 2006, NeuroImage 32:989",
    "angular": "Hampel et al. 1998, Arch Neurol 55:193",
}
_SCHEME_METHOD = {
    "witelson": "between straight cuts at right angles to the principal axis",
    "hofer_frahm": "between straight cuts at right angles to the principal axis",
    "medial": "between cuts at right angles to the medial line, at shares of its length",
    "vertical": "between straight cuts at right angles to the longest line",
    "angular": "five sectors of 36 degrees about the middle of the lower side of the box along the principal axis",
}
_AREA = CodedConcept("42798000", "SCT", "Area")
_LENGTH = CodedConcept("410668003", "SCT", "Length")
_PERIMETER = CodedConcept("131191004", "SCT", "Perimeter")

_SMALLEST_PIXELS, _SMALLEST_MM2 = 20, 10.0
_BORDER_MM = 2.0  # how far a soft border may reach beyond the 0.5 line
_NOTABLE_MM2 = 2.0  # a hole from this size on is told
_NOTABLE_PART = 0.02  # of the callosum: a second part from this size on is told
_BODY = (0.175, 0.825)  # of the medial line: FastSurfer-CC's body

# The only range whose paper was read: 100 healthy volunteers (44 men, 56 women), 14-68 years, no effect of age.
_AREA_NORM = (627.0, 90.0)
_AREA_NORM_YEARS = (14.0, 68.0)
_AREA_NORM_SOURCE = "Mitchell et al. 2003, AJNR 24:410: 627 +- 90 mm2, 14-68 years, both sexes; mean +- 1.96 SD"


def measure_callosum(
    callosum: Callosum,
    *,
    parts: Annotated[
        str, Setting("scheme of the parts' label map; areas are given for all", choices=tuple(sorted(SCHEMES)))
    ] = "hofer_frahm",
    samples: Annotated[int, Setting("points along the medial line", 10, 1000)] = 100,
    age_years: Annotated[float | None, Setting("the patient's age, for the normal range of the area", 0, 120)] = None,
) -> Measurements:
    """Measure the corpus callosum on its mid-sagittal slice, in mm, at sub-pixel precision.

    Area: the sum of the probability over the largest part and the border about it, so that a pixel that is half
    callosum counts half. The outline is where the probability crosses 0.5 on a cubic spline; from it come perimeter,
    circularity 4 pi A / P^2, length along the principal axis of the soft second moments, and the corpus callosum index
    (Figueira et al. 2007). Thickness, medial line and its curvature: Laplace's equation between the upper and the lower
    border (Jones et al. 2000), from the rostrum's end to the splenium's. Sub-areas: see SCHEMES. A measure that the
    shape does not define (the index of a bar) is left out.

    ``age_years`` gives the area its published range; without it, or outside of the paper's ages, none is shown.
    Raises Refusal when there is nothing to measure.
    """
    upright = callosum.probability.reorient("PIR")
    if upright.geometry.shape[2] != 1:
        raise Refusal("measure_callosum needs the callosum of one sagittal slice")
    shape = _shape(np.asarray(upright.array[:, :, 0], dtype=np.float64), np.array(upright.geometry.spacing_mm[:2]))
    outline, tips = band_ends(shape.outline_mm)
    band = band_thickness(outline, tips, samples)
    index = _index_lines(shape.outline_mm)
    shares = _shares(shape, band)
    values = [*_size(shape, age_years), *_index(index), *_along(band)]
    for scheme in SCHEMES:
        values += _part_areas(scheme, shape, shares[scheme])
    to_lps = _InSpace(upright.geometry, shape.spacing)
    lines = {"thickness": to_lps(np.stack([band.first_mm, band.second_mm], axis=1))}
    if index is not None:
        lines["cc_index"] = to_lps(index)
    own = callosum.probability
    return Measurements(
        tuple(values),
        band.thickness_mm,
        to_lps(band.medial_mm),
        _part_labels(parts, shape, shares[parts], upright.geometry).resample(own),
        _fastsurfer_labels(shape, shares["medial"], upright.geometry).resample(own),
        lines,
        (*_shape_warnings(shape, callosum), *_range_warning(values[0])),
    )


@dataclass(frozen=True)
class _Shape:
    """The largest part, face left: points in mm from the first pixel's centre (x to posterior, y to inferior).

    ``weights`` are the probability within the soft border, ``part`` its pixels of 0.5 and more; the principal axis
    runs from ``front_mm`` to ``back_mm``, as far as the outline reaches.
    """

    probability: Array
    weights: Array
    part: Mask
    spacing: Array
    outline_mm: Array
    front_mm: Array
    back_mm: Array

    @property
    def pixel_mm2(self) -> float:
        return float(self.spacing.prod())

    @property
    def area_mm2(self) -> float:
        return float(self.weights.sum()) * self.pixel_mm2

    @property
    def axis(self) -> Array:
        way = self.back_mm - self.front_mm
        return np.asarray(way / np.linalg.norm(way))


def _shape(probability: Array, spacing: Array) -> _Shape:
    if not np.isfinite(probability).all():
        raise Refusal("the callosum's probability map holds values that are not finite")
    part = largest_component(probability >= 0.5)
    count = int(np.count_nonzero(part))
    if count < _SMALLEST_PIXELS or count * float(spacing.prod()) < _SMALLEST_MM2:
        raise Refusal(f"the corpus callosum is too small to measure ({count} pixels)")
    outline = fine_outline(alone(probability, 0.5), 0.5, spacing)
    weights = soft_weights(probability, 0.5, spacing, _BORDER_MM)
    mean, axis = _principal(isolated(probability, 0.5), spacing)
    along = (outline - mean) @ axis
    front, back = mean + along.min() * axis, mean + along.max() * axis
    return _Shape(probability, weights, part, spacing, outline, front, back)


def _principal(soft: Array, spacing: Array) -> tuple[Array, Array]:
    cells = np.argwhere(soft > 0.05)
    return principal_axis(cells * spacing, soft[cells[:, 0], cells[:, 1]])


@dataclass(frozen=True)
class _InSpace:
    """Takes points (..., 2) on the face-left picture to patient space (..., 3)."""

    geometry: Geometry
    spacing: Array

    def __call__(self, points_mm: Array) -> Array:
        ij = points_mm / self.spacing
        return self.geometry.lps_from_ijk(np.concatenate([ij, np.zeros((*ij.shape[:-1], 1))], axis=-1))


# ---------------------------------------------------------------- single values


def _size(shape: _Shape, age_years: float | None) -> list[Measurement]:
    area, perimeter = shape.area_mm2, polygon_perimeter(shape.outline_mm)
    length = float(np.linalg.norm(shape.back_mm - shape.front_mm))
    low, high = _area_range(age_years)
    return [
        Measurement(
            "area",
            area,
            "mm2",
            _AREA,
            low,
            high,
            "sum of the probability (partial volume)",
            "" if low is None else _AREA_NORM_SOURCE,
        ),
        Measurement("perimeter", perimeter, "mm", _PERIMETER, method="length of the 0.5 probability line"),
        Measurement("circularity", 4 * np.pi * area / perimeter**2, "1", method="4 pi area / perimeter^2"),
        Measurement("length", length, "mm", _LENGTH, method="extent along the principal axis of the soft moments"),
    ]


def _area_range(age_years: float | None) -> tuple[float | None, float | None]:
    if age_years is None or not _AREA_NORM_YEARS[0] <= age_years <= _AREA_NORM_YEARS[1]:
        return None, None
    mean, sd = _AREA_NORM
    return round(mean - 1.96 * sd, 1), round(mean + 1.96 * sd, 1)


def _range_warning(area: Measurement) -> tuple[Warn, ...]:
    if area.low is None or area.high is None or area.low <= area.value <= area.high:
        return ()
    message = f"the callosum's area, {area.value:.0f} mm2, lies outside {area.low:.0f} to {area.high:.0f} mm2"
    detail = {"area_mm2": round(area.value, 1), "low": area.low, "high": area.high, "source": area.source}
    return (Warn(Code.OUTSIDE_NORMAL, message, detail),)


def _index_lines(outline: Array) -> Array | None:
    """Return the longest line and the widths of its front, its middle and its back, as ends (4, 2, 2).

    None where the longest line stays inside (a bar), so that there are no widths.
    """
    front, back = farthest_pair(outline)
    length = float(np.linalg.norm(back - front))
    unit = (back - front) / length
    places, _ = crossings(outline, front, unit)
    inner = places[(places > 1e-3 * length) & (places < (1 - 1e-3) * length)]
    across = np.array([-unit[1], unit[0]])
    middle = (front + back) / 2
    cuts, _ = crossings(outline, middle, across)
    if len(inner) < 2 or len(cuts) < 2:
        return None
    widths = [
        (front, front + inner[0] * unit),
        (middle + cuts[0] * across, middle + cuts[-1] * across),
        (front + inner[-1] * unit, back),
    ]
    return np.array([(front, back), *widths])


def _index(lines: Array | None) -> list[Measurement]:
    if lines is None:
        return []
    longest, *widths = np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1)
    return [
        Measurement(
            "cc_index",
            float(sum(widths) / longest),
            "1",
            method="widths of front and back on the longest line, and across its middle, over its length",
            source="Figueira et al. 2007, Arq Neuropsiquiatr 65:931",
        )
    ]


def _along(band: Band) -> list[Measurement]:
    thickness, samples = band.thickness_mm, len(band.thickness_mm)
    laplace = "Laplace field lines across the medial line"
    jones = "Jones et al. 2000, Hum Brain Mapp 11:12"
    ends = max(1, samples // 20)
    bend = turning_rad(band.medial_mm) / (band.length_mm / (samples - 1))
    first, last = (int(share * samples) for share in _BODY)
    body = bend[first : max(last - 2, first + 1)]
    turn = "turning of the medial line over its length"
    return [
        Measurement(
            "medial_line_length", band.length_mm, "mm", _LENGTH, method="length of the medial line", source=jones
        ),
        Measurement("thickness_mean", float(thickness.mean()), "mm", method=laplace, source=jones),
        Measurement(
            "thickness_min", float(thickness[ends:-ends].min()), "mm", method=f"{laplace}, ends left out", source=jones
        ),
        Measurement("thickness_max", float(thickness.max()), "mm", method=laplace, source=jones),
        Measurement("curvature_mean", float(bend.mean()), "/mm", method=turn),
        Measurement("curvature_body", float(body.mean()), "/mm", method=f"{turn}, its middle 65 %"),
    ]


# ---------------------------------------------------------------- parts


def _shares(shape: _Shape, band: Band) -> dict[str, Share]:
    """Return how far along points lie, by scheme."""
    axis = shape.axis
    down = np.array([-axis[1], axis[0]])
    lowest = float(((shape.outline_mm - shape.front_mm) @ down).max())
    base = (shape.front_mm + shape.back_mm) / 2 + lowest * down
    front, back = farthest_pair(shape.outline_mm)

    def straight(points: Array) -> Array:
        return partition.along_axis(points, shape.front_mm, shape.back_mm)

    return {
        "witelson": straight,
        "hofer_frahm": straight,
        "medial": lambda points: partition.along_line(points, band.medial_mm),
        "vertical": lambda points: partition.along_axis(points, front, back),
        "angular": lambda points: partition.along_angle(points, base, -axis),
    }


def _part_of(scheme: str, share: Share, points: Array) -> npt.NDArray[np.intp]:
    """Return the index of each point's part, 0 the foremost."""
    edges = [fraction for _, fraction in SCHEMES[scheme]][:-1]
    return np.searchsorted(edges, share(points), side="right")


def _part_areas(scheme: str, shape: _Shape, share: Share) -> list[Measurement]:
    """Areas of the parts: each pixel's probability is shared out by the pieces of it that lie in each."""
    names = [name for name, _ in SCHEMES[scheme]]
    cells = np.argwhere(shape.weights > 0)
    points, pieces = partition.subpixels(cells, shape.spacing)
    weights = np.repeat(shape.weights[cells[:, 0], cells[:, 1]] / pieces, pieces)
    areas = np.bincount(_part_of(scheme, share, points), weights, len(names)) * shape.pixel_mm2
    return [
        Measurement(
            f"area_{scheme}_{name.replace(' ', '_')}",
            float(area),
            "mm2",
            _AREA,
            method=_SCHEME_METHOD[scheme],
            source=SCHEME_SOURCE[scheme],
        )
        for name, area in zip(names, areas, strict=True)
    ]


def _numbered(scheme: str, shape: _Shape, share: Share) -> npt.NDArray[np.uint8]:
    cells = np.argwhere(shape.part)
    labels = np.zeros((*shape.part.shape, 1), np.uint8)
    labels[cells[:, 0], cells[:, 1], 0] = 1 + _part_of(scheme, share, cells * shape.spacing)
    return labels


def _part_labels(scheme: str, shape: _Shape, share: Share, geometry: Geometry) -> Segmentation:
    segments = tuple(Segment(n, f"{scheme} {name}") for n, (name, _) in enumerate(SCHEMES[scheme], start=1))
    return Segmentation(_numbered(scheme, shape, share), geometry, segments)


def _fastsurfer_labels(shape: _Shape, share: Share, geometry: Geometry) -> Segmentation:
    numbers = np.array([0, *[number for number, _ in FREESURFER]], np.uint8)
    segments = tuple(Segment(number, name) for number, name in reversed(FREESURFER))
    return Segmentation(numbers[_numbered("medial", shape, share)], geometry, segments)


# ---------------------------------------------------------------- warnings


def _shape_warnings(shape: _Shape, callosum: Callosum) -> tuple[Warn, ...]:
    from scipy import ndimage

    part, pixel = shape.part, shape.pixel_mm2
    lost = np.count_nonzero((shape.probability >= 0.5) & ~part) * pixel
    hole = np.count_nonzero(ndimage.binary_fill_holes(part) & ~part) * pixel
    border = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
    known = {warning.code for warning in callosum.warnings}
    found = []
    if lost >= _NOTABLE_PART * np.count_nonzero(part) * pixel:
        message = f"the corpus callosum lies in parts: {lost:.0f} mm2 outside of the largest are not measured"
        found.append(Warn(Code.LOW_CONFIDENCE, message, {"lost_mm2": round(lost, 1)}))
    if hole >= _NOTABLE_MM2:
        message = f"the corpus callosum has a hole of {hole:.0f} mm2: thickness is measured across it"
        found.append(Warn(Code.LOW_CONFIDENCE, message, {"hole_mm2": round(hole, 1)}))
    if border.any() and Code.MASK_TOUCHES_EDGE not in known:
        message = "the corpus callosum runs into the edge of the image: what lies beyond is not measured"
        found.append(Warn(Code.MASK_TOUCHES_EDGE, message))
    return tuple(found)
