"""One series of a study on its own, such as a user has picked it."""

from __future__ import annotations

from pathlib import Path

from mediseg.errors import OutputError
from mediseg.io.atomic import write_bytes_atomically
from mediseg.io.dicom.find import Files
from mediseg.io.study import Series


def copy_series(series: Series, folder: str | Path) -> Path:
    """Copy the files of a series, byte for byte, into a new folder and return it; files in a zip are unpacked.

    They are called 00001.dcm and so on: names in a study may hold a person's. Raises OutputError for a folder that
    holds something already, InputError for a file that cannot be read again.
    """
    where = Path(folder)
    if where.exists() and any(where.iterdir()):
        raise OutputError(f"{where} is not empty; choose a new folder")
    paths = list(dict.fromkeys(path for stack in series.stacks for path in stack.files))
    with Files() as files:
        for number, path in enumerate(paths, 1):
            with files.open(path) as stream:
                write_bytes_atomically(where / f"{number:05d}.dcm", stream.read())
    return where
