"""The formats beside DICOM that hold one volume a file. A new one is a module with can_read and read, and a line here.

``can_read(path) -> bool`` looks at the content (the name only where the format has no mark of its own);
``read(path) -> Volume`` returns it in LPS mm, or raises InputError (unreadable) or Refusal (read, but not fit).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Protocol, cast

from mediseg.errors import UsageError, did_you_mean
from mediseg.volume import Volume

MODULES: Mapping[str, str] = {
    "nifti": "mediseg.io.nifti",
    "itk": "mediseg.io.itk",
}
SUFFIXES = (".nii", ".nii.gz", ".mgh", ".mgz", ".nrrd", ".nhdr", ".mha", ".mhd")  # for telling a folder's files apart


class Format(Protocol):
    """What a format's module offers."""

    def can_read(self, path: Path) -> bool: ...  # noqa: D102

    def read(self, path: Path) -> Volume: ...  # noqa: D102


def get(name: str) -> Format:
    """Return the format of a name. Raises UsageError that lists the known ones."""
    if name not in MODULES:
        raise UsageError(f'no format "{name}"{did_you_mean(name, MODULES)}')
    return cast(Format, import_module(MODULES[name]))


def format_of(path: Path) -> str | None:
    """Return the name of the first format that can read a file, or None."""
    if not path.is_file():
        return None
    return next((name for name in MODULES if get(name).can_read(path)), None)
