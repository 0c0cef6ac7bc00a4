"""What ``configs/metadata.json`` of a bundle must hold: MONAI's keys, and under ``mediseg`` what the runtime needs.

MONAI's part says what its bundle schema of 2024-07-25 says (the keys that are required, and their types), in classes
of our own; further keys are free there, as they are in MONAI's. The part under ``mediseg`` is ours.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

SCHEMA_FILE = "bundle.schema.json"
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Words = Annotated[str, Field(min_length=1)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class Tensor(_Open):
    """An input or output of the network (MONAI)."""

    type: Words
    format: Words
    num_channels: int
    spatial_shape: list[str | int]
    dtype: Words
    value_range: list[float]
    modality: str | None = None
    is_patch_data: bool = False
    channel_def: dict[str, str] = {}


class DataFormat(_Open):
    """Inputs and outputs by name, in the order of the network's arguments (MONAI)."""

    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


class Normalize(_Open):
    """How grey values are scaled: percentiles of the pixels that are not 0 go to 0 and 1, then the clip."""

    kind: Literal["percentiles"]
    low: float
    high: float
    clip: list[float]


class RuntimeInput(_Open):
    """What has to be done to an image before the network sees it."""

    name: Words
    dims: Literal[2, 3]
    spacing_mm: float
    orientation: Words
    pad_multiple: int
    normalize: Normalize


class RuntimeOutput(_Open):
    """What the output means; further keys depend on its kind."""

    name: Words
    kind: Words


class Probe(_Open):
    """A made-up input's answer: a file that loads but computes something else is found out."""

    shape: list[int]
    mean: float
    spread: float
    tolerance: float


class Runtime(_Open):
    """The part that mediseg's runtime reads."""

    name: Words
    kind: Words
    licence: Words
    sha256: Sha256
    input: RuntimeInput
    output: RuntimeOutput
    opset: int | None = None
    probe: Probe | None = None


class BundleMetadata(_Open):
    """A bundle's configs/metadata.json."""

    json_schema: Words = Field(alias="schema")
    version: Words
    monai_version: Words
    pytorch_version: Words
    numpy_version: Words
    required_packages_version: dict[str, str]
    task: Words
    description: Words
    authors: Words
    copyright: Words
    network_data_format: DataFormat
    changelog: dict[str, str] = {}
    eval_metrics: dict[str, Any] = {}
    intended_use: str | None = None
    data_source: str | None = None
    data_type: str | None = None
    references: list[str] = []
    mediseg: Runtime


def faults(metadata: object) -> list[str]:
    """Return what is wrong with a metadata.json, one line a fault; empty if nothing is."""
    try:
        BundleMetadata.model_validate(metadata)
    except ValidationError as error:
        return [
            f"{'.'.join(map(str, fault['loc']))}: {fault['msg'][0].lower()}{fault['msg'][1:]}"
            for fault in error.errors(include_url=False, include_input=False)
        ]
    return []


def bundle_schema() -> str:
    """Return the text of ``schemas/bundle.schema.json`` (2020-12); a test holds the file equal to it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"mediseg/{SCHEMA_FILE}"}
    return json.dumps({**head, **BundleMetadata.model_json_schema()}, indent=2) + "\n"
