"""Stations of one spine to one image: aligned, matched in intensity, blended, measurable in mm."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import numpy as np

from mediseg.errors import Code, Refusal, Warn
from mediseg.geometry import Array, Geometry, Rigid
from mediseg.results import StationPair, StationPlacement, StationWeights, Stitched, Transforms
from mediseg.steps.setting import Setting
from mediseg.steps.stitch.align import Alignment, Limits, Station, align
from mediseg.steps.stitch.blend import feathered, multiband, provenance_of, weights_of
from mediseg.steps.stitch.grid import composite_grid
from mediseg.steps.stitch.intensity import Cells, Matching, applied, cells, levels_of, matched, scale_of, step_of
from mediseg.steps.stitch.place import Placed, place
from mediseg.steps.stitch.solve import solved
from mediseg.volume import RotatedROI, Segment, Segmentation, Volume

_PARALLEL_DEG = 30.0
_SEAM = 0.10  # a median difference across an overlap that is worth a warning
_MOST_STATIONS = 12


def stitch_stations(  # noqa: PLR0913 - each is a setting of the recipe
    stations: Sequence[Volume],
    *,
    intensity: Annotated[
        str, Setting("how values are brought to one scale", choices=("histogram", "gain", "blocks", "none"))
    ] = "histogram",
    shading: Annotated[
        bool, Setting("estimate each station's shading along and across the spine from the overlaps")
    ] = True,
    register: Annotated[bool, Setting("register the overlaps; false trusts the headers")] = True,
    blend: Annotated[str, Setting("how overlaps are blended", choices=("feather", "multiband"))] = "feather",
    feather_power: Annotated[float, Setting("power of the distance to the border", 0.5, 8)] = 1.0,
    reference: Annotated[int, Setting("which station decides, from the top; 1 is the most superior", 1, 12)] = 1,
    axes: Annotated[
        str, Setting("the composite's axes: the patient's, or the reference's", choices=("patient", "reference"))
    ] = "patient",
    roi: Annotated[
        RotatedROI | None, Setting("an own rotated ROI (roi.json): the composite covers it, along it")
    ] = None,
    max_shift_mm: Annotated[float, Setting("largest correction of a header that is believed", 1, 100)] = 30.0,
    max_angle_deg: Annotated[float, Setting("largest turn that is believed", 1, 45)] = 20.0,
    min_ncc: Annotated[float, Setting("least agreement of an overlap that is believed", 0, 1)] = 0.77,
) -> Stitched:
    """Stitch two to twelve stations that lie one above the other into one image.

    Each pair that overlaps is registered rigidly from its headers' placement; what does not pass the gate keeps that
    placement, with ALIGNMENT_REJECTED and the numbers. Values are matched in the overlaps only. The composite has the
    finest pixels of any station and the reference's slice distance. The order given does not matter.

    Raises Refusal for fewer than two stations, different frames of reference, or planes that are not near-parallel.
    """
    order = _ordered(stations)
    volumes = [stations[n] for n in order]
    anchor = min(reference, len(volumes)) - 1
    _check(volumes, anchor)
    pairs = _aligned(volumes, Limits(max_shift_mm, max_angle_deg, min_ncc)) if register else {}
    placed, registered = solved(len(volumes), pairs, anchor)
    levels = levels_of(volumes)
    shared = _shared(volumes, placed, levels, pairs if register else None)
    found = matched(levels, shared, anchor, intensity, shading and intensity != "none")
    grid = composite_grid(volumes, placed, anchor, axes, roi)
    names = [f"station {n + 1}" for n in range(len(volumes))]
    work = _Work(volumes, placed, found, grid, scale_of(levels, anchor))
    transforms = Transforms(
        tuple(
            StationPlacement(
                name, order[n], _method(n, anchor, registered), placed[n], volumes[n].geometry,
                float(np.exp(found[n].offset) * levels[anchor] / levels[n]), found[n].slope, found[n].shading,
            )
            for n, name in enumerate(names)
        ),
        tuple(_pair(names, pairs, one, found, levels, placed, intensity) for one in shared),
    )  # fmt: skip
    warnings = (*_rejected(names, pairs), *_seams(transforms), *_gap_warnings(volumes, placed, names))
    return _blended(work, names, blend, feather_power, transforms, warnings)


def _ordered(stations: Sequence[Volume]) -> list[int]:
    """Return the stations' places in the input from superior to inferior; ties are settled by content."""

    def key(n: int) -> tuple[float, bytes]:
        geometry = stations[n].geometry
        digest = hashlib.sha256(np.ascontiguousarray(stations[n].array).tobytes()).digest()
        return -round(float(geometry.center_lps_mm[2]), 3), digest

    return sorted(range(len(stations)), key=key)


