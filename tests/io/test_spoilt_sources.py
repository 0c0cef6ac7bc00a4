"""Whatever is wrong with a source's header, what is derived from it is valid: dciodvfy finds no error."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import config
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import MRImageStorage

from mediseg.errors import Code
from mediseg.io import load
from mediseg.io.dicom.origin import read_origin
from mediseg.io.dicom.outputs import write_dicom_outputs, write_report_pages
from mediseg.io.dicom.repair import EQUIPMENT, FRAME_OF_REFERENCE, MR_ACQUISITION, PATIENT_AND_STUDY, TO_THE_LETTER
from mediseg.io.dicom.seg import segmentation_dataset
from mediseg.io.dicom.sr import measurements_dataset
from mediseg.io.dicom.uids import DicomOptions
from tests.io.dicom_factory import ramp, sagittal, write_series
from tests.io.outside import dciodvfy_errors, needs_dciodvfy
from tests.io.results_factory import bias, case, lopsided, measurements

SHAPE = (8, 9, 4)
PHILIPS_PRIVATE_MR = "1.3.46.670589.11.0.0.12.1"
_FURTHER = ("SliceThickness", "SeriesNumber", "InstanceNumber", "SpecificCharacterSet", "ImageType",
            "SeriesDescription", "AcquisitionDate", "ContentTime", "WindowCenter", "RescaleType",
            "SOPClassUID")  # fmt: skip
KEYWORDS = sorted({*PATIENT_AND_STUDY, *FRAME_OF_REFERENCE, *EQUIPMENT, *MR_ACQUISITION, *_FURTHER} - TO_THE_LETTER)
VALUES = {
    "DS": [b"1e999999999999999", b"abc", b"1\\2\\3", b"nan", b"0.66666666666666666666"],
    "IS": [b"99999999999999999999", b"1.5", b"x", b"1\\2"],
    "CS": [b"a!b\\c d/e", b"\xff\xfe", b"far too long a word", b"lower"],
    "DA": [b"31.12.1999", b"2024/01/02", b"\0\0", b"noon"],
    "TM": [b"noon", b"-1", b"12:34:56.1234567"],
    "AS": [b"old", b"45Y", b"\xe4"],
    "LO": [b"x" * 200 + b"\\\x01y", b"\xff\xfe\xfd", b"a\\b"],
    "SH": [b"y" * 60, b"\xff\x1b$B", b"a\\b"],
    "PN": [b"A^B^C^D^E^F=x=y=z=q" * 9, b"\xe4\xf6", b"a\\b"],
    "UI": [b"1.02.abc..", b"hello", PHILIPS_PRIVATE_MR.encode()],
}
FAULTS = st.dictionaries(
    st.sampled_from(KEYWORDS),
    st.one_of(st.just("missing"), st.just("empty"), st.integers(0, 9)),
    min_size=1,
    max_size=12,
)


def _spoilt(faults: dict[str, str | int]) -> Callable[[int, Dataset], None]:
    def change(_: int, dataset: Dataset) -> None:
        dataset.ScanningSequence, dataset.SequenceVariant = ["GR", "IR"], ["SP", "MP"]
        for keyword, fault in faults.items():
            tag = Tag(tag_for_keyword(keyword))
            representation = dictionary_VR(tag)
            if fault == "missing":
                dataset.pop(tag, None)
                continue
            known = VALUES[representation]
            raw = b"" if fault == "empty" else known[int(fault) % len(known)]
            raw += b" " * (len(raw) % 2)
            dataset[tag] = RawDataElement(tag, representation, len(raw), raw, 0, False, True)

    return change


@pytest.mark.conformance
@needs_dciodvfy
@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(faults=FAULTS)
def test_everything_derived_is_valid(faults: dict[str, str | int]) -> None:
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        with config.disable_value_validation():
            write_series(folder / "in", ramp(SHAPE), sagittal(SHAPE), change=_spoilt(faults))
        head = load(folder / "in")
        values = {**case(head), "bias": bias(head)}
        paths, _ = write_dicom_outputs(values, head, folder / "out", DicomOptions(corrected=True))
        paths += write_report_pages([np.zeros((8, 8, 3), np.uint8)], head, folder / "out", DicomOptions(), "note")
        judged = [path for path in paths if path.stem not in ("corrected_0002", "corrected_0003")]
        assert {path.name: found for path in judged if (found := dciodvfy_errors(path))} == {}


def _with_class(uid: str) -> Callable[[int, Dataset], None]:
    def change(_: int, dataset: Dataset) -> None:
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = uid

    return change


def test_a_private_class_of_image_is_named_in_references(tmp_path: Path) -> None:
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=_with_class(PHILIPS_PRIVATE_MR))
    head = load(tmp_path)
    origin = read_origin(head.source, DicomOptions())
    seg = segmentation_dataset(lopsided(head.geometry), origin)
    (series,) = seg.ReferencedSeriesSequence
    assert {one.ReferencedSOPClassUID for one in series.ReferencedInstanceSequence} == {PHILIPS_PRIVATE_MR}
    frame = seg.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence[0]
    assert frame.ReferencedSOPClassUID == PHILIPS_PRIVATE_MR
    report = measurements_dataset(measurements(lopsided(head.geometry)), origin)
    (evidence,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert {one.ReferencedSOPClassUID for one in evidence.ReferencedSOPSequence} == {PHILIPS_PRIVATE_MR}


def test_a_missing_class_and_series_are_made_up(tmp_path: Path) -> None:
    def change(_: int, dataset: Dataset) -> None:
        del dataset.SeriesInstanceUID
        dataset.SOPClassUID = ""

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=change)
    head = load(tmp_path)
    origin = read_origin(head.source, DicomOptions())
    seg = segmentation_dataset(lopsided(head.geometry), origin)
    (series,) = seg.ReferencedSeriesSequence
    assert pydicom.uid.UID(series.SeriesInstanceUID).is_valid
    assert {one.ReferencedSOPClassUID for one in series.ReferencedInstanceSequence} == {MRImageStorage}
    assert "SeriesInstanceUID: missing" in origin.warnings[0].detail["attributes"]


@pytest.mark.parametrize("uids", [["", "1.2.3", "1.2.4", "1.2.5"], ["1.2.3"] * 4], ids=["one is missing", "shared"])
def test_images_that_cannot_be_told_apart_get_no_dicom_results(tmp_path, uids):
    for path, uid in zip(write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE)), uids, strict=True):
        dataset = pydicom.dcmread(path)
        dataset.SOPInstanceUID = uid
        dataset.save_as(path)
    head = load(tmp_path / "in")
    paths, warnings = write_dicom_outputs(case(head), head, tmp_path / "out")
    assert paths == []
    assert [warn.code for warn in warnings] == [Code.HEADER_REPAIRED]
    assert write_report_pages([np.zeros((9, 9, 3), np.uint8)], head, tmp_path / "out", DicomOptions(), "note") == []
    assert not (tmp_path / "out").exists()


def test_a_station_whose_images_share_a_uid_is_told_not_left_out_in_silence(tmp_path: Path) -> None:
    write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    head = load(tmp_path / "study")
    assert head.source is not None
    alike = replace(head, source=replace(head.source, sop_uids=head.source.sop_uids[:1] * SHAPE[2]))
    paths, (warning,) = write_dicom_outputs({"stations": (head, alike)}, head, tmp_path / "dicom")
    assert paths == []
    assert "no SOP Instance UIDs, or share one" in warning.message
