"""A configuration's settings are a function's keyword-only arguments: nothing repeats their names or defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from mediseg.errors import UsageError, did_you_mean

T = TypeVar("T")


def take(function: Callable[..., T], given: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return ``given`` if ``function`` takes it all by keyword only, each of its default's kind. Raises UsageError."""
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for name, value in given.items():
        if name not in known:
            raise UsageError(f'{where} has no setting "{name}"{did_you_mean(name, known)}')
        if not _fits(value, known[name]):
            raise UsageError(f'{where}.{name} must be {_words(known[name])}, not "{value}"')
    return dict(given)


def _fits(value: object, default: object) -> bool:
    if isinstance(default, bool) or isinstance(value, bool):
        return isinstance(value, bool) == isinstance(default, bool)
    if isinstance(default, float):
        return isinstance(value, int | float)
    return isinstance(value, type(default)) or default is inspect.Parameter.empty


def _words(default: object) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "a text")
