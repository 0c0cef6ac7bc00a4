"""Where the shipped recipes, models and truth files lie: inside the wheel, or beside the package in a checkout.

A workstation's installation names a folder of its own in ``MEDISEG_HOME``: its ``models`` and ``pipelines`` are used
instead of the wheel's, so that a model is replaced by copying a folder.
"""

from __future__ import annotations

import os
from pathlib import Path

from mediseg.errors import UsageError

_PACKAGE = Path(__file__).parent
_REPLACEABLE = ("models", "pipelines")


def shipped(kind: str) -> Path:
    """Return the folder of ``pipelines``, ``models`` or ``data``.

    Raises UsageError where MEDISEG_HOME lacks it (never the wheel's in its stead: another model would run than the one
    that was put there), FileNotFoundError in a broken installation.
    """
    home = os.environ.get("MEDISEG_HOME")
    if home and kind in _REPLACEABLE:
        folder = Path(home, kind)
        if not folder.is_dir():
            raise UsageError(f"the installation in MEDISEG_HOME has no folder {kind}: copy it there again")
        return folder
    for folder in (_PACKAGE / "_shipped" / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"mediseg's {kind} folder is missing: reinstall mediseg")
