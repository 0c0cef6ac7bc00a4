"""Pages that a person reads: one self-contained HTML file a case, and an index of a batch.

``render_case(record, values)`` returns text, as do ``render_index(index)`` and ``index_csv(index)`` of an ``Index`` of
the rows that ``index_row(record)`` gives; nothing is written here. Loaded late: names are looked up when first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mediseg.report.html import render_case as render_case
    from mediseg.report.index import Index as Index
    from mediseg.report.index import IndexRow as IndexRow
    from mediseg.report.index import index_csv as index_csv
    from mediseg.report.index import index_row as index_row
    from mediseg.report.index_page import render_index as render_index

_HOME = {
    "render_case": "mediseg.report.html",
    "render_index": "mediseg.report.index_page",
    "Index": "mediseg.report.index",
    "IndexRow": "mediseg.report.index",
    "index_row": "mediseg.report.index",
    "index_csv": "mediseg.report.index",
}
__all__ = ["Index", "IndexRow", "index_csv", "index_row", "render_case", "render_index"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mediseg.report' has no attribute '{name}'")
    return getattr(import_module(_HOME[name]), name)
