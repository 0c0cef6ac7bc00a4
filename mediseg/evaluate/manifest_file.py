"""How a manifest is written: the YAML's model, its JSON Schema (shipped), and its faults in one line each."""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, PositiveFloat, ValidationError

from mediseg.errors import UsageError, did_you_mean

SCHEMA_VERSION: Literal["1.0"] = "1.0"
SCHEMA_FILE = "manifest.schema.json"

Split = Literal["train", "dev", "test"]
Structure = Literal["callosum", "brain"]
#: Who drew or checked a label: a role, so that no name can stand in a manifest.
Role = Literal["physician", "radiologist", "radiographer", "researcher", "engineer", "student", "software", "unknown"]


def _iso(value: object) -> object:
    """Return YAML's own dates as text; anything else as it is."""
    return value.isoformat() if isinstance(value, dt.date) else value


Time = Annotated[str, BeforeValidator(_iso), Field(pattern=r"^\d{4}-\d{2}-\d{2}([T ][0-9:.]+(Z|[+-]\d{2}:?\d{2})?)?$")]
PixelMm = PositiveFloat | tuple[PositiveFloat, PositiveFloat]
Line = Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\r\n]*$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AcpcFile(_Part):
    """The AC-PC line on the face-left slice."""

    midpoint_mm: tuple[FiniteFloat, FiniteFloat] = Field(
        description="middle of AC and PC from the image's middle: to posterior, to inferior"
    )
    angle_deg: FiniteFloat = Field(description="from AC to PC; positive when PC lies lower")


class Defaults(_Part):
    """What holds for every entry that does not say otherwise."""

    structure: Structure | None = Field(
        default=None, description="what the label marks; callosum where nothing is said"
    )
    split: Split | None = None
    licence: Line | None = Field(default=None, description="under which image and label may be used")
    origin: Line | None = Field(default=None, description="where image and label come from: data set, address, commit")
    group: Line | None = Field(default=None, description="site, scanner or study: results are given for each")
    label_values: tuple[int, ...] | None = Field(
        default=None, description="which values of the label file count; null: all"
    )
    pixel_mm: PixelMm | None = Field(
        default=None, description="pixel size of plain pictures, or [down, across]; other formats say it themselves"
    )
    acpc: AcpcFile | None = Field(default=None, description="reference of the AC-PC frame, for one slice")
    annotator: Role | None = Field(default=None, description="who made the label: a role, never a name")
    model: Line | None = Field(
        default=None, description="name and version of the model that made the label or prediction"
    )
    time: Time | None = Field(default=None, description="when the label was made, ISO 8601")


class EntryFile(Defaults):
    """One image with its reference."""

    id: Line | None = Field(
        default=None, description="unique; the image's file name without its ending where nothing is said"
    )
    image: Line = Field(description="path, relative to the root")
    label: Line = Field(description='path of the reference, or "absent": the structure is not in the image')
    prediction: Line | None = Field(default=None, description="path of a mask to be judged")


class TableFile(_Part):
    """Entries from a CSV table, one a row: ``{column}`` in a text stands for that column's value."""

    file: Line = Field(description="path of the CSV, relative to the root")
    entry: dict[str, str] = Field(description="an entry's fields as texts with {column} in them")


class ManifestFile(_Part):
    """Images, references, splits, licences and origins, for training, evaluation and corrections alike."""

    schema_version: Literal["1.0"]
    name: Line | None = None
    root: Line | None = Field(
        default=None, description="folder of all paths, relative to the manifest; --root goes before it"
    )
    defaults: Defaults = Defaults()
    split: dict[Split, Literal["rest"] | Annotated[float, Field(gt=0, lt=1)] | tuple[str, ...]] = Field(
        default_factory=dict,
        description='groups of each split; one may be "rest"; a number takes that share of the rest, by a hash of ids',
    )
    table: TableFile | None = None
    entries: tuple[EntryFile, ...] = ()


def manifest_schema() -> str:
    """Return the text of ``schemas/manifest.schema.json`` (2020-12); a test holds the file equal to it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"mediseg/{SCHEMA_FILE}"}
    return json.dumps({**head, **ManifestFile.model_json_schema()}, indent=2) + "\n"


def as_yaml(file: ManifestFile) -> str:
    """Return a manifest's text, such as a correction tool writes it; reading it gives an equal manifest."""
    import yaml

    plain = file.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return yaml.safe_dump({"schema_version": SCHEMA_VERSION, **plain}, sort_keys=False, allow_unicode=True, width=120)


def checked(raw: object, where: str, model: type[_Part] = ManifestFile) -> Any:
    """Return ``raw`` as a model. Raises UsageError with the first fault in one line, and what was perhaps meant."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {_fault(error, model)}") from error


def _fault(error: ValidationError, model: type[_Part]) -> str:
    faults: list[Any] = [*error.errors(include_url=False)]
    fault = min(
        faults, key=lambda one: one["type"] != "extra_forbidden"
    )  # a misspelt name, before what is then missing
    path = [str(part) for part in fault["loc"] if part != "[key]"]
    place, last = ".".join(path), path[-1] if path else ""
    if fault["type"] == "extra_forbidden":
        return f'"{place}" is unknown{did_you_mean(last, _fields_beside(path, model))}'
    if fault["type"] == "literal_error":  # the value itself stays unsaid: it may be a person's name
        known = re.findall(r"'([^']*)'", fault["ctx"]["expected"])
        hint = did_you_mean(str(fault["input"]), known)
        return f"{place or model.__name__}: must be {fault['ctx']['expected']}{hint if 'mean' in hint else ''}"
    if fault["type"] in ("model_type", "model_attributes_type"):
        return f"{place or 'a manifest'} must be pairs of a name and a value"
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _fields_beside(path: list[str], model: type[_Part]) -> list[str]:
    known: dict[str, type[_Part]] = {"defaults": Defaults, "entries": EntryFile, "table": TableFile, "acpc": AcpcFile}
    return list((known.get(path[0], model) if len(path) > 1 else model).model_fields)
