"""spine-stitch from a DICOM study to files, as a user runs it."""

from __future__ import annotations

import json
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 - the library's own short name

from mediseg.cli import main
from mediseg.demo import write_spine_study
from mediseg.io import write
from mediseg.io.stitchfile import SCHEMA_FILE, schema
from mediseg.record import shipped_schema
from mediseg.volume import RotatedROI
from tests.io.orthanc import needs_orthanc, running
from tests.io.outside import dciodvfy_errors, needs_dciodvfy
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
@needs_dciodvfy
def test_dciodvfy_finds_no_error() -> None:
    for path in sorted((folder() / "out" / "study" / "dicom").glob("composite_*.dcm")):
        assert dciodvfy_errors(path) == []


@pytest.mark.conformance
@needs_orthanc
def test_orthanc_takes_the_series_and_gives_it_back(tmp_path: Path) -> None:
    files = sorted((folder() / "out" / "study" / "dicom").glob("composite_*.dcm"))
    with running(tmp_path) as archive:
        for path in files:
            assert (
                pydicom.dcmread(BytesIO(archive.file(archive.store(path)))).PixelData == pydicom.dcmread(path).PixelData
            )


def test_millimetres_survive_a_rotated_roi_and_dicom(tmp_path: Path) -> None:
    """ITK reads the series: the corners of the ROI's grid lie where the ROI says."""
    turn = np.radians(15)
    axes = np.array([[0, 0, -1.0], [np.cos(turn), np.sin(turn), 0], [np.sin(turn), -np.cos(turn), 0]])
    roi = RotatedROI(np.array([1.0, -3.0, 180.0]), axes, (110.0, 250.0, 12.0))
    out = tmp_path / "out"
    settings = [f"stitch_stations.roi={write(roi, tmp_path / 'roi.json')}", "stitch_stations.register=false"]
    command = ["run", "spine-stitch", str(folder() / "study"), "--out", str(out), "--quiet"]
    assert main([*command, "--set", settings[0], "--set", settings[1]]) == 0
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(path) for path in sorted((out / "study" / "dicom").glob("composite_*.dcm"))])
    image = reader.Execute()
    size = np.array(image.GetSize(), float)
    middle = image.TransformContinuousIndexToPhysicalPoint(((size - 1) / 2).tolist())
    assert np.abs(np.array(middle) - roi.center_lps_mm).max() < 0.01
    top, bottom = (image.TransformContinuousIndexToPhysicalPoint([0.0, v, 0.0]) for v in (-0.5, size[1] - 0.5))
    down = np.array(bottom) - top
    assert np.abs(down / np.linalg.norm(down) - axes[:, 1]).max() < 1e-6
    assert np.linalg.norm(down) == pytest.approx(size[1] * image.GetSpacing()[1], abs=0.01)


def test_one_station_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_spine_study(stations()[:1], tmp_path / "study", localizer=False)
    assert main(["run", "spine-stitch", str(tmp_path / "study"), "--out", str(tmp_path / "out")]) == 4
    assert "no two stations" in capsys.readouterr().err
