"""Outside judges on everything we write: dciodvfy finds no error, DCMTK and highdicom find every voxel in place."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from mediseg.geometry import Geometry
from mediseg.io import load
from mediseg.io.dicom.original import write_mr_study
from mediseg.io.dicom.outputs import write_dicom_outputs
from mediseg.io.dicom.uids import DicomOptions
from mediseg.volume import Segmentation, Volume
from tests.io.dicom_factory import ramp, sagittal, write_enhanced, write_series
from tests.io.outside import (
    dciodvfy_errors,
    dcmtk_points,
    highdicom_points,
    largest_distance_mm,
    needs_dciodvfy,
    needs_dcmtk,
)
from tests.io.results_factory import bias, case

pytestmark = [pytest.mark.conformance, needs_dciodvfy, needs_dcmtk]
SHARED = Path(os.environ.get("MEDISEG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
STUDIES = (
    "siemens_sag_t1_child10",
    "axial_t1_novendor",
    "siemens_t1_gap_plus_asl",
    "siemens_sag_thick_HFS",
    "siemens_sag_thick_HFDR",
    "siemens_xa30_enhanced_t1",
)
needs_shared = pytest.mark.skipif(
    not (SHARED / "dicom").is_dir(), reason=f"no real scans at {SHARED} (MEDISEG_TEST_DATA)"
)
SHAPE = (16, 20, 24)
TOLERANCE_MM = 0.01


def _inversion(_: int, dataset: Dataset) -> None:
    dataset.ScanningSequence, dataset.SequenceVariant = ["GR", "IR"], ["SP", "MP"]


def _agency(_: int, dataset: Dataset) -> None:
    dataset.ApplicableSafetyStandardAgency = "IEC"


def _spoilt(_: int, dataset: Dataset) -> None:
    from pydicom import config

    with config.disable_value_validation():
        dataset.PatientAge, dataset.BodyPartExamined, dataset.PatientPosition = "45", "head & neck", "supine"
        dataset.StudyDate, dataset.StudyTime, dataset.PatientSex = "2024/01/02", "9 am", "female"
        dataset.StudyDescription = "x" * 99
        dataset.PatientIdentityRemoved, dataset.LossyImageCompression = "YES", "01"
        dataset.FlipAngle = "9.000000000000000001"


def _classic(change: Callable[[int, Dataset], None] | None) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_series(folder, ramp(SHAPE), sagittal(SHAPE), change=change)
        return folder

    return make


def _enhanced(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return write_enhanced(folder / "in.dcm", ramp(SHAPE), sagittal(SHAPE))


SOURCES = {
    "bare": _classic(None),
    "inversion recovery": _classic(_inversion),
    "safety agency": _classic(_agency),
    "spoilt header": _classic(_spoilt),
    "enhanced": _enhanced,
}


def _check(head: Volume, folder: Path, options: DicomOptions) -> None:
    values = case(head)
    paths, _ = write_dicom_outputs(values, head, folder / "dicom", options)
    assert {path.name: found for path in paths if (found := dciodvfy_errors(path))} == {}
    places = {"brain_seg": values["brain"].mask, "callosum_seg": values["callosum"].mask}
    for name, mask in places.items():
        path = folder / "dicom" / f"{name}.dcm"
        raw = folder / f"raw_{name}"
        raw.mkdir()
        truth = _acquired_points(mask, head)
        assert largest_distance_mm(highdicom_points(path), truth) < TOLERANCE_MM
        assert largest_distance_mm(dcmtk_points(path, raw), truth) < TOLERANCE_MM


def _acquired_points(mask: Segmentation, head: Volume) -> np.ndarray:
    """Where the mask is set, less the slices that no image was acquired for."""
    index = np.argwhere(mask.labels > 0)
    if mask.geometry.same_grid(head.geometry):
        missing = [k for k, uid in enumerate(head.source.sop_uids) if uid is None]
        index = index[~np.isin(index[:, 2], missing)]
    return mask.geometry.lps_from_ijk(index)


@pytest.mark.parametrize("kind", SOURCES)
def test_made_up_studies(tmp_path: Path, kind: str) -> None:
    head = load(SOURCES[kind](tmp_path / "in"))
    _check(head, tmp_path, DicomOptions())


def test_the_corrected_head_as_a_series(tmp_path: Path) -> None:
    head = load(_classic(_inversion)(tmp_path / "in"))
    values = {"bias": bias(head)}
    paths, _ = write_dicom_outputs(values, head, tmp_path / "dicom", DicomOptions(corrected=True))
    assert [p.name for p in paths] == [f"corrected_{k:04d}.dcm" for k in range(1, SHAPE[2] + 1)]
    assert [found for path in paths if (found := dciodvfy_errors(path))] == []


@pytest.mark.parametrize("codes", ["PIR", "LPS"])
def test_a_phantom_study(tmp_path: Path, codes: str) -> None:
    grid = Geometry.from_axes((6, 7, 3), np.eye(3), (1, 1, 2), center_lps_mm=(0, 0, 0))
    volume = Volume(np.arange(126, dtype=np.int16).reshape(6, 7, 3), grid).reorient(codes)
    paths = write_mr_study(volume, tmp_path)
    assert [found for path in paths if (found := dciodvfy_errors(path))] == []


@pytest.mark.shared
@needs_shared
@pytest.mark.parametrize("study", STUDIES)
def test_real_studies(tmp_path: Path, study: str) -> None:
    head = load(SHARED / "dicom" / f"{study}.zip")
    _check(head, tmp_path, DicomOptions())
