"""The case record: what ``report.json`` holds, its JSON Schema, and how results become entries of it.

The runner fills a ``CaseRecord`` and writes ``to_json()`` last; the report and ``--resume`` read it. Numbers that are
not finite become null, because JSON has no NaN; an ROI with one is never recorded (ValueError). Nothing here may
identify a person: paths and names come in as they may be shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from enum import Enum
from importlib import resources
from pathlib import PurePath
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from mediseg.errors import Code, Warn
from mediseg.results import Callosum, Estimate, Frame, Localization, Measurement
from mediseg.volume import CodedConcept, Volume

SCHEMA_VERSION: Literal["1.0"] = "1.0"
SCHEMA_FILE = "report.schema.json"
INTENDED_USE = "Research use only. Not a medical device; not for diagnosis or treatment decisions."

Status = Literal["done", "refused", "failed"]


def _finite(value: object) -> object:
    """Return None for a number that is not finite; anything else as it is."""
    return None if isinstance(value, float | np.floating) and not math.isfinite(value) else value


def _printable(value: object) -> object:
    """Spell out bytes of a file name that are no UTF-8 (Linux allows them; JSON and HTML do not)."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def json_value(value: object) -> Any:
    """Return ``value`` in JSON types: arrays and tuples to lists, enums and paths to text, NaN to None, keys sorted.

    Raises TypeError for anything that has no plain form, so that no ``repr`` of an object slips into a file.
    """
    if isinstance(value, Enum):
        return json_value(value.value)
    if value is None or isinstance(value, bool | str):
        return _printable(value)
    if isinstance(value, np.generic | np.ndarray):
        return json_value(value.tolist())
    if isinstance(value, int | float):
        return _finite(value)
    return _json_container(value)


