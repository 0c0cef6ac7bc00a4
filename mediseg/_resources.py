"""Where the shipped recipes, models and truth files lie: inside the wheel, or beside the package in a checkout."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent


def shipped(kind: str) -> Path:
    """Return the folder of ``pipelines``, ``models`` or ``data``. Raises FileNotFoundError in a broken installation."""
    for folder in (_PACKAGE / "_shipped" / kind, _PACKAGE.parent / kind):
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"mediseg's {kind} folder is missing: reinstall mediseg")
