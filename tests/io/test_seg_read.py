"""DICOM SEG back into labels, and a series copied on its own."""

import zipfile

import numpy as np
import pydicom
import pytest

import mediseg
from mediseg import Geometry, InputError, OutputError, Refusal, Segment, Segmentation, UsageError, Volume
from mediseg.io import copy_series, is_segmentation, read_segmentation
from mediseg.io.dicom.original import write_mr_study

GRID = Geometry.from_axes((9, 8, 7), np.eye(3), (1.0, 1.5, 2.0), center_lps_mm=(1.0, 2.0, 3.0))


@pytest.fixture
def study(tmp_path):
    array = np.random.default_rng(0).integers(0, 900, GRID.shape).astype(np.int16)
    write_mr_study(Volume(array, GRID), tmp_path / "study")
    return tmp_path / "study"


def test_a_written_segmentation_is_read_back_voxel_by_voxel(study, tmp_path):
    head = mediseg.load(study)
    labels = np.random.default_rng(1).integers(0, 3, head.geometry.shape).astype(np.uint8)
    labels[:, :, 2] = 0  # a slice without any frame
    segments = (Segment(1, "brain"), Segment(2, "corpus callosum"))
    path = mediseg.write(Segmentation(labels, head.geometry, segments), tmp_path / "seg.dcm", head)
    found = read_segmentation(path)
    assert is_segmentation(path)
    np.testing.assert_array_equal(found.resample(head.geometry).labels, labels)
    assert [(one.number, one.name) for one in found.segments] == [(1, "brain"), (2, "corpus callosum")]
    assert found.segments[1].code.value == "88442005"
    assert found.geometry.frame_of_reference == head.geometry.frame_of_reference


def test_other_files_are_no_segmentation(study, tmp_path):
    image = next(study.rglob("*.dcm"))
    (tmp_path / "short.dcm").write_bytes(b"DICM")
    assert not is_segmentation(image)
    assert not is_segmentation(tmp_path / "short.dcm")
    assert not is_segmentation(tmp_path)
    with pytest.raises(InputError, match="is no DICOM segmentation"):
        read_segmentation(image)
    with pytest.raises(UsageError, match="does not exist"):
        read_segmentation(tmp_path / "none.dcm")


def test_a_series_is_copied_byte_for_byte_from_a_folder_and_from_a_zip(study, tmp_path):
    originals = sorted(path.read_bytes() for path in study.rglob("*.dcm"))
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as zipped:
        for path in study.rglob("*.dcm"):
            zipped.write(path, path.name)
    for n, source in enumerate((study, packed)):
        (series,) = mediseg.open_study(source).series
        folder = copy_series(series, tmp_path / f"copy{n}")
        assert sorted(path.read_bytes() for path in folder.iterdir()) == originals
    with pytest.raises(OutputError, match="is not empty"):
        copy_series(series, tmp_path / "copy1")


def test_a_label_beyond_255_is_refused_not_counted_on_from_0(study, tmp_path):
    head = mediseg.load(study)
    labels = np.ones(head.geometry.shape, np.uint8)
    path = mediseg.write(Segmentation(labels, head.geometry, (Segment(1, "brain"),)), tmp_path / "seg.dcm", head)
    made = pydicom.dcmread(path)
    made.SegmentSequence[0].SegmentNumber = 300
    made.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence[0].ReferencedSegmentNumber = 300
    made.save_as(path)
    with pytest.raises(Refusal, match="whole numbers from 0 to 255"):
        read_segmentation(path)
