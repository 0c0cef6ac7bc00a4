"""The report as pages of pixels, for archives that hold pictures only: A4 upright at 150 pixels an inch.

Nothing on a page says who the patient is, nor the case's name: the DICOM header around it does. Every page says what
the report may be used for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mediseg.record import CaseRecord, MeasurementRecord
from mediseg.report import raster, sections, stitching, svg
from mediseg.report.html import number, pretty_unit, range_note, sentence, summary, uniformity_rows, vector, words
from mediseg.report.morphometry import thickness_section

if TYPE_CHECKING:
    from PIL.Image import Image

Page = npt.NDArray[np.uint8]
WIDTH, HEIGHT, MARGIN = 1240, 1754, 70
_INNER = WIDTH - 2 * MARGIN
_TOP, _BOTTOM = 190, 110  # of the page: what the notice and the foot take
_GAP = 14
_TEXT, _SMALL, _HEADING = 22, 19, 30


@dataclass(frozen=True)
class _Strip:
    """A piece of a page, as wide as the text; ``is_heading`` keeps it together with what follows."""

    image: Image
    is_heading: bool = False


def render_pages(record: CaseRecord, values: Mapping[str, object]) -> list[Page]:
    """Return the report's pages, each (1754, 1240, 3) uint8; the same results give the same pixels.

    ``values`` as in ``render_case``. Raises TypeError for a value of another type.
    """
    drawn = sections.Values.of(values)
    return _paged(record, list(_strips(record, drawn)))


def _strips(record: CaseRecord, values: sections.Values) -> Iterator[_Strip]:
    if record.reason:
        yield _heading(f"This case was {record.status}" if record.status != "done" else "Marked")
        yield _paragraph(sentence(record.reason))
    if record.warnings:
        yield _heading("Warnings")
        yield from (_paragraph(f"{w.code}: {sentence(w.message)}", _SMALL) for w in record.warnings)
    yield from _summary(record, values)
    yield from _midsagittal(record, values)
    yield from _stitching(values)
    yield from _measurements(record)
    yield from _plan(values)
    yield from _pictures("Brain mask", sections.brain_mosaic(values), 6)
    bias = sections.bias_section(values)
    if bias is not None:
        yield from _pictures("Bias correction: before, after, field", [f for row in bias.rows for f in row], 3)
    rows = [[r.label, number(r.before, r.digits), number(r.after, r.digits)] for r in uniformity_rows(record)]
    if rows:
        yield from _table(rows, (0.6, 0.2, 0.2), ["Inside the brain mask; smaller is more even", "Before", "After"])


def _summary(record: CaseRecord, values: sections.Values) -> Iterator[_Strip]:
    tiles = summary(record, values)
    if tiles:
        yield _heading("Summary")
        yield from _table([[t.label, f"{t.value} {t.unit}".strip(), t.note] for t in tiles], (0.34, 0.3, 0.36))


def _midsagittal(record: CaseRecord, values: sections.Values) -> Iterator[_Strip]:
    part = sections.midsagittal_section(values)
    if part is not None:
        figures = [part.overview, *([part.zoom] if part.zoom else [])]
        yield from _pictures("Mid-sagittal view, face left", figures, len(figures))
        if part.zoom is not None:
            yield _legend(part.toggles)
        yield _paragraph(
            ("A slice as acquired. " if part.is_source_slice else "Resampled on the plane of symmetry. ")
            + f"Tilted by {number(part.tilt_deg, 1)}° against the nearest axis of the scan."
            + (f" Parts from front to back: {', '.join(words(name) for name in part.parts)}." if part.parts else ""),
            _SMALL,
        )
    roi = record.roi
    if roi is not None and roi.estimates:
        rows = [
            [name + (" (chosen)" if name == roi.method else ""), number(e.angle_deg, 2), vector(e.center_mm, 2),
             vector(e.size_mm, 1)]
            for name in sections.ESTIMATES if (e := roi.estimates.get(name)) is not None
        ]  # fmt: skip
        head = ["Estimate of the ROI", "Angle (°)", "Centre from the image's middle (mm)", "Size (mm)"]
        yield from _table(rows, (0.28, 0.16, 0.34, 0.22), head)


def _stitching(values: sections.Values) -> Iterator[_Strip]:
    part = stitching.stitching_section(values.stitched, values.stations)
    if part is None:
        return
    yield from _pictures("Stitched spine: middle slice; brightness of its rows", [part.overview, part.profile], 2, 1080)
    yield _paragraph(
        "Frames are the stations where they were placed; the ruler counts the composite's own millimetres: measure on "
        "the composite's DICOM series. Brightness (90th percentile of each row's tissue): each matched station in its "
        "colour, the composite in black.",
        _SMALL,
    )
    rows = [[s[name] for name in ("name", "given", "method", "moved", "gain", "gamma", "share")] for s in part.stations]
    head = ["Station", "Given as", "Placed by", "Moved (left, posterior, superior; mm)", "Gain", "Gamma", "Share (%)"]
    yield from _table(rows, (0.15, 0.1, 0.15, 0.3, 0.1, 0.1, 0.1), head)
    if not part.overlaps:
        return
    yield _heading("Overlaps")
    head = [
        "Pair",
        "NCC before",
        "after",
        "Shift (mm)",
        "Turn (°)",
        "Round trip (mm)",
        "Rival",
        "Quarter (mm)",
        "Step (%)",
    ]
    pairs = [
        [f"{o.pair.upper} - {o.pair.lower}", *stitching.pair_numbers(o.pair),
         f"{number(100 * o.pair.step_before, 1)} → {number(100 * o.pair.step_after, 1)}"] for o in part.overlaps
    ]  # fmt: skip
    yield from _table(pairs, (0.2, 0.1, 0.08, 0.1, 0.08, 0.13, 0.08, 0.11, 0.12), head)
    for one in part.overlaps:
        how = f"rejected: {one.pair.reason}" if one.pair.reason else "before and after"
        title = f"{one.pair.upper} and {one.pair.lower} in squares, {how}"
        yield from _pictures(title, [one.before, one.after], 2)


def _measurements(record: CaseRecord) -> Iterator[_Strip]:
    measured = record.measurements
    if not measured:
        return
    yield _heading("Measurements")
    first = [[words(m.name), f"{number(m.value)} {pretty_unit(m.unit)}".strip()] for m in measured]
    if all(m.low is None and m.high is None for m in measured):
        rows = [[*cells, m.method] for cells, m in zip(first, measured, strict=True)]
        yield from _table(rows, (0.34, 0.16, 0.5), ["Name", "Value", "Method"])
        return
    rows = [[*cells, _range(m), m.method] for cells, m in zip(first, measured, strict=True)]
    yield from _table(rows, (0.28, 0.14, 0.28, 0.3), ["Name", "Value", "Normal range", "Method"])


def _range(measured: MeasurementRecord) -> str:
    """Return the normal range, where the value lies against it, and who published it."""
    if measured.low is None and measured.high is None:
        return ""
    limits = f"{number(measured.low)} to {number(measured.high)}"
    return "; ".join(text for text in (limits, range_note(measured), measured.source) if text)


def _plan(values: sections.Values) -> Iterator[_Strip]:
    thickness = thickness_section(values)
    if thickness is not None:
        yield _heading("Thickness profile")
        yield _Strip(raster.charted(thickness.chart, _INNER))
    if values.scan_plan is None or not values.scan_plan.groups:
        return
    yield from _pictures("Slice plan", sections.plan_figures(values), 3)
    rows = [
        [g.name, g.angulation, str(g.slices), f"{number(g.thickness_mm, 2)} / {number(g.gap_mm, 2)}",
         " x ".join(number(v, 0) for v in g.fov_mm), vector(g.center_lps_mm)]
        for g in values.scan_plan.groups
    ]  # fmt: skip
    head = ["Group", "Angulation", "Slices", "Thickness / gap (mm)", "Field of view (mm)", "Centre (LPS, mm)"]
    yield from _table(rows, (0.15, 0.22, 0.09, 0.19, 0.16, 0.19), head)


# ---------------------------------------------------------------- strips


def _blank(height: int) -> Image:
    from PIL import Image

    return Image.new("RGB", (_INNER, height), "white")


def _heading(text: str) -> _Strip:
    from PIL import ImageDraw

    image = _blank(_HEADING + 24)
    ImageDraw.Draw(image).text((0, 14), raster.spelt(text), fill=raster.rgb("accent"), font=raster.font(_HEADING))
    return _Strip(image, is_heading=True)


def _legend(toggles: Sequence[sections.Toggle]) -> _Strip:
    """Return what each line on the picture is, each with a piece of it."""
    from PIL import ImageDraw

    image = _blank(2 * _SMALL)
    draw, letters = ImageDraw.Draw(image), raster.font(_SMALL)
    x = 0.0
    for toggle in toggles:
        if toggle.key == "parts":
            continue
        colour, width = raster.stroke(toggle.key, "")
        draw.rectangle((x, 8, x + 36, 26), fill=raster.rgb("ink"))
        draw.line([(x + 3, 17), (x + 33, 17)], fill=colour, width=round(2 * width))
        draw.text((x + 44, 4), raster.spelt(toggle.label), fill=raster.rgb("ink"), font=letters)
        x += 44 + letters.getlength(raster.spelt(toggle.label)) + 24
    return _Strip(image)


def _wrapped(text: str, size: int, width: float) -> list[str]:
    """Break a text into lines that fit; a word that does not fit is cut."""
    letters = raster.font(size)
    lines, line = [], ""
    for word in raster.spelt(text).split():
        rest = word
        while letters.getlength(f"{line} {rest}".strip()) > width:
            if line:
                lines.append(line)
                line = ""
                continue
            fits = next(n for n in range(len(rest), 0, -1) if n == 1 or letters.getlength(rest[:n]) <= width)
            lines.append(rest[:fits])
            rest = rest[fits:]
        line = f"{line} {rest}".strip()
    return [*lines, line] if line or not lines else lines


def _paragraph(text: str, size: int = _TEXT) -> _Strip:
    from PIL import ImageDraw

    lines = _wrapped(text, size, _INNER)
    step = round(1.35 * size)
    image = _blank(step * len(lines) + 6)
    draw = ImageDraw.Draw(image)
    for n, line in enumerate(lines):
        draw.text((0, n * step), line, fill=raster.rgb("ink"), font=raster.font(size))
    return _Strip(image)


def _table(
    rows: Sequence[Sequence[str]], shares: Sequence[float], head: Sequence[str] | None = None
) -> Iterator[_Strip]:
    """Return a strip a row; ``shares`` of the width a column."""
    if head is not None:
        yield _Strip(_row(head, shares, raster.rgb("soft")).image, is_heading=True)
    yield from (_row(row, shares, raster.rgb("ink")) for row in rows)


def _row(cells: Sequence[str], shares: Sequence[float], colour: tuple[int, int, int]) -> _Strip:
    from PIL import ImageDraw

    columns = [_wrapped(cell, _SMALL, share * _INNER - 14) for cell, share in zip(cells, shares, strict=True)]
    step = round(1.3 * _SMALL)
    image = _blank(step * max(len(lines) for lines in columns) + 12)
    draw = ImageDraw.Draw(image)
    x = 0.0
    for lines, share in zip(columns, shares, strict=True):
        for n, line in enumerate(lines):
            draw.text((x, 4 + n * step), line, fill=colour, font=raster.font(_SMALL))
        x += share * _INNER
    draw.line([(0, image.height - 2), (_INNER, image.height - 2)], fill=raster.rgb("line"), width=1)
    return _Strip(image)


def _pictures(title: str, figures: Sequence[svg.Figure], most: int, tallest: int = 620) -> Iterator[_Strip]:
    """Return figures side by side at one height, ``most`` a row; the last row is no larger than the others."""
    if not figures:
        return
    yield _heading(title)
    height = 0.0
    for start in range(0, len(figures), most):
        row = figures[start : start + most]
        room = _INNER - _GAP * (len(row) - 1)
        height = min(room / sum(f.width / f.height for f in row), tallest, height or tallest)
        yield _Strip(_side_by_side([raster.drawn(f, round(height * f.width / f.height)) for f in row]))


def _side_by_side(images: Sequence[Image]) -> Image:
    strip = _blank(max(image.height for image in images) + _GAP)
    x = 0
    for image in images:
        strip.paste(image, (x, 0))
        x += image.width + _GAP
    return strip


# ---------------------------------------------------------------- pages


def _paged(record: CaseRecord, strips: Sequence[_Strip]) -> list[Page]:
    groups = list(_kept_together(strips))
    pages: list[list[Image]] = [[]]
    room = HEIGHT - _TOP - _BOTTOM
    for group in groups:
        needed = sum(image.height for image in group)
        if pages[-1] and needed > room:
            pages.append([])
            room = HEIGHT - _TOP - _BOTTOM
        pages[-1] += group
        room -= needed
    return [_page(record, images, n, len(pages)) for n, images in enumerate(pages, 1)]


def _kept_together(strips: Iterable[_Strip]) -> Iterator[list[Image]]:
    group: list[Image] = []
    for strip in strips:
        group.append(strip.image)
        if not strip.is_heading:
            yield group
            group = []
    if group:
        yield group


def _page(record: CaseRecord, images: Sequence[Image], index: int, count: int) -> Page:
    from PIL import Image, ImageDraw

    page = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(page)
    title = f"mediseg {record.mediseg} · {record.recipe.name} · {record.status}"
    draw.text((MARGIN, 48), raster.spelt(title), fill=raster.rgb("ink"), font=raster.font(_HEADING))
    source = record.source
    if source is not None:
        facts = " · ".join(text for text in (
            source.manufacturer, source.sequence, f"{' x '.join(map(str, source.shape))} voxels of "
            f"{' x '.join(number(v, 2) for v in source.spacing_mm)} mm", source.orientation) if text)  # fmt: skip
        line = _wrapped(facts, _SMALL, _INNER)[0]
        draw.text((MARGIN, 92), line, fill=raster.rgb("soft"), font=raster.font(_SMALL))
    draw.rectangle((MARGIN, 126, WIDTH - MARGIN, 168), fill=raster.rgb("amber-wash"))
    notice = raster.spelt(record.intended_use)
    draw.text((MARGIN + 12, 135), notice, fill=raster.rgb("amber"), font=raster.font(_TEXT))
    y = _TOP
    for image in images:
        page.paste(image, (MARGIN, y))
        y += image.height
    foot = f"Page {index} of {count} · {notice}"
    draw.text((MARGIN, HEIGHT - 70), foot, fill=raster.rgb("soft"), font=raster.font(_SMALL))
    return raster.pixels(page)
