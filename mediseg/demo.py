"""The main job on the built-in phantom, written as a DICOM study first: proves an installation, offline."""

from __future__ import annotations

from pathlib import Path


def write_demo_study(folder: Path, *, spacing_mm: float = 1.0) -> Path:
    """Write the head phantom as a DICOM MR series into ``folder`` and return it. Raises OutputError."""
    from mediseg.io.dicom.original import write_mr_study
    from mediseg.phantom import phantom_head

    write_mr_study(phantom_head(spacing_mm=spacing_mm), folder)
    return folder
