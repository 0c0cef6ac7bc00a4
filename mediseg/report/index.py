"""The page and the table of a batch: one row a case, the suspicious ones on top. Made for ten thousand of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote

import numpy as np

from mediseg.record import CaseRecord
from mediseg.report.html import clean
from mediseg.report.spread import OUTLIER_Z, Spread, finite, spread_of

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
    "outlier",
    "outlier_z",
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
_RANK = {"failed": 0, "refused": 1, "done": 2}


class Quantity(NamedTuple):
    """What was measured, and its unit (UCUM)."""

    name: str
    unit: str


@lru_cache(maxsize=4096)
def _quantity(name: str, unit: str) -> Quantity:
    return Quantity(name, unit)


AREA, LENGTH = _quantity("area", "mm2"), _quantity("length", "mm")
ANGLE, CONFIDENCE = _quantity("roi_angle", "deg"), _quantity("roi_confidence", "1")
QUALITY, SECONDS = _quantity("quality", "1"), _quantity("time", "s")
#: These say how a case went, not what its patient is like: never outliers.
_ABOUT_THE_RUN = (CONFIDENCE, QUALITY, SECONDS)


@dataclass(frozen=True, slots=True)
class IndexRow:
    """What the index shows of a case: a few kilobytes, where its whole record has hundreds."""

    case: str
    status: str
    reason: str
    has_page: bool
    flags: tuple[str, ...]
    warnings: tuple[str, ...]
    roi_method: str
    roi_center_mm: tuple[float, float, float] | None
    recipe: str
    mediseg: str
    manufacturer: str
    sequence: str
    values: Mapping[Quantity, float]

    @property
    def link(self) -> str:
        """The relative link to the case's page; empty where none was written (nothing readable, a full disk)."""
        return f"{quote(self.case, safe='')}/report.html" if self.has_page else ""

    @property
    def quality(self) -> float | None:
        """The weakest confidence of any step, None where none gave one."""
        return self.values.get(QUALITY)


@dataclass(frozen=True, slots=True)
class Outlier:
    """The quantity of a case that lies farthest from the other cases' middle, and by how many widths."""

    quantity: Quantity
    z: float


def index_row(record: CaseRecord) -> IndexRow:
    """Return what the index needs of a record."""
    roi, source = record.roi, record.source
    return IndexRow(
        case=record.case,
        status=record.status,
        reason=record.reason,
        has_page=any(output.path == "report.html" for output in record.outputs),
        flags=record.quality.flags,
        warnings=tuple(str(warning.code) for warning in record.warnings),
        roi_method=roi.method if roi else "",
        roi_center_mm=roi.center_mm if roi else None,
        recipe=record.recipe.name,
        mediseg=record.mediseg,
        manufacturer=source.manufacturer if source else "",
        sequence=source.sequence if source else "",
        values=_values(record),
    )


def _values(record: CaseRecord) -> dict[Quantity, float]:
    known = [step.seconds for step in record.steps if step.seconds is not None]
    found: list[tuple[Quantity, float | None]] = [
        *((_quantity(m.name, m.unit), m.value) for m in record.measurements),
        (ANGLE, record.roi.angle_deg if record.roi else None),
        (CONFIDENCE, record.roi.confidence if record.roi else None),
        (QUALITY, record.quality.score),
        (SECONDS, sum(known) if known else None),
    ]
    values: dict[Quantity, float] = {}
    for quantity, value in found:
        if (number := finite(value)) is not None:
            values.setdefault(quantity, number)
    return values


