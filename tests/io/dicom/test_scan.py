"""Finding DICOM by content, in folders, zips and DICOMDIRs; everything else is one clear line."""

from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.fileset import FileSet
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

from mediseg.errors import InputError, Refusal, UsageError
from mediseg.io import load, open_study
from mediseg.io.cases import find_cases
from mediseg.io.dicom import find
from mediseg.io.dicom.find import Files, looks_like_dicom
from mediseg.io.dicom.read import read_stack
from tests.io.dicom_factory import CT, PHOTO, SECONDARY_CAPTURE, ramp, sagittal, write_series

SHAPE = (6, 5, 9)


def zipped(folder: Path, target: Path, method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return target


def test_content_counts_not_names(tmp_path):
    for n, path in enumerate(write_series(tmp_path / "a", ramp(SHAPE), sagittal(SHAPE))):
        deep = tmp_path / "b" / str(n % 3) / ["notes.txt", "x.jpg", "README"][n // 3]
        deep.parent.mkdir(parents=True, exist_ok=True)
        path.rename(deep)
    (tmp_path / "b" / "fake.dcm").write_text("this is not DICOM, whatever it is called" * 9)
    (tmp_path / "empty.dcm").touch()
    study = open_study(tmp_path)
    assert [len(stack.slices) for stack in study.stacks] == [9]
    assert study.ignored == 2


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_zip_reads_as_its_folder_and_is_not_unpacked(tmp_path, method):
    write_series(tmp_path / "a" / "deep", ramp(SHAPE), sagittal(SHAPE))
    (tmp_path / "a" / "notes.txt").write_text("hello")
    archive = zipped(tmp_path / "a", tmp_path / "study.zip", method)
    before = sorted(tmp_path.rglob("*"))
    study = open_study(archive)
    volume, plain = load(archive), load(tmp_path / "a")
    assert study.ignored == 1
    assert volume.geometry == plain.geometry
    assert volume.source.sop_uids == plain.source.sop_uids
    assert (volume.array == plain.array).all()
    assert volume.source.files[0].is_relative_to(archive)
    with Files() as files, files.open(volume.source.files[0]) as stream:
        assert dcmread(stream).SOPInstanceUID == volume.source.sop_uids[0]
    assert sorted(tmp_path.rglob("*")) == before


def test_a_file_without_preamble_is_found(tmp_path):
    for path in write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE)):
        dataset = dcmread(path)
        bare = Dataset()
        bare.update({element.tag: element for element in dataset})
        dcmwrite(path, bare, implicit_vr=True, little_endian=True)
        assert path.read_bytes()[128:132] != b"DICM"
    assert (load(tmp_path).array == ramp(SHAPE)).all()


def test_a_dicomdir_stands_for_its_folder(tmp_path):
    write_series(tmp_path / "A" / "B", ramp(SHAPE), sagittal(SHAPE))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MediaStorageDirectoryStorage, ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = "1.2.3"
    index = FileDataset("", Dataset(), file_meta=meta, preamble=b"\0" * 128)
    index.FileSetID = "DISC"
    index.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    for path in (tmp_path, tmp_path / "DICOMDIR"):
        assert [len(stack.slices) for stack in open_study(path).stacks] == [9]


PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 300
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + b"\0" * 300


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.txt", b"just words\n" * 30, "no image that mediseg reads"),
        ("a.dcm", b"", "is empty"),
        ("a.png", PNG, "no image that mediseg reads"),
        ("a.jpg", JPEG, "no image that mediseg reads"),
        ("a.zip", b"PK\x03\x04" + b"\0" * 200, "broken zip"),
        ("a.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 50, "header cannot be read"),
        ("a.nii.gz", b"\x1f\x8b" + b"\0" * 20, "no image that mediseg reads"),
    ],
)
def test_what_cannot_be_read_is_one_clear_line(tmp_path, name, content, why):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=why) as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert name in str(caught.value)


def test_folders_without_images(tmp_path):
    with pytest.raises(InputError, match="holds no file at all"):
        open_study(tmp_path)
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(InputError, match="only 1 files that are not DICOM"):
        open_study(tmp_path)
    with pytest.raises(InputError, match="holds no DICOM file"):
        open_study(zipped(tmp_path, tmp_path / "none.zip"))


def test_a_path_that_does_not_exist_is_the_users_error(tmp_path):
    for read in (open_study, load):
        with pytest.raises(UsageError, match="does not exist"):
            read(tmp_path / "gone")


def test_a_locked_zip_is_said(tmp_path):
    write_series(tmp_path / "a", ramp(SHAPE), sagittal(SHAPE))
    archive = zipped(tmp_path / "a", tmp_path / "locked.zip", zipfile.ZIP_STORED)
    data = bytearray(archive.read_bytes())
    for magic, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        at = data.find(magic)
        while at >= 0:
            data[at + offset] |= 1
            at = data.find(magic, at + 1)
    archive.write_bytes(data)
    with pytest.raises(InputError, match="locked with a password"):
        open_study(archive)


