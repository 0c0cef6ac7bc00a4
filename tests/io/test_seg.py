"""SEG: every voxel where it was, read back by highdicom and by DCMTK; references; numbering; refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest

from mediseg.errors import Refusal, UsageError
from mediseg.geometry import Geometry
from mediseg.io import load
from mediseg.io.dicom.origin import read_origin
from mediseg.io.dicom.seg import private_code_value, segmentation_dataset, write_segmentation
from mediseg.io.dicom.uids import DicomOptions
from mediseg.volume import Segment, Segmentation, Volume
from tests.io.dicom_factory import AXES, FRAME, ramp, sagittal, turned, write_enhanced, write_series
from tests.io.outside import dcmtk_points, highdicom_points, largest_distance_mm, needs_dcmtk
from tests.io.results_factory import lopsided, midsagittal_grid

SHAPE = (14, 18, 9)


def _grid(axes: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Geometry:
    return Geometry.from_axes(shape, axes, (0.9, 1.1, 2.5), center_lps_mm=(4, -11, 23), frame_of_reference=FRAME)


def _points(segmentation: Segmentation) -> np.ndarray:
    return segmentation.geometry.lps_from_ijk(np.argwhere(segmentation.labels > 0))


def _head(folder: Path, geometry: Geometry) -> Volume:
    write_series(folder, ramp(geometry.shape), geometry)
    return load(folder)


@needs_dcmtk
@pytest.mark.parametrize("seg_type", ["binary", "labelmap"])
@pytest.mark.parametrize("plane", AXES)
def test_every_voxel_keeps_its_place(tmp_path: Path, plane: str, seg_type: str) -> None:
    head = _head(tmp_path / "in", _grid(AXES[plane]))
    mask = lopsided(head.geometry)
    path = write_segmentation(mask, tmp_path / "brain.dcm", read_origin(head.source, DicomOptions(seg_type)))
    (tmp_path / "raw").mkdir()
    assert largest_distance_mm(highdicom_points(path), _points(mask)) < 1e-3
    assert largest_distance_mm(dcmtk_points(path, tmp_path / "raw"), _points(mask)) < 1e-3


@needs_dcmtk
@pytest.mark.parametrize("plane", ["axial", "oblique", "column cosine 0 -1 0"])
def test_a_mask_in_reversed_slice_order_keeps_its_place(tmp_path: Path, plane: str) -> None:
    head = _head(tmp_path / "in", _grid(AXES[plane]))
    codes = head.geometry.codes
    flipped = codes[:2] + {"S": "I", "I": "S", "R": "L", "L": "R", "A": "P", "P": "A"}[codes[2]]
    mask = lopsided(head.geometry.reorient(flipped))
    path = write_segmentation(mask, tmp_path / "brain.dcm", read_origin(head.source, DicomOptions()))
    (tmp_path / "raw").mkdir()
    assert largest_distance_mm(highdicom_points(path), _points(mask)) < 1e-3
    assert largest_distance_mm(dcmtk_points(path, tmp_path / "raw"), _points(mask)) < 1e-3


@needs_dcmtk
def test_one_slice_of_another_plane_keeps_its_own_grid(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["axial"]))
    mask = lopsided(midsagittal_grid(head.geometry), "corpus callosum")
    path = write_segmentation(mask, tmp_path / "cc.dcm", read_origin(head.source, DicomOptions()))
    (tmp_path / "raw").mkdir()
    assert largest_distance_mm(highdicom_points(path), _points(mask)) < 1e-3
    assert largest_distance_mm(dcmtk_points(path, tmp_path / "raw"), _points(mask)) < 1e-3
    written = pydicom.dcmread(path)
    assert (written.Columns, written.Rows, written.NumberOfFrames) == (60, 48, 1)
    assert written.FrameOfReferenceUID == FRAME
    assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == head.source.series_uid
    assert not written.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence


@needs_dcmtk
@pytest.mark.parametrize("codes", ["PIL", "LPI", "RAS"])
def test_the_thin_axis_may_be_any(tmp_path: Path, codes: str) -> None:
    head = _head(tmp_path / "in", _grid(AXES["axial"]))
    mask = lopsided(midsagittal_grid(head.geometry), "corpus callosum")
    turned = Volume(mask.labels, mask.geometry).reorient(codes)
    segmentation = Segmentation(turned.array, turned.geometry, mask.segments)
    path = write_segmentation(segmentation, tmp_path / "cc.dcm", read_origin(head.source, DicomOptions()))
    (tmp_path / "raw").mkdir()
    assert largest_distance_mm(dcmtk_points(path, tmp_path / "raw"), _points(mask)) < 1e-3


def test_a_single_slice_source_is_referenced(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"], (14, 18, 1)))
    mask = lopsided(head.geometry, "corpus callosum")
    written = segmentation_dataset(mask, read_origin(head.source, DicomOptions()))
    (frame,) = written.PerFrameFunctionalGroupsSequence
    (image,) = frame.DerivationImageSequence[0].SourceImageSequence
    assert image.ReferencedSOPInstanceUID == head.source.sop_uids[0]
    assert image.SpatialLocationsPreserved == "YES"
    found = written.pixel_array.reshape(18, 14)
    assert np.array_equal(found.T, mask.labels[:, :, 0])


def test_each_frame_names_the_image_at_its_own_place(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "in", ramp(SHAPE), _grid(AXES["sagittal"]))
    position_of = {(image := pydicom.dcmread(path)).SOPInstanceUID: image.ImagePositionPatient for path in paths}
    head = load(tmp_path / "in")
    written = segmentation_dataset(lopsided(head.geometry), read_origin(head.source, DicomOptions()))
    frames = written.PerFrameFunctionalGroupsSequence
    assert len(frames) == SHAPE[2]
    for frame in frames:
        uid = frame.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        assert np.allclose(
            frame.PlanePositionSequence[0].ImagePositionPatient, [float(v) for v in position_of[uid]], atol=1e-6
        )


def test_a_missing_slice_has_no_frame_and_no_reference(tmp_path: Path) -> None:
    geometry = sagittal((8, 9, 60))
    paths = write_series(tmp_path / "in", ramp(geometry.shape), geometry)
    paths[30].unlink()
    head = load(tmp_path / "in")
    missing = head.source.sop_uids.index(None)
    full = Segmentation(np.ones(head.geometry.shape, np.uint8), head.geometry, (Segment(1, "brain"),))
    written = segmentation_dataset(full, read_origin(head.source, DicomOptions()))
    assert written.NumberOfFrames == 59
    place = head.geometry.lps_from_ijk((0, 0, missing))
    gaps = [
        np.linalg.norm(np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float) - place)
        for frame in written.PerFrameFunctionalGroupsSequence
    ]
    assert min(gaps) > 0.9
    assert len(written.ReferencedSeriesSequence[0].ReferencedInstanceSequence) == 59


@needs_dcmtk
def test_frames_of_a_multiframe_source_are_named(tmp_path: Path) -> None:
    geometry = _grid(turned(AXES["sagittal"], 10))
    write_enhanced(tmp_path / "in.dcm", ramp(SHAPE), geometry, order=[4, 0, 8, 2, 6, 1, 7, 3, 5])
    head = load(tmp_path / "in.dcm")
    mask = lopsided(head.geometry)
    path = write_segmentation(mask, tmp_path / "brain.dcm", read_origin(head.source, DicomOptions()))
    (tmp_path / "raw").mkdir()
    assert largest_distance_mm(dcmtk_points(path, tmp_path / "raw"), _points(mask)) < 1e-3
    source = pydicom.dcmread(tmp_path / "in.dcm")
    for frame in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence:
        (image,) = frame.DerivationImageSequence[0].SourceImageSequence
        assert image.ReferencedSOPInstanceUID == source.SOPInstanceUID
        named = source.PerFrameFunctionalGroupsSequence[int(image.ReferencedFrameNumber) - 1]
        assert np.allclose(
            np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float),
            np.array(named.PlanePositionSequence[0].ImagePositionPatient, float),
            atol=1e-6,
        )


def test_segments_carry_codes_and_are_numbered_from_one(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"]))
    labels = np.zeros(SHAPE, np.uint8)
    labels[2, 3, 4], labels[5, 6, 7] = 251, 7
    mask = Segmentation(labels, head.geometry, (Segment(251, "splenium"), Segment(7, "corpus callosum")))
    written = segmentation_dataset(mask, read_origin(head.source, DicomOptions()))
    first, second = written.SegmentSequence
    assert (first.SegmentNumber, first.SegmentLabel) == (1, "corpus callosum")
    assert first.SegmentedPropertyTypeCodeSequence[0].CodeValue == "88442005"
    assert first.SegmentedPropertyCategoryCodeSequence[0].CodeValue == "91723000"
    assert first.SegmentAlgorithmType == "AUTOMATIC"
    assert (second.SegmentNumber, second.SegmentedPropertyTypeCodeSequence[0].CodingSchemeDesignator) == (
        2,
        "99MEDISEG",
    )
    assert written.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99MEDISEG"


def test_an_empty_mask_is_written_as_one(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"]))
    empty = Segmentation(np.zeros(SHAPE, np.uint8), head.geometry, (Segment(1, "brain"),))
    written = segmentation_dataset(empty, read_origin(head.source, DicomOptions()))
    assert written.NumberOfFrames == SHAPE[2]
    assert not written.pixel_array.any()


def test_a_label_without_a_segment_is_refused(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"]))
    wrong = Segmentation(np.full(SHAPE, 3, np.uint8), head.geometry, (Segment(1, "brain"),))
    with pytest.raises(UsageError, match=r"labels \[3\] have no segment"):
        segmentation_dataset(wrong, read_origin(head.source, DicomOptions()))


def test_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"]))
    elsewhere = Geometry(SHAPE, head.geometry.affine_lps, "1.2.3.4")
    with pytest.raises(Refusal, match="different frames of reference"):
        segmentation_dataset(lopsided(elsewhere), read_origin(head.source, DicomOptions()))


def test_an_unknown_type_is_named(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"]))
    with pytest.raises(UsageError, match="known: binary, labelmap"):
        segmentation_dataset(lopsided(head.geometry), read_origin(head.source, DicomOptions("fractional")))


def test_deterministic_uids_give_the_same_bytes(tmp_path: Path) -> None:
    head = _head(tmp_path / "in", _grid(AXES["sagittal"]))
    options = DicomOptions(deterministic_uids=True, seed="abc")
    for name in ("a.dcm", "b.dcm"):
        write_segmentation(lopsided(head.geometry), tmp_path / name, read_origin(head.source, options))
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
    other = DicomOptions(deterministic_uids=True, seed="abd")
    uids = {str(segmentation_dataset(lopsided(head.geometry), read_origin(head.source, o)).SOPInstanceUID)
            for o in (options, other, DicomOptions(), DicomOptions())}  # fmt: skip
    assert len(uids) == 4
    assert all(uid.startswith("2.25.") and len(uid) <= 64 for uid in uids)


def test_private_code_values_fit_and_differ() -> None:
    assert private_code_value("angle") == "ANGLE"
    long = {private_code_value(f"area_hofer_frahm_part_{n}") for n in range(5)}
    assert len(long) == 5
    assert all(len(value) <= 16 for value in long)
