"""The table of repairs, row by row, and what is never touched."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom import config
from pydicom.dataset import Dataset

from mediseg.errors import InputError
from mediseg.io import load
from mediseg.io.dicom.origin import read_origin
from mediseg.io.dicom.repair import MR_ACQUISITION, PATIENT_AND_STUDY, copied, ds_text, rule_of, table_markdown
from mediseg.io.dicom.seg import segmentation_dataset
from mediseg.io.dicom.uids import DicomOptions
from mediseg.io.writing import write
from tests.io.dicom_factory import ramp, sagittal, write_series
from tests.io.results_factory import lopsided

SHAPE = (8, 9, 10)


@pytest.mark.parametrize(
    ("keyword", "given", "kept"),
    [
        ("SliceThickness", "0.666666686534882", "0.66666668653488"),
        ("SliceThickness", "1e-016", "1e-016"),
        ("SliceThickness", "nan", None),
        ("SliceThickness", "thick", None),
        ("EchoNumbers", "1.0", "1"),
        ("EchoNumbers", "1.5", None),
        ("EchoNumbers", "12345678901", None),
        ("BodyPartExamined", "Brain", "BRAIN"),
        ("BodyPartExamined", "BRAIN & NECK", None),
        ("StudyDate", "2024.02.29", "20240229"),
        ("StudyDate", "20230229", None),
        ("StudyTime", "12:34:56.1234567", "123456.123456"),
        ("StudyTime", "2500", None),
        ("PatientAge", "45Y", "045Y"),
        ("PatientAge", "45", None),
        ("PatientSex", "m", "M"),
        ("PatientSex", "U", None),
        ("PatientPosition", "hfs", "HFS"),
        ("PatientPosition", "SUPINE", None),
        ("StudyDescription", "a\tb", "a b"),
        ("StudyDescription", "x" * 70, "x" * 64),
        ("SequenceName", "y" * 20, "y" * 16),
        ("ScanningSequence", "FLAIR", None),
        ("AccessionNumber", "1234567890123456", "1234567890123456"),
        ("AccessionNumber", "12345678901234567", None),
        ("StudyID", "a\tb", None),
        ("IssuerOfPatientID", "x" * 65, None),
        ("ReferringPhysicianName", "Doe^Jane\t=山田^太郎", "Doe^Jane =山田^太郎"),
        ("ReferringPhysicianName", "a=b=c=d", None),
        ("ReferringPhysicianName", "a^b^c^d^e^f", None),
        ("ReferringPhysicianName", "x" * 65, None),
    ],
)
def test_one_value(keyword: str, given: str, kept: str | None) -> None:
    assert rule_of(keyword).mend(given) == kept


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"),
        (-0.0217883751691557, "-0.0217883751692"),
        (-136.559294018831, "-136.55929401883"),
        (1e-17, "1e-17"),
        (-1.2345678901234567e-123, "-1.23456789e-123"),
        (123456789012345678.0, "1.2345678901e+17"),
    ],
)
def test_numbers_fit_sixteen_characters(number: float, text: str) -> None:
    assert len(ds_text(number)) <= 16
    assert float(ds_text(number)) == pytest.approx(number, rel=1e-8)
    assert ds_text(number)[:6] == text[:6]


def test_a_number_that_is_none_has_no_text() -> None:
    with pytest.raises(ValueError, match="finite"):
        ds_text(float("inf"))


def test_identity_is_copied_to_the_letter() -> None:
    header = Dataset()
    with config.disable_value_validation():
        header.PatientID, header.PatientName, header.StudyInstanceUID = "x" * 80, "a=b=c=d\t", "0.0.1.02"
        out, notes = copied(header, PATIENT_AND_STUDY)
        assert (out.PatientID, str(out.PatientName), out.StudyInstanceUID) == ("x" * 80, "a=b=c=d\t", "0.0.1.02")
    assert notes == ()


@pytest.mark.parametrize(
    ("keyword", "given", "kept"),
    [
        ("StudyDescription", ["head", "neck"], "head neck"),
        ("FlipAngle", ["9", "9"], "9"),
        ("FlipAngle", ["9", "12"], None),
        ("BodyPartExamined", ["HEAD", "NECK"], None),
        ("SequenceVariant", ["SK", "SP"], ["SK", "SP"]),
        ("SoftwareVersions", ["a", "b"], ["a", "b"]),
    ],
)
def test_several_values_where_one_belongs(keyword: str, given: list[str], kept: str | list[str] | None) -> None:
    header = Dataset()
    with config.disable_value_validation():
        setattr(header, keyword, given)
        out, notes = copied(header, {keyword: 3})
    assert out.get(keyword) == kept
    assert notes == (() if kept == given else (f"{keyword}: several values",))


def test_missing_type_2_is_empty_and_no_repair() -> None:
    out, notes = copied(Dataset(), {**PATIENT_AND_STUDY, **MR_ACQUISITION})
    assert out["PatientBirthDate"].is_empty
    assert out["ScanOptions"].is_empty
    assert "PatientAge" not in out
    assert notes == ()


def test_a_repair_is_a_warning_without_values(tmp_path: Path) -> None:
    def spoil(_: int, dataset: Dataset) -> None:
        with config.disable_value_validation():
            dataset.PatientAge, dataset.BodyPartExamined, dataset.PatientSex = "33", "brain", "Q7"

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=spoil)
    origin = read_origin(load(tmp_path).source, DicomOptions())
    (warning,) = origin.warnings
    assert warning.code == "HEADER_REPAIRED"
    assert "BodyPartExamined, PatientAge, PatientSex" in warning.message
    assert "33" not in str(warning.detail)
    assert "Q7" not in str(warning.detail)
    assert origin.acquisition.BodyPartExamined == "BRAIN"


def test_a_missing_study_or_frame_is_made_the_same_each_time(tmp_path: Path) -> None:
    def spoil(_: int, dataset: Dataset) -> None:
        del dataset.FrameOfReferenceUID

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=spoil)
    head = load(tmp_path)
    first, second = (read_origin(head.source, DicomOptions()) for _ in range(2))
    assert first.frame_of_reference == second.frame_of_reference
    assert first.frame_of_reference.startswith("2.25.")
    assert segmentation_dataset(lopsided(head.geometry), first).FrameOfReferenceUID == first.frame_of_reference


@pytest.mark.parametrize(
    ("terms", "name", "written"),
    [
        ("ISO_IR 100", "Müller^Jörg", ["ISO_IR 100"]),
        ("ISO_IR 192", "山田^太郎", ["ISO_IR 192"]),
        (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎", ["", "ISO 2022 IR 87"]),
        (None, "Plain^Ascii", []),
    ],
)
def test_character_sets(tmp_path: Path, terms: object, name: str, written: list[str]) -> None:
    def spell(_: int, dataset: Dataset) -> None:
        dataset.pop("SpecificCharacterSet", None)
        if terms is not None:
            dataset.SpecificCharacterSet = terms
        dataset.PatientName = name

    write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE), change=spell)
    head = load(tmp_path / "in")
    found = pydicom.dcmread(write(lopsided(head.geometry), tmp_path / "s.dcm", head))
    assert found.PatientName == name
    stated = found.get("SpecificCharacterSet")
    assert ([] if stated is None else [stated] if isinstance(stated, str) else list(stated)) == written


def test_nothing_of_the_patient_is_printed(tmp_path: Path, recwarn: pytest.WarningsRecorder, caplog) -> None:
    def name(_: int, dataset: Dataset) -> None:
        with config.disable_value_validation():
            dataset.PatientName, dataset.PatientID = "Quillfeather", "Q" * 70
            dataset.PatientBirthDate = "Quillfeather"

    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), change=name)
    head = load(tmp_path)
    recwarn.clear()
    caplog.clear()
    segmentation_dataset(lopsided(head.geometry), read_origin(head.source, DicomOptions()))
    said = " ".join([*(str(one.message) for one in recwarn), caplog.text])
    assert "Quillfeather" not in said
    assert "QQQQ" not in said


def test_files_that_are_gone_are_an_input_error(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    head = load(tmp_path)
    paths[3].unlink()
    with pytest.raises(InputError, match="moved or changed") as told:
        read_origin(head.source, DicomOptions())
    assert tmp_path.name not in str(told.value)  # folders of a study are called after people


def test_the_documented_table_is_the_one_in_force() -> None:
    page = Path(__file__).parents[2] / "docs" / "dicom-repairs.md"
    assert table_markdown() in page.read_text(encoding="utf-8")
