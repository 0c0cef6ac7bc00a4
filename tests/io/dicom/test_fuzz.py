"""Spoilt headers: whatever an attribute says, the answer is an image, a warning, or one of mediseg's own errors."""

from __future__ import annotations

import shutil
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from mediseg.errors import MedisegError
from mediseg.io import open_study
from mediseg.io.dicom.attributes import UNREADABLE
from mediseg.io.dicom.header import tolerant
from mediseg.io.dicom.read import read_stack
from mediseg.planning import plan
from tests.io.dicom.test_mosaic import grid, write_mosaic
from tests.io.dicom_factory import ramp, sagittal, write_enhanced, write_series

SHAPE = (6, 5, 7)
KEYWORDS = (
    "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "AcquisitionTime", "ContentTime", "Modality",
    "Manufacturer", "SeriesDescription", "ManufacturerModelName", "PatientName", "PatientID", "PatientBirthDate",
    "BodyPartExamined", "ScanningSequence", "MRAcquisitionType", "SequenceName", "SliceThickness", "RepetitionTime",
    "EchoTime", "InversionTime", "EchoNumbers", "MagneticFieldStrength", "SpacingBetweenSlices", "FlipAngle",
    "PatientPosition", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "AcquisitionNumber", "InstanceNumber",
    "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "TemporalPositionIdentifier",
    "SamplesPerPixel", "PhotometricInterpretation", "NumberOfFrames", "Rows", "Columns", "PixelSpacing",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "RescaleIntercept", "RescaleSlope", "BurnedInAnnotation", "PerFrameFunctionalGroupsSequence",
    "SharedFunctionalGroupsSequence", "PixelData",
)  # fmt: skip
GONE, EMPTY = "gone", "empty"
# (VR or None for the attribute's own, content)
SPOILT = [
    GONE,
    EMPTY,
    *((None, words) for words in (
        b"absurd words", b"nan ", b"inf ", b"-1e308 ", b"1e308\\1e308\\1e308", b"1e-320", b"0 ", b"-1",
        b"0\\0\\0\\0\\0\\0 ",
        b"1\\2\\3\\4\\5\\6\\7\\8", b"99999999999999999999", b"\\\\\\\\\\ ", b"\0\0\0\0", b"\xff\xfe\xfd\xfc",
        b"\x1b$B\x1b",
        b"1.2.840", b"DERIVED\\SECONDARY\\MOSAIC", b"MOSAIC", b"MONOCHROME1", b"PALETTE COLOR ", b"1\\0\\0\\1\\0\\0 ",
    )),
    ("US", b"\xff\xff"), ("US", b"\0\0"), ("US", b"\1\0\2\0"), ("SS", b"\xff\xff"), ("UL", b"\xff\xff\xff\xff"),
    ("FD", struct.pack("<d", np.nan)), ("FD", struct.pack("<d", 1e300)), ("FL", struct.pack("<f", -1)), ("FD", b"abcd"),
    ("SQ", b""), ("SQ", b"\xfe\xff\x00\xe0\0\0\0\0"), ("SQ", b"not items at all"), ("OB", b"\0\1\2\3\4\5\6\7"),
    ("UN", b"\xff\xff"), ("AT", b"\1\0\2\0"), ("LT", b"any\\text"), ("XX", b"what"),
]  # fmt: skip


def spoil(dataset: Dataset, keyword: str, how: str | tuple[str | None, bytes]) -> None:
    tag = Tag(keyword)
    if how == GONE:
        if tag in dataset:
            del dataset[tag]
        return
    vr, content = (None, b"") if how == EMPTY else how
    name = vr or dictionary_VR(tag)
    name = "US" if name == "US or SS" else "OW" if name == "OB or OW" else name
    dataset[tag] = RawDataElement(tag, name, len(content), content, 0, False, True)


def save(dataset: Dataset, path: Path) -> None:
    """Write what pydicom can be made to write; the rest is no case."""
    try:
        with tolerant():
            dataset.save_as(path)
    except UNREADABLE:
        reject()


def spoilt(study: Path, folder: Path, faults: list[tuple[str, object]], *, only_one: bool = False) -> None:
    for n, path in enumerate(sorted(study.iterdir())):
        dataset = dcmread(path)
        for keyword, how in faults if n == 0 or not only_one else ():
            spoil(dataset, keyword, how)
        save(dataset, folder / path.name)


