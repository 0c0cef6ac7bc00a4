"""What each part of the page shows: results to figures and rows. No markup, no files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from mediseg.geometry import Array
from mediseg.numerics.shapes import isolated
from mediseg.report import figures as fig
from mediseg.report import svg
from mediseg.results import (
    BiasCorrection,
    Brain,
    Callosum,
    Localization,
    Measurements,
    Midsagittal,
    ScanPlan,
    Stitched,
)
from mediseg.volume import Volume

ESTIMATES = ("robust", "final", "box", "line")
_MARGIN_MM = 22.0  # of a picture around the brain: enough to see the skull and what the mask may have missed
_AROUND_MM = np.array([12.0, 14.0])  # beside and above the callosum on its enlarged picture
_FINEST_MM = 0.5  # pictures of whole heads need no finer pixels
_WORTH_MM = 80.0  # a head that reaches less far across is not shown in that plane


@dataclass(frozen=True)
class Values:
    """What the steps gave; None where a step did not run or refused. Names as in a recipe."""

    head: Volume | None = None
    bias: BiasCorrection | None = None
    brain: Brain | None = None
    midsagittal: Midsagittal | None = None
    callosum: Callosum | None = None
    localization: Localization | None = None
    measurements: Measurements | None = None
    scan_plan: ScanPlan | None = None
    stitched: Stitched | None = None
    stations: tuple[Volume, ...] = ()

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Values:
        """Take the values that the page draws; others are passed over. Raises TypeError for one of a wrong type.

        A recipe that begins with a slice calls its input ``image``: that is the head then.
        """
        known: dict[str, Any] = {f.name: values[f.name] for f in fields(cls) if values.get(f.name) is not None}
        if "head" not in known and isinstance(values.get("image"), Volume):
            known["head"] = values["image"]
        if "head" not in known and isinstance(stations := values.get("stations"), tuple) and stations:
            known["head"] = stations[0]
        for name, value in known.items():
            if not isinstance(value, _TYPES[name]):
                raise TypeError(f'the report wants "{name}" as {_TYPES[name].__name__}, not {type(value).__name__}')
        return cls(**known)


_TYPES: dict[str, type] = {
    "head": Volume,
    "bias": BiasCorrection,
    "brain": Brain,
    "midsagittal": Midsagittal,
    "callosum": Callosum,
    "localization": Localization,
    "measurements": Measurements,
    "scan_plan": ScanPlan,
    "stitched": Stitched,
    "stations": tuple,
}


@dataclass(frozen=True)
class Toggle:
    """A layer that the reader may hide, and its name in the legend."""

    key: str
    label: str


def grey_figure(view: fig.View, picture: fig.Picture, limits: tuple[float, float], alt: str, **more: Any) -> svg.Figure:
    """Make a grey picture with the orientation letters; ``layers`` go under them."""
    width, height = view.size_mm
    font = more.pop("font_mm", 0.042 * max(width, height))
    layers = (*more.pop("layers", ()), svg.orientation_layer(view, width, height, font))
    if more.pop("scale", True):
        layers += (svg.scale_layer(width, height, font, more.pop("scale_mm", svg.SCALE_BAR_MM)),)
    image = fig.jpeg(fig.grey(picture, limits), more.pop("quality", 85))
    return svg.Figure(width, height, image, alt, layers, font_mm=font, **more)


# ---------------------------------------------------------------- mid-sagittal view


@dataclass(frozen=True)
class MidsagittalSection:
    """The whole mid-sagittal slice, the callosum enlarged, and the layers that may be hidden."""

    overview: svg.Figure
    zoom: svg.Figure | None
    toggles: tuple[Toggle, ...]
    parts: tuple[str, ...]
    tilt_deg: float
    is_source_slice: bool


def midsagittal_section(values: Values) -> MidsagittalSection | None:
    """Draw the mid-sagittal slice face left, with whatever is known of the callosum on it."""
    plane = values.midsagittal
    if plane is None:
        return None
    view = fig.face_left(plane.image)
    limits = fig.window(plane.image)
    drawn = _callosum_layers(values, view)
    chosen = values.localization.method if values.localization else ""
    kept = tuple(layer for layer in drawn if layer.key in ("contour", f"roi-{chosen}"))
    overview = grey_figure(
        view,
        fig.cut(plane.image, view),
        limits,
        "Mid-sagittal slice, the face looks to the left" + (", the corpus callosum outlined" if kept else ""),
        layers=kept,
    )
    zoom = _zoom(values, plane.image, view, limits)
    names = _legend(values, {layer.key for layer in (zoom.layers if zoom else ())})
    parts = tuple(s.name for s in values.measurements.parts.segments) if values.measurements else ()
    return MidsagittalSection(overview, zoom, names, parts, plane.tilt_deg, plane.is_source_slice)


_LEGEND = {
    "contour": "outline (probability 0.5)",
    "parts": "parts",
    "medial": "medial line",
    "acpc": "AC-PC line",
    "roi-box": "box",
    "roi-line": "line",
    "roi-final": "final",
    "roi-robust": "robust",
    "roi-given": "ROI as given",
}


def _legend(values: Values, keys: set[str]) -> tuple[Toggle, ...]:
    chosen = f"roi-{values.localization.method}" if values.localization else ""
    return tuple(
        Toggle(key, label + (" (chosen)" if key == chosen else "")) for key, label in _LEGEND.items() if key in keys
    )


def _zoom(values: Values, image: Volume, whole: fig.View, limits: tuple[float, float]) -> svg.Figure | None:
    if values.callosum is None:
        return None
    lines = callosum_outline(values.callosum, whole)
    if not lines:
        return None
    points = np.vstack([*lines, *[c for _, c in _rectangles(values, whole)]])
    low, high = points.min(axis=0) - _AROUND_MM, points.max(axis=0) + _AROUND_MM
    spacing = min(0.4, whole.grid.spacing_mm[0])
    view = fig.part_of(whole, low, high, spacing)
    return grey_figure(
        view,
        fig.cut(image, view, order=3),
        limits,
        "Corpus callosum enlarged, with its outline, its parts and the rectangles laid on it",
        layers=_callosum_layers(values, view),
        scale_mm=10,
        font_mm=0.044 * view.size_mm[1],
    )


def callosum_outline(callosum: Callosum, view: fig.View) -> list[Array]:
    """Outline the largest part as the measurements do: on the image's own pixels, then laid on the view."""
    own = fig.face_left(callosum.probability)
    soft = isolated(fig.cut(callosum.probability, own), 0.5).astype(np.float32)
    spacing = own.grid.spacing_mm[0]
    lines = fig.contours(soft, 0.5, spacing, 0.02)
    ijk = [np.column_stack([line / spacing - 0.5, np.zeros(len(line))]) for line in lines]
    return [view.xy_mm(own.grid.lps_from_ijk(points)) for points in ijk]


