"""The composite as DICOM and the pages of its report, read by other programs; millimetres through all of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pydicom
import pytest

from mediseg.cli import main
from mediseg.demo import write_spine_study
from mediseg.io import write
from mediseg.phantom.stations import StationPlan, plan_stations, true_grid
from mediseg.volume import RotatedROI, Volume
from tests.io.orthanc import needs_orthanc, running
from tests.io.outside import dciodvfy_errors, needs_dciodvfy, needs_dcmtk
from tests.spines import SHAPE

TURN = np.radians(15)
AXES = np.array([[0, 0, -1.0], [np.cos(TURN), np.sin(TURN), 0], [np.sin(TURN), -np.cos(TURN), 0]])
ROI = RotatedROI(np.array([1.0, -3.0, 180.0]), AXES, (110.0, 250.0, 12.0))
STEP = 45.0  # values a mm, along y and along z
ZERO_MM = 300.0


def ramp(points: np.ndarray) -> np.ndarray:
    """A value that tells where one is, behind and above."""
    return np.asarray(STEP * (points[..., 1] + points[..., 2] + ZERO_MM))


def of_ramp(plan: StationPlan) -> Volume:
    grid = true_grid(plan)
    ijk = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    return Volume(ramp(grid.lps_from_ijk(ijk)).astype(np.float32), grid)


@lru_cache(maxsize=1)
def folder() -> Path:
    """Two tilted stations whose values say where each voxel lies, stitched along an ROI turned by 15 degrees."""
    root = Path(mkdtemp(prefix="spine"))
    plans = plan_stations(2, overlap_mm=60, top_mm=350, bottom_mm=10, tilt_deg=4.0, **SHAPE)
    write_spine_study([of_ramp(plan) for plan in plans], root / "study", localizer=False)
    settings = [f"roi={write(ROI, root / 'roi.json')}", "register=false", "intensity=none", "shading=false"]
    command = ["run", "spine-stitch", str(root / "study"), "--out", str(root / "out"), "--quiet", "--dicom-report"]
    assert main([*command, *(word for one in settings for word in ("--set", f"stitch_stations.{one}"))]) == 0
    return root / "out" / "study" / "dicom"


def composite() -> list[Path]:
    return sorted(folder().glob("composite_*.dcm"))


def pages() -> list[Path]:
    return sorted(folder().glob("report_*.dcm"))


def dcmdump(path: Path, *tags: str) -> list[np.ndarray]:
    """Numbers of some elements as DCMTK prints them."""
    command = ["dcmdump", "-q", "+L", *(word for tag in tags for word in ("+P", tag)), str(path)]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    found = {
        tag: [float(word) for word in value.split("\\")]
        for tag, value in re.findall(r"\(([\da-f,]{9})\) DS \[([^\]]*)\]", text)
    }
    return [np.array(found[tag]) for tag in tags]


def places_by_dcmtk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Patient points (rows, columns, 3) and values of one image, by dcmdump and PS3.3 C.7.6.2.1.1."""
    position, cosines, spacing, slope, intercept = dcmdump(
        path, "0020,0032", "0020,0037", "0028,0030", "0028,1053", "0028,1052"
    )
    raw = path.parent.parent / "raw"
    raw.mkdir(exist_ok=True)
    subprocess.run(["dcmdump", "-q", "+W", str(raw), str(path)], check=True, capture_output=True)
    header = pydicom.dcmread(path, stop_before_pixels=True)
    stored = np.fromfile(next(raw.glob(f"{path.name}*.raw")), "<u2" if header.PixelRepresentation == 0 else "<i2")
    rows, columns = np.meshgrid(np.arange(header.Rows), np.arange(header.Columns), indexing="ij")
    points = position + columns[..., None] * spacing[1] * cosines[:3] + rows[..., None] * spacing[0] * cosines[3:]
    return points, stored.reshape(rows.shape) * slope + intercept


@pytest.mark.conformance
@needs_dcmtk
def test_dcmtk_reads_millimetres_that_are_true_to_a_hundredth() -> None:
    """Every value of the composite tells where it came from: that is where DCMTK says it lies."""
    for path in composite():
        points, values = places_by_dcmtk(path)
        covered = values > 0
        assert covered.mean() > 0.9
        off_mm = (values[covered] - ramp(points[covered])) / STEP
        design = np.column_stack([np.ones(covered.sum()), points[covered][:, 1:]])
        offset, *slopes = np.linalg.lstsq(design, values[covered] / STEP, rcond=None)[0]
        assert offset == pytest.approx(ZERO_MM, abs=0.01)
        assert np.array(slopes) * 250 == pytest.approx([250, 250], abs=0.01)
        assert np.abs(off_mm).max() < 0.04  # one value is stored as a whole number: 0.011 mm each side


@pytest.mark.conformance
@needs_dcmtk
@pytest.mark.skipif(shutil.which("dcmj2pnm") is None, reason="DCMTK's dcmj2pnm is not installed")
def test_dcmtk_draws_the_composite_and_the_report(tmp_path: Path) -> None:
    for path, window, kind in [(composite()[0], ["+Wm"], b"P5"), *((page, [], b"P6") for page in pages())]:
        subprocess.run(["dcmj2pnm", "-q", *window, "+op", str(path), str(tmp_path / "one.pnm")], check=True)
        found, columns, rows, rest = (tmp_path / "one.pnm").read_bytes().split(maxsplit=3)
        header = pydicom.dcmread(path, stop_before_pixels=True)
        assert (found, int(columns), int(rows)) == (kind, header.Columns, header.Rows)
        assert len(set(rest)) > 20  # a picture, not one grey


@pytest.mark.conformance
@needs_dciodvfy
def test_dciodvfy_finds_no_error_in_composite_and_report() -> None:
    assert len(pages()) >= 2
    for path in [*composite(), *pages()]:
        assert dciodvfy_errors(path) == []


@pytest.mark.conformance
@needs_orthanc
def test_orthanc_shows_composite_and_report(tmp_path: Path) -> None:
    with running(tmp_path) as archive:
        for path in [composite()[0], *pages()]:
            assert archive.preview(archive.store(path)).startswith(b"\x89PNG")


def test_the_report_is_a_series_of_its_own_in_the_study() -> None:
    image, page = pydicom.dcmread(composite()[0]), pydicom.dcmread(pages()[0])
    assert page.StudyInstanceUID == image.StudyInstanceUID
    assert page.SeriesInstanceUID != image.SeriesInstanceUID
    assert page.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert page.BurnedInAnnotation == "NO"
    assert "FrameOfReferenceUID" not in page
