"""A configuration's settings are a function's arguments with defaults: nothing repeats their names or values."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from mediseg.errors import UsageError, did_you_mean

T = TypeVar("T")


def take(
    function: Callable[..., T], given: Mapping[str, Any], where: str, *, but: Sequence[str] = ()
) -> dict[str, Any]:
    """Return ``given`` if ``function`` has a default for each (``but`` for some), and each is of its default's kind.

    Raises UsageError.
    """
    known = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty and name not in but
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
    return isinstance(value, type(default))


def _words(default: object) -> str:
    return {bool: "true or false", int: "a whole number", float: "a number"}.get(type(default), "a text")
