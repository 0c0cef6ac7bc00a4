"""A trained run becomes a bundle: the task's model, the weights as they are to be stored, and texts for people."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mediseg.errors import UsageError, did_you_mean
from mediseg.train.config import Stage
from mediseg.train.export import export_bundle
from mediseg.train.job import Model, task

SEPARATE = ("name", "version", "licence", "authors", "data_source", "description")


def export_run(
    stage: Stage,
    run: Path,
    folder: Path,
    *,
    weights: str = "float32",
    metrics: Path | None = None,
    part: str | None = None,
) -> Path:
    """Write the bundle of a run, or of a part of its network, and return its model's path. Raises UsageError."""
    checkpoint = run / "checkpoint.pt"
    if not checkpoint.is_file():
        raise UsageError(f"{run} holds no checkpoint.pt yet: train first, with mediseg train")
    model = _model(stage, checkpoint, part)
    metadata = described(model.metadata, stage if part is None else _named(stage, part))
    metadata["eval_metrics"] = _read(metrics)
    texts = [folder / "docs" / "README.md", folder / "LICENSE"]
    drafts = [draft_card(metadata, stage), draft_licence(stage)]
    card, licence = (
        path.read_text(encoding="utf-8") if path.is_file() else text for path, text in zip(texts, drafts, strict=True)
    )
    return export_bundle(
        model.network,
        folder,
        metadata=metadata,
        example_shape=model.example_shape,
        card=card,
        licence=licence,
        rounding=_rounding(weights, model, stage),
    )


def _model(stage: Stage, checkpoint: Path, part: str | None) -> Model:
    module = task(stage.task)
    if part is None:
        return module.bundle(stage, checkpoint)
    parts: Mapping[str, Callable[[Stage, Path], Model]] = getattr(module, "PARTS", {})
    if part not in parts:
        known = did_you_mean(part, parts) if parts else ": it is exported as a whole, without --part"
        raise UsageError(f'the task {stage.task} has no part "{part}"{known}')
    return parts[part](stage, checkpoint)


def _named(stage: Stage, part: str) -> Stage:
    """Return what is said of a bundle, for one of its parts: named after it, a companion itself."""
    name = f"{stage.bundle.name}-{part}" if stage.bundle.name else None
    return stage.model_copy(update={"bundle": stage.bundle.model_copy(update={"name": name, "companions": {}})})


def described(metadata: Mapping[str, Any], stage: Stage) -> dict[str, Any]:
    """Return a task's metadata with what the configuration says of this bundle, and how it was trained."""
    said = stage.bundle
    own = {**metadata["mediseg"], "licence": said.licence}
    own["name"] = said.name or own["name"]
    if said.companions:
        own["companions"] = said.companions
    own["training"] = stage.model_dump(mode="json", exclude={"bundle", "data", "start"})
    return {
        **metadata,
        "version": said.version,
        "changelog": {said.version: "see docs/README.md"},
        "authors": said.authors,
        "copyright": said.authors,
        "data_source": said.data_source,
        "description": said.description or metadata["description"],
        "mediseg": own,
    }


def draft_card(metadata: Mapping[str, Any], stage: Stage) -> str:
    """Return a model card with all that the configuration knows, and what its author has yet to say."""
    own = metadata["mediseg"]
    return f"""# {own["name"]} {metadata["version"]}

{metadata["task"]}. {metadata["description"]}. **Not a medical device. Research only, not for diagnosis.**

This card was drafted by `mediseg export`; complete it before anybody else uses the model.

## Data
{metadata["data_source"]}. (Say: how many, of whom, from which scanners, under which licence, what was held out.)

## Training
Task `{stage.task}`, seed {stage.seed}; the whole configuration stands in `configs/metadata.json` under
`mediseg.training`. Again: `mediseg train CONFIG --data DIR --out RUN`, `mediseg export RUN`.

## Figures
(Say: the command, the data it was run on, and its output. `mediseg evaluate` gives them.)

## Limits
(Say: what it was not tried on, and where it was seen to fail.)

## Licence
{own["licence"]}. See LICENSE.
"""


def draft_licence(stage: Stage) -> str:
    """Return the licence that the configuration states, or that none is stated."""
    return f"The weights in this folder: {stage.bundle.licence}.\n"


def _read(metrics: Path | None) -> dict[str, Any]:
    if metrics is None:
        return {}
    try:
        found: dict[str, Any] = json.loads(metrics.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--metrics: {metrics} is no readable JSON file") from error
    return found


def _rounding(weights: str, model: Model, stage: Stage) -> Any:
    if weights == "float32":
        return None
    from mediseg.train.rounding import Half, Int8

    if weights == "float16":
        return Half(model.samples, model.reading)
    if not model.samples:
        raise UsageError(f"the task {stage.task} gives no samples to calibrate with; export float32 or --fp16")
    return Int8(model.samples, model.reading)
