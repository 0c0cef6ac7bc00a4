"""spine-stitch from a DICOM study to files, as a user runs it."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import nibabel as nib
import numpy as np
import pydicom
import pytest

from mediseg.cli import main
from mediseg.demo import write_spine_study
from mediseg.io.stitchfile import SCHEMA_FILE, schema
from mediseg.record import shipped_schema
from tests.spines import stations

SPOILT = {"shift_mm": (9.0, -6.0, 0.0), "turn_deg": 7.0, "gain": 0.6}


@lru_cache(maxsize=1)
def folder() -> Path:
    """One study, stitched once for all tests here."""
    root = Path(mkdtemp(prefix="spine"))
    write_spine_study(stations(**SPOILT)[::-1], root / "study")
    assert main(["run", "spine-stitch", str(root / "study"), "--out", str(root / "out"), "--quiet"]) == 0
    return root


def test_the_plan_says_what_is_used_and_why_the_rest_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "spine-stitch", str(folder() / "study")]) == 0
    text = capsys.readouterr().out
    assert "2 stations from the top: series 3 (T2 tse sag), series 2 (T2 tse sag)" in text
    assert "it is a localizer" in text


def test_every_file_of_the_contract_is_there() -> None:
    case = folder() / "out" / "study"
    names = {path.name for path in case.iterdir()}
    assert {"composite.nii.gz", "weights.nii.gz", "provenance.nii.gz", "gaps.nii.gz", "transforms.json", "dicom",
            "measurements.csv", "report.html", "report.json"} <= names  # fmt: skip
    composite, gaps, weights = (nib.load(case / f"{n}.nii.gz").get_fdata() for n in ("composite", "gaps", "weights"))
    assert weights.shape == (*composite.shape, 2)
    assert np.isfinite(composite).all()
    assert (composite[gaps == 1] == 0).all()
    assert np.allclose(weights.sum(axis=-1)[gaps == 0], 1, atol=1e-6)


def test_transforms_follow_the_schema() -> None:
    import jsonschema

    assert json.loads(schema()) == shipped_schema(SCHEMA_FILE)
    content = json.loads((folder() / "out" / "study" / "transforms.json").read_text())
    jsonschema.validate(content, shipped_schema(SCHEMA_FILE))
    assert [one["method"] for one in content["stations"]] == ["reference", "registered"]
    assert content["pairs"][0]["accepted"]


def test_the_report_shows_the_stations_and_fits_in_2_mb() -> None:
    html = (folder() / "out" / "study" / "report.html").read_text()
    assert "Stitched spine" in html
    assert "station 2 and station 1" not in html
    assert html.count('class="layer l-station-2"') == 2
    assert len(html) < 2_000_000


def test_the_composite_is_a_series_that_viewers_measure_right() -> None:
    files = sorted((folder() / "out" / "study" / "dicom").glob("composite_*.dcm"))
    composite = nib.load(folder() / "out" / "study" / "composite.nii.gz")
    assert len(files) == composite.shape[2]
    first, source = pydicom.dcmread(files[0]), pydicom.dcmread(folder() / "study" / "series02" / "0001.dcm")
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "M", "STITCHED"]
    assert first.StudyInstanceUID == source.StudyInstanceUID
    assert first.FrameOfReferenceUID == source.FrameOfReferenceUID
    assert first.SeriesInstanceUID != source.SeriesInstanceUID
    assert first.DerivationCodeSequence[0].CodeValue == "113090"
    assert {item.PurposeOfReferenceCodeSequence[0].CodeValue for item in first.SourceImageSequence} == {"121322"}
    assert len(first.SourceImageSequence) == 6
    affine = composite.affine
    corner = np.diag([-1, -1, 1, 1]) @ affine[:, 3]
    assert np.allclose([float(v) for v in first.ImagePositionPatient], corner[:3], atol=1e-3)
    assert [float(v) for v in first.PixelSpacing] == pytest.approx(composite.header.get_zooms()[1::-1], abs=1e-4)
    values = first.pixel_array * float(first.RescaleSlope) + float(first.RescaleIntercept)
    assert np.allclose(values.T, composite.get_fdata()[:, :, 0], atol=float(first.RescaleSlope))


@pytest.mark.conformance
def test_dciodvfy_finds_no_error() -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed")
    for path in sorted((folder() / "out" / "study" / "dicom").glob("composite_*.dcm")):
        said = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        assert "Error" not in said.stderr + said.stdout


def test_one_station_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_spine_study(stations()[:1], tmp_path / "study", localizer=False)
    assert main(["run", "spine-stitch", str(tmp_path / "study"), "--out", str(tmp_path / "out")]) == 4
    assert "no two stations" in capsys.readouterr().err
