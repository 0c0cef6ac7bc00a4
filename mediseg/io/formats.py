"""The formats beside DICOM that hold one volume a file. A new one is a module with can_read and read, and a line here.

``can_read(path) -> bool`` looks at the content (the name only where the format has no mark of its own);
``read(path) -> Volume`` returns it in LPS mm, or raises InputError (unreadable) or Refusal (read, but not fit).
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mediseg.errors import InputError, UsageError, did_you_mean
from mediseg.volume import Volume

#: name -> (module, the endings by which a folder's files are told apart)
FORMATS: dict[str, tuple[str, tuple[str, ...]]] = {
    "nifti": ("mediseg.io.nifti", (".nii", ".nii.gz", ".mgh", ".mgz")),
    "sur": ("mediseg.io.sur", (".sur",)),
    "itk": ("mediseg.io.itk", (".nrrd", ".nhdr", ".mha", ".mhd")),
}


def suffixes() -> tuple[str, ...]:
    """Return the endings of all formats' files."""
    return tuple(suffix for _, endings in FORMATS.values() for suffix in endings)


class Format(Protocol):
    """What a format's module offers."""

    def can_read(self, path: Path) -> bool: ...  # noqa: D102 - the module's head says what it does

    def read(self, path: Path) -> Volume: ...  # noqa: D102 - the same


def get(name: str) -> Format:
    """Return the format of a name. Raises UsageError that lists the known ones."""
    if name not in FORMATS:
        raise UsageError(f'no format "{name}"{did_you_mean(name, FORMATS)}')
    return cast(Format, import_module(FORMATS[name][0]))


def format_of(path: Path) -> str | None:
    """Return the name of the first format that can read a file, or None.

    Raises InputError where the file may not be opened.
    """
    if not path.is_file():
        return None
    try:
        return next((name for name in FORMATS if get(name).can_read(path)), None)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise InputError(f"{path.name} cannot be opened: {why}; ask for the right to read it") from error
