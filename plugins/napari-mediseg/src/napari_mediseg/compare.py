"""Two finished cases side by side as numbers: measurements and ROI angles with their differences. No Qt in here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_mediseg.cases import record_of


@dataclass(frozen=True)
class Row:
    """One value of two cases; None where a case does not have it."""

    name: str
    unit: str
    first: float | None
    second: float | None

    @property
    def difference(self) -> float | None:
        """Second less first."""
        return None if self.first is None or self.second is None else self.second - self.first


def compared(first: Path, second: Path) -> tuple[Row, ...]:
    """Return the ROI's angles and centre, then every measurement of either case. Raises InputError."""
    tables = [_values(folder) for folder in (first, second)]
    names = list(dict.fromkeys([*tables[0], *tables[1]]))
    rows = []
    for name in names:
        (one, unit), (other, other_unit) = (table.get(name, (None, "")) for table in tables)
        rows.append(Row(name, unit or other_unit, one, other))
    return tuple(rows)


def _values(folder: Path) -> dict[str, tuple[float | None, str]]:
    record = record_of(folder)
    found: dict[str, tuple[float | None, str]] = {}
    if record.roi is not None:
        found["ROI angle"] = (record.roi.angle_deg, "deg")
        for name, estimate in record.roi.estimates.items():
            found[f"ROI angle, {name}"] = (estimate.angle_deg, "deg")
        for letter, value in zip("LPS", record.roi.center_mm, strict=True):
            found[f"ROI centre, {letter}"] = (value, "mm")
        found["confidence"] = (record.roi.confidence, "")
    for one in record.measurements:
        unit = "" if one.unit == "1" else one.unit  # UCUM's word for a number without a unit
        found[one.name.replace("_", " ")] = (one.value, unit)
    return found
