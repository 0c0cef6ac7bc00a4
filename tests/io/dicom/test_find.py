"""A zip's members are unpacked once while many read them, and never those of a zip that was changed meanwhile."""

import os
import zipfile
from collections import Counter

import pytest

import mediseg
from mediseg.io import load
from mediseg.io.cases import find_cases
from mediseg.io.dicom import find
from mediseg.io.dicom.find import Files, unpacked_once
from tests.io.dicom.test_scan import zipped
from tests.io.dicom_factory import ramp, sagittal, write_series

SHAPE = (6, 5, 9)


@pytest.fixture
def archive(tmp_path):
    write_series(tmp_path / "a", ramp(SHAPE), sagittal(SHAPE))
    return zipped(tmp_path / "a", tmp_path / "study.zip")


@pytest.fixture
def unpackings(monkeypatch):
    """How often each member was unpacked."""
    counted, read = Counter(), zipfile.ZipFile.read
    monkeypatch.setattr(
        zipfile.ZipFile, "read", lambda archive, info: (counted.update([info.filename]), read(archive, info))[1]
    )
    return counted


def _read_all(archive):
    with Files() as files:
        contents = []
        for path in files.members(archive):
            with files.open(path) as stream:
                contents.append(stream.read())
        return contents


def test_members_are_unpacked_once_for_all_who_read_them(archive, unpackings):
    with unpacked_once():
        case = find_cases([archive])[0]
        assert len(case.digest) == 64
        volume = case.read()
        with unpacked_once():  # a case within a batch: what the batch unpacked is there
            assert (case.read().array == volume.array).all()
    assert set(unpackings.values()) == {1}
    assert len(unpackings) == 9
    load(archive)  # outside nothing is kept
    assert min(unpackings.values()) > 1


def test_a_changed_zip_is_unpacked_anew(archive, tmp_path):
    write_series(tmp_path / "b", ramp(SHAPE) + 1, sagittal(SHAPE))
    with unpacked_once():
        before = load(archive).array
        os.utime(zipped(tmp_path / "b", archive), ns=(1, 1))
        assert (load(archive).array == before + 1).all()


def test_a_reader_cannot_change_what_the_next_one_reads(archive):
    with unpacked_once(), Files() as files:
        path = next(iter(files.members(archive)))
        with files.open(path) as stream:
            whole = stream.read()
            stream.seek(0)
            stream.write(b"\0" * 200)
        with files.open(path) as stream:
            assert stream.read() == whole


def test_only_the_last_zip_is_kept_and_no_large_one(archive, tmp_path, unpackings, monkeypatch):
    other = zipped(tmp_path / "a", tmp_path / "other.zip")
    with unpacked_once():
        for one in (archive, other, archive):
            _read_all(one)
    assert set(unpackings.values()) == {3}
    unpackings.clear()
    monkeypatch.setattr(find, "KEPT_BYTES", 100)
    with unpacked_once():
        assert _read_all(archive) == _read_all(archive)
    assert set(unpackings.values()) == {2}


def test_a_run_unpacks_a_study_twice_where_four_would_read_it(archive, tmp_path, unpackings):
    """Once for its headers, which are read before any case begins, and once for the case."""
    mediseg.run("bias", archive, tmp_path / "out", settings={"correct_bias.levels": 1, "correct_bias.iterations": 1})
    assert set(unpackings.values()) == {2}
