"""The spine's part of the page: the composite with its stations, every overlap before and after, profiles, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mediseg.geometry import Array
from mediseg.report import figures as fig
from mediseg.report import ruler, svg
from mediseg.results import StationPair, Stitched
from mediseg.volume import Volume

_CHECK_MM = 12.0
_MARGIN_MM = 12.0
_PROFILE_MM = 120.0
_NUMBERS = ("ncc_before", "ncc_after", "shift_mm", "angle_deg", "round_trip_mm", "rival_ncc", "block_mm")


@dataclass(frozen=True)
class OverlapRow:
    """One pair of stations: its figures before and after, and its numbers."""

    pair: StationPair
    before: svg.Figure
    after: svg.Figure


@dataclass(frozen=True)
class StitchingSection:
    """What the page shows of a stitched spine; ``frame`` places the overview in the patient, for its rulers."""

    overview: svg.Figure
    profile: svg.Figure
    overlaps: tuple[OverlapRow, ...]
    names: tuple[str, ...]
    stations: tuple[dict[str, str], ...]
    frame: str


def stitching_section(stitched: Stitched | None, stations: Sequence[Volume]) -> StitchingSection | None:
    """Draw a stitched spine; ``stations`` in the order that they were given in, as read."""
    if stitched is None:
        return None
    view = _middle(stitched)
    limits = fig.window(stitched.filled)
    names = tuple(one.name for one in stitched.transforms.stations)
    overlaps = tuple(
        OverlapRow(pair, *_checkerboards(stitched, stations, pair, view, limits)) for pair in stitched.transforms.pairs
    )
    overview, profile = _overview(stitched, view, limits), _profile(stitched, view, limits)
    return StitchingSection(
        overview, profile, overlaps, names, tuple(_station_row(stitched, n) for n in range(len(names))),
        ruler.frame_of(view),
    )  # fmt: skip


def _middle(stitched: Stitched) -> fig.View:
    """Return the composite's middle slice as a picture; its pixels are square already."""
    grid = stitched.composite.geometry
    k = grid.shape[2] // 2
    return fig.View(grid.crop([0, 0, k], [grid.shape[0], grid.shape[1], k + 1]))


def _overview(stitched: Stitched, view: fig.View, limits: tuple[float, float]) -> svg.Figure:
    width, height = view.size_mm
    font = 0.05 * min(width, height)
    borders = []
    for n, one in enumerate(stitched.transforms.stations, 1):
        corners = view.xy_mm(one.placed_from_header.apply(_outline(one.header.shape, one.header)))
        label = svg.Label(float(corners[:, 0].max()) - 0.3 * font, float(corners[0, 1]) + 1.1 * font, one.name, "end")
        borders.append(svg.Layer(f"station-{n}", (svg.Path(svg.path(corners, closed=True)),), (label,)))
    picture = fig.cut(stitched.filled, view)
    image = fig.jpeg(fig.grey(fig.shrunk(picture, view, 0.7), limits), 85)
    layers = (
        svg.Layer("grid", (svg.Path(_graticule(width, height)),)),
        *borders,
        svg.orientation_layer(view, width, height, font),
        _ruler(height, font),
        svg.scale_layer(width, height, font),
    )
    return svg.Figure(width, height, image, "The stitched spine with the borders of its stations", layers, font_mm=font)


def _outline(shape: tuple[int, int, int], header: object) -> Array:
    """Return the corners (4, 3) of a station's middle slice."""
    from mediseg.geometry import Geometry

    assert isinstance(header, Geometry)
    i, j, k = shape
    return header.lps_from_ijk(
        [(a, b, (k - 1) / 2) for a, b in ((-0.5, -0.5), (i - 0.5, -0.5), (i - 0.5, j - 0.5), (-0.5, j - 0.5))]
    )


def _graticule(width: float, height: float, step: float = 10.0) -> str:
    across = "".join(svg.path([(0, y), (width, y)], digits=0) for y in np.arange(step, height, step))
    return across + "".join(svg.path([(x, 0), (x, height)], digits=0) for x in np.arange(step, width, step))


def _ruler(height: float, font: float) -> svg.Layer:
    """A ruler down the left edge: a tick each 10 mm, a number each 50 mm save where the patient's side is lettered."""
    ticks = "".join(svg.path([(0, y), (6 if y % 50 == 0 else 3, y)], digits=0) for y in np.arange(0, height, 10.0))
    numbered = [y for y in np.arange(50.0, height - font, 50.0) if abs(y - height / 2) > 1.2 * font]
    labels = tuple(svg.Label(7.0, y + 0.35 * font, f"{y:.0f}", "start") for y in numbered)
    return svg.Layer("ruler", (svg.Path(ticks),), labels)


