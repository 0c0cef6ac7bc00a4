"""The structured report: values, codes, units, what it points at, and that nobody is invented in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from mediseg.errors import UsageError
from mediseg.io import load
from mediseg.io.dicom.origin import read_origin
from mediseg.io.dicom.outputs import write_dicom_outputs
from mediseg.io.dicom.sr import measurements_dataset, write_measurements_sr
from mediseg.io.dicom.uids import DicomOptions
from mediseg.results import Measurements
from mediseg.volume import Volume
from tests.io.dicom_factory import STUDY, ramp, sagittal, write_enhanced, write_series
from tests.io.results_factory import case, lopsided, measurements

SHAPE = (16, 20, 24)


@pytest.fixture
def head(tmp_path: Path) -> Volume:
    write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE))
    return load(tmp_path / "in")


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for item in dataset.get("ContentSequence", []):
        yield item
        yield from _items(item)


def _numbers(dataset: Dataset) -> list[tuple[str, str, float, str]]:
    found = []
    for item in _items(dataset):
        if item.ValueType == "NUM" and item.RelationshipType == "CONTAINS":
            name = item.ConceptNameCodeSequence[0]
            value = item.MeasuredValueSequence[0]
            unit = value.MeasurementUnitsCodeSequence[0].CodeValue
            found.append((name.CodeValue, name.CodingSchemeDesignator, float(value.NumericValue), unit))
    return found


def test_values_units_and_codes(head: Volume) -> None:
    made = measurements_dataset(measurements(lopsided(head.geometry)), read_origin(head.source, DicomOptions()))
    area, genu, angle = _numbers(made)
    assert area == ("42798000", "SCT", pytest.approx(612.345678901), "mm2")
    assert genu[1:] == ("99MEDISEG", 101.5, "mm2")  # the code of area is taken
    assert angle == ("ANGLE", "99MEDISEG", -12.25, "deg")


def test_limits_and_method_are_written(head: Volume) -> None:
    made = measurements_dataset(measurements(lopsided(head.geometry)), read_origin(head.source, DicomOptions()))
    limits = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for item in _items(made)
        if item.ValueType == "NUM" and item.RelationshipType == "HAS PROPERTIES"
    ]
    texts = [item.TextValue for item in _items(made) if item.ValueType == "TEXT"]
    assert limits == [500.0, 800.0]
    assert {"polygon", "source: shoelace formula", "straight cuts", "area_witelson_genu"} <= set(texts)


def test_not_a_number_is_said_and_not_written(head: Volume) -> None:
    made = measurements_dataset(measurements(lopsided(head.geometry)), read_origin(head.source, DicomOptions()))
    (said,) = [
        item.ConceptCodeSequence[0].CodeValue
        for item in _items(made)
        if item.ConceptNameCodeSequence[0].CodeValue == "CIRCULARITY"
    ]
    assert said == "114000"


def test_without_a_segmentation_the_sources_are_referenced(head: Volume) -> None:
    made = measurements_dataset(measurements(lopsided(head.geometry)), read_origin(head.source, DicomOptions()))
    images = {
        item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in _items(made) if item.ValueType == "IMAGE"
    }
    assert images == set(head.source.sop_uids)
    (series,) = made.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
    assert series.SeriesInstanceUID == head.source.series_uid
    assert "FrameOfReferenceUID" not in made


def test_frames_of_a_multiframe_source_are_referenced(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "in.dcm", ramp(SHAPE), sagittal(SHAPE))
    head = load(tmp_path / "in.dcm")
    made = measurements_dataset(measurements(lopsided(head.geometry)), read_origin(head.source, DicomOptions()))
    (item,) = [one for one in _items(made) if one.ValueType == "IMAGE"]
    assert sorted(int(n) for n in item.ReferencedSOPSequence[0].ReferencedFrameNumber) == list(range(1, 25))


def test_the_planar_group_points_at_the_segment_and_its_image(head: Volume, tmp_path: Path) -> None:
    paths, warnings = write_dicom_outputs(case(head), head, tmp_path / "dicom")
    assert warnings == ()
    assert [p.name for p in paths] == ["brain_seg.dcm", "midsagittal.dcm", "callosum_seg.dcm", "measurements_sr.dcm"]
    objects = {path.stem: pydicom.dcmread(path) for path in paths}
    report = hd.sr.srread(paths[-1])
    (group,) = report.content.get_planar_roi_measurement_groups()
    assert group.tracking_uid == objects["callosum_seg"].SegmentSequence[0].TrackingUID
    assert group.finding_type.value == "88442005"
    named = [item.ReferencedSOPSequence[0] for item in _items(report) if item.ValueType == "IMAGE"]
    assert [one.ReferencedSOPInstanceUID for one in named] == [
        objects["callosum_seg"].SOPInstanceUID,
        objects["midsagittal"].SOPInstanceUID,
        objects["brain_seg"].SOPInstanceUID,
    ]
    assert not any("ReferencedFrameNumber" in one and "ReferencedSegmentNumber" in one for one in named)
    series = [item.SeriesInstanceUID for item in objects["callosum_seg"].ReferencedSeriesSequence]
    assert series == [objects["midsagittal"].SeriesInstanceUID, head.source.series_uid]
    assert len({one.SeriesInstanceUID for one in objects.values()}) == 4
    assert {one.StudyInstanceUID for one in objects.values()} == {STUDY}


def test_the_brains_volume_points_at_its_segment_and_series(head: Volume, tmp_path: Path) -> None:
    values = case(head)
    paths, _ = write_dicom_outputs({"brain": values["brain"]}, head, tmp_path / "dicom")
    assert [path.name for path in paths] == ["brain_seg.dcm", "measurements_sr.dcm"]
    seg, report = pydicom.dcmread(paths[0]), hd.sr.srread(paths[1])
    (group,) = report.content.get_volumetric_roi_measurement_groups()
    assert group.tracking_uid == seg.SegmentSequence[0].TrackingUID
    assert group.finding_type.value == "12738006"
    (image,) = [item.ReferencedSOPSequence[0] for item in _items(report) if item.ValueType == "IMAGE"]
    assert (image.ReferencedSOPInstanceUID, image.ReferencedSegmentNumber) == (seg.SOPInstanceUID, 1)
    assert [item.UID for item in _items(report) if item.ValueType == "UIDREF"].count(head.source.series_uid) == 1
    ((code, scheme, volume, unit),) = _numbers(report)
    assert (code, scheme, unit) == ("118565006", "SCT", "ml")
    assert volume == pytest.approx(values["brain"].mask.volume_ml())


def test_the_observer_is_the_program_and_nobody_is_invented(head: Volume) -> None:
    made = measurements_dataset(measurements(lopsided(head.geometry)), read_origin(head.source, DicomOptions()))
    assert not [item for item in _items(made) if item.ValueType == "PNAME"]
    devices = [item.TextValue for item in _items(made) if item.ConceptNameCodeSequence[0].CodeValue == "121013"]
    assert devices == ["mediseg"]
    assert made.VerificationFlag == "UNVERIFIED"
    assert made.PatientName == "Nobody^Nemo"


def test_no_measurements_are_refused(head: Volume) -> None:
    nothing = Measurements((), np.zeros(100), np.zeros((100, 3)), lopsided(head.geometry))
    with pytest.raises(UsageError, match="no measurements"):
        measurements_dataset(nothing, read_origin(head.source, DicomOptions()))


def test_deterministic_uids_give_the_same_bytes(head: Volume, tmp_path: Path) -> None:
    values = measurements(lopsided(head.geometry))
    for name in ("a.dcm", "b.dcm"):
        origin = read_origin(head.source, DicomOptions(deterministic_uids=True, seed="x"))
        write_measurements_sr(values, tmp_path / name, origin)
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