def _json_container(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): json_value(value[key]) for key in sorted(value, key=str)}
    if isinstance(value, list | tuple):
        return [json_value(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((json_value(item) for item in value), key=str)
    if isinstance(value, PurePath):
        return value.as_posix()
    raise TypeError(f"{type(value).__name__} has no form in JSON")


Number = Annotated[float | None, BeforeValidator(_finite)]
Text = Annotated[str, BeforeValidator(_printable)]
Details = Annotated[dict[str, Any], BeforeValidator(json_value)]
Point2 = tuple[FiniteFloat, FiniteFloat]
Point3 = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class RecipeRecord(_Record):
    """Which recipe ran: its name, the SHA-256 of its file, and every parameter as resolved, by step."""

    name: str
    sha256: str = ""
    parameters: Details = Field(default_factory=dict)


class InputRecord(_Record):
    """One input file: a path that may be shown, its SHA-256, and the DICOM series it belongs to."""

    path: Text
    sha256: str = ""
    series_uid: str | None = None


class SourceRecord(_Record):
    """The image that was worked on. ``orientation``: where i, j, k increase to; ``tilt_deg``: of the head in it."""

    manufacturer: str = ""
    sequence: str = ""
    shape: tuple[int, int, int]
    spacing_mm: Point3
    orientation: str
    tilt_deg: Number = None


class ModelRecord(_Record):
    """The network a step used, with the licence of its weights, and those that go on where it stops."""

    name: str
    version: str = ""
    sha256: str = ""
    licence: str = ""
    companions: tuple[ModelRecord, ...] = ()


class StepRecord(_Record):
    """One step: wall-clock time, highest resident memory (sampled every 20 ms), model, codes of its warnings."""

    name: str
    seconds: Number = None
    peak_mb: Number = None
    model: ModelRecord | None = None
    warnings: tuple[Code, ...] = ()


class CodeRecord(_Record):
    """A coded term of the field's terminology."""

    value: str
    scheme: str
    meaning: str


class MeasurementRecord(_Record):
    """One value with its unit (UCUM) and, where one is published, its normal range; null when not measurable."""

    name: str
    value: Number
    unit: str
    code: CodeRecord | None = None
    low: Number = None
    high: Number = None
    method: str = ""
    source: str = ""


class EstimateRecord(_Record):
    """A rectangle on the face-left image: centre (x to posterior, y to inferior) from the image's middle, in mm."""

    center_mm: Point2
    angle_deg: FiniteFloat
    size_mm: Point2


class SpreadRecord(_Record):
    """How far the estimates lie apart: the largest difference of angles, the largest distance between centres."""

    angle_deg: FiniteFloat
    center_mm: FiniteFloat


class AcpcRecord(_Record):
    """The AC-PC line: its midpoint (LPS mm) and its direction from AC to PC."""

    center_mm: Point3
    direction_lps: Point3


class RoiRecord(_Record):
    """The rotated ROI: ``center_mm`` in LPS; ``angle_deg`` on the face-left image, positive = posterior end lower."""

    method: str
    center_mm: Point3
    angle_deg: FiniteFloat
    size_mm: Point3
    estimates: dict[str, EstimateRecord]
    spread: SpreadRecord
    acpc: AcpcRecord | None = None
    confidence: FiniteFloat


class UniformityRecord(_Record):
    """How even a brain is: spread of white matter (%), coefficient of joint variation, entropy of the histogram."""

    white_cv_percent: Number = None
    cjv: Number = None
    entropy_bits: Number = None


class BiasRecord(_Record):
    """What the bias correction did inside the brain mask; the same voxels are white and grey matter in both."""

    before: UniformityRecord
    after: UniformityRecord


class QualityRecord(_Record):
    """``score`` 0..1: the weakest confidence of any step, null where none gave one; ``flags``: what to look at."""

    score: Number = None
    flags: tuple[str, ...] = ()


class WarningRecord(_Record):
    """A warning: stable code, a sentence for a person, the numbers behind it."""

    code: Code
    message: Text
    detail: Details = Field(default_factory=dict)


class OutputRecord(_Record):
    """A file that was written, relative to the case's folder."""

    path: Text
    kind: str
    sha256: str = ""


class CaseRecord(_Record):
    """Everything about one case: ``report.json``. ``reason`` says why it was refused or failed, else it is empty."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    status: Status
    reason: Text = ""
    case: Text
    recipe: RecipeRecord
    mediseg: str
    input: tuple[InputRecord, ...] = ()
    source: SourceRecord | None = None
    steps: tuple[StepRecord, ...] = ()
    measurements: tuple[MeasurementRecord, ...] = ()
    roi: RoiRecord | None = None
    bias: BiasRecord | None = None
    quality: QualityRecord = Field(default_factory=QualityRecord)
    warnings: tuple[WarningRecord, ...] = ()
    outputs: tuple[OutputRecord, ...] = ()
    intended_use: str = INTENDED_USE

    def to_json(self) -> bytes:
        """Return the file's bytes: UTF-8, fields in the order of the class, keys of free mappings sorted."""
        plain = self.model_dump(mode="json")
        plain["recipe"]["parameters"] = json_value(plain["recipe"]["parameters"])
        return (json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> CaseRecord:
        """Read ``report.json`` back. Raises pydantic.ValidationError (a ValueError) where it does not fit."""
        return cls.model_validate_json(data)


def warning_record(warn: Warn) -> WarningRecord:
    """Return a warning as it is recorded; ``detail`` in JSON types."""
    return WarningRecord(code=warn.code, message=warn.message, detail=json_value(warn.detail))


def measurement_record(measurement: Measurement) -> MeasurementRecord:
    """Return a measurement as it is recorded; a value that is not finite becomes null."""
    return MeasurementRecord(
        name=measurement.name,
        value=measurement.value,
        unit=measurement.unit,
        code=_code_record(measurement.code),
        low=measurement.low,
        high=measurement.high,
        method=measurement.method,
        source=measurement.source,
    )


def _code_record(code: CodedConcept | None) -> CodeRecord | None:
    return None if code is None else CodeRecord(value=code.value, scheme=code.scheme, meaning=code.meaning)


def source_record(head: Volume, tilt_deg: float | None = None) -> SourceRecord:
    """Describe the image that was worked on."""
    source = head.source
    return SourceRecord(
        manufacturer=source.manufacturer if source else "",
        sequence=source.sequence if source else "",
        shape=head.geometry.shape,
        spacing_mm=head.geometry.spacing_mm,
        orientation=head.geometry.codes,
        tilt_deg=tilt_deg,
    )


def roi_record(localization: Localization, callosum: Callosum | None = None) -> RoiRecord:
    """Describe the ROI. The angle is the chosen estimate's; for a user's own ROI it is read off its axes."""
    roi, estimates = localization.roi, localization.estimates
    chosen = estimates.get(localization.method)
    angle = chosen.angle_deg if chosen else _angle_deg(localization, callosum)
    return RoiRecord(
        method=localization.method,
        center_mm=_point(roi.center_lps_mm),
        angle_deg=angle,
        size_mm=_point(roi.size_mm),
        estimates={name: _estimate_record(estimates[name]) for name in sorted(estimates)},
        spread=_spread_record(list(estimates.values())),
        acpc=_acpc_record(callosum.acpc if callosum else None),
        confidence=localization.confidence,
    )


def _acpc_record(acpc: Frame | None) -> AcpcRecord | None:
    if acpc is None:
        return None
    return AcpcRecord(center_mm=_point(acpc.center_lps_mm), direction_lps=_point(acpc.direction_lps))


def _estimate_record(estimate: Estimate) -> EstimateRecord:
    x, y = (float(v) for v in estimate.center_mm)
    long, short = (float(v) for v in estimate.size_mm)
    return EstimateRecord(center_mm=(x, y), angle_deg=float(estimate.angle_deg), size_mm=(long, short))


def _spread_record(estimates: list[Estimate]) -> SpreadRecord:
    angles = [float(e.angle_deg) for e in estimates] or [0.0]
    centers = [e.center_mm for e in estimates]
    distances = [math.dist(a, b) for a in centers for b in centers] or [0.0]
    return SpreadRecord(angle_deg=max(angles) - min(angles), center_mm=max(distances))


def _angle_deg(localization: Localization, callosum: Callosum | None) -> float:
    """Angle of the long axis on the face-left image, or against the patient's axes where there is no image."""
    posterior, inferior = np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0])
    if callosum is not None:
        face_left = callosum.probability.geometry.reorient("PIL").axes_lps
        posterior, inferior = face_left[:, 0], face_left[:, 1]
    long_axis = localization.roi.axes_lps[:, 0]
    return math.degrees(math.atan2(float(long_axis @ inferior), float(long_axis @ posterior)))


def _point(values: Iterable[float]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z


def quality_record(confidences: Iterable[float], warnings: Iterable[Warn]) -> QualityRecord:
    """Sum a case up: the weakest confidence (0..1) and the codes of its warnings, each once, sorted."""
    finite = [float(c) for c in confidences if math.isfinite(c)]
    return QualityRecord(score=min(finite, default=None), flags=tuple(sorted({str(w.code) for w in warnings})))


def report_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``report.json`` (2020-12), made from the classes above."""
    schema = CaseRecord.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "mediseg/report.schema.json", **schema}


def shipped_schema(file: str = SCHEMA_FILE) -> dict[str, Any]:
    """Return a JSON Schema as it lies in the package (``mediseg/schemas``)."""
    text = resources.files("mediseg").joinpath("schemas", file).read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def schema_text() -> str:
    """Return the text of ``schemas/report.schema.json``; a test holds the file equal to it."""
    return json.dumps(report_schema(), indent=2) + "\n"