class Index:
    """The rows in the page's order, the quantities they have, and who is an outlier in which.

    The order: failed, refused, outliers from the farthest on, then by quality (none given first), warnings, name.
    """

    def __init__(self, rows: Iterable[IndexRow]) -> None:
        given = list(rows)
        columns: dict[Quantity, list[float]] = {}
        places: dict[Quantity, list[int]] = {}
        for n, row in enumerate(given):
            for quantity, value in row.values.items():
                columns.setdefault(quantity, []).append(value)
                places.setdefault(quantity, []).append(n)
        last = [one for one in (ANGLE, *_ABOUT_THE_RUN) if one in columns]
        self.columns: Mapping[Quantity, Sequence[float]] = {
            quantity: columns[quantity] for quantity in (*(q for q in columns if q not in last), *last)
        }
        self.spreads: Mapping[Quantity, Spread] = {q: spread_of(values) for q, values in self.columns.items()}
        ranked = sorted(zip(self._farthest(given, places), given, strict=True), key=_suspicion)
        self.rows = tuple(row for _, row in ranked)
        self.outliers = tuple(outlier for outlier, _ in ranked)

    def _farthest(self, rows: Sequence[IndexRow], places: Mapping[Quantity, Sequence[int]]) -> list[Outlier | None]:
        """Return for each row the quantity in which it is an outlier, and farthest out; None where in none."""
        farthest, which = np.zeros(len(rows)), np.full(len(rows), -1)
        quantities = list(self.columns)
        for number, quantity in enumerate(quantities):
            if quantity in _ABOUT_THE_RUN:
                continue
            at = np.asarray(places[quantity])
            z = self.spreads[quantity].z(np.asarray(self.columns[quantity]))
            farther = np.abs(z) > np.abs(farthest[at])
            farthest[at[farther]], which[at[farther]] = z[farther], number
        is_out = [row.status == "done" and abs(z) >= OUTLIER_Z for row, z in zip(rows, farthest, strict=True)]
        each = zip(is_out, which, farthest, strict=True)
        return [Outlier(quantities[number], float(z)) if out else None for out, number, z in each]


def _suspicion(ranked: tuple[Outlier | None, IndexRow]) -> tuple[int, float, float, int, str]:
    outlier, row = ranked
    far = 0.0 if outlier is None else -abs(outlier.z)
    return _RANK[row.status], far, row.values.get(QUALITY, -1.0), -len(row.warnings), row.case


def index_csv(index: Index) -> str:
    """Return index.csv in the page's order; unknown values are empty, text can never be taken for a formula.

    The fixed columns, then every measurement of any case as ``name_unit``.
    """
    more = [q for q in index.columns if q not in (AREA, LENGTH, ANGLE, *_ABOUT_THE_RUN)]
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow([*COLUMNS, *(_text(column_name(q)) for q in more)])
    for row, outlier in zip(index.rows, index.outliers, strict=True):
        writer.writerow([*_cells(row, outlier), *(_number(row.values.get(q)) for q in more)])
    return clean(table.getvalue())


def column_name(quantity: Quantity) -> str:
    """Return a quantity's name in index.csv: with its unit, where it has one that a column's name can hold."""
    unit = quantity.unit.replace("/", "per_") if quantity.unit != "1" else ""
    return f"{quantity.name}_{unit}" if unit else quantity.name


def _cells(row: IndexRow, outlier: Outlier | None) -> list[str]:
    return [
        _text(row.case),
        row.status,
        _text(row.reason),
        _number(row.values.get(QUALITY)),
        _text(" ".join(row.flags)),
        str(len(row.warnings)),
        _number(row.values.get(AREA)),
        _number(row.values.get(LENGTH)),
        _text(row.roi_method),
        _number(row.values.get(ANGLE)),
        *(_number(value) for value in row.roi_center_mm or (None, None, None)),
        _number(row.values.get(CONFIDENCE)),
        _text(row.recipe),
        _text(row.manufacturer),
        _text(row.sequence),
        _number(row.values.get(SECONDS)),
        row.link,
        _text(column_name(outlier.quantity)) if outlier else "",
        _number(round(outlier.z, 2) if outlier else None),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def _text(text: str) -> str:
    """Return text on one line that a spreadsheet shows and does not run (a leading apostrophe marks it as text)."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(_FORMULA_STARTS) or text.startswith(_FORMULA_STARTS) else line
