"""Pages that a person reads: one self-contained HTML file a case, and an index of a batch.

``render_case(record, values)``, ``render_index(records)`` and ``index_csv(records)`` return text; nothing is written
here. Loaded late: the names below are looked up when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mediseg.report.html import render_case as render_case
    from mediseg.report.index import index_csv as index_csv
    from mediseg.report.index import render_index as render_index

_HOME = {
    "render_case": "mediseg.report.html",
    "render_index": "mediseg.report.index",
    "index_csv": "mediseg.report.index",
}
__all__ = ["index_csv", "render_case", "render_index"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mediseg.report' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
