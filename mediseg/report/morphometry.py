"""What the page shows of the callosum's measures: thickness on the picture and as a chart, and the sub-areas."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mediseg.geometry import Array
from mediseg.numerics.partition import SCHEMES
from mediseg.record import MeasurementRecord
from mediseg.report import figures as fig
from mediseg.report import svg
from mediseg.report.sections import Values, callosum_outline, grey_figure
from mediseg.results import Measurements, Midsagittal

_COLOURS = 8  # classes rib-0 to rib-7 of the style sheet, thin to thick
_AROUND_MM = np.array([9.0, 9.0])
_AREA = "area_"


@dataclass(frozen=True)
class ThicknessSection:
    """The field lines on the picture (None without one), the thickness at which each colour begins, and the profile."""

    figure: svg.Figure | None
    colours_mm: tuple[float, ...]
    has_index: bool
    chart: svg.Chart


def thickness_section(values: Values) -> ThicknessSection | None:
    """Draw the thickness along the callosum: on the mid-sagittal picture and as a profile with its parts."""
    measured = values.measurements
    if measured is None or len(measured.thickness_mm) < 2:
        return None
    edges = _colour_edges(measured.thickness_mm)
    figure = None
    if values.midsagittal is not None and values.callosum is not None and "thickness" in measured.lines_lps_mm:
        figure = _figure(values, values.midsagittal, measured, edges)
    return ThicknessSection(figure, edges, "cc_index" in measured.lines_lps_mm, _chart(measured))


def _colour_edges(thickness_mm: Array) -> tuple[float, ...]:
    """Return where each colour begins: from 0 on in steps of halves of a mm, the last for the thickest few per cent."""
    finite = thickness_mm[np.isfinite(thickness_mm)]
    highest = float(np.percentile(finite, 95)) if finite.size else 1.0
    step = max(0.5, math.ceil(2 * highest / _COLOURS) / 2)
    return tuple(step * n for n in range(_COLOURS))


def _figure(values: Values, plane: Midsagittal, measured: Measurements, edges: tuple[float, ...]) -> svg.Figure | None:
    assert values.callosum is not None
    whole = fig.face_left(plane.image)
    lines = callosum_outline(values.callosum, whole)
    if not lines:
        return None
    points = np.vstack(lines)
    spacing = min(0.4, whole.grid.spacing_mm[0])
    view = fig.part_of(whole, points.min(axis=0) - _AROUND_MM, points.max(axis=0) + _AROUND_MM, spacing)
    ribs = view.xy_mm(measured.lines_lps_mm["thickness"])
    colour = np.searchsorted(np.array(edges), np.nan_to_num(measured.thickness_mm), side="right") - 1
    layers = [
        svg.Layer("contour", (svg.Path(svg.outlines(callosum_outline(values.callosum, view))),)),
        svg.Layer(
            "ribs", tuple(svg.Path(_segments(ribs[colour == n]), f"rib-{n}") for n in sorted(set(colour.tolist())))
        ),
        svg.Layer("medial", (svg.Path(svg.path(view.xy_mm(measured.medial_line_lps_mm))),)),
    ]
    if "cc_index" in measured.lines_lps_mm:
        longest, *widths = view.xy_mm(measured.lines_lps_mm["cc_index"])
        layers.append(svg.Layer("index", (svg.Path(svg.path(longest), "thin"), svg.Path(_segments(np.array(widths))))))
    return grey_figure(
        view,
        fig.cut(plane.image, view, order=3),
        fig.window(plane.image),
        "Corpus callosum enlarged, with the lines along which thickness and the callosum index are measured",
        layers=tuple(layers),
        scale_mm=10,
        font_mm=0.05 * view.size_mm[1],
    )


def _segments(pairs: Array) -> str:
    """Return pairs of ends (n, 2, 2) as one path."""
    return "".join(svg.path(pair) for pair in pairs)


def _chart(measured: Measurements) -> svg.Chart:
    finite = measured.thickness_mm[np.isfinite(measured.thickness_mm)]
    span = f", {finite.min():.1f} to {finite.max():.1f} mm" if finite.size else ""
    alt = f"Thickness at {len(measured.thickness_mm)} points from rostrum to splenium{span}"
    return svg.profile_chart(measured.thickness_mm, _part_runs(measured), alt)


def _part_runs(measured: Measurements) -> list[tuple[int, int, int, str]]:
    """Runs of points in the same part: (first, last, number, name)."""
    parts = measured.parts
    index = np.rint(parts.geometry.ijk_from_lps(measured.medial_line_lps_mm)).astype(int)
    index = np.clip(index, 0, np.array(parts.geometry.shape) - 1)
    numbers = parts.labels[index[:, 0], index[:, 1], index[:, 2]]
    names = {segment.number: segment.name for segment in parts.segments}
    edges = np.flatnonzero(np.diff(numbers)) + 1
    runs = np.split(np.arange(len(numbers)), edges)
    return [
        (int(r[0]), int(r[-1]), int(numbers[r[0]]), names[int(numbers[r[0]])]) for r in runs if numbers[r[0]] in names
    ]


# ---------------------------------------------------------------- sub-areas


@dataclass(frozen=True)
class AreaRow:
    """One way to divide the callosum: (name, mm2, share in per cent) of each part, front to back."""

    scheme: str
    parts: tuple[tuple[str, float | None, float | None], ...]
    method: str
    source: str


def area_rows(measurements: Iterable[MeasurementRecord]) -> tuple[list[AreaRow], list[MeasurementRecord]]:
    """Gather the sub-areas of a scheme into one row; return the rows and the measurements that are none."""
    left = list(measurements)
    rows = []
    for scheme, parts in SCHEMES.items():
        names = {f"{_AREA}{scheme}_{name.replace(' ', '_')}": name for name, _ in parts}
        found = [m for m in left if m.name in names]
        if not found:
            continue
        whole = sum(m.value or 0.0 for m in found)
        cells = tuple((names[m.name], m.value, 100 * m.value / whole if m.value and whole else None) for m in found)
        rows.append(AreaRow(scheme, cells, found[0].method, found[0].source))
        left = [m for m in left if m.name not in names]
    return rows, left
