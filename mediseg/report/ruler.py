"""The rulers of a page: one inline script, and where the picture lies in the patient."""

from __future__ import annotations

from mediseg.report.figures import View
from mediseg.report.scripts import hash_source
from mediseg.report.scripts import script as _script


def script() -> str:
    """Return the script as it stands between its tags, to the letter."""
    return _script("ruler.js")


def script_source() -> str:
    """Return what allows the script, and no other, in a Content-Security-Policy."""
    return hash_source("ruler.js")


def frame_of(view: View) -> str:
    """Return nine numbers: the patient place (LPS mm) of the picture's upper left corner, 1 mm right, 1 mm down."""
    corner = view.grid.lps_from_ijk((-0.5, -0.5, 0))
    right, down = view.grid.axes_lps[:, 0], view.grid.axes_lps[:, 1]
    return " ".join(f"{float(value):.6f}" for part in (corner, right, down) for value in part)
