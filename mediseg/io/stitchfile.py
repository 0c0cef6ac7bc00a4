"""transforms.json: where every station was placed, how its values were matched, and what every pair said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat

from mediseg.io.atomic import write_bytes_atomically
from mediseg.io.jsonfiles import schema_text
from mediseg.record import INTENDED_USE, json_value
from mediseg.results import StationPair, StationPlacement, Transforms

SCHEMA_FILE = "transforms.schema.json"
Row = tuple[FiniteFloat, FiniteFloat, FiniteFloat, FiniteFloat]


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StationFile(_File):
    """One station, from superior to inferior."""

    name: str
    given: int = Field(ge=1, description="its place in the order of the input, from 1")
    method: Literal["reference", "registered", "header"]
    placed_from_header_lps_mm: tuple[Row, Row, Row, Row] = Field(
        description="4 x 4: takes a point of the station's header space to the composite's (LPS, mm)"
    )
    affine_lps_mm: tuple[Row, Row, Row, Row] = Field(description="the station's own index to LPS, as its header says")
    shape: tuple[int, int, int]
    gain: FiniteFloat = Field(description="factor that its values were brought to the reference's with")
    gamma: FiniteFloat = Field(description="power that they were raised to first (of value / 99th percentile)")
    shading: tuple[FiniteFloat, ...] = Field(
        description="log of the coil's profile: u, u^2, u^3, u^4 along, v, v^2 across; -1 to 1"
    )


class PairFile(_File):
    """Two stations that overlap."""

    upper: str
    lower: str
    accepted: bool
    reason: str = Field(description="why the alignment was rejected; empty where it was accepted or not looked for")
    numbers: Annotated[dict[str, Any], BeforeValidator(json_value)]
    intensity: str
    step_before: FiniteFloat = Field(description="median difference where both see tissue, as a share, before matching")
    step_after: FiniteFloat


class TransformsFile(_File):
    """transforms.json."""

    schema_version: Literal["1.0"] = "1.0"
    stations: tuple[StationFile, ...]
    pairs: tuple[PairFile, ...]
    intended_use: str = INTENDED_USE


def transforms_file(value: Transforms) -> TransformsFile:
    """Return transforms.json's content."""
    return TransformsFile(
        stations=tuple(_station(one) for one in value.stations), pairs=tuple(_pair(one) for one in value.pairs)
    )


def write_transforms(value: Transforms, path: Path) -> Path:
    """Write transforms.json. Raises OutputError."""
    plain = transforms_file(value).model_dump(mode="json")
    write_bytes_atomically(path, (json.dumps(plain, indent=2, allow_nan=False) + "\n").encode())
    return path


def schema() -> str:
    """Return the JSON Schema as it is shipped in ``mediseg/schemas``."""
    return schema_text(TransformsFile, SCHEMA_FILE)


def _station(one: StationPlacement) -> StationFile:
    return StationFile.model_validate(
        {
            "name": one.name,
            "given": one.given + 1,
            "method": one.method,
            "placed_from_header_lps_mm": one.placed_from_header.matrix.tolist(),
            "affine_lps_mm": one.header.affine_lps.tolist(),
            "shape": one.header.shape,
            "gain": one.gain,
            "gamma": one.gamma,
            "shading": one.shading,
        }
    )


def _pair(one: StationPair) -> PairFile:
    return PairFile(
        upper=one.upper, lower=one.lower, accepted=one.is_accepted, reason=one.reason, numbers=dict(one.numbers),
        intensity=one.intensity, step_before=one.step_before, step_after=one.step_after,
    )  # fmt: skip
