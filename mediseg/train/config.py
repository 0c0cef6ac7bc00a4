"""One YAML names everything of a training: task, network, data, loss, augmentation, schedule, seed.

::

    task: callosum
    network: {name: unet_small}
    data: {folder: slices}                   # relative to this file; or --data on the command line
    loss: {name: bce_dice, bce: 10}
    augmentation: {gentle: 0.6}              # what the task's batches take, by name
    schedule: {steps: 6000, minutes: 60, rate: 0.002, ema: 0.998}
    seed: 0
    out: runs/small                          # or --out

``stages`` splits a training into parts; each says only what differs, and is a folder in ``out``. ``start`` names
checkpoints to begin with, or earlier stages. No torch here, so that a wrong configuration is told at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from mediseg.errors import UsageError, did_you_mean
from mediseg.io.yamltext import parsed

SCHEMA_FILE = "train.schema.json"
SAVED = "config.json"
#: A setting of a loss or an augmentation: what it may be is said by the function that takes it.
Plain = bool | int | float | str


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _named(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


class NetworkPart(_Part):
    """Which network; ``widths`` None takes its own."""

    name: str = Field(description="one of mediseg.train.networks.NETWORKS; tasks with a network of their own say so")
    widths: tuple[int, ...] | None = None


class LossPart(BaseModel):
    """Which loss, and its own settings beside the name."""

    model_config = ConfigDict(extra="allow", frozen=True)
    __pydantic_extra__: dict[str, Plain]
    name: str


class DataPart(_Part):
    """Where the training data lie."""

    folder: Path | None = Field(None, description="the folder that the task reads, relative to the configuration")
    manifest: Path | None = Field(None, description="in place of the folder: the manifest of mediseg evaluate")
    maps: Path | None = Field(None, description="folder with labelmaps/, heads_nichart/ and spine/, to paint from")


class SchedulePart(_Part):
    """How long and how hard."""

    steps: int = Field(5000, ge=1, description="updates; the length of the cosine")
    minutes: float | None = Field(None, gt=0, description="working time that may end it sooner, learning rate and all")
    rate: float = Field(2e-3, gt=0, description="highest learning rate (AdamW)")
    weight_decay: float = Field(1e-2, ge=0)
    warmup: int = Field(100, ge=0, description="steps of linear rise")
    ema: float = Field(0.998, ge=0, lt=1, description="share of the averaged weights that a step keeps")
    clip_norm: float = Field(5.0, gt=0)
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="of the network's arithmetic; weights stay float32. auto: bfloat16 where it is fast"
    )
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1)
    prefetch: int = Field(2, ge=0, description="batches made ahead in the background; 0 makes them in between")
    frozen_norm: bool = Field(
        False, description="batch normalisation keeps its statistics: for a last stage, where batches mix unlike images"
    )
    checkpoint_every: int = Field(200, ge=1)
    log_every: int = Field(20, ge=1)
    look_every: int = Field(500, ge=0, description="steps between validations, with a picture of the worst; 0: none")


class BundlePart(_Part):
    """What ``mediseg export`` writes about the model beside what the task knows."""

    name: str | None = Field(None, description="the bundle's name; the task's and network's where nothing is said")
    version: str = Field("0.1.0", pattern=r"^\d+\.\d+\.\d+$")
    licence: str = "not stated: ask whoever trained these weights"
    authors: str = "not stated"
    data_source: str = "not stated"
    description: str | None = None
    companions: dict[str, str] = Field({}, description="bundles that go on where this one stops: kind and name")
    logit_offset: float = Field(0.0, description="added to the logits on export, so that the border lies at 0.5")


class Stage(_Part):
    """One training: everything that must be equal for two to give the same weights."""

    task: str
    network: Annotated[NetworkPart | None, BeforeValidator(_named)] = None
    data: DataPart = DataPart()
    loss: Annotated[LossPart | None, BeforeValidator(_named)] = None
    augmentation: dict[str, Plain] = {}
    schedule: SchedulePart = SchedulePart()
    seed: int = Field(0, ge=0, lt=2**31)
    start: tuple[str, ...] = Field((), description="checkpoints, runs or earlier stages: begin with the mean of them")
    bundle: BundlePart = BundlePart()


class _StagePart(_Part):
    """What of a stage differs from what stands above it."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    task: str | None = None
    network: Annotated[NetworkPart | None, BeforeValidator(_named)] = None
    data: DataPart | None = None
    loss: Annotated[LossPart | None, BeforeValidator(_named)] = None
    augmentation: dict[str, Plain] = {}
    schedule: SchedulePart = SchedulePart()
    seed: int | None = Field(None, ge=0, lt=2**31)
    start: tuple[str, ...] = ()


class TrainFile(Stage):
    """A training configuration as it is written."""

    out: Path | None = Field(None, description="folder of the run, relative to the configuration; --out goes before it")
    stages: tuple[_StagePart, ...] = ()


@dataclass(frozen=True, slots=True)
class Run:
    """One stage with the folder it is trained in; ``start`` holds checkpoints' paths."""

    stage: Stage
    out: Path


