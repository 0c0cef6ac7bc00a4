"""measurements.csv: one row a value, safe to open in a spreadsheet."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from mediseg.io.atomic import write_text_atomically
from mediseg.results import Measurement

COLUMNS = ("name", "value", "unit", "low", "high", "method", "source")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def measurements_csv(measurements: Iterable[Measurement]) -> str:
    """Return the table as text: header, then name,value,unit,low,high,method,source; an unknown limit is empty."""
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(_row(measurement) for measurement in measurements)
    return table.getvalue()


def write_measurements_csv(measurements: Iterable[Measurement], path: Path) -> Path:
    """Write measurements.csv (UTF-8). Raises OutputError."""
    write_text_atomically(path, measurements_csv(measurements))
    return path


def _row(measurement: Measurement) -> list[str]:
    return [
        _text(measurement.name),
        _number(measurement.value),
        _text(measurement.unit),
        _number(measurement.low),
        _number(measurement.high),
        _text(measurement.method),
        _text(measurement.source),
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{float(value):.10g}"


def _text(text: str) -> str:
    """Return text that no spreadsheet takes for a formula (a leading apostrophe marks it as text), on one line."""
    line = " ".join(text.split())
    return f"'{line}" if text.startswith(_FORMULA_STARTS) or line.startswith(_FORMULA_STARTS) else line