def _callosum_layers(values: Values, view: fig.View) -> tuple[svg.Layer, ...]:
    layers: list[svg.Layer] = []
    if values.callosum is not None:
        lines = callosum_outline(values.callosum, view)
        if values.measurements is not None and lines:
            layers.append(_parts_layer(values.measurements, values.callosum, view))
        layers.append(svg.Layer("contour", (svg.Path(svg.outlines(lines)),) if lines else ()))
    if values.measurements is not None:
        medial = view.xy_mm(values.measurements.medial_line_lps_mm)
        layers.append(svg.Layer("medial", (svg.Path(svg.path(medial)),)))
    layers += _acpc_layer(values.callosum, view)
    layers += [
        svg.Layer(key, (svg.Path(svg.path(corners, closed=len(corners) > 2)),))
        for key, corners in _rectangles(values, view)
    ]
    if values.localization is not None:
        roi = values.localization.roi
        center, ahead = view.xy_mm([roi.center_lps_mm, roi.center_lps_mm + roi.axes_lps[:, 0]])
        layers.append(svg.Layer(f"roi-{values.localization.method}", (svg.Path(svg.cross(center, ahead - center)),)))
    return tuple(layers)


def _parts_layer(measurements: Measurements, callosum: Callosum, view: fig.View) -> svg.Layer:
    """Fill the outline by parts: every point inside belongs to the nearest labelled pixel."""
    from scipy import ndimage

    labels = fig.cut_labels(measurements.parts, view)
    if not labels.any():
        return svg.Layer("parts")
    inside = fig.cut(callosum.probability, view) >= 0.5
    nearest = ndimage.distance_transform_edt(labels == 0, return_distances=False, return_indices=True)
    filled = np.where(inside, labels[tuple(nearest)], 0)
    spacing = view.grid.spacing_mm[0]
    paths = []
    for segment in measurements.parts.segments:
        lines = fig.contours((filled == segment.number).astype(np.float32), 0.5, spacing, 0.1)
        paths += [svg.Path(svg.outlines(lines), f"part-{segment.number}")] if lines else []
    return svg.Layer("parts", tuple(paths))


def _acpc_layer(callosum: Callosum | None, view: fig.View) -> list[svg.Layer]:
    if callosum is None or callosum.acpc is None:
        return []
    center, direction = callosum.acpc.center_lps_mm, np.asarray(callosum.acpc.direction_lps)
    return [svg.Layer("acpc", (svg.Path(svg.path(view.xy_mm([center - 20 * direction, center + 20 * direction]))),))]


