"""Drawings as plain data, in millimetres: what a template turns into inline SVG. No markup is made here.

A ``Figure`` is one picture with layers of paths and labels over it. A layer's ``key`` is its CSS class, so that a
checkbox can hide it and the style sheet alone decides its colour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Array
from mediseg.report.figures import View
from mediseg.results import Estimate, SliceGroup

SCALE_BAR_MM = 50


@dataclass(frozen=True)
class Path:
    """One SVG path (``d``) and its extra CSS classes."""

    d: str
    style: str = ""


@dataclass(frozen=True)
class Label:
    """A text at a place; ``anchor`` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "middle"
    style: str = ""


@dataclass(frozen=True)
class Layer:
    """Paths and labels that are shown or hidden together."""

    key: str
    paths: tuple[Path, ...] = ()
    labels: tuple[Label, ...] = ()


@dataclass(frozen=True)
class Figure:
    """A picture (data URI) of a size in mm with layers over it, a text for those who cannot see it, and a caption."""

    width: float
    height: float
    image: str
    alt: str
    layers: tuple[Layer, ...] = ()
    caption: str = ""
    font_mm: float = 8.0


def path(points_mm: npt.ArrayLike, *, closed: bool = False, digits: int = 2) -> str:
    """Return points (n, 2) as a path's ``d``."""
    parts = [f"{_short(x, digits)} {_short(y, digits)}" for x, y in np.asarray(points_mm, dtype=np.float64)]
    return "M" + "L".join(parts) + ("Z" if closed else "")


def _short(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"
    return "0" if text in ("-0", "") else text


def outlines(lines: Iterable[Array], digits: int = 2) -> str:
    """Return closed outlines as one path, so that holes stay holes (``fill-rule: evenodd``)."""
    return "".join(path(line, closed=True, digits=digits) for line in lines)


def orientation_layer(view: View, width: float, height: float, font: float) -> Layer:
    """Letters at the four edges: where the patient's right, left, front, back, top and bottom are."""
    left, right, top, bottom = view.letters
    pad = 0.45 * font
    return Layer(
        "letters",
        labels=(
            Label(pad, height / 2 + 0.35 * font, left, "start"),
            Label(width - pad, height / 2 + 0.35 * font, right, "end"),
            Label(width / 2, pad + 0.75 * font, top),
            Label(width / 2, height - pad, bottom),
        ),
    )


def scale_layer(width: float, height: float, font: float, length_mm: int = SCALE_BAR_MM) -> Layer:
    """A bar of a stated length at the lower left."""
    x, y = 0.8 * font, height - 0.9 * font
    bar = path([(x, y - 0.3 * font), (x, y), (x + length_mm, y), (x + length_mm, y - 0.3 * font)])
    return Layer("scale", (Path(bar),), (Label(x + length_mm / 2, y - 0.45 * font, f"{length_mm} mm"),))


def estimate_corners(estimate: Estimate, middle_xy_mm: npt.ArrayLike) -> Array:
    """Return the corners (4, 2) of a rectangle on the face-left picture; both ends (2, 2) for a line."""
    angle = np.radians(estimate.angle_deg)
    along = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-along[1], along[0]])
    center = np.asarray(middle_xy_mm, dtype=np.float64) + np.array(estimate.center_mm)
    long, short = (side / 2 for side in estimate.size_mm)
    if short == 0:
        return np.array([center - long * along, center + long * along])
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    return np.array([center + a * long * along + b * short * across for a, b in signs])


def cross(center_xy_mm: npt.ArrayLike, direction: npt.ArrayLike, size_mm: float = 3.0) -> str:
    """Return a turned plus sign."""
    center, along = np.asarray(center_xy_mm, dtype=np.float64), np.asarray(direction, dtype=np.float64)
    along = size_mm * along / np.linalg.norm(along)
    across = np.array([-along[1], along[0]])
    return path([center - along, center + along]) + path([center - across, center + across])


def group_layer(group: SliceGroup, view: View, font: float, most_lines: int = 24) -> Layer | None:
    """Draw a slice group on a picture: its slices where they cut it, or its field of view where they lie along it.

    The first and the last slice are numbered. None when no slice meets the picture.
    """
    normal = np.cross(view.grid.axes_lps[:, 0], view.grid.axes_lps[:, 1])
    if abs(float(normal @ np.array(group.normal_lps))) > np.cos(np.radians(35)):
        return _field_of_view(group, view)
    return _slice_lines(group, view, font, most_lines)


def slice_corners_lps_mm(group: SliceGroup, index: int) -> Array:
    """Return the corners (4, 3) of one slice's field of view, the first slice being 0."""
    row, column = np.array(group.image_orientation[:3]), np.array(group.image_orientation[3:])
    center, normal = np.array(group.center_lps_mm), np.array(group.normal_lps)
    if (np.array(group.image_position_mm) - center) @ normal > 0:  # the first slice lies on the normal's side
        normal = -normal
    middle = center + (index - (group.slices - 1) / 2) * (group.thickness_mm + group.gap_mm) * normal
    width, height = (length / 2 for length in group.fov_mm)
    return np.array([middle + a * width * row + b * height * column for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))])


def _field_of_view(group: SliceGroup, view: View) -> Layer:
    depths = [abs(float(view.depth_mm(slice_corners_lps_mm(group, n).mean(axis=0)))) for n in range(group.slices)]
    corners = slice_corners_lps_mm(group, int(np.argmin(depths)))
    return Layer(f"plan-{group.name}", (Path(path(view.xy_mm(corners), closed=True), "fov"),))