def test_a_zip_that_would_unpack_to_an_absurd_size_is_refused(tmp_path, monkeypatch):
    write_series(tmp_path / "a", ramp(SHAPE), sagittal(SHAPE))
    archive = zipped(tmp_path / "a", tmp_path / "big.zip")
    monkeypatch.setattr(find, "MAX_TOTAL_BYTES", 1000)
    with pytest.raises(Refusal, match="absurd size"):
        open_study(archive)


def test_a_damaged_member_is_a_missing_slice_not_a_crash(tmp_path):
    paths = write_series(tmp_path / "a", ramp((6, 5, 60)), sagittal((6, 5, 60)))
    archive = zipped(tmp_path / "a", tmp_path / "study.zip")
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(paths[30].name)
    data = bytearray(archive.read_bytes())
    start = info.header_offset + 30 + len(info.filename)
    data[start : start + 40] = b"\xff" * 40
    archive.write_bytes(data)
    study = open_study(archive)
    assert study.broken == (paths[30].name,)
    assert load(archive).warnings[-1].message == f"1 file is damaged and was left out: {paths[30].name}"
    assert study.stacks[0].missing == (30,)


def _with_a_wrong_byte(archive: Path, name: str, from_end: int = 400) -> Path:
    """Spoil one byte of a member's pixels: only its checksum tells."""
    with zipfile.ZipFile(archive) as opened:
        info = opened.getinfo(name)
    data = bytearray(archive.read_bytes())
    data[info.header_offset + 30 + len(info.filename) + info.compress_size - from_end] ^= 0xFF
    archive.write_bytes(data)
    return archive


@pytest.mark.parametrize("limit", [find.CHECKED_BYTES, 0], ids=["small zip", "large zip"])
def test_a_wrong_checksum_is_told(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(find, "CHECKED_BYTES", limit)
    monkeypatch.setattr(find, "HEADER_BYTES", 1024)
    shape = (256, 256, 60)
    paths = write_series(tmp_path / "a", np.zeros(shape, np.int16), sagittal(shape))
    archive = _with_a_wrong_byte(zipped(tmp_path / "a", tmp_path / "z.zip", zipfile.ZIP_STORED), paths[30].name)
    (case,) = find_cases([archive])
    assert case.study is not None
    if limit:
        assert case.study.broken == (paths[30].name,)
        assert case.study.stacks[0].missing == (30,)
    else:
        with pytest.raises(InputError, match=f"{paths[30].name} in the zip is damaged; get the zip again"):
            _ = case.digest


def test_a_refusal_names_damaged_files(tmp_path):
    paths = write_series(tmp_path / "a", ramp((6, 5, 9)), sagittal((6, 5, 9)))
    archive = _with_a_wrong_byte(zipped(tmp_path / "a", tmp_path / "z.zip", zipfile.ZIP_STORED), paths[4].name, 9)
    with pytest.raises(Refusal, match=f"1 file is damaged and was left out: {paths[4].name}; copy the study again"):
        load(archive)


@pytest.mark.parametrize("name", ["a/{}", "IM", "./{0}", "b/../{0}"])
def test_members_of_one_name_are_all_read(tmp_path, name):
    paths = write_series(tmp_path / "a", ramp((6, 5, 8)), sagittal((6, 5, 8)))
    archive = tmp_path / "z.zip"
    with zipfile.ZipFile(archive, "w") as opened, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of what this test is about
        for k, path in enumerate(paths):
            opened.write(path, (name if k % 2 else "a/{}").format(k // 2))
    assert (load(archive).array == ramp((6, 5, 8))).all()


def test_a_zip_of_a_nifti_says_what_to_do(tmp_path):
    archive = tmp_path / "z.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("x.nii.gz", b"\x1f\x8b" + b"\0" * 400)
    with pytest.raises(InputError, match="and a zip of anything else is not read; unpack it"):
        open_study(archive)


def test_a_zip_of_an_unknown_method_says_what_to_do(tmp_path):
    write_series(tmp_path / "a", ramp(SHAPE), sagittal(SHAPE))
    archive = zipped(tmp_path / "a", tmp_path / "z.zip", zipfile.ZIP_STORED)
    data = archive.read_bytes()
    at = data.find(b"PK\x01\x02") + 10
    archive.write_bytes(data[:at] + b"\x09" + data[at + 1 :])
    with pytest.raises(InputError, match="packed in a way that mediseg does not know; unpack it and give the folder"):
        open_study(archive)


def test_members_cannot_lead_out_of_the_zip(tmp_path):
    path = write_series(tmp_path / "a", ramp((6, 5, 1)), sagittal((6, 5, 1)))[0]
    archive = tmp_path / "sly.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../../etc/passwd", path.read_bytes())
    assert all(file.is_relative_to(archive) for file in open_study(archive).files)
    assert (load(archive).array == ramp((6, 5, 1))).all()


@pytest.mark.parametrize(
    ("sop_class", "modality", "why"),
    [
        (SECONDARY_CAPTURE, "OT", "secondary capture"),
        (PHOTO, "XC", "a photo"),
        ("1.2.840.10008.5.1.4.1.1.88.11", "SR", "a report"),
        ("1.2.840.10008.5.1.4.1.1.11.1", "PR", "a presentation state"),
        (CT, "CT", "CT; this recipe needs MR"),
    ],
)
def test_other_objects_are_listed_and_refused(tmp_path, sop_class, modality, why):
    write_series(tmp_path, ramp((6, 5, 3)), sagittal((6, 5, 3)), sop_class=sop_class, modality=modality)
    assert len(open_study(tmp_path).series) == 1
    with pytest.raises(Refusal, match=why):
        load(tmp_path)


def test_ct_can_be_read_when_asked_for(tmp_path):
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE), sop_class=CT, modality="CT")
    assert (read_stack(open_study(tmp_path).stacks[0]).array == ramp(SHAPE)).all()


