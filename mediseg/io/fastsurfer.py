"""callosum.fastsurfer.json: our measurements under FastSurfer-CC's names, so that two sets of results compare.

The names are those of its ``stats/callosum.CC.midslice.json`` (Pollak et al. 2026, Imaging Neuroscience,
doi:10.1162/IMAG.a.1221). Values are made by our methods, on one slice; docs/morphometry.md says where they differ. What
FastSurfer-CC takes from a slab or from the commissures has no key here.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from mediseg.io.atomic import write_bytes_atomically
from mediseg.numerics.curves import turning_rad
from mediseg.numerics.partition import FREESURFER, HOFER_FRAHM
from mediseg.record import INTENDED_USE, Number
from mediseg.results import Measurements

SCHEMA_FILE = "callosum.fastsurfer.schema.json"
_BODY = (0.175, 0.825)
_DEGREES = "mean angle between neighbouring segments of the medial line at num_thickness_points points, degrees"


class FastSurferFile(BaseModel):
    """callosum.fastsurfer.json: the callosum under FastSurfer-CC's names; lengths in mm; null where not defined."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")

    schema_version: Literal["1.0"] = "1.0"
    generated_by: Literal["mediseg"] = "mediseg"
    total_area: Number = Field(description="mm2")
    total_perimeter: Number
    circularity: Number = Field(description="4 pi area / perimeter^2")
    cc_index: Number = Field(
        description="corpus callosum index (Figueira et al. 2007); null where FastSurfer-CC says 0"
    )
    midline_length: Number
    curvature: Number = Field(description=_DEGREES)
    curvature_body: Number = Field(description="the same over the middle 65 % of the line")
    curvature_subsegments: list[Number] = Field(description="the same by part, front to back")
    areas: list[Number] = Field(description="mm2 by part, front to back: shares of the medial line's length")
    thickness: Number = Field(description="mean of thickness_profile")
    thickness_profile: list[Number] = Field(description="from the anterior to the posterior end")
    num_thickness_points: int
    subdivision_method: Literal["shape"] = "shape"
    subdivision_ratios: list[float] = [share for _, share in HOFER_FRAHM[:-1]]
    slice_selection: Literal["middle"] = "middle"
    contour_smoothing: float = 0.0
    voxel_size: Annotated[list[float], Field(description="of the mid-sagittal image")]
    labels: dict[str, str] = Field(
        default={str(number): name for number, name in reversed(FREESURFER)},
        description="numbers in callosum.fastsurfer.nii.gz",
    )
    intended_use: str = INTENDED_USE


def fastsurfer_file(measurements: Measurements) -> FastSurferFile:
    """Return the file's content; a measure that was not made is null."""
    known = {m.name: m.value for m in measurements.values}
    line, count = measurements.medial_line_lps_mm, len(measurements.thickness_mm)
    body = slice(*(int(share * count) for share in _BODY))
    edges = [0, *(round(share * (count - 1)) for _, share in HOFER_FRAHM)]
    return FastSurferFile(
        total_area=known.get("area"),
        total_perimeter=known.get("perimeter"),
        circularity=known.get("circularity"),
        cc_index=known.get("cc_index"),
        midline_length=known.get("medial_line_length"),
        curvature=_bend_deg(line),
        curvature_body=_bend_deg(line[body]),
        curvature_subsegments=[_bend_deg(line[a : b + 1]) for a, b in pairwise(edges)],
        areas=[known.get(f"area_medial_{name}") for name, _ in HOFER_FRAHM],
        thickness=float(measurements.thickness_mm.mean()),
        thickness_profile=measurements.thickness_mm.tolist(),
        num_thickness_points=count,
        voxel_size=[float(mm) for mm in measurements.parts.geometry.spacing_mm],
    )


def write_fastsurfer(measurements: Measurements, path: Path) -> Path:
    """Write callosum.fastsurfer.json. Raises OutputError."""
    plain = fastsurfer_file(measurements).model_dump(mode="json")
    text = json.dumps(plain, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes_atomically(path, text.encode())
    return path


def schema_text() -> str:
    """Return the JSON Schema (2020-12) as it is shipped in ``mediseg/schemas``."""
    body: dict[str, Any] = FastSurferFile.model_json_schema(mode="serialization")
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"mediseg/{SCHEMA_FILE}"}
    return json.dumps({**head, **body}, indent=2) + "\n"


def _bend_deg(line: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    """Return the mean angle between a line's segments in degrees; 0 for fewer than two segments."""
    return float(np.degrees(turning_rad(line)).mean()) if len(line) >= 3 else 0.0
