"""One process at a time works on a folder."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from mediseg.errors import OutputError, UsageError
from mediseg.io.atomic import make_writable


class Owner:
    """Lets one process at a time work on a folder: a lock that dies with its process, on every system."""

    def __init__(self, folder: Path) -> None:
        make_writable(folder)
        try:
            self._base = sqlite3.connect(folder / "owner.sqlite", timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            raise OutputError(f"the folder {folder.name} cannot be written: {error}") from error
        try:
            self._base.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            self._base.close()
            if error.sqlite_errorcode == sqlite3.SQLITE_BUSY:
                raise UsageError(f"another process works on the folder {folder.name}; end it first") from error
            raise OutputError(
                f"the folder {folder.name} cannot be used: {error}; delete the file owner.sqlite in it"
            ) from error

    def release(self) -> None:
        """Let another process have the folder."""
        self._base.close()