def _slice_lines(group: SliceGroup, view: View, font: float, most_lines: int) -> Layer | None:
    lines: dict[int, Array] = {}
    for index in range(group.slices):
        line = _crossing(slice_corners_lps_mm(group, index), view)
        if line is not None:
            lines[index] = line
    if not lines:
        return None
    every = -(-len(lines) // most_lines)
    first, last = min(lines), max(lines)
    paths = [
        Path(path(line), "edge" if n in (first, last) else "")
        for n, line in lines.items()
        if n in (first, last) or (n - first) % every == 0
    ]
    slab = np.vstack([lines[first], _same_way(lines[last], lines[first])[::-1]])
    paths.insert(0, Path(path(slab, closed=True), "slab"))
    labels = [_line_label(lines[n], lines[first if n == last else last], n + 1, font) for n in (first, last)]
    return Layer(f"plan-{group.name}", tuple(paths), tuple(labels[: 1 if first == last else 2]))


def _crossing(corners_lps_mm: Array, view: View) -> Array | None:
    """Return both ends (2, 2) of the line in which a rectangle cuts the picture's plane."""
    depth, flat = view.depth_mm(corners_lps_mm), view.xy_mm(corners_lps_mm)
    ends = []
    for a, b in ((0, 1), (1, 2), (2, 3), (3, 0)):
        if (depth[a] > 0) != (depth[b] > 0):
            share = depth[a] / (depth[a] - depth[b])
            ends.append(flat[a] + share * (flat[b] - flat[a]))
    return np.array(ends) if len(ends) == 2 else None


def _same_way(line: Array, like: Array) -> Array:
    return line if float((line[1] - line[0]) @ (like[1] - like[0])) >= 0 else line[::-1]


def _line_label(line: Array, other: Array, number: int, font: float) -> Label:
    """Number a slice line just outside its right end, or above its upper end when it stands upright."""
    upright = abs(line[1, 1] - line[0, 1]) > abs(line[1, 0] - line[0, 0])
    end = line[line[:, 1].argmin()] if upright else line[line[:, 0].argmax()]
    away = np.sign((line.mean(axis=0) - other.mean(axis=0))[0 if upright else 1])
    shift = (0.45 * away * font, -0.25 * font) if upright else (0.25 * font, (0.35 + 0.2 * away) * font)
    return Label(float(end[0] + shift[0]), float(end[1] + shift[1]), str(number), "middle" if upright else "start")


@dataclass(frozen=True)
class Chart:
    """A line chart: a curve inside axes, in the units of its own view box."""

    width: float
    height: float
    curve: str
    area: str
    x_ticks: tuple[tuple[float, str], ...]
    y_ticks: tuple[tuple[float, str], ...]
    bands: tuple[tuple[float, float, int, str], ...]
    x_title: str
    y_title: str
    alt: str
    points: int = 0
    left: float = 14
    top: float = 5
    right: float = 4
    bottom: float = 17


def nice_step(largest: float, most: int = 6) -> float:
    """Return a round step (1, 2 or 5 times a power of ten) that gives at most ``most`` ticks up to ``largest``."""
    if not largest > 0:
        return 1.0
    raw = largest / most
    power = 10.0 ** np.floor(np.log10(raw))
    return float(next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9)))


def profile_chart(values: npt.ArrayLike, bands: Sequence[tuple[int, int, int, str]], alt: str) -> Chart:
    """Chart a profile along a line, 0 to 100 %; ``bands`` are (first, last, number, name) of its points.

    A value that is not finite breaks the curve. ``values`` (n,) in mm, n at least 2.
    """
    chart = Chart(180, 78, "", "", (), (), (), "position along the callosum (%)", "thickness (mm)", alt)
    y_all = np.asarray(values, dtype=np.float64)
    finite = y_all[np.isfinite(y_all)]
    highest = float(finite.max()) if finite.size else 1.0
    step = nice_step(highest)
    top = step * max(1, int(np.ceil(highest / step - 1e-9)))
    inner_w, inner_h = chart.width - chart.left - chart.right, chart.height - chart.top - chart.bottom
    floor = chart.top + inner_h
    x = chart.left + np.linspace(0, inner_w, len(y_all))
    y = floor - y_all / top * inner_h
    edges = np.concatenate([[x[0]], (x[1:] + x[:-1]) / 2, [x[-1]]])
    runs = [r for r in _finite_runs(y_all) if len(r) > 1]
    return Chart(
        width=chart.width,
        height=chart.height,
        curve="".join(path(np.column_stack([x[r], y[r]])) for r in runs),
        area="".join(
            path([(x[r[0]], floor), *np.column_stack([x[r], y[r]]), (x[r[-1]], floor)], closed=True) for r in runs
        ),
        x_ticks=tuple((chart.left + inner_w * p / 100, str(p)) for p in range(0, 101, 10)),
        y_ticks=tuple((floor - inner_h * n * step / top, f"{n * step:g}") for n in range(round(top / step) + 1)),
        bands=tuple((float(edges[a]), float(edges[b + 1] - edges[a]), number, name) for a, b, number, name in bands),
        x_title=chart.x_title,
        y_title=chart.y_title,
        alt=alt,
        points=len(y_all),
    )


def _finite_runs(values: Array) -> list[npt.NDArray[np.intp]]:
    good = np.flatnonzero(np.isfinite(values))
    return np.split(good, np.flatnonzero(np.diff(good) > 1) + 1) if len(good) else []
