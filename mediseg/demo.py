"""The main job on the built-in phantom, written as a DICOM study first: proves an installation, offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mediseg.volume import Volume


def write_spine_study(stations: Sequence[Volume], folder: Path, *, localizer: bool = True) -> Path:
    """Write stations of a spine as the DICOM study that a scanner would give, with a localizer, and return the folder.

    One series a station, numbered in the order given; all in one frame of reference. Raises OutputError.
    """
    from mediseg.io.dicom.original import PhantomStudy, write_mr_study

    about = PhantomStudy(
        patient_name="PHANTOM^SPINE", patient_id="PHANTOM-SPINE", description="mediseg spine phantom",
        series_description="T2 tse sag", seed="mediseg spine phantom", repetition_time_ms=3500.0, echo_time_ms=102.0,
        body_part="SPINE", sequence=("SE",), variant=("SK",), is_3d=False,
    )  # fmt: skip
    if localizer:
        grid = stations[0].geometry.with_spacing((4.0, 4.0, 20.0))
        shown = replace(about, series_description="localizer", series_number=1, echo_time_ms=5.0)
        write_mr_study(_whole_numbers(stations[0].resample(grid)), folder / "series01", shown)
    for number, station in enumerate(stations, 2):
        write_mr_study(_whole_numbers(station), folder / f"series{number:02d}", replace(about, series_number=number))
    return folder


def _whole_numbers(volume: Volume) -> Volume:
    """As a scanner stores them."""
    return volume.with_array(np.clip(np.rint(volume.array), 0, 32767).astype(np.int16))


def write_demo_study(folder: Path, *, spacing_mm: float = 1.0) -> Path:
    """Write the head phantom as a DICOM MR series into ``folder`` and return it. Raises OutputError."""
    from mediseg.io.dicom.original import write_mr_study
    from mediseg.phantom import phantom_head

    write_mr_study(phantom_head(spacing_mm=spacing_mm), folder)
    return folder