def _profile(stitched: Stitched, view: fig.View, limits: tuple[float, float]) -> svg.Figure:
    """Draw what the bright tissue of each row holds: each matched station, and the composite."""
    height = view.size_mm[1]
    font = 0.05 * min(*view.size_mm)
    layers = []
    images = [(f"station-{n}", one) for n, one in enumerate(stitched.placed, 1)] + [("composite", stitched.composite)]
    k = stitched.composite.geometry.shape[2] // 2
    for key, volume in images:
        flat = np.asarray(volume.array[:, :, k], np.float64)
        rows = np.array([_bright(flat[:, j], limits[1]) for j in range(flat.shape[1])])
        layers.append(svg.Layer(key, tuple(_curves(rows / limits[1], height))))
    blank = fig.jpeg(np.full((2, 2), 255, np.uint8), 60)
    return svg.Figure(
        _PROFILE_MM, height, blank, "Brightness of each row of the middle slice, by station and of the composite",
        tuple(layers), font_mm=font,
    )  # fmt: skip


def _bright(row: Array, top: float) -> float:
    """Return the 90th percentile of a row's tissue, NaN where there is little."""
    tissue = row[np.isfinite(row) & (row > 0.08 * top)]
    return float(np.percentile(tissue, 90)) if tissue.size >= 10 else float("nan")


def _curves(shares: Array, height: float) -> list[svg.Path]:
    y = (np.arange(len(shares)) + 0.5) * height / len(shares)
    good = np.flatnonzero(np.isfinite(shares))
    runs = np.split(good, np.flatnonzero(np.diff(good) > 1) + 1) if len(good) else []
    x = np.clip(shares, 0, 1.5) * _PROFILE_MM / 1.5
    return [svg.Path(svg.path(np.column_stack([x[r], y[r]])[::2], digits=1)) for r in runs if len(r) > 3]


def _checkerboards(
    stitched: Stitched, stations: Sequence[Volume], pair: StationPair, view: fig.View, limits: tuple[float, float]
) -> tuple[svg.Figure, svg.Figure]:
    """Lay two stations side by side in squares: as their headers and values are, and as placed and matched."""
    names = [one.name for one in stitched.transforms.stations]
    members = [names.index(pair.upper), names.index(pair.lower)]
    corners = view.xy_mm(pair.corners_lps_mm)
    part = fig.part_of(view, corners.min(axis=0) - _MARGIN_MM, corners.max(axis=0) + _MARGIN_MM, 0.7)
    raw = [stations[stitched.transforms.stations[n].given] for n in members]
    before = [fig.cut(volume, part) for volume in raw]
    after = [fig.cut(stitched.placed[n], part) for n in members]
    words = f"{pair.upper} and {pair.lower} in squares of {_CHECK_MM:.0f} mm"
    return (
        _board(before, part, limits, f"{words}, as their headers and values are"),
        _board(after, part, limits, f"{words}, placed and matched"),
    )


def _board(images: Sequence[fig.Picture], view: fig.View, limits: tuple[float, float], alt: str) -> svg.Figure:
    rows, columns = images[0].shape
    size = max(2, round(_CHECK_MM / view.grid.spacing_mm[0]))
    odd = (np.arange(rows)[:, None] // size + np.arange(columns)[None, :] // size) % 2 == 1
    width, height = view.size_mm
    picture = np.where(odd, images[1], images[0]).astype(np.float32)
    return svg.Figure(width, height, fig.jpeg(fig.grey(picture, limits), 85), alt, font_mm=0.06 * height)


def _station_row(stitched: Stitched, n: int) -> dict[str, str]:
    one = stitched.transforms.stations[n]
    moved = one.placed_from_header.apply(one.header.center_lps_mm) - one.header.center_lps_mm
    share = float(np.mean(stitched.provenance.labels == n + 1) / max(np.mean(stitched.provenance.labels > 0), 1e-9))
    return {
        "name": one.name,
        "given": str(one.given + 1),
        "method": one.method,
        "moved": ", ".join(f"{v:z.1f}" for v in moved),
        "gain": f"{one.gain:.2f}",
        "gamma": f"{one.gamma:.2f}",
        "share": f"{100 * share:.0f}",
    }


def pair_numbers(pair: StationPair) -> list[str]:
    """Return the figures of a pair's registration in the table's order, a dash where none was done."""
    return [f"{value:.2f}" if isinstance(value := pair.numbers.get(name), int | float) else "–" for name in _NUMBERS]
