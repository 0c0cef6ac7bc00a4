"""roi.json and scan_plan.json: models, JSON Schemas, writing, and reading an ROI back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from mediseg.errors import UsageError
from mediseg.io.atomic import write_bytes_atomically
from mediseg.record import INTENDED_USE, EstimateRecord, Point3, SpreadRecord, roi_record
from mediseg.results import Localization, ScanPlan, SliceGroup
from mediseg.volume import RotatedROI

SCHEMA_VERSION: Literal["1.0"] = "1.0"
ROI_SCHEMA_FILE = "roi.schema.json"
SCAN_PLAN_SCHEMA_FILE = "scan_plan.schema.json"
_MAX_BYTES = 1 << 20

Point2 = tuple[FiniteFloat, FiniteFloat]
Cosines = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> bytes:
        """Return the file's bytes: UTF-8, fields in the order of the class."""
        return (json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


class RoiFile(_File):
    """roi.json: a rotated region of interest in patient space (LPS: +x left, +y posterior, +z superior; mm)."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    method: str = Field("user", description="how it was found: box, line, final, robust, or user")
    center_lps_mm: Point3 = Field(description="the middle of the box")
    axes_lps: tuple[Point3, Point3, Point3] = Field(
        description="three unit vectors at right angles: the long axis from anterior to posterior; across it in the"
        " plane, towards inferior; the plane's normal"
    )
    size_mm: Point3 = Field(description="full lengths along the three axes, in their order")
    frame_of_reference: str | None = Field(None, description="DICOM Frame of Reference UID, null where unknown")
    angle_deg: FiniteFloat | None = Field(
        None, description="of the long axis on the face-left image; positive when the posterior end lies lower"
    )
    estimates: dict[str, EstimateRecord] = Field(default_factory=dict)
    spread: SpreadRecord | None = Field(None, description="how far the estimates lie apart; null without estimates")
    confidence: FiniteFloat | None = Field(None, description="0 to 1; null for a user's own ROI")
    intended_use: str = INTENDED_USE


class SliceGroupFile(_File):
    """Parallel slices in DICOM's words."""

    name: Literal["transversal", "coronal", "sagittal"]
    image_orientation_patient: Cosines = Field(description="row direction, then column direction (0020,0037)")
    image_position_patient_mm: Point3 = Field(description="first pixel centre of the first slice (0020,0032)")
    center_lps_mm: Point3 = Field(description="the middle of the group")
    normal_lps: Point3 = Field(description="from one slice to the next, unit length")
    number_of_slices: int = Field(ge=1)
    slice_thickness_mm: FiniteFloat = Field(gt=0)
    gap_mm: FiniteFloat
    spacing_between_slices_mm: FiniteFloat = Field(gt=0, description="thickness plus gap (0018,0088)")
    field_of_view_mm: Point2 = Field(description="along rows, along columns")
    pixel_mm: FiniteFloat = Field(gt=0, description="side of the square pixels that the first pixel centre counts on")
    in_plane_phase_encoding_direction: Literal["ROW", "COL"]
    angulation: str = Field(description='in scanner notation, such as "T > C -12.3"')


class ScanPlanFile(_File):
    """scan_plan.json: slice groups for the next scan, all in one frame of reference."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    align: str
    center: str
    frame_of_reference: str | None = None
    groups: tuple[SliceGroupFile, ...]
    intended_use: str = INTENDED_USE


def roi_file(value: RotatedROI | Localization) -> RoiFile:
    """Return roi.json's content of an ROI, with its estimates where there are any."""
    localization = value if isinstance(value, Localization) else Localization(value, "user", {}, 1.0)
    roi, record = localization.roi, roi_record(localization)
    return RoiFile(
        method=record.method,
        center_lps_mm=_point(roi.center_lps_mm),
        axes_lps=(_point(roi.axes_lps[:, 0]), _point(roi.axes_lps[:, 1]), _point(roi.axes_lps[:, 2])),
        size_mm=_point(roi.size_mm),
        frame_of_reference=roi.frame_of_reference,
        angle_deg=record.angle_deg,
        estimates=record.estimates,
        spread=record.spread if record.estimates else None,
        confidence=None if isinstance(value, RotatedROI) else record.confidence,
    )


def scan_plan_file(plan: ScanPlan) -> ScanPlanFile:
    """Return scan_plan.json's content of a plan."""
    return ScanPlanFile(
        align=plan.align,
        center=plan.center,
        frame_of_reference=plan.frame_of_reference,
        groups=tuple(_group(group) for group in plan.groups),
    )


def write_roi(value: RotatedROI | Localization, path: Path) -> Path:
    """Write roi.json. Raises OutputError."""
    write_bytes_atomically(path, roi_file(value).to_json())
    return path


def write_scan_plan(plan: ScanPlan, path: Path) -> Path:
    """Write scan_plan.json. Raises OutputError."""
    write_bytes_atomically(path, scan_plan_file(plan).to_json())
    return path


def read_roi(path: str | Path) -> RotatedROI:
    """Read an ROI from a roi.json; hand-written ones need center_lps_mm, axes_lps and size_mm only.

    Raises UsageError when the file is missing, no JSON, or does not describe a box.
    """
    where = Path(path)
    try:
        if where.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{where} is too large for an ROI; give a roi.json")
        content = RoiFile.model_validate_json(where.read_bytes())
    except OSError as error:
        raise UsageError(f"cannot read the ROI {where}: {error.strerror or error}") from error
    except ValidationError as error:
        raise UsageError(f"{where} is not a roi.json: {_first_fault(error)}") from error
    try:
        return RotatedROI(
            np.array(content.center_lps_mm),
            np.array(content.axes_lps).T,
            content.size_mm,
            content.frame_of_reference,
        )
    except ValueError as error:
        raise UsageError(f"{where} is not a roi.json: {error}") from error


def schemas() -> dict[str, str]:
    """Return the JSON Schemas (2020-12) by file name, as they are shipped in ``mediseg/schemas``."""
    models: dict[str, type[_File]] = {ROI_SCHEMA_FILE: RoiFile, SCAN_PLAN_SCHEMA_FILE: ScanPlanFile}
    return {name: schema_text(model, name) for name, model in models.items()}


def schema_text(model: type[BaseModel], name: str) -> str:
    """Return the JSON Schema of a file's model."""
    body: dict[str, Any] = model.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"mediseg/{name}"}
    return json.dumps({**head, **body}, indent=2) + "\n"


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_input=False, include_url=False)[0]
    place = ".".join(str(part) for part in fault["loc"])
    return f"{place}: {fault['msg']}" if place else str(fault["msg"])


def _group(group: SliceGroup) -> SliceGroupFile:
    return SliceGroupFile.model_validate(
        {
            "name": group.name,
            "image_orientation_patient": tuple(float(v) for v in group.image_orientation),
            "image_position_patient_mm": _point(group.image_position_mm),
            "center_lps_mm": _point(group.center_lps_mm),
            "normal_lps": _point(group.normal_lps),
            "number_of_slices": int(group.slices),
            "slice_thickness_mm": float(group.thickness_mm),
            "gap_mm": float(group.gap_mm),
            "spacing_between_slices_mm": float(group.thickness_mm + group.gap_mm),
            "field_of_view_mm": (float(group.fov_mm[0]), float(group.fov_mm[1])),
            "pixel_mm": float(group.pixel_mm),
            "in_plane_phase_encoding_direction": group.phase_direction,
            "angulation": group.angulation,
        }
    )


def _point(values: Any) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z