def _rectangles(values: Values, view: fig.View) -> list[tuple[str, Array]]:
    """Corners of every estimate and of a given ROI on the picture; the chosen one last, so that it lies on top."""
    located, plane = values.localization, values.midsagittal
    if located is None or plane is None:
        return []
    middle = view.xy_mm(plane.image.geometry.center_lps_mm)
    chosen = f"roi-{located.method}"
    drawn = [
        (f"roi-{name}", svg.estimate_corners(located.estimates[name], middle))
        for name in reversed(ESTIMATES)
        if name in located.estimates
    ]
    if located.method not in located.estimates:
        drawn.append((chosen, view.xy_mm(located.roi.corners_lps_mm())))
    return sorted(drawn, key=lambda item: item[0] == chosen)


# ---------------------------------------------------------------- slice plan


def plan_figures(values: Values) -> tuple[svg.Figure, ...]:
    """Draw every slice group on sagittal, coronal and transversal pictures of the head through the plan's centre."""
    plan, head = values.scan_plan, values.head
    if plan is None or head is None or not plan.groups:
        return ()
    center = np.mean([g.center_lps_mm for g in plan.groups], axis=0)
    if values.localization is not None:
        center = values.localization.roi.center_lps_mm
    frame = fig.head_frame(head.geometry, values.midsagittal)
    limits = fig.window(head)
    planes = [p for p in ("sagittal", "coronal", "transversal") if _worth_showing(frame, p)]
    corners = np.vstack([svg.slice_corners_lps_mm(g, n) for g in plan.groups for n in (0, g.slices - 1)])
    wide = frame.holding(corners, 24.0)
    return tuple(_plan_figure(values, head, wide, plane, center, limits) for plane in planes)


def _plan_figure(
    values: Values, head: Volume, frame: fig.Frame, plane: str, center: Array, limits: tuple[float, float]
) -> svg.Figure:
    assert values.scan_plan is not None
    spacing = max(_FINEST_MM, min(head.geometry.spacing_mm))
    view = frame.view(plane, center, spacing)
    font = 0.044 * view.size_mm[1]  # the pictures stand side by side at one height
    groups = [svg.group_layer(group, view, font) for group in values.scan_plan.groups]
    picture = fig.shrunk(fig.cut(head, view), view, 0.8)
    return grey_figure(
        view,
        picture,
        limits,
        f"{plane.capitalize()} picture of the head with the planned slices drawn on it",
        layers=tuple(layer for layer in groups if layer is not None),
        caption=plane.capitalize(),
        font_mm=font,
        quality=80,
    )


def _worth_showing(frame: fig.Frame, plane: str) -> bool:
    extent = frame.extent_mm[{"sagittal": [1, 2], "coronal": [0, 2], "transversal": [0, 1]}[plane]]
    return bool(extent.min() >= _WORTH_MM)


# ---------------------------------------------------------------- brain mask


def brain_mosaic(values: Values) -> tuple[svg.Figure, ...]:
    """Outline the brain mask on transversal, coronal and sagittal slices of the head."""
    brain, head = values.brain, values.head
    if brain is None or head is None or not brain.mask.mask().any():
        return ()
    frame = fig.head_frame(head.geometry, values.midsagittal)
    low, high = _brain_bounds(brain, frame)
    shown = frame.within(low - _MARGIN_MM, high + _MARGIN_MM)
    limits = fig.window(head)
    return tuple(
        _brain_tile(values, shown, plane, depth, limits)
        for plane, across, count in (("transversal", 2, 12), ("coronal", 1, 3), ("sagittal", 0, 3))
        if _worth_showing(frame, plane)
        for depth in _depths(float(low[across]), float(high[across]), count)
    )


