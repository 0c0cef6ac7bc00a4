"""What was received and is no longer needed: taken away in one step, deleted after."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path


class Received:
    """The folder of received objects of a node, and a bin beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._bin = folder / "received", folder / "bin"

    def take_away(self, path: Path) -> None:
        """Move a study's folder to the bin; a path that was not received by the node (a watched one) stays.

        A renamed folder is gone at once and altogether: an object that is being received while its study is deleted
        is then either in the new folder or told as not taken, never answered and deleted.
        """
        if path.parent == self.folder and path.is_dir():
            self._bin.mkdir(exist_ok=True)
            path.rename(self._bin / f"{path.name}-{secrets.token_hex(4)}")

    def empty_bin(self) -> None:
        """Delete what lies in the bin; what cannot be deleted now is when the node starts next."""
        shutil.rmtree(self._bin, ignore_errors=True)
