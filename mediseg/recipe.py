"""Recipes: which steps, in what order, with which settings. Read from YAML, checked before anything runs.

::

    name: corpus-callosum
    summary: one line for `mediseg recipes`
    input: head                              # head | slice | stations: the value the first step finds
    steps:
      - correct_bias                         # a step by name, its values wired by name
      - extract_brain: {head: bias.corrected, border_mm: 1}     # a value from elsewhere, and a setting
    outputs: [brain_mask.nii.gz]             # optional: keep only these
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from mediseg._resources import shipped
from mediseg.errors import UsageError, did_you_mean
from mediseg.io import yamltext
from mediseg.steps import StepInfo, describe
from mediseg.steps.setting import Setting
from mediseg.volume import RotatedROI, Volume

#: kind of input -> name of the value it becomes
INPUTS = {"head": "head", "slice": "image", "stations": "stations"}


@dataclass(frozen=True)
class RecipeStep:
    """One step of a recipe: where each of its values comes from (``bias.corrected``), and every setting, resolved."""

    info: StepInfo
    sources: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Recipe:
    """A checked recipe. ``sha256`` is the YAML text's; ``outputs`` None keeps every file."""

    name: str
    summary: str
    input: str
    steps: tuple[RecipeStep, ...]
    outputs: tuple[str, ...] | None
    sha256: str

    def parameters(self) -> dict[str, dict[str, Any]]:
        """Return every step's settings as they will be used, as JSON types."""
        return {step.info.name: {k: _plain(v) for k, v in step.settings.items()} for step in self.steps}


def _plain(value: Any) -> Any:
    if not isinstance(value, RotatedROI):
        return value
    return {
        "center_lps_mm": value.center_lps_mm.tolist(),
        "axes_lps": value.axes_lps.tolist(),
        "size_mm": list(value.size_mm),
    }


def recipe_names() -> tuple[str, ...]:
    """Names of the shipped recipes."""
    return tuple(sorted(p.stem for p in shipped("pipelines").glob("*.yaml")))


def recipes() -> tuple[Recipe, ...]:
    """Return every shipped recipe, checked."""
    return tuple(load_recipe(name) for name in recipe_names())


def load_recipe(recipe: str, settings: Mapping[str, object] | None = None) -> Recipe:
    """Return a shipped recipe by name, or one from a YAML file, with settings ``{"step.param": value}`` put over it.

    Raises UsageError in one line, with a suggestion, for anything that is unknown, missing or out of bounds.
    """
    path = _recipe_path(recipe)
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the recipe file {path.name} cannot be read: {error.strerror}") from error
    raw = _parsed(text, path.name)
    kind = raw.get("input", "head")
    if not isinstance(kind, str) or kind not in INPUTS:
        raise UsageError(f'{path.name}: input "{kind}" is unknown{did_you_mean(str(kind), INPUTS)}')
    available: dict[str, type | None] = {INPUTS[kind]: tuple if kind == "stations" else Volume}
    steps: list[RecipeStep] = []
    for entry in raw["steps"]:
        step = _step(entry, available, path.name)
        if step.info.name in [earlier.info.name for earlier in steps]:
            raise UsageError(f"{path.name}: {step.info.name} stands twice; a step runs once in a recipe")
        available[step.info.gives] = get_type_hints(step.info.function)["return"]
        steps.append(step)
    outputs = raw.get("outputs")
    built = Recipe(
        name=str(raw.get("name", path.stem)),
        summary=str(raw.get("summary", "")),
        input=kind,
        steps=tuple(steps),
        outputs=None if outputs is None else tuple(str(name) for name in outputs),
        sha256=hashlib.sha256(text).hexdigest(),
    )
    return _with_settings(built, settings or {})


def _recipe_path(recipe: str) -> Path:
    if recipe in recipe_names():
        return shipped("pipelines") / f"{recipe}.yaml"
    path = Path(recipe)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise UsageError(f"the recipe file {path.name} does not exist")
    raise UsageError(f'there is no recipe "{recipe}"{did_you_mean(recipe, recipe_names())}')


def _parsed(text: bytes, name: str) -> dict[str, Any]:
    raw = yamltext.parsed(text, name)
    if not isinstance(raw, dict) or not isinstance(raw.get("steps"), list) or not raw["steps"]:
        raise UsageError(f'{name}: a recipe needs a list "steps" with at least one step')
    for key in raw:
        if key not in ("name", "summary", "input", "steps", "outputs"):
            known = ("name", "summary", "input", "steps", "outputs")
            raise UsageError(f'{name}: "{key}" is no part of a recipe{did_you_mean(str(key), known)}')
    if raw.get("outputs") is not None:
        _check_outputs(raw["outputs"], name)
    return raw


def _check_outputs(outputs: object, name: str) -> None:
    from mediseg.outputs import NAMES

    if not isinstance(outputs, list):
        raise UsageError(f'{name}: "outputs" must be a list of file names')
    for file in outputs:
        if file not in NAMES:
            raise UsageError(f'{name}: output "{file}" is unknown{did_you_mean(str(file), NAMES)}')