def load_config(
    path: Path, *, data: Path | None = None, maps: Path | None = None, out: Path | None = None
) -> tuple[Run, ...]:
    """Read and check a configuration; return its stages in order. Paths come out absolute. Raises UsageError."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror or error}") from error
    file: TrainFile = checked(parsed(text, path.name), path.name)
    here = path.resolve().parent
    folder = out.absolute() if out is not None else here / file.out if file.out is not None else None
    if folder is None:
        raise UsageError(f"{path.name} names no folder for the run; give --out DIR, or out: in the file")
    merged = [(folder, _whole(file))] if not file.stages else _staged(file, folder, path.name)
    return tuple(Run(_placed(_with_data(stage, data, maps), here, folder, path.name), where) for where, stage in merged)


def checked(raw: object, where: str, model: type[BaseModel] = TrainFile) -> Any:
    """Return ``raw`` as a model. Raises UsageError: the first fault in one line, and what was perhaps meant."""
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        raise UsageError(f"{where}: {_fault(error, model)}") from error


def train_schema() -> str:
    """Return the text of ``schemas/train.schema.json`` (2020-12); a test holds the file equal to it."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$id": f"mediseg/{SCHEMA_FILE}"}
    return json.dumps({**head, **TrainFile.model_json_schema()}, indent=2) + "\n"


def save(run: Run) -> tuple[str, ...]:
    """Write the configuration into the run's folder; return what differs from the one that stood there.

    Raises UsageError where the folder holds a run of another task or network: its checkpoint would not fit.
    """
    path = run.out / SAVED
    before = saved(run.out) if path.is_file() else run.stage
    for key in ("task", "network"):
        if getattr(before, key) != getattr(run.stage, key):
            raise UsageError(f"{run.out} holds a run of another {key}; give another --out, or remove that folder")
    run.out.mkdir(parents=True, exist_ok=True)
    path.write_text(run.stage.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return tuple(_differences(before.model_dump(mode="json"), run.stage.model_dump(mode="json")))


def saved(folder: Path) -> Stage:
    """Return the configuration that a run's folder was trained with. Raises UsageError."""
    path = folder / SAVED
    if not path.is_file():
        raise UsageError(f"{folder} is no run: it holds no {SAVED}; name the folder that mediseg train wrote")
    stage: Stage = checked(json.loads(path.read_text(encoding="utf-8")), str(path), Stage)
    return stage


def _differences(before: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> list[str]:
    found = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            found += _differences(old, new, f"{above}{key}.")
        elif old != new:
            found.append(f"{above}{key}: {old} -> {new}")
    return found


def _whole(file: TrainFile) -> Stage:
    return Stage(**{name: getattr(file, name) for name in Stage.model_fields})


def _staged(file: TrainFile, folder: Path, name: str) -> list[tuple[Path, Stage]]:
    names = [part.name for part in file.stages]
    if len(set(names)) < len(names):
        raise UsageError(f"{name}: two stages have one name")
    found = []
    for part in file.stages:
        own = part.model_dump(exclude_unset=True, exclude={"name"})
        base = _whole(file).model_dump(exclude={"start"})
        merged = {key: {**base[key], **value} if _is_joined(key, base) else value for key, value in own.items()}
        found.append((folder / part.name, Stage.model_validate({**base, **merged})))
    return found


def _is_joined(key: str, base: Mapping[str, Any]) -> bool:
    return key in ("schedule", "augmentation", "data") and isinstance(base[key], dict)


def _with_data(stage: Stage, data: Path | None, maps: Path | None) -> Stage:
    """Put what the command line says of the data before what the file says."""
    part = stage.data
    if data is not None:
        part = DataPart(folder=data.absolute(), maps=part.maps)
    if maps is not None:
        part = part.model_copy(update={"maps": maps.absolute()})
    return stage.model_copy(update={"data": part})


def _placed(stage: Stage, here: Path, folder: Path, name: str) -> Stage:
    """Make paths absolute, and names of earlier stages into their checkpoints."""
    given = stage.data.folder or stage.data.manifest
    if given is None:
        raise UsageError(f"{name} names no data; give --data, or data.folder or data.manifest in the file")
    found = here / given
    if not found.exists():
        raise UsageError(f"{name}: the data {found} do not exist; give --data DIR, or a manifest")
    where = DataPart(folder=found) if found.is_dir() else DataPart(manifest=found)
    maps = None if stage.data.maps is None else here / stage.data.maps
    if maps is not None and not maps.is_dir():
        raise UsageError(f"{name}: the folder {maps} of maps does not exist; give --maps DIR")
    start = tuple(str(_checkpoint(one, here, folder)) for one in stage.start)
    return stage.model_copy(update={"data": where.model_copy(update={"maps": maps}), "start": start})


def _checkpoint(text: str, here: Path, folder: Path) -> Path:
    """Return the checkpoint meant by an earlier stage's name, a run's folder or a file."""
    stage = folder / text
    found = here / text if (here / text).exists() else stage
    return found if found.suffix == ".pt" else found / "checkpoint.pt"


def _fault(error: ValidationError, model: type[BaseModel]) -> str:
    fault: Any = error.errors(include_url=False)[0]
    path = [str(part) for part in fault["loc"]]
    place = ".".join(path)
    if fault["type"] == "extra_forbidden":
        return f'"{place}" is unknown{did_you_mean(path[-1], _fields_beside(fault["loc"], model))}'
    if fault["type"] in ("model_type", "model_attributes_type", "dict_type"):
        return f"{place or 'a configuration'} must be pairs of a name and a value"
    if fault["type"] == "missing":
        return f'"{place}" is missing'
    return f"{place}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _fields_beside(path: Sequence[str | int], model: type[BaseModel]) -> list[str]:
    parts: dict[str, type[BaseModel]] = {
        "network": NetworkPart,
        "data": DataPart,
        "schedule": SchedulePart,
        "bundle": BundlePart,
        "stages": _StagePart,
    }
    beside = [str(part) for part in path[:-1] if str(part) in parts]
    return list((parts[beside[-1]] if beside else model).model_fields)
