"""The scripts of pages, each inline and allowed by its hash alone.

A page's policy forbids every script but the one whose SHA-256 it names; those ask for nothing and store nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources


@lru_cache(maxsize=4)
def script(name: str) -> str:
    """Return a script of the templates as it stands between its tags, to the letter."""
    return (resources.files("mediseg.report") / "templates" / name).read_text(encoding="utf-8").strip()


def hash_source(name: str) -> str:
    """Return what allows a script, and no other, in a Content-Security-Policy (CSP Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script(name).encode()).digest()).decode()
