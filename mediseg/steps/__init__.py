"""The steps: plain functions from values to values, and the table that names them.

A step's line says which module it lives in and which value it gives. Its positional parameters are values' names, its
keyword-only parameters are its settings: their defaults, units and bounds stand in the signature and nowhere else.
The package can be called: ``mediseg.steps()`` describes every step.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from typing import Any, get_args, get_type_hints

from mediseg.errors import UsageError, did_you_mean
from mediseg.steps.setting import Setting

#: step -> (module, the one value it gives)
REGISTRY = {
    "correct_bias": ("mediseg.steps.bias", "bias"),
    "extract_brain": ("mediseg.steps.brain", "brain"),
    "find_midsagittal": ("mediseg.steps.midsagittal", "midsagittal"),
    "segment_callosum": ("mediseg.steps.callosum", "callosum"),
    "localize_roi": ("mediseg.steps.localize", "localization"),
    "measure_callosum": ("mediseg.steps.morphometry", "measurements"),
    "plan_scan": ("mediseg.steps.scanplan", "scan_plan"),
    "stitch_stations": ("mediseg.steps.stitch", "stitched"),
}

_UNITS = {"mm": "mm", "deg": "degrees", "ml": "ml", "mm2": "mm2", "years": "years"}


@dataclass(frozen=True)
class SettingInfo:
    """One setting of a step: name, type, default, unit (from the name's ending), bounds, and what it does."""

    name: str
    type: type
    default: Any
    unit: str
    setting: Setting


@dataclass(frozen=True)
class StepInfo:
    """One step: name, what it gives, the values it takes (name -> required), its settings, its docstring."""

    name: str
    gives: str
    function: Callable[..., Any]
    values: dict[str, bool]
    settings: dict[str, SettingInfo]
    doc: str


def _setting_info(name: str, hint: Any, default: Any) -> SettingInfo:
    kind, setting = get_args(hint)[:2]
    kinds = [k for k in get_args(kind) if k is not type(None)] or [kind]
    unit = _UNITS.get(name.rsplit("_", 1)[-1], "")
    return SettingInfo(name, kinds[0], default, unit, setting)


@lru_cache(maxsize=64)
def _described(name: str, module: str, gives: str) -> StepInfo:
    function = getattr(import_module(module), name)
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters.values()
    values = {p.name: p.default is p.empty for p in parameters if p.kind is not p.KEYWORD_ONLY}
    settings = {p.name: _setting_info(p.name, hints[p.name], p.default) for p in parameters if p.kind is p.KEYWORD_ONLY}
    return StepInfo(name, gives, function, values, settings, inspect.getdoc(function) or "")


def describe(name: str) -> StepInfo:
    """Return what there is to know of one step. Raises UsageError with a suggestion for an unknown name."""
    if name not in REGISTRY:
        raise UsageError(f'there is no step "{name}"{did_you_mean(name, REGISTRY)}')
    module, gives = REGISTRY[name]
    return _described(name, module, gives)


def describe_all() -> tuple[StepInfo, ...]:
    """Return what there is to know of every step."""
    return tuple(describe(name) for name in REGISTRY)


class _CallableSteps(ModuleType):
    def __call__(self) -> tuple[StepInfo, ...]:
        """Describe every step: ``mediseg.steps()``."""
        return describe_all()


sys.modules[__name__].__class__ = _CallableSteps