def _check(volumes: Sequence[Volume], anchor: int) -> None:
    if len(volumes) < 2:
        raise Refusal("there is one station only; stitching needs at least two that lie one above the other")
    if len(volumes) > _MOST_STATIONS:
        raise Refusal(f"there are {len(volumes)} stations; more than {_MOST_STATIONS} are no spine examination")
    first = volumes[anchor].geometry
    for volume in volumes:
        if not volume.geometry.same_space(first):
            raise Refusal("the stations have different frames of reference, so their headers cannot be compared")
        if not np.isfinite(volume.array).all():
            raise Refusal("a station holds NaN or infinite values; fill them first")
        angle = np.degrees(np.arccos(np.clip(abs(float(_normal(first) @ _normal(volume.geometry))), 0, 1)))
        if angle > _PARALLEL_DEG:
            raise Refusal(f"the stations' planes are {angle:.0f} degrees apart; give those of one plane")
    if abs(_normal(first)[2]) > np.cos(np.radians(45)):
        raise Refusal("the stations are axial; stitching along the spine needs sagittal or coronal slices")


def _normal(geometry: Geometry) -> Array:
    normal = np.cross(geometry.axes_lps[:, 0], geometry.axes_lps[:, 1])
    return np.asarray(normal / np.linalg.norm(normal))


def _aligned(volumes: Sequence[Volume], limits: Limits) -> dict[tuple[int, int], Alignment]:
    stations = [Station(volume) for volume in volumes]
    count = len(stations)
    found = {(a, b): align(stations[a], stations[b], limits) for a in range(count) for b in range(a + 1, count)}
    return {pair: one for pair, one in found.items() if one is not None}


def _shared(
    volumes: Sequence[Volume],
    placed: Sequence[Rigid],
    levels: Sequence[float],
    pairs: dict[tuple[int, int], Alignment] | None,
) -> list[Cells]:
    """Return what each pair holds at the same places; without registration the headers are believed."""
    count = len(volumes)
    found = [cells(a, b, volumes, placed, levels) for a in range(count) for b in range(a + 1, count)]
    trusted = {pair for pair, one in pairs.items() if one.is_accepted} if pairs is not None else None
    return [replace(one, is_registered=trusted is None or one.pair in trusted) for one in found if one is not None]


def _method(n: int, anchor: int, registered: frozenset[int]) -> str:
    return "reference" if n == anchor else "registered" if n in registered else "header"


def _pair(
    names: Sequence[str],
    pairs: dict[tuple[int, int], Alignment],
    one: Cells,
    found: Sequence[Matching],
    levels: Sequence[float],
    placed: Sequence[Rigid],
    intensity: str,
) -> StationPair:
    a, b = one.pair
    alignment = pairs.get(one.pair)
    plain = [Matching(level) for level in levels]
    points = placed[a].apply(one.headers_lps_mm[:, 0])
    low, high = points.min(axis=0), points.max(axis=0)
    corners = np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1]) for z in (low[2], high[2])])
    return StationPair(
        names[a],
        names[b],
        alignment is not None and alignment.is_accepted,
        "" if alignment is None else alignment.reason,
        {} if alignment is None else alignment.numbers(),
        intensity,
        step_of(one, [Matching(1.0, float(np.log(m.level))) for m in plain]),
        step_of(one, found),
        corners,
    )


