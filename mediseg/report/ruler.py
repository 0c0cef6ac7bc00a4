"""The rulers of a page: one inline script, allowed by its hash alone, and where the picture lies in the patient.

The page's policy forbids every script but the one whose SHA-256 it names; that one asks for nothing and stores nothing.
"""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from importlib import resources

from mediseg.report.figures import View


@lru_cache(maxsize=1)
def script() -> str:
    """Return the script as it stands between its tags, to the letter."""
    return (resources.files("mediseg.report") / "templates" / "ruler.js").read_text(encoding="utf-8").strip()


def script_source() -> str:
    """Return what allows the script, and no other, in a Content-Security-Policy (CSP Level 3, 2.3.1)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()


def frame_of(view: View) -> str:
    """Return nine numbers: the patient place (LPS mm) of the picture's upper left corner, 1 mm right, 1 mm down."""
    corner = view.grid.lps_from_ijk((-0.5, -0.5, 0))
    right, down = view.grid.axes_lps[:, 0], view.grid.axes_lps[:, 1]
    return " ".join(f"{float(value):.6f}" for part in (corner, right, down) for value in part)