def test_one_file_of_a_series_is_one_slice(tmp_path):
    paths = write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    assert (load(paths[4]).array[:, :, 0] == ramp(SHAPE)[:, :, 4]).all()


def test_series_that_share_a_uid_are_told_apart_by_number(tmp_path):
    for number in (1, 2):
        write_series(tmp_path / str(number), ramp(SHAPE), sagittal(SHAPE), number=number)
    assert [series.info.number for series in open_study(tmp_path).series] == [1, 2]


def test_descriptions_that_repeat_the_name_are_not_kept(tmp_path):
    write_series(tmp_path, ramp((6, 5, 1)), sagittal((6, 5, 1)), name="Mustermann^Erika", description="T1 ERIKA")
    study = open_study(tmp_path)
    assert study.series[0].info.description == ""
    text = repr(study) + str(vars(study.stacks[0]))
    assert "erika" not in text.casefold()
    assert "muster" not in text.casefold()


def test_a_read_only_folder_is_enough(tmp_path):
    write_series(tmp_path / "a", ramp((6, 5, 2)), sagittal((6, 5, 2)))
    os.chmod(tmp_path / "a", 0o555)  # noqa: PTH101
    assert load(tmp_path / "a").array.shape == (6, 5, 2)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"\0" * 128 + b"DICM", True),
        (b"\0" * 128 + b"DICM" + b"\0" * 64, False),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", True),
        (b"\x08\x00\x00\x00\x04\x00\x00\x00\x10\x00\x00\x00", True),
        (b"\x00\x08\x00\x05CS\x00\x0a", True),
        (b"\x08\x00\x05\x00\xff\xff\xff\xff", False),
        (b"\x08\x00", False),
        (b"", False),
        (io.BytesIO(PNG).read(132), False),
    ],
)
def test_what_begins_as_dicom(head, expected):
    assert looks_like_dicom(head) is expected


def test_a_dicomdir_of_a_file_set_is_given_as_input(tmp_path):
    """A disc as archives burn it: names without extension, an index; the index alone is given."""
    files = FileSet()
    for path in write_series(tmp_path / "a", ramp(SHAPE), sagittal(SHAPE), change=on_disc):
        files.add(path)
    files.write(tmp_path / "disc")
    (tmp_path / "disc" / "README.TXT").write_text("how to start the viewer")
    study = open_study(tmp_path / "disc" / "DICOMDIR")
    assert [len(stack.slices) for stack in study.stacks] == [9]
    assert all(path.suffix == "" for path in study.files)
    assert study.ignored == 1
    (case,) = find_cases([tmp_path / "disc" / "DICOMDIR"])
    assert case.error is None
    assert (load(tmp_path / "disc" / "DICOMDIR").array == ramp(SHAPE)).all()


def on_disc(_: int, dataset: Dataset) -> None:
    dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20260101", "120000", "1", ""


def test_an_index_without_its_files_is_told(tmp_path):
    files = FileSet()
    files.add(write_series(tmp_path / "a", ramp((6, 5, 1)), sagittal((6, 5, 1)), change=on_disc)[0])
    files.write(tmp_path / "disc")
    index = tmp_path / "alone" / "DICOMDIR"
    index.parent.mkdir()
    (tmp_path / "disc" / "DICOMDIR").rename(index)
    for path in (index, index.parent):
        with pytest.raises(InputError, match=r"index of a disc \(DICOMDIR\) without the files"):
            open_study(path)


def test_usual_files_are_read_without_a_full_parse(tmp_path, monkeypatch):
    """A guard of speed: a study of thousands of files is planned by stepping over what is not wanted."""
    write_series(tmp_path, ramp(SHAPE), sagittal(SHAPE))
    monkeypatch.setattr("mediseg.io.dicom.header.pydicom.dcmread", lambda *_, **__: pytest.fail("parsed in full"))
    assert [len(stack.slices) for stack in open_study(tmp_path).stacks] == [9]