def _rejected(names: Sequence[str], pairs: dict[tuple[int, int], Alignment]) -> list[Warn]:
    return [
        Warn(
            Code.ALIGNMENT_REJECTED,
            f"{names[a]} and {names[b]} keep their headers' places: {one.reason}",
            {"upper": names[a], "lower": names[b], **one.numbers()},
        )
        for (a, b), one in sorted(pairs.items())
        if not one.is_accepted
    ]


def _seams(transforms: Transforms) -> list[Warn]:
    return [
        Warn(
            Code.SEAM,
            f"{pair.upper} and {pair.lower} differ by {100 * pair.step_after:.0f} % where both see tissue",
            {"upper": pair.upper, "lower": pair.lower, "percent": round(100 * pair.step_after, 1)},
        )
        for pair in transforms.pairs
        if pair.step_after > _SEAM
    ]


def _gap_warnings(volumes: Sequence[Volume], placed: Sequence[Rigid], names: Sequence[str]) -> list[Warn]:
    """Say where the stations leave a part of the spine uncovered."""
    reach = []
    for volume, motion in zip(volumes, placed, strict=True):
        heights = motion.apply(volume.geometry.corners_lps_mm())[:, 2]
        reach.append((float(heights.max()), float(heights.min())))
    warnings, lowest, above = [], reach[0][1], 0
    for n, (top, bottom) in enumerate(reach[1:], 1):
        if top < lowest:
            gap = lowest - top
            warnings.append(
                Warn(
                    Code.GAP,
                    f"nothing was scanned for {gap:.0f} mm between {names[above]} and {names[n]}; it is masked",
                    {"upper": names[above], "lower": names[n], "gap_mm": round(gap, 1)},
                )
            )
        if bottom < lowest:
            lowest, above = bottom, n
    return warnings


@dataclass(frozen=True, eq=False)
class _Work:
    volumes: Sequence[Volume]
    placed: Sequence[Rigid]
    found: Sequence[Matching]
    grid: Geometry
    scale: float


def _blended(
    work: _Work, names: Sequence[str], blend: str, power: float, transforms: Transforms, warnings: tuple[Warn, ...]
) -> Stitched:
    parts: list[Placed | None] = []
    for volume, motion, how in zip(work.volumes, work.placed, work.found, strict=True):
        parts.append(place(applied(volume, how, work.scale), volume.geometry, motion, work.grid))
    weights = weights_of(parts, work.grid.shape, power)
    image = feathered(parts, weights) if blend == "feather" else multiband(parts, weights)
    provenance = provenance_of(weights)
    if not provenance.any():
        raise Refusal("no station reaches the ROI; draw it on the stations")
    image[provenance == 0] = np.nan
    source = work.volumes[0].source
    return Stitched(
        composite=Volume(image, work.grid, source),
        weights=StationWeights(tuple(Volume(weight, work.grid) for weight in weights)),
        provenance=Segmentation(provenance, work.grid, tuple(Segment(n, name) for n, name in enumerate(names, 1))),
        gaps=Segmentation((provenance == 0).astype(np.uint8), work.grid, (Segment(1, "no station"),)),
        transforms=transforms,
        placed=tuple(Volume(_whole(part, work.grid), work.grid) for part in parts),
        warnings=warnings,
    )


def _whole(part: Placed | None, grid: Geometry) -> np.ndarray[tuple[int, int, int], np.dtype[np.float32]]:
    out = np.full(grid.shape, np.nan, np.float32)
    if part is not None:
        out[part.where] = np.where(part.inside_mm > 0, part.values, np.nan)
    return out
