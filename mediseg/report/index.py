"""The page and the table of a batch: one row a case, the suspicious ones on top."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mediseg.record import INTENDED_USE, CaseRecord
from mediseg.report.html import clean, environment, number

COLUMNS = (
    "case",
    "status",
    "reason",
    "quality",
    "flags",
    "warnings",
    "area_mm2",
    "length_mm",
    "roi_method",
    "roi_angle_deg",
    "roi_x_mm",
    "roi_y_mm",
    "roi_z_mm",
    "roi_confidence",
    "recipe",
    "manufacturer",
    "sequence",
    "seconds",
    "report",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_RANK = {"failed": 0, "refused": 1, "done": 2}


def ordered(records: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Return the suspicious cases first: failed, refused, then by quality (none given, low to high), warnings, name."""
    return sorted(records, key=_suspicion)


def _suspicion(record: CaseRecord) -> tuple[int, float, int, str]:
    score = record.quality.score
    return _RANK[record.status], -1.0 if score is None else score, -len(record.warnings), record.case


def report_link(record: CaseRecord) -> str:
    """Return the relative link to a case's page; empty where none was written (nothing could be read, a full disk)."""
    if not any(output.path == "report.html" for output in record.outputs):
        return ""
    return f"{quote(record.case, safe='')}/report.html"


@dataclass(frozen=True)
class _Row:
    record: CaseRecord
    link: str
    area: str
    length: str
    angle: str
    confidence: str
    seconds: str


def render_index(records: Sequence[CaseRecord]) -> str:
    """Return index.html: one row a case, suspicious ones on top, each linked to its own page."""
    rows = [_row(record) for record in ordered(records)]
    counts = {status: sum(r.status == status for r in records) for status in ("done", "refused", "failed")}
    versions = sorted({f"{r.recipe.name} · mediseg {r.mediseg}" for r in records})
    page = environment().get_template("index.html.j2")
    return clean(page.render(rows=rows, counts=counts, total=len(rows), versions=versions, intended_use=INTENDED_USE))


def _measured(record: CaseRecord, name: str) -> float | None:
    return next((m.value for m in record.measurements if m.name == name), None)


def _seconds(record: CaseRecord) -> float | None:
    known = [step.seconds for step in record.steps if step.seconds is not None]
    return sum(known) if known else None


def _row(record: CaseRecord) -> _Row:
    roi = record.roi
    return _Row(
        record=record,
        link=report_link(record),
        area=number(_measured(record, "area"), 0),
        length=number(_measured(record, "length"), 1),
        angle=number(roi.angle_deg, 1) if roi else "–",
        confidence=number(roi.confidence, 2) if roi else "–",
        seconds=number(_seconds(record), 1),
    )


def index_csv(records: Sequence[CaseRecord]) -> str:
    """Return index.csv in the page's order; unknown values are empty, text can never be taken for a formula."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_cells(record) for record in ordered(records))
    return clean(table.getvalue())


def _cells(record: CaseRecord) -> list[str]:
    roi, source = record.roi, record.source
    center = roi.center_mm if roi else (None, None, None)
    return [
        _text(record.case),
        record.status,
        _text(record.reason),
        _number(record.quality.score),
        _text(" ".join(record.quality.flags)),
        str(len(record.warnings)),
        _number(_measured(record, "area")),
        _number(_measured(record, "length")),
        _text(roi.method) if roi else "",
        _number(roi.angle_deg if roi else None),
        *(_number(value) for value in center),
        _number(roi.confidence if roi else None),
        _text(record.recipe.name),
        _text(source.manufacturer) if source else "",
        _text(source.sequence) if source else "",
        _number(_seconds(record)),
        report_link(record),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _text(text: str) -> str:
    """Return text on one line that a spreadsheet shows and does not run (a leading apostrophe marks it as text)."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(_FORMULA_STARTS) or text.startswith(_FORMULA_STARTS) else line
