"""index.html: a page that sorts, filters and draws by itself, from data that it carries; it asks for nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mediseg.record import INTENDED_USE
from mediseg.report.html import clean, environment, number, pretty_unit, words
from mediseg.report.index import ANGLE, AREA, CONFIDENCE, LENGTH, QUALITY, SECONDS, Index, Outlier, Quantity
from mediseg.report.scripts import hash_source, script
from mediseg.report.spread import BARS, OUTLIER_Z, Histogram, histogram

#: Rows that stand in the page itself, for a browser without scripts.
STATIC_ROWS = 100
#: With fewer cases there is nothing to see in a histogram.
FEWEST_DRAWN = 5
_FAVOURITES = (AREA, LENGTH, ANGLE, CONFIDENCE)
_LABELS = {
    ANGLE: "ROI angle",
    CONFIDENCE: "ROI confidence",
    QUALITY: "quality",
    SECONDS: "time",
    Quantity("cc_index", "1"): "CC index",
}
_DECIMALS = {AREA: 0, LENGTH: 1, ANGLE: 1, CONFIDENCE: 2, QUALITY: 2, SECONDS: 1}
_BAR_HEIGHT = 24


@dataclass(frozen=True)
class Chart:
    """A histogram as it is drawn: ``d`` in units of bars and of ``_BAR_HEIGHT``; texts for both ends and the middle."""

    label: str
    unit: str
    d: str
    low: str
    high: str
    median: str
    outliers: int
    count: int


@dataclass(frozen=True)
class Column:
    """A column of numbers: its place among the quantities, heading and decimals (None: as many as are needed)."""

    at: int
    label: str
    unit: str
    digits: int | None


def render_index(index: Index) -> str:
    """Return index.html: one row a case, suspicious ones on top, each linked to its own page.

    One file without anything to fetch, allowed to run its own script alone (by its hash). Without scripts it shows the
    first rows and all histograms.
    """
    quantities = list(index.columns)
    bars = {q: histogram(values, index.spreads[q]) for q, values in index.columns.items()}
    columns = _columns(quantities)
    rows = index.rows[:STATIC_ROWS]
    page = environment().get_template("index.html.j2")
    text = page.render(
        rows=[
            (row, _outlier_text(outlier), [_cell(row.values, quantities, column) for column in columns])
            for row, outlier in zip(rows, index.outliers, strict=False)
        ],
        columns=columns,
        charts=_charts(index, bars) if len(index.rows) >= FEWEST_DRAWN else [],
        bars=BARS,
        bar_height=_BAR_HEIGHT,
        outlier_z=OUTLIER_Z,
        counts={status: sum(r.status == status for r in index.rows) for status in ("done", "refused", "failed")},
        outliers=sum(one is not None for one in index.outliers),
        total=len(index.rows),
        versions=sorted({f"{row.recipe} · mediseg {row.mediseg}" for row in index.rows}),
        codes=sorted({code for row in index.rows for code in row.warnings}),
        intended_use=INTENDED_USE,
        script=script("index.js"),
        script_source=hash_source("index.js"),
        data=_json(_data(index, bars, columns)),
        values=_values(index),
    )
    return clean(text)


def _columns(quantities: Sequence[Quantity]) -> list[Column]:
    """Return the columns that every reader wants, or the first ones where this recipe gives none of those."""
    present = [q for q in _FAVOURITES if q in quantities]
    others = [q for q in quantities if q not in (QUALITY, SECONDS)]
    chosen = [*(present or others[:4]), *(q for q in (SECONDS,) if q in quantities)]
    return [Column(quantities.index(q), *_words(q), _DECIMALS.get(q)) for q in chosen]


def _words(quantity: Quantity) -> tuple[str, str]:
    return _LABELS.get(quantity, words(quantity.name)), pretty_unit("°" if quantity == ANGLE else quantity.unit)


def _cell(values: Mapping[Quantity, float], quantities: Sequence[Quantity], column: Column) -> str:
    return number(values.get(quantities[column.at]), column.digits)


def _outlier_text(outlier: Outlier | None) -> str:
    return "" if outlier is None else f"{_words(outlier.quantity)[0]} {outlier.z:+.1f}".replace("-", "−")


def _charts(index: Index, bars: Mapping[Quantity, Histogram]) -> list[Chart]:
    charts = []
    for quantity, values in index.columns.items():
        spread, drawn = index.spreads[quantity], bars[quantity]
        charts.append(
            Chart(
                *_words(quantity),
                d=_path(drawn.counts),
                low=("≤ " if spread.low < drawn.low else "") + number(drawn.low),
                high=("≥ " if spread.high > drawn.high else "") + number(drawn.high),
                median=number(spread.median),
                outliers=sum(one is not None and one.quantity == quantity for one in index.outliers),
                count=len(values),
            )
        )
    return charts


def _path(counts: Sequence[int]) -> str:
    """Return bars as one path; a bar that holds anything is at least one unit high, so that an outlier shows."""
    top = max(counts)
    return "".join(
        f"M{n} {_BAR_HEIGHT}v{-max(1, round(_BAR_HEIGHT * count / top))}h1V{_BAR_HEIGHT}"
        for n, count in enumerate(counts)
        if count
    )


def _data(index: Index, bars: Mapping[Quantity, Histogram], columns: Sequence[Column]) -> dict[str, Any]:
    quantities = list(index.columns)
    codes = sorted({code for row in index.rows for code in row.warnings})
    return {
        "quantities": [
            {
                "label": _words(q)[0],
                "unit": _words(q)[1],
                "low": bars[q].low,
                "high": bars[q].high,
                "digits": _digits(q),
            }
            for q in quantities
        ],
        "columns": [column.at for column in columns],
        "codes": codes,
        "bars": BARS,
        "height": _BAR_HEIGHT,
        "cases": [row.case for row in index.rows],
        "pages": [int(row.has_page) for row in index.rows],
        "status": [row.status for row in index.rows],
        "reasons": {n: row.reason for n, row in enumerate(index.rows) if row.reason},
        "warnings": [[codes.index(code) for code in dict.fromkeys(row.warnings)] for row in index.rows],
        "outliers": [None if o is None else [quantities.index(o.quantity), round(o.z, 1)] for o in index.outliers],
        "quality": quantities.index(QUALITY) if QUALITY in quantities else -1,
    }


def _values(index: Index) -> str:
    """Return all values as JSON, a list a quantity, with as many digits as anybody reads: half a million of them."""
    lists = (",".join(_short(row.values.get(quantity)) for row in index.rows) for quantity in index.columns)
    return f"[{','.join(f'[{one}]' for one in lists)}]"


def _short(value: float | None) -> str:
    return "null" if value is None else f"{value:.5g}"


def _digits(quantity: Quantity) -> int:
    return _DECIMALS.get(quantity, -1)


def _json(data: object) -> str:
    """Return JSON that ends no script element and opens no comment, whatever a text in it says."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
