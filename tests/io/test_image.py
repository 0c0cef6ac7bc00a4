"""Derived MR images, the phantom's original series, pixels and the way back to values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset

from mediseg.errors import Refusal
from mediseg.geometry import Geometry
from mediseg.io import load
from mediseg.io.dicom.image import CORRECTED, IMAGE, MIDSAGITTAL, derived_datasets, film_order, single_dataset
from mediseg.io.dicom.origin import Origin, read_origin
from mediseg.io.dicom.original import PhantomStudy, write_mr_study
from mediseg.io.dicom.pixels import stored
from mediseg.io.dicom.uids import DicomOptions
from mediseg.volume import Volume
from tests.io.dicom_factory import FRAME, STUDY, ramp, sagittal, write_series
from tests.io.results_factory import midsagittal_grid

SHAPE = (16, 20, 24)
MR, ENHANCED, CAPTURE = "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.4.1", "1.2.840.10008.5.1.4.1.1.7.3"


def _with_sequence(_: int, dataset: Dataset) -> None:
    dataset.ScanningSequence, dataset.SequenceVariant, dataset.InversionTime = ["GR"], ["SP"], "900"


def _with_agency(_: int, dataset: Dataset) -> None:
    dataset.ApplicableSafetyStandardAgency = "IEC"


def _study(folder: Path, change=_with_sequence) -> tuple[Volume, Origin]:
    write_series(folder, ramp(SHAPE), sagittal(SHAPE), change=change)
    head = load(folder)
    return head, read_origin(head.source, DicomOptions())


def test_a_series_has_one_file_a_slice_at_its_place(tmp_path: Path) -> None:
    head, origin = _study(tmp_path)
    values = head.array.astype(np.float32) / 3
    made = derived_datasets(head.with_array(values), origin, CORRECTED)
    assert len(made) == SHAPE[2]
    for k, image in enumerate(made):
        assert image.SOPClassUID == MR
        assert image.ImageType == ["DERIVED", "SECONDARY", "OTHER"]
        found = image.pixel_array.T * float(image.RescaleSlope) + float(image.RescaleIntercept)
        assert np.abs(found - values[:, :, k]).max() <= float(image.RescaleSlope) / 2 + 1e-3
        assert np.allclose(image.ImagePositionPatient, head.geometry.lps_from_ijk((0, 0, k)), atol=1e-6)
        (source,) = image.SourceImageSequence
        assert source.ReferencedSOPInstanceUID == head.source.sop_uids[k]
        assert image.DerivationCodeSequence[0].CodeValue == "113046"
        assert "InversionTime" not in image  # it belongs to inversion recovery only
    assert len({image.SeriesInstanceUID for image in made}) == 1
    assert len({image.SOPInstanceUID for image in made}) == SHAPE[2]
    assert made[0].SeriesInstanceUID != head.source.series_uid
    assert (made[0].StudyInstanceUID, made[0].FrameOfReferenceUID) == (STUDY, FRAME)
    assert (made[0].PatientName, made[0].PatientID) == ("Nobody^Nemo", "ZX81-77421")
    assert made[0].Manufacturer == "mediseg"
    assert made[0].ContributingEquipmentSequence[0].Manufacturer == "Phantom Works"


def test_the_midsagittal_image_is_shown_face_left_at_its_place(tmp_path: Path) -> None:
    head, origin = _study(tmp_path)
    image = head.resample(midsagittal_grid(head.geometry)).reorient("RAS")
    made = single_dataset(film_order(image), origin, MIDSAGITTAL)
    row, column = np.array(made.ImageOrientationPatient[:3], float), np.array(made.ImageOrientationPatient[3:], float)
    assert row[1] > 0.9  # columns run to posterior
    assert column[2] < -0.9  # rows run to inferior
    peak = np.unravel_index(made.pixel_array.argmax(), made.pixel_array.shape)
    spacing = [float(v) for v in made.PixelSpacing]
    place = np.array(made.ImagePositionPatient, float) + peak[1] * spacing[1] * row + peak[0] * spacing[0] * column
    brightest = image.geometry.lps_from_ijk(np.argwhere(image.array == image.array.max()))
    assert np.linalg.norm(brightest - place, axis=1).min() < 1e-3
    assert made.ImageType[2] == "MPR"
    assert len(made.SourceImageSequence) == SHAPE[2]


def test_unknown_type_1_values_are_not_made_up(tmp_path: Path) -> None:
    head, origin = _study(tmp_path, change=None)
    (made,) = derived_datasets(head, origin, CORRECTED)
    assert made.SOPClassUID == CAPTURE
    assert "ScanningSequence" not in made
    assert made.NumberOfFrames == SHAPE[2]
    assert np.array_equal(made.pixel_array.transpose(2, 1, 0), head.array)
    for k, frame in enumerate(made.PerFrameFunctionalGroupsSequence):
        position = np.array(frame.PlanePositionSequence[0].ImagePositionPatient, float)
        assert np.allclose(position, head.geometry.lps_from_ijk((0, 0, k)), atol=1e-6)


def test_a_capture_image_maps_pixels_to_values(tmp_path: Path) -> None:
    head, origin = _study(tmp_path, change=None)
    values = head.array / np.float32(7)
    (made,) = derived_datasets(head.with_array(values), origin, CORRECTED)
    assert (made.RescaleSlope, made.RescaleIntercept, made.PixelRepresentation) == (1, 0, 0)
    mapping = made.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence[0]
    found = made.pixel_array * mapping.RealWorldValueSlope + mapping.RealWorldValueIntercept
    assert np.abs(found.transpose(2, 1, 0) - values).max() <= mapping.RealWorldValueSlope


def test_one_object_for_many_slices_of_a_classic_source_is_unsigned_as_its_class_asks(tmp_path: Path) -> None:
    head, origin = _study(tmp_path)
    made = single_dataset(head.with_array(head.array.astype(np.float32) - 7), origin, CORRECTED)
    assert made.SOPClassUID == CAPTURE
    assert made.PixelRepresentation == 0


def test_enhanced_mr_where_its_type_1_values_are_known(tmp_path: Path) -> None:
    head, origin = _study(tmp_path, change=_with_agency)
    (made,) = derived_datasets(head, origin, CORRECTED)
    assert made.SOPClassUID == ENHANCED
    assert made.ImageType == ["DERIVED", "PRIMARY", "VOLUME", "DIVISION"]
    assert made.ApplicableSafetyStandardAgency == "IEC"


def test_an_interpolated_slice_is_not_passed_off_as_an_image(tmp_path: Path) -> None:
    geometry = sagittal((8, 9, 60))
    write_series(tmp_path, ramp(geometry.shape), geometry, skip=(30,), change=_with_sequence)
    head = load(tmp_path)
    made = derived_datasets(head, read_origin(head.source, DicomOptions()), CORRECTED)
    missing = head.geometry.lps_from_ijk((0, 0, head.source.sop_uids.index(None)))
    assert len(made) == 59
    assert min(np.linalg.norm(np.array(one.ImagePositionPatient, float) - missing) for one in made) > 0.9


@pytest.mark.parametrize(("stated", "written"), [(0.8, 0.8), (99, 1), (0, 1), (None, 1)])
def test_the_stated_thickness_is_kept_unless_slices_would_overlap(
    tmp_path: Path, stated: float | None, written: float
) -> None:
    def change(k: int, dataset: Dataset) -> None:
        _with_sequence(k, dataset)
        dataset.SliceThickness = stated

    head, origin = _study(tmp_path, change)
    first = derived_datasets(head, origin, CORRECTED)[0]
    assert (float(first.SliceThickness), float(first.SpacingBetweenSlices)) == (written, 1)


def test_nan_is_refused(tmp_path: Path) -> None:
    head, origin = _study(tmp_path)
    values = head.array.astype(np.float32)
    values[0, 0, 0] = np.nan
    with pytest.raises(Refusal, match="NaN or infinite"):
        derived_datasets(head.with_array(values), origin, CORRECTED)


def test_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    _, origin = _study(tmp_path)
    elsewhere = Volume(np.zeros(SHAPE, np.int16), Geometry(SHAPE, sagittal(SHAPE).affine_lps, "1.2.9"))
    with pytest.raises(Refusal, match="different frames of reference"):
        single_dataset(elsewhere, origin, IMAGE)


@pytest.mark.parametrize(("codes", "shown"), [("LPS", "PIL"), ("RAS", "PIL"), ("SAL", "PIL")])
def test_film_order_of_a_sagittal_slice(codes: str, shown: str) -> None:
    grid = Geometry.from_axes((1, 5, 6), np.eye(3), (1, 1, 1), center_lps_mm=(0, 0, 0))
    slice_ = Volume(np.arange(30).reshape(1, 5, 6), grid).reorient(codes)
    assert film_order(slice_).geometry.codes == shown


def test_whole_numbers_are_stored_as_they_are() -> None:
    data = stored(np.array([[[-5.0, 0.0]], [[7.0, 32767.0]]], np.float32))
    assert data.is_plain
    assert data.pixels.shape == (2, 1, 2)
    assert data.pixels[1, 0, 1] == 32767
    assert data.pixels[0, 0, 0] == -5


def test_fractions_are_scaled_and_zero_stays_zero() -> None:
    data = stored(np.array([0.0, 0.25, 1.0]).reshape(3, 1, 1))
    assert data.pixels.ravel().tolist() == [0, 8192, 32767]
    assert (data.intercept, float(data.slope)) == ("0", pytest.approx(1 / 32767))


def test_negative_numbers_without_a_sign_bit_are_shifted() -> None:
    data = stored(np.array([-10, 0, 10]).reshape(3, 1, 1), is_signed=False)
    values = data.pixels * float(data.slope) + float(data.intercept)
    assert data.pixels.min() >= 0
    assert np.allclose(values.ravel(), [-10, 0, 10], atol=float(data.slope))


def test_a_constant_image_can_be_stored() -> None:
    data = stored(np.full((2, 2, 1), 0.25))
    assert np.allclose(data.pixels * float(data.slope) + float(data.intercept), 0.25)
    assert stored(np.zeros((2, 2, 1))).window() == ("0.5", "1")


@pytest.mark.parametrize("codes", ["PIR", "LPS", "LIP"])
def test_a_phantom_study_is_read_back_where_it_was(tmp_path: Path, codes: str) -> None:
    rng = np.random.default_rng(3)
    grid = Geometry.from_axes((20, 24, 18), np.eye(3), (1.0, 1.2, 2.0), center_lps_mm=(1, 2, 3))
    volume = Volume(rng.integers(0, 900, grid.shape).astype(np.int16), grid).reorient(codes)
    paths = write_mr_study(volume, tmp_path / "study")
    assert len(paths) == volume.geometry.shape[2]
    found = load(tmp_path / "study")
    assert np.array_equal(found.resample(volume.geometry).array, volume.array)
    assert pydicom.dcmread(paths[0]).PatientName == "PHANTOM^HEAD"


def test_a_phantom_study_is_the_same_again_unless_asked_otherwise(tmp_path: Path) -> None:
    volume = Volume(np.ones((4, 5, 2), np.int16), Geometry((4, 5, 2), np.eye(4)))
    first, second = (write_mr_study(volume, tmp_path / name) for name in "ab")
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]
    third = write_mr_study(volume, tmp_path / "c", PhantomStudy(seed=None))
    assert third[0].read_bytes() != first[0].read_bytes()
