"""Everything that can go wrong, in one tree, with the exit status each branch ends a command with.

MedisegError
├── UsageError      2   the command line, a recipe, a parameter, or a path that does not exist
├── InputError      3   nothing readable in the input
├── Refusal         4   read, but not fit: a wrong answer would be worse than none
├── OutputError     5   the output cannot be written
└── Cancelled     130   stopped by the user

Anything else that escapes is a bug in mediseg (exit status 70). Messages are one line: what is wrong, with which file,
what to do. They never hold a value that identifies a person.
"""

from __future__ import annotations

import copyreg
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self


def _read_only(items: dict[Any, Any]) -> Mapping[Any, Any]:
    return MappingProxyType(items)


def _taken_apart(proxy: MappingProxyType[Any, Any]) -> tuple[Any, ...]:
    return _read_only, (dict(proxy),)


# Python cannot pickle its read-only dictionaries, which our values hold and worker processes are sent
copyreg.pickle(MappingProxyType, _taken_apart)


class Exit(IntEnum):
    """Exit status of the command line."""

    DONE = 0
    SOME_FAILED = 1
    USAGE = 2
    UNREADABLE = 3
    REFUSED = 4
    UNWRITABLE = 5
    BUG = 70
    INTERRUPTED = 130


def exit_of(codes: Iterable[int]) -> Exit:
    """Return what a command over cases with these codes ends with: the only case's own, of several one for all.

    Of several: done when all are, unwritable when the output was for any, unreadable when nothing was readable.
    """
    each = [Exit(code) for code in codes]
    if len(each) == 1:
        return each[0]
    if Exit.UNWRITABLE in each:
        return Exit.UNWRITABLE
    if each and set(each) == {Exit.UNREADABLE}:
        return Exit.UNREADABLE
    return Exit.DONE if set(each) <= {Exit.DONE} else Exit.SOME_FAILED


class MedisegError(Exception):
    """Base of every error that mediseg raises on purpose; ``str(error)`` is one line for the user."""

    exit_code = Exit.SOME_FAILED

    def about(self, path: Path) -> Self:
        """Return the same error with a file's or a folder's path told by its name alone."""
        return type(self)(str(self.args[0]).replace(str(path), path.name or str(path)))

    def __str__(self) -> str:
        # a file's name may hold a line break, an escape sequence for the terminal, or bytes that are no text
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(super().__str__().split()))


class UsageError(MedisegError):
    """The command line, a recipe or a parameter is wrong, or a path does not exist."""

    exit_code = Exit.USAGE


class InputError(MedisegError):
    """The input cannot be read as an image."""

    exit_code = Exit.UNREADABLE


class Refusal(MedisegError):
    """The input was read but is not fit for the step.

    ``warnings`` are those that explain the refusal; they reach the report beside it.
    """

    exit_code = Exit.REFUSED

    def __init__(self, message: str, warnings: Iterable[Warn] = ()) -> None:
        super().__init__(message)
        self.warnings = tuple(warnings)


class OutputError(MedisegError):
    """The output cannot be written: permission, or a full disk."""

    exit_code = Exit.UNWRITABLE


class Cancelled(MedisegError):
    """The user stopped the run; what was finished stays."""

    exit_code = Exit.INTERRUPTED


class Code(StrEnum):
    """Stable warning codes; docs/warnings.md explains each."""

    MISSING_SLICE = "MISSING_SLICE"
    UNEQUAL_SPACING = "UNEQUAL_SPACING"
    DUPLICATE_POSITION = "DUPLICATE_POSITION"
    CUT_OFF_HEAD = "CUT_OFF_HEAD"
    NO_TRUE_MIDSAGITTAL = "NO_TRUE_MIDSAGITTAL"
    GANTRY_TILT = "GANTRY_TILT"
    LOW_RESOLUTION = "LOW_RESOLUTION"
    LATERALITY_UNSURE = "LATERALITY_UNSURE"
    SERIES_SKIPPED = "SERIES_SKIPPED"
    MASK_TOUCHES_EDGE = "MASK_TOUCHES_EDGE"
    LOW_CONFIDENCE = "LOW_CONFIDENCE"
    OUTSIDE_NORMAL = "OUTSIDE_NORMAL"
    METHODS_DISAGREE = "METHODS_DISAGREE"
    ALIGNMENT_REJECTED = "ALIGNMENT_REJECTED"
    GAP = "GAP"
    SEAM = "SEAM"
    BURNED_IN_TEXT = "BURNED_IN_TEXT"
    NOT_PRIMARY = "NOT_PRIMARY"
    HEADER_REPAIRED = "HEADER_REPAIRED"


@dataclass(frozen=True, slots=True)
class Warn:
    """One warning of a case: a stable code, a sentence for a person, and the numbers behind it (JSON types only)."""

    code: Code
    message: str
    detail: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


def did_you_mean(wrong: str, known: Iterable[str]) -> str:
    """Return `` (did you mean "x"?)``, or the list of what is known when nothing is near."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1, cutoff=0.5)
    if near:
        return f' (did you mean "{near[0]}"?)'
    return f" (known: {', '.join(names)})" if names else ""
