"""Pages as Secondary Capture: pixels as they were, in the source's study, without a place in the patient."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from mediseg.io import load
from mediseg.io.dicom.capture import capture_datasets
from mediseg.io.dicom.origin import Origin, read_origin
from mediseg.io.dicom.outputs import write_report_pages
from mediseg.io.dicom.uids import DicomOptions
from tests.io.dicom_factory import STUDY, ramp, sagittal, write_series
from tests.io.outside import dciodvfy_errors, needs_dciodvfy

SHAPE = (8, 9, 4)


@pytest.fixture
def pages() -> list[np.ndarray]:
    page = np.full((50, 41, 3), 255, np.uint8)
    page[3:9, 4:20] = (200, 10, 60)
    return [page, page[::-1].copy()]


def _origin(folder: Path, options: DicomOptions | None = None) -> Origin:
    write_series(folder, ramp(SHAPE), sagittal(SHAPE))
    return read_origin(load(folder).source, options or DicomOptions())


def test_pixels_are_kept_to_the_bit(tmp_path: Path, pages: list[np.ndarray]) -> None:
    head_folder, out = tmp_path / "in", tmp_path / "out"
    write_series(head_folder, ramp(SHAPE), sagittal(SHAPE))
    paths = write_report_pages(pages, load(head_folder), out, DicomOptions(), "Research use only.")
    assert [path.name for path in paths] == ["report_01.dcm", "report_02.dcm"]
    for path, page in zip(paths, pages, strict=True):
        found = pydicom.dcmread(path)
        assert np.array_equal(found.pixel_array, page)
        assert found.ImageComments == "Research use only."


def test_they_are_one_series_of_the_sources_study(tmp_path: Path, pages: list[np.ndarray]) -> None:
    made = capture_datasets(pages, _origin(tmp_path))
    assert {one.StudyInstanceUID for one in made} == {STUDY}
    assert len({one.SeriesInstanceUID for one in made}) == 1
    assert len({one.SOPInstanceUID for one in made}) == 2
    assert [one.InstanceNumber for one in made] == [1, 2]
    for one in made:
        assert one.file_meta.MediaStorageSOPInstanceUID == one.SOPInstanceUID
        assert "FrameOfReferenceUID" not in one
        assert (one.Modality, one.BurnedInAnnotation) == ("OT", "NO")
        assert one.PatientID == "ZX81-77421"  # in the header, where it belongs


def test_uids_may_be_fixed(tmp_path: Path, pages: list[np.ndarray]) -> None:
    options = DicomOptions(deterministic_uids=True, seed="s")
    first, second = (capture_datasets(pages, _origin(tmp_path / name, options)) for name in "ab")
    assert [one.SOPInstanceUID for one in first] == [one.SOPInstanceUID for one in second]


@pytest.mark.conformance
@needs_dciodvfy
def test_dciodvfy_finds_no_error(tmp_path: Path, pages: list[np.ndarray]) -> None:
    write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE))
    paths = write_report_pages(pages, load(tmp_path / "in"), tmp_path / "out", DicomOptions(), "Research use only.")
    assert [found for path in paths if (found := dciodvfy_errors(path))] == []
