"""A case's folder: mediseg writes only into one that is new, empty or its own, and takes away only its own files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mediseg.errors import OutputError
from mediseg.outputs import NAMES, Written, kind_of

#: Lies in the folder while a run is at work on it, and stays there when the run is cut off.
UNFINISHED = ".mediseg-unfinished"
_PAGES = ("report.json", "report.html", "error.txt")


@contextmanager
def case_folder(folder: Path) -> Iterator[None]:
    """Make the folder, take away what an earlier run left there, and mark it as unfinished until the block has ended.

    Raises OutputError for a folder that holds files of somebody else, or cannot be written.
    """
    mark = folder / UNFINISHED
    try:
        folder.mkdir(parents=True, exist_ok=True)
        old = _own_files(folder)
        mark.touch()
        for path in old:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder.name}: {error.strerror or error}; choose another folder with --out"
        ) from error
    try:
        yield
    except BaseException:
        _leave_if_empty(folder, mark)
        raise
    mark.unlink(missing_ok=True)


def _own_files(folder: Path) -> list[Path]:
    """Return the files that a run has written here, its completion marker first."""
    names: list[str] | None = None
    if (folder / "report.json").is_file():
        names = _listed((folder / "report.json").read_bytes())
    elif (folder / UNFINISHED).is_file():
        names = [*_all_names(folder), *_half_written(folder)]
    elif not any(folder.iterdir()):
        names = []
    if names is None:
        raise OutputError(
            f"the folder {folder.name} in --out holds files that mediseg has not written, and it overwrites none; "
            "choose another folder with --out"
        )
    return [folder / name for name in (*_PAGES, *names) if not (folder / name).is_dir()]


def written_in(folder: Path) -> list[Written]:
    """Return the files of ours in a folder whose writing broke off: each of them is whole."""
    return [Written(name, kind_of(name)) for name in _all_names(folder) if (folder / name).is_file()]


def _all_names(folder: Path) -> list[str]:
    return [*NAMES, *(f"dicom/{path.name}" for path in (folder / "dicom").glob("*.dcm"))]


def _half_written(folder: Path) -> list[str]:
    """Return what a run was writing when it was killed (see io.atomic)."""
    return [
        path.relative_to(folder).as_posix() for place in (".*.part", "dicom/.*.part") for path in folder.glob(place)
    ]


def _listed(report: bytes) -> list[str] | None:
    """Return the outputs that a report names, of any version; None for a report that is not mediseg's."""
    if b'"mediseg"' not in report:
        return None
    try:
        names = [str(one["path"]) for one in json.loads(report)["outputs"]]
    except (ValueError, LookupError, TypeError):  # cut off, or of another version
        return list(NAMES)
    return [name for name in names if ".." not in Path(name).parts and not Path(name).is_absolute()]


def _leave_if_empty(folder: Path, mark: Path) -> None:
    """Take back a folder in which nothing was finished, if it is still there: what has happened to it is told."""
    with suppress(OSError):
        if [path.name for path in folder.iterdir()] == [mark.name]:
            mark.unlink()
            folder.rmdir()
