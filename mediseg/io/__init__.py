"""Files in and out. Reading starts with ``open_study`` and ``load``; everything that leaves here is LPS mm."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.errors import UsageError
from mediseg.io.study import Series, Stack, Study
from mediseg.volume import Volume

if TYPE_CHECKING:
    from mediseg.io.dicom.copying import copy_series
    from mediseg.io.dicom.read import read_stack
    from mediseg.io.dicom.seg_read import is_segmentation, read_segmentation
    from mediseg.io.jsonfiles import read_roi
    from mediseg.io.writing import write

__all__ = [
    "Series", "Stack", "Study", "copy_series", "is_segmentation", "load", "load_stack", "open_study", "read_roi",
    "read_segmentation", "read_stack", "write",
]  # fmt: skip

#: names that are loaded when they are first used: pydicom, highdicom and pydantic take their time
_LATE = {
    "write": "mediseg.io.writing",
    "read_stack": "mediseg.io.dicom.read",
    "read_segmentation": "mediseg.io.dicom.seg_read",
    "is_segmentation": "mediseg.io.dicom.seg_read",
    "copy_series": "mediseg.io.dicom.copying",
    "read_roi": "mediseg.io.jsonfiles",
}


def open_study(path: str | Path) -> Study:
    """Return the series and stacks of a DICOM folder (any depth), zip, DICOMDIR or single file; nothing is decoded.

    DICOM is found by content, not by name; other files are counted and ignored. Raises UsageError for a path that does
    not exist, InputError where nothing in it is DICOM.
    """
    from mediseg.io.dicom.scan import scan

    return scan(Path(path))


def load(path: str | Path) -> Volume:
    """Return the best head volume of a DICOM study, or the volume of one NIfTI, MGH, NRRD or MetaImage file.

    ``warnings`` of the volume name the series that were left out. Raises UsageError for a path that does not exist,
    InputError where nothing is readable, Refusal where what was read is not fit (no MR, truncated, NaN).
    """
    from mediseg.io.formats import format_of, get

    where = Path(path)
    if not where.exists():
        raise UsageError(f"{where} does not exist")
    name = format_of(where)
    if name is not None:
        return get(name).read(where)
    study = open_study(where)
    # One image given by name is taken as it is; in a study it would be a localizer's or a stray one
    single = len(study.stacks) == 1 and len(study.stacks[0].slices) == 1
    return load_stack(study, "any" if single else "head")


def load_stack(study: Study, wanted: str = "head") -> Volume:
    """Return the volume of the stack that ``select.choose`` takes from a study; see there for ``wanted``."""
    from dataclasses import replace

    from mediseg.io.dicom.read import read_stack
    from mediseg.io.select import choose

    choice = choose(study, wanted)
    volume = read_stack(choice.stack, study.identity)
    return replace(volume, warnings=(*volume.warnings, *choice.warnings))


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'mediseg.io' has no attribute '{name}'")
    return getattr(import_module(_LATE[name]), name)
