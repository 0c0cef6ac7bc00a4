"""The page of one case: the record and the results to one self-contained HTML text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mediseg.record import CaseRecord, InputRecord, MeasurementRecord, WarningRecord
from mediseg.report import morphometry, ruler, sections, stitching
from mediseg.results import SliceGroup

if TYPE_CHECKING:
    from jinja2 import Environment

_UNITS = {"mm2": "mm²", "mm3": "mm³", "mL": "ml", "deg": "°", "1": "", "/mm": "1/mm"}
_STATUS = {"done": "Done", "refused": "Refused", "failed": "Failed"}

#: section of the page -> (the step that gives it, its heading)
_SECTIONS = {
    "midsagittal": ("find_midsagittal", "Mid-sagittal view"),
    "plan": ("plan_scan", "Slice plan"),
    "brain": ("extract_brain", "Brain mask"),
    "bias": ("correct_bias", "Bias correction"),
    "thickness": ("measure_callosum", "Thickness profile"),
    "stitching": ("stitch_stations", "Stitched spine"),
}


@lru_cache(maxsize=1)
def environment() -> Environment:
    """Return the template environment: everything is escaped, an unknown name is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    env = Environment(
        loader=PackageLoader("mediseg.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "number": number,
        "unit": pretty_unit,
        "words": words,
        "vector": vector,
        "mm": _mm,
        "sentence": sentence,
        "pair_numbers": stitching.pair_numbers,
    }
    return env


def render_case(record: CaseRecord, values: Mapping[str, object]) -> str:
    """Return report.html for one case: one file without fonts or anything else to fetch.

    It runs no script, but for the rulers on a stitched spine: that one is allowed by its hash.

    ``values`` holds what the steps gave under their names (head, bias, brain, midsagittal, callosum, localization,
    measurements, scan_plan), as many as there are; a section without its value is left out, or says why it is missing.
    Raises TypeError for a value of another type.
    """
    drawn = sections.Values.of(values)
    parts = {
        "midsagittal": sections.midsagittal_section(drawn),
        "plan": sections.plan_figures(drawn),
        "brain": sections.brain_mosaic(drawn),
        "bias": sections.bias_section(drawn),
        "thickness": morphometry.thickness_section(drawn),
        "stitching": stitching.stitching_section(drawn.stitched, drawn.stations),
    }
    areas, measurements = morphometry.area_rows(record.measurements)
    page = environment().get_template("case.html.j2")
    text = page.render(
        record=record,
        status=_STATUS[record.status],
        summary=summary(record, drawn),
        areas=areas,
        measurements=measurements,
        estimates=_estimates(record),
        uniformity=uniformity_rows(record),
        groups=[_plan_row(g) for g in drawn.scan_plan.groups] if drawn.scan_plan else [],
        plan=drawn.scan_plan,
        missing=_missing(record, parts | {"plan": drawn.scan_plan}),
        warnings=[_warning(w) for w in record.warnings],
        inputs=_inputs(record.input),
        facts=_facts(drawn),
        parameters=_parameters(record),
        brain=drawn.brain,
        ruler=ruler,
        **{f"{name}_part": part for name, part in parts.items()},
    )
    return clean(text)


def clean(text: str) -> str:
    """Spell out what is no Unicode (bytes of file names), so that the page can always be written as UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def number(value: float | None, digits: int | None = None) -> str:
    """Return a number for a reader: three or four significant digits, or a fixed count of decimals; none: a dash."""
    if value is None or not math.isfinite(value):
        return "–"
    if digits is None:
        digits = _digits(float(value))
    text = f"{value:.{digits}f}"
    return text[1:] if text.startswith("-") and not text.strip("-0.") else text


def _digits(value: float) -> int:
    size = abs(value)
    if size == 0 or (size >= 100 and value.is_integer()):
        return 0
    return next((digits for limit, digits in ((100, 1), (1, 2), (0.1, 3), (0.01, 4)) if size >= limit), 3)


def pretty_unit(unit: str) -> str:
    """Return a UCUM unit as it is printed."""
    return _UNITS.get(unit, unit)


_PROPER = {"hofer frahm": "Hofer-Frahm", "witelson": "Witelson"}


def words(name: str) -> str:
    """Return ``area_hofer_frahm_I`` as ``area Hofer-Frahm I``."""
    text = name.replace("_", " ").strip()
    for plain, proper in _PROPER.items():
        text = text.replace(plain, proper)
    return text


def sentence(text: str) -> str:
    """Return a message with a capital and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def vector(values: Any, digits: int = 1) -> str:
    """Return coordinates with one separator, such as ``-1.2, 30.0, 4.5``."""
    return ", ".join(number(float(v), digits) for v in values)


def _mm(value: float) -> str:
    """Return a length in a drawing with as many decimals as it needs, at most two."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


# ---------------------------------------------------------------- summary


@dataclass(frozen=True)
class Tile:
    """One number of the summary strip."""

    label: str
    value: str
    unit: str = ""
    note: str = ""


def summary(record: CaseRecord, values: sections.Values) -> list[Tile]:
    """Return what a reader wants first: area, length, the ROI's angle and centre, confidence, brain volume."""
    measured = {m.name: m for m in record.measurements}
    tiles = [
        Tile(label, number(measured[name].value, 1), pretty_unit(measured[name].unit), range_note(measured[name]))
        for name, label in (
            ("area", "Callosum area"),
            ("length", "Callosum length"),
            ("thickness_mean", "Callosum thickness, mean"),
        )
        if name in measured
    ]
    if record.roi is not None:
        tiles += [
            Tile("ROI angle", number(record.roi.angle_deg, 1), "°", _lower_end(record.roi.angle_deg)),
            Tile("ROI centre (LPS, mm)", vector(record.roi.center_mm), "", f"method: {record.roi.method}"),
            Tile("ROI confidence", number(record.roi.confidence, 2), "", _confidence_note(record.roi.confidence)),
        ]
    if values.brain is not None:
        tiles.append(
            Tile(
                "Brain volume",
                number(values.brain.mask.volume_ml(), 0),
                "ml",
                f"confidence {number(values.brain.confidence, 2)} of 1",
            )
        )
    return tiles + _stitched_tiles(values)


def _stitched_tiles(values: sections.Values) -> list[Tile]:
    if values.stitched is None:
        return []
    stations, pairs = values.stitched.transforms.stations, values.stitched.transforms.pairs
    registered = sum(one.method == "registered" for one in stations)
    tiles = [Tile("Stations", str(len(stations)), "", f"{registered} registered to {stations[0].name}")]
    tiles += [Tile(words(m.name).capitalize(), number(m.value, 1), m.unit) for m in values.stitched.measurements]
    return tiles if pairs else tiles[:2]


@dataclass(frozen=True)
class UniformityRow:
    """One measure of how even the brain is, before and after the bias correction."""

    label: str
    before: float | None
    after: float | None
    digits: int


def uniformity_rows(record: CaseRecord) -> list[UniformityRow]:
    """Return the measures of the bias correction; none where there was no brain mask to take them in."""
    if record.bias is None:
        return []
    names = (
        ("white_cv_percent", "White matter, coefficient of variation (%)", 1),
        ("cjv", "Coefficient of joint variation, white and grey matter", 3),
        ("entropy_bits", "Entropy of the histogram (bits)", 3),
    )
    before, after = record.bias.before, record.bias.after
    return [UniformityRow(label, getattr(before, name), getattr(after, name), digits) for name, label, digits in names]


def _lower_end(angle_deg: float) -> str:
    if abs(angle_deg) < 0.05:
        return "level"
    return "posterior end lower" if angle_deg > 0 else "anterior end lower"


def _confidence_note(confidence: float) -> str:
    return "0 to 1" if confidence >= 0.6 else "low: check by eye"


def range_note(measured: MeasurementRecord) -> str:
    """Return where a value lies against its normal range, or nothing where no range is known."""
    value, low, high = measured.value, measured.low, measured.high
    if value is None or (low is None and high is None):
        return ""
    if low is not None and value < low:
        return f"below normal (from {number(low)})"
    if high is not None and value > high:
        return f"above normal (to {number(high)})"
    return "within normal range"


# ---------------------------------------------------------------- tables


@dataclass(frozen=True)
class EstimateRow:
    """One line of the angle table; lengths in mm."""

    name: str
    chosen: bool
    angle_deg: float
    center_mm: tuple[float, float]
    size_mm: tuple[float, float]


def _estimates(record: CaseRecord) -> list[EstimateRow]:
    roi = record.roi
    if roi is None:
        return []
    order = [n for n in sections.ESTIMATES if n in roi.estimates] + sorted(set(roi.estimates) - {*sections.ESTIMATES})
    found = [(name, roi.estimates[name]) for name in order]
    return [EstimateRow(n, n == roi.method, e.angle_deg, e.center_mm, e.size_mm) for n, e in found]


def _plan_row(group: SliceGroup) -> dict[str, Any]:
    """Return the DICOM numbers of a slice group as text."""
    return {
        "name": group.name,
        "angulation": group.angulation,
        "orientation": [f"{_no_minus_zero(c):.6g}" for c in group.image_orientation],
        "position": [f"{_no_minus_zero(c):.6g}" for c in group.image_position_mm],
        "center": vector(group.center_lps_mm),
        "slices": group.slices,
        "thickness": number(group.thickness_mm, 2),
        "gap": number(group.gap_mm, 2),
        "fov": " × ".join(number(v, 0) for v in group.fov_mm),
        "pixel": number(group.pixel_mm, 2),
        "phase": group.phase_direction,
    }


def _no_minus_zero(value: float) -> float:
    return round(value, 6) + 0.0


def _warning(warning: WarningRecord) -> tuple[str, str, list[tuple[str, str]]]:
    """Return (sentence, code, details that the sentence does not say itself)."""
    details = [(words(key), _plain(value)) for key, value in warning.detail.items()]
    unsaid = [(key, text) for key, text in details if text not in warning.message]
    return sentence(warning.message), str(warning.code), unsaid


def _missing(record: CaseRecord, parts: Mapping[str, object]) -> list[str]:
    """Return the headings of the sections that the recipe would have filled."""
    wanted = record.recipe.parameters
    return [heading for name, (step, heading) in _SECTIONS.items() if step in wanted and not parts[name]]


_FACT_UNITS = {"ms": "ms", "mm": "mm", "deg": "°", "t": "T"}


def _facts(values: sections.Values) -> list[tuple[str, str]]:
    """Return the sequence facts as (name, value with unit), in order of the alphabet."""
    head = values.head
    facts = head.source.facts if head is not None and head.source is not None else {}
    return [_fact(name, facts[name]) for name in sorted(facts)]


def _fact(name: str, value: str | float) -> tuple[str, str]:
    if name == "shown_inverted":
        return words(name), "yes (MONOCHROME1: small values are bright); the values were turned round before use"
    stem, _, ending = name.rpartition("_")
    unit = _FACT_UNITS.get(ending, "") if stem else ""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return words(stem if unit else name), text + ("" if unit in ("", "°") else " ") + unit


@dataclass(frozen=True)
class InputRow:
    """One file, or a note on how many more there are."""

    path: str
    sha256: str
    series_uid: str


@dataclass(frozen=True)
class Inputs:
    """The first files of the input and how many are not listed."""

    rows: tuple[InputRow, ...]
    more: int


def _inputs(files: tuple[InputRecord, ...], most: int = 4) -> Inputs:
    shown = files if len(files) <= most + 1 else files[:most]
    rows = tuple(InputRow(f.path, f.sha256[:12], f.series_uid or "") for f in shown)
    return Inputs(rows, len(files) - len(shown))


def _parameters(record: CaseRecord) -> list[tuple[str, str]]:
    """Return one line a step: ``name=value, ...`` in order of the alphabet; steps without settings are left out."""
    lines = []
    for step, settings in record.recipe.parameters.items():
        if isinstance(settings, Mapping):
            text = ", ".join(f"{name} = {_plain(value)}" for name, value in settings.items())
        else:
            text = _plain(settings)
        if text:
            lines.append((str(step), text))
    return lines


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ", ".join(_plain(v) for v in value) + "]"
    return str(value)
