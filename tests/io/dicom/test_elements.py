"""The quick reader of headers finds what pydicom finds, or leaves the file to pydicom."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_files
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian, RLELossless

from mediseg.io.dicom.elements import wanted_elements, wanted_image
from mediseg.io.dicom.header import TAGS, identity_of, images_of, tolerant
from tests.io.dicom_factory import MR, header, place, sagittal, set_pixels, write_enhanced

WANTED = {int(tag): tag for tag in TAGS}


def quickly(content: bytes) -> Dataset | None:
    return wanted_elements(io.BytesIO(content), WANTED)


def told(dataset: Dataset) -> tuple[object, ...]:
    identity = identity_of(dataset)
    return images_of(dataset, Path("a"), identity), identity


def slowly(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True, force=True, specific_tags=TAGS)


def test_it_agrees_with_pydicom_on_pydicoms_own_odd_files():
    files = [Path(name) for name in get_testdata_files() if Path(name).is_file()]
    compared = 0
    for file in files:
        content = file.read_bytes()
        with tolerant():
            quick = quickly(content)
            if quick is not None:
                assert told(quick) == told(slowly(content)), file.name
                compared += 1
    assert compared > 0.6 * len(files) > 60


def image(change=None, **options) -> bytes:
    dataset = header(description="T1 größer")
    place(dataset, sagittal((6, 5, 4)), 2)
    set_pixels(dataset, np.zeros((5, 6), np.int16))
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    dataset.InstanceNumber = 7
    if change is not None:
        change(dataset)
    stream = io.BytesIO()
    dataset.save_as(stream, enforce_file_format=True, **options)
    return stream.getvalue()


def with_sequence(dataset: Dataset) -> None:
    """Sequences of undefined length, one in another, which hold wanted attributes of other images."""
    inner, outer = Dataset(), Dataset()
    inner.InstanceNumber, inner.PixelSpacing = 99, [9, 9]
    inner.is_undefined_length_sequence_item = True
    outer.ReferencedImageSequence = Sequence([inner, inner])
    outer["ReferencedImageSequence"].is_undefined_length = True
    outer.InstanceNumber = 98
    dataset.SourceImageSequence = Sequence([outer, outer])
    dataset["SourceImageSequence"].is_undefined_length = True
    dataset.ReferencedStudySequence = Sequence([inner])


def with_long_value(dataset: Dataset) -> None:
    block = dataset.private_block(0x0009, "LONG", create=True)
    block.add_new(1, "OB", b"\1" * 100_000)
    block.add_new(2, "UN", b"\2" * 70_000)
    block.add_new(3, "OB", b"\3" * 32_700)


@pytest.mark.parametrize("change", [None, with_sequence, with_long_value])
@pytest.mark.parametrize("is_implicit", [False, True])
def test_sequences_and_long_values_are_stepped_over(change, is_implicit):
    def implicit(dataset: Dataset) -> None:
        if is_implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        if change is not None:
            change(dataset)

    content = image(implicit)
    quick = quickly(content)
    assert told(quick) == told(slowly(content))
    (found,), _ = told(quick)
    assert (found.slice.instance, found.spacing_mm, found.info.description) == (7, (1.0, 1.0), "T1 größer")


def test_a_header_without_pixels_ends_with_the_file():
    content = image(lambda dataset: delattr(dataset, "PixelData"))
    assert told(quickly(content)) == told(slowly(content))


def big_endian(dataset: Dataset) -> None:
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 200,
        image()[:140],
        image()[:700],
        image(lambda dataset: delattr(dataset, "PixelData"))[:-3],
        image()[132:],
        image().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0"),
        image().replace(b"\x18\x00\x50\x00DS", b"\x08\x00\x50\x00DS"),
        image().replace(b"\x18\x00\x50\x00DS", b"\x18\x00\x50\x00??"),
    ],
)
def test_what_is_unusual_is_left_to_pydicom(content):
    assert quickly(content) is None


@pytest.mark.parametrize("change", [lambda d: delattr(d, "SOPClassUID"), lambda d: setattr(d, "SOPClassUID", "")])
def test_a_class_that_only_the_file_meta_information_states_is_left_to_pydicom(change):
    content = image(change)
    assert quickly(content) is None
    assert str(slowly(content).file_meta.MediaStorageSOPClassUID) == MR


def test_enhanced_images_are_left_to_pydicom(tmp_path):
    path = write_enhanced(tmp_path / "a", np.zeros((6, 5, 4), np.int16), sagittal((6, 5, 4)))
    assert quickly(path.read_bytes()) is None


@pytest.mark.parametrize("is_implicit", [False, True])
def test_pixels_are_taken_as_they_lie_in_the_file(is_implicit):
    def change(dataset: Dataset) -> None:
        if is_implicit:
            dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        set_pixels(dataset, np.arange(30, dtype=np.int16).reshape(5, 6))

    dataset, pixels = wanted_image(io.BytesIO(image(change)), WANTED)
    assert pixels == np.arange(30, dtype="<i2").tobytes()
    assert dataset.Rows == 5
    assert "PixelData" not in dataset


def packed(dataset: Dataset) -> None:
    dataset.compress(RLELossless)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        image(packed),
        image()[:-1],
        image(lambda dataset: delattr(dataset, "PixelData")),
        image().replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x08\x00OW"),
        image().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.9\0"),
    ],
)
def test_pixels_that_do_not_lie_there_plainly_are_left_to_pydicom(content):
    assert wanted_image(io.BytesIO(content), WANTED) is None
