"""The phantom's truth as a small file, so that an installation can be held against what its makers measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mediseg.phantom.head import HEAD_VERSION, HeadTruth, head_truth
from mediseg.results import Estimate

FILE_NAME = "phantom_head_truth.json"
PARAMETERS: dict[str, Any] = {
    "spacing_mm": 1.0, "seed": 0, "noise": 0.02, "bias": 0.3, "yaw_deg": 3.0, "roll_deg": 2.0, "pitch_deg": 4.0,
    "offset_mm": (4.0, 0.0, 0.0), "contrast": "t1",
}  # fmt: skip


def head_truth_record(truth: HeadTruth) -> dict[str, Any]:
    """Return the truth's figures as JSON types: ml, mm, mm2, degrees; points and directions in LPS."""
    center, normal = truth.plane.point_lps_mm, truth.plane.normal_lps
    return {
        "brain_ml": round(truth.brain_ml, 2),
        "plane": {"point_lps_mm": _rounded(center), "normal_lps": _rounded(normal, 6)},
        "callosum": {
            "area_mm2": round(truth.callosum_area_mm2, 3),
            "estimates": {name: _estimate(e) for name, e in truth.estimates.items()},
        },
        "roi": {
            "center_lps_mm": _rounded(truth.roi.center_lps_mm),
            "axes_lps": [_rounded(row, 6) for row in truth.roi.axes_lps],
            "size_mm": _rounded(truth.roi.size_mm),
        },
        "bias": {"low": round(float(truth.bias.array.min()), 4), "high": round(float(truth.bias.array.max()), 4)},
    }


def write_head_truth(folder: Path) -> Path:
    """Write the truth of the phantom with its default parameters into ``folder`` and return the file."""
    record = {
        "schema_version": 1,
        "phantom": "head",
        "phantom_version": HEAD_VERSION,
        "parameters": PARAMETERS,
        "truth": head_truth_record(head_truth(**PARAMETERS)),
    }
    path = folder / FILE_NAME
    path.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return path


def _rounded(values: Any, digits: int = 4) -> list[float]:
    return [round(float(v), digits) + 0.0 for v in values]


def _estimate(estimate: Estimate) -> dict[str, Any]:
    return {"angle_deg": round(estimate.angle_deg, 4), "size_mm": _rounded(estimate.size_mm)}