@pytest.fixture(scope="module")
def studies(tmp_path_factory) -> dict[str, Path]:
    """One good study of each kind."""
    root = tmp_path_factory.mktemp("good")
    write_series(root / "classic", ramp(SHAPE), sagittal(SHAPE))
    write_enhanced(root / "enhanced" / "a", ramp(SHAPE), sagittal(SHAPE))
    write_mosaic(root / "mosaic" / "a", ramp((6, 4, 7)), grid("LPS"))
    return {path.name: path for path in root.iterdir()}


def answer(folder: Path) -> None:
    """Do all that reading does. Nothing but mediseg's errors may come out, and no image without a sound geometry."""
    for recipe in ("corpus-callosum", "scan-plan"):
        plan(recipe, folder).to_dict()
    try:
        stacks = open_study(folder).stacks
    except MedisegError:
        return
    for stack in stacks:
        assert stack.name
        try:
            volume = read_stack(stack)
        except MedisegError:
            continue
        assert volume.array.shape == volume.geometry.shape
        assert volume.array.dtype in (np.int16, np.float32)
        assert np.isfinite(volume.array).all()
        assert np.isfinite(volume.geometry.affine_lps).all()
        assert abs(np.linalg.det(volume.geometry.affine_lps)) > 0


FUZZ = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FAULTS = st.lists(st.tuples(st.sampled_from(KEYWORDS), st.sampled_from(SPOILT)), min_size=1, max_size=3)


@pytest.mark.parametrize("kind", ["classic", "enhanced", "mosaic"])
@FUZZ
@given(faults=FAULTS, only_one=st.booleans())
def test_spoilt_attributes(studies, kind, faults, only_one):
    with tempfile.TemporaryDirectory() as folder:
        spoilt(studies[kind], Path(folder), faults, only_one=only_one)
        answer(Path(folder))


HARMLESS = (
    "SpecificCharacterSet", "Manufacturer", "ManufacturerModelName", "PatientName", "PatientID", "PatientBirthDate",
    "BodyPartExamined", "ScanningSequence", "MRAcquisitionType", "SequenceName", "MagneticFieldStrength",
    "SpacingBetweenSlices", "SliceThickness", "PatientPosition", "SeriesDescription", "HighBit", "AcquisitionTime",
    "ContentTime", "RepetitionTime", "InversionTime", "FlipAngle", "TemporalPositionIdentifier", "AcquisitionNumber",
)  # fmt: skip


@FUZZ
@given(keyword=st.sampled_from(HARMLESS), how=st.sampled_from([one for one in SPOILT if one[0] != "XX"]))
def test_what_says_nothing_about_the_image_changes_nothing(studies, keyword, how):
    """The right answer, however much is wrong with an attribute that no voxel depends on."""
    with tempfile.TemporaryDirectory() as folder:
        spoilt(studies["classic"], Path(folder), [(keyword, how)])
        (stack,) = open_study(folder).stacks
        volume = read_stack(stack)
    np.testing.assert_array_equal(volume.array, ramp(SHAPE))
    assert volume.geometry.same_grid(sagittal(SHAPE), 1e-6)
    assert volume.warnings == ()


GROUPS = ("PixelMeasuresSequence", "PlaneOrientationSequence", "MREchoSequence", "PlanePositionSequence")


@FUZZ
@given(
    group=st.sampled_from(GROUPS),
    keyword=st.sampled_from(KEYWORDS),
    how=st.sampled_from(SPOILT),
    frame=st.integers(0, 6),
)
def test_spoilt_functional_groups(studies, group, keyword, how, frame):
    dataset = dcmread(next(studies["enhanced"].iterdir()))
    for part in (dataset.SharedFunctionalGroupsSequence[0], dataset.PerFrameFunctionalGroupsSequence[frame]):
        spoil(part[group][0] if group in part else part, keyword, how)
    with tempfile.TemporaryDirectory() as folder:
        save(dataset, Path(folder) / "a")
        answer(Path(folder))


@pytest.mark.parametrize("kind", ["classic", "enhanced", "mosaic"])
@FUZZ
@given(data=st.data())
def test_spoilt_bytes(studies, kind, data):
    """Bytes anywhere before the pixels are overwritten, left out, or the file ends."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(studies[kind], folder, dirs_exist_ok=True)
        path = min(Path(folder).iterdir())
        content = bytearray(path.read_bytes())
        at = data.draw(st.integers(128, len(content) - 1))
        junk = data.draw(st.binary(min_size=0, max_size=6))
        length = data.draw(st.sampled_from([0, len(junk), 2, 7, 100_000]))
        content[at : at + length] = junk
        path.write_bytes(content)
        answer(Path(folder))
