"""Files that are either complete or not there: written beside their name, flushed to the disk, then renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from mediseg.errors import OutputError


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


_UMASK = _umask()  # once: to be read it has to be set, and meanwhile another thread's new folders would be open to all


@contextmanager
def written_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Give a file to write to, which takes the name ``path`` only when the block ends without an error.

    Missing folders are made. Raises OutputError when the system refuses (permission, full disk, read-only).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name[:40]}.", suffix=".part", dir=path.parent)
    except OSError as error:
        raise _output_error(path, error) from error
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        part.chmod(0o666 & ~_UMASK)  # mkstemp makes files that only the owner may read
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise _output_error(path, error) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def make_writable(folder: Path) -> None:
    """Make a folder and write a nameless file there, so that nobody works for hours for what cannot be kept.

    Raises OutputError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(prefix=".mediseg-", dir=folder):
            pass
    except OSError as error:
        why = error.strerror or error
        raise OutputError(
            f"the folder {folder.name or folder} cannot be written: {why}; choose another with --out"
        ) from error


def write_bytes_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` so that a reader sees the old file or the whole new one, never a part of it."""
    with written_atomically(path) as stream:
        stream.write(data)


def write_text_atomically(path: Path, text: str) -> None:
    """Write UTF-8 text as write_bytes_atomically does, with ``\\n`` line ends on every system."""
    write_bytes_atomically(path, text.encode("utf-8"))


def _output_error(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot write {path}: {error.strerror or error}; choose another place with --out, or make room there"
    )