def _brain_bounds(brain: Brain, frame: fig.Frame) -> tuple[Array, Array]:
    voxels = np.argwhere(brain.mask.mask())
    along = brain.mask.geometry.lps_from_ijk(voxels[:: max(1, len(voxels) // 50_000)]) @ frame.axes_lps
    return along.min(axis=0), along.max(axis=0)


def _depths(low: float, high: float, count: int) -> Iterator[float]:
    """Where to cut: evenly from the lower end to the upper one, a little inside of both; few cuts lie further in."""
    inset = (0.06 if count > 4 else 0.2) * (high - low)
    yield from (float(d) for d in np.linspace(low + inset, high - inset, count))


def _brain_tile(values: Values, frame: fig.Frame, plane: str, depth: float, limits: tuple[float, float]) -> svg.Figure:
    assert values.brain is not None
    assert values.head is not None
    across = {"transversal": 2, "coronal": 1, "sagittal": 0}[plane]
    point = (
        frame.center_lps_mm
        + (depth - float(frame.center_lps_mm @ frame.axes_lps[:, across])) * (frame.axes_lps[:, across])
    )
    view = frame.view(plane, point, max(_FINEST_MM, min(values.head.geometry.spacing_mm)))
    lines = fig.contours(fig.cut(values.brain.mask, view), 0.5, view.grid.spacing_mm[0], 0.15)
    place = position_text(point, across)
    mask = svg.Layer("mask", (svg.Path(svg.outlines(lines, 1)),) if lines else ())
    width, height = view.size_mm
    font = 0.075 * min(width, height)
    label = svg.Layer("place", labels=(svg.Label(width - 0.4 * font, height - 0.5 * font, place, "end"),))
    return grey_figure(
        view,
        fig.shrunk(fig.cut(values.head, view), view, 1.1),
        limits,
        f"{plane.capitalize()} slice at {place} with the outline of the brain mask",
        layers=(mask, label),
        scale=False,
        font_mm=font,
        quality=75,
        caption=plane,
    )


def position_text(point_lps_mm: Array, axis: int) -> str:
    """Return where a slice lies as consoles write it, such as ``S 34 mm``."""
    value = float(point_lps_mm[axis])
    letter = ("RL", "AP", "IS")[axis][int(value >= 0)]
    return f"{letter} {abs(value):.0f} mm"


# ---------------------------------------------------------------- bias field


@dataclass(frozen=True)
class BiasSection:
    """Before, after and field, plane by plane, with the colours of the field."""

    rows: tuple[tuple[svg.Figure, svg.Figure, svg.Figure], ...]
    low: float
    high: float
    stops: tuple[tuple[float, str], ...]
    limits: tuple[float, float]

    @property
    def one_percent(self) -> float | None:
        """Where 1 (no change) lies on the colour bar, unless too near to its ends to be written."""
        share = 100 * (1 - self.low) / (self.high - self.low)
        return share if 14 < share < 86 else None


def bias_section(values: Values) -> BiasSection | None:
    """Draw the head before and after the correction in the same window, and the field in colours."""
    if values.bias is None or values.head is None:
        return None
    head, bias = values.head, values.bias
    frame = fig.head_frame(head.geometry, values.midsagittal)
    center = frame.center_lps_mm
    if values.brain is not None and values.brain.mask.mask().any():
        low, high = _brain_bounds(values.brain, frame)
        center = np.asarray(frame.axes_lps @ ((low + high) / 2))
        frame = frame.within(low - 2 * _MARGIN_MM, high + _MARGIN_MM)
    limits = fig.window(head)
    spacing = max(_FINEST_MM, min(head.geometry.spacing_mm))
    views = [
        (plane, frame.view(plane, center, spacing))
        for plane in ("transversal", "sagittal")
        if _worth_showing(frame, plane)
    ]
    fields = [fig.cut(bias.field, view) for _, view in views]
    heads = [fig.cut(head, view) for _, view in views]
    if not views:
        return None
    low_f, high_f = _field_range(heads, fields, limits)
    rows = tuple(
        (
            _bias_figure(view, before, limits, f"{plane.capitalize()}, before"),
            _bias_figure(view, fig.cut(bias.corrected, view), limits, f"{plane.capitalize()}, after"),
            _field_figure(view, field, (low_f, high_f), f"{plane.capitalize()}, field"),
        )
        for (plane, view), before, field in zip(views, heads, fields, strict=True)
    )
    return BiasSection(rows, low_f, high_f, tuple(fig.colour_stops()), limits)


def _field_range(
    heads: list[fig.Picture], fields: list[fig.Picture], limits: tuple[float, float]
) -> tuple[float, float]:
    """The field's 0.5th and 99.5th percentile where there is tissue on the pictures: beyond it the field only fades."""
    tissue = limits[0] + 0.1 * (limits[1] - limits[0])
    inside = np.concatenate([f[(h > tissue) & (f > 0)] for h, f in zip(heads, fields, strict=True)])
    if not inside.size:
        return 0.5, 1.5
    low, high = (float(v) for v in np.percentile(inside, (0.5, 99.5)))
    return (low, high) if high - low > 1e-3 else (low - 0.01, high + 0.01)


def _bias_figure(view: fig.View, picture: fig.Picture, limits: tuple[float, float], caption: str) -> svg.Figure:
    small = fig.shrunk(picture, view, 0.9)
    return grey_figure(view, small, limits, f"{caption} the bias correction", caption=caption, scale=False, quality=80)


def _field_figure(view: fig.View, field: fig.Picture, limits: tuple[float, float], caption: str) -> svg.Figure:
    small = fig.shrunk(field, view, 2.0)
    picture = fig.coloured(small, limits)
    known = fig.shrunk((field > 0).astype(np.float32), view, 2.0)
    picture[known < 0.99] = 0  # outside of the volume there is no field
    width, height = view.size_mm
    font = 0.042 * max(width, height)
    letters = svg.orientation_layer(view, width, height, font)
    alt = f"{caption}: the bias field in colours, {limits[0]:.2f} to {limits[1]:.2f}"
    return svg.Figure(width, height, fig.jpeg(picture, 85), alt, (letters,), caption, font)