def _step(entry: object, available: Mapping[str, type | None], recipe: str) -> RecipeStep:
    if isinstance(entry, str):
        entry = {entry: {}}
    if not isinstance(entry, dict) or len(entry) != 1:
        raise UsageError(f"{recipe}: each step is a name, or a name with its values and settings in braces")
    ((name, given),) = entry.items()
    info = describe(str(name))
    given = given or {}
    if not isinstance(given, dict):
        raise UsageError(f"{recipe}: what follows {name} must be pairs in braces")
    for key in given:
        if key not in info.values and key not in info.settings:
            known = (*info.values, *info.settings)
            raise UsageError(f'{recipe}: {name} has no value or setting "{key}"{did_you_mean(str(key), known)}')
    settings = {key: item.default for key, item in info.settings.items()}
    settings.update({key: checked_setting(info, key, given[key]) for key in given if key in info.settings})
    return RecipeStep(info, _sources(info, given, available, recipe), settings)


def _sources(
    info: StepInfo, given: Mapping[str, object], available: Mapping[str, type | None], recipe: str
) -> dict[str, str]:
    """Wire a step's values: by redirect, else by name; an optional one stays out where nothing gave it."""
    sources = {}
    for value, required in info.values.items():
        source = str(given.get(value, value))
        root = source.partition(".")[0]
        if root in available:
            _check_source(info, value, source, available, recipe)
            sources[value] = source
        elif required or value in given:
            raise UsageError(
                f'{recipe}: {info.name} needs "{root}", which no earlier step gives{did_you_mean(root, available)}'
            )
    return sources


def _check_source(info: StepInfo, value: str, source: str, available: Mapping[str, type | None], recipe: str) -> None:
    where = f"{recipe}: {info.name}"
    root, *attributes = source.split(".")
    kind = available[root]
    for attribute in attributes:
        if kind is None or not is_dataclass(kind):
            return
        names = [f.name for f in fields(kind)]
        if attribute not in names:
            raise UsageError(f'{where}: "{root}" has no "{attribute}"{did_you_mean(attribute, names)}')
        hint = get_type_hints(kind)[attribute]
        kind = hint if isinstance(hint, type) else None
    wanted = get_type_hints(info.function)[value]
    kinds = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    accepted = tuple(get_origin(one) or one for one in kinds if one is not NoneType)
    if kind is not None and not issubclass(kind, accepted):
        words = " or ".join(one.__name__ for one in accepted)
        raise UsageError(f'{where}: {value} must be a {words}, and "{source}" is a {kind.__name__}')


def _with_settings(recipe: Recipe, settings: Mapping[str, object]) -> Recipe:
    steps = list(recipe.steps)
    names = [step.info.name for step in steps]
    for key, value in settings.items():
        step_name, dot, setting = key.partition(".")
        if not dot or not setting:
            raise UsageError(f'a setting is written step.param=value, not "{key}"')
        if step_name not in names:
            raise UsageError(f'the recipe {recipe.name} has no step "{step_name}"{did_you_mean(step_name, names)}')
        index = names.index(step_name)
        info = steps[index].info
        if setting not in info.settings:
            raise UsageError(f'{step_name} has no setting "{setting}"{did_you_mean(setting, info.settings)}')
        resolved = {**steps[index].settings, setting: checked_setting(info, setting, value)}
        steps[index] = replace(steps[index], settings=resolved)
    return replace(recipe, steps=tuple(steps))


def checked_setting(info: StepInfo, name: str, value: object) -> Any:
    """Return a setting's value in its own type, from text or YAML. Raises UsageError when it does not fit."""
    item = info.settings[name]
    where = f"{info.name}.{name}"
    if item.type is RotatedROI:
        return _roi(value, where)
    converted = _converted(value, item.type, where)
    _check_bounds(converted, item.setting, where)
    return converted


def _roi(value: object, where: str) -> RotatedROI:
    if isinstance(value, RotatedROI):
        return value
    from mediseg.io.jsonfiles import read_roi

    if not isinstance(value, str | Path):
        raise UsageError(f"{where} must be the path of an roi.json")
    return read_roi(Path(value))


def _converted(value: object, kind: type, where: str) -> Any:
    if kind is bool:
        words = {
            "true": True,
            "yes": True,
            "1": True,
            "on": True,
            "false": False,
            "no": False,
            "0": False,
            "off": False,
        }
        if str(value).lower() not in words:
            raise UsageError(f'{where} must be true or false, not "{value}"')
        return words[str(value).lower()]
    wanted = {int: "a whole number", float: "a number"}.get(kind, kind.__name__)
    problem = UsageError(f'{where} must be {wanted}, not "{str(value)[:40]}"')
    try:
        converted = kind(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise problem from error
    if kind is int and isinstance(value, bool | float) and value != converted:
        raise problem
    return converted


def _check_bounds(value: Any, setting: Setting, where: str) -> None:
    if setting.choices and value not in setting.choices:
        raise UsageError(f'{where} cannot be "{value}"{did_you_mean(str(value), setting.choices)}')
    too_low = setting.low is not None and not value >= setting.low
    too_high = setting.high is not None and not value <= setting.high
    if too_low or too_high:
        raise UsageError(f"{where} must lie between {setting.low:g} and {setting.high:g}, not {value:g}")


def parse_settings(texts: Sequence[str]) -> dict[str, str]:
    """Split ``step.param=value`` texts from a command line. Raises UsageError."""
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f'--set takes step.param=value, not "{text}"')
        settings[key.strip()] = value.strip()
    return settings
