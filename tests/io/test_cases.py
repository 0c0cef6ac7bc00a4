"""Cases and their names."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest

from mediseg.errors import InputError, UsageError
from mediseg.io.cases import find_cases, safe_name
from tests.io.dicom_factory import ramp, sagittal, write_series

SHAPE = (6, 5, 4)


def study(folder: Path, uid: str = "1.7.1", **shared) -> Path:
    write_series(folder, ramp(SHAPE), sagittal(SHAPE), study=uid, series=f"{uid}.5", **shared)
    return folder


def nifti(path: Path, value: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(np.full((3, 3, 3), value, np.int16), np.eye(4)), path)
    return path


def names(*inputs: Path, wanted: str = "head") -> list[str]:
    return [case.name for case in find_cases(inputs, wanted)]


def test_a_study_in_series_folders_is_one_case(tmp_path):
    write_series(tmp_path / "head" / "s1", ramp(SHAPE), sagittal(SHAPE), study="1.7", series="1.7.1", number=1)
    write_series(tmp_path / "head" / "s2", ramp(SHAPE), sagittal(SHAPE), study="1.7", series="1.7.2", number=2)
    (case,) = find_cases([tmp_path / "head"])
    assert (case.name, case.kind, len(case.study.series)) == ("head", "dicom", 2)


def test_a_folder_of_studies_zips_and_files_is_a_batch(tmp_path):
    study(tmp_path / "in" / "sub-01" / "anat", "1.7.1")
    study(tmp_path / "in" / "sub-02" / "anat", "1.7.2")
    nifti(tmp_path / "in" / "sub-03.nii.gz")
    study(tmp_path / "x", "1.7.4")
    with zipfile.ZipFile(tmp_path / "in" / "sub-04.zip", "w") as archive:
        for path in (tmp_path / "x").iterdir():
            archive.write(path, path.name)
    (tmp_path / "in" / "sub-05.zip").write_bytes(b"PK\x03\x04 broken")
    (tmp_path / "in" / "notes.txt").write_text("words")
    cases = find_cases([tmp_path / "in"])
    assert [case.name for case in cases] == ["sub-01", "sub-02", "sub-03", "sub-04", "sub-05"]
    assert [case.kind for case in cases] == ["dicom", "dicom", "nifti", "dicom", ""]
    assert isinstance(cases[4].error, InputError)
    with pytest.raises(InputError, match="broken zip"):
        cases[4].read()


def test_copies_of_one_study_in_two_folders_are_two_cases(tmp_path):
    study(tmp_path / "in" / "first")
    shutil.copytree(tmp_path / "in" / "first", tmp_path / "in" / "second")
    cases = find_cases([tmp_path / "in"])
    assert [case.name for case in cases] == ["first", "second"]
    assert [len(case.study.stacks) for case in cases] == [1, 1]
    assert cases[0].read().warnings == ()


@pytest.mark.parametrize("folder", ["Mustermann_T1", "t1-erika", "MUSTERMANNERIKA", "scan_ZX81-77421", "19470612"])
def test_a_name_that_shares_a_token_with_the_patient_is_not_used(tmp_path, folder):
    (name,) = names(study(tmp_path / folder, name="Mustermann^Erika"))
    assert name.startswith("case-")
    assert len(name) == 13
    assert names(study(tmp_path / "elsewhere" / folder, name="Mustermann^Erika")) == [name]


def test_a_short_token_is_no_reason(tmp_path):
    assert names(study(tmp_path / "lee_T1", name="Lee^Bo")) == ["lee_T1"]


def test_names_in_other_scripts_count_from_two_characters(tmp_path):
    (name,) = names(study(tmp_path / "山田_head", name="Yamada^Tarou=山田^太郎"))
    assert name.startswith("case-")


def test_names_that_are_not_unique_become_hashes(tmp_path):
    inputs = [study(tmp_path / "a" / "head", "1.7.1"), study(tmp_path / "b" / "Head", "1.7.2")]
    first, second = names(*inputs)
    assert first.startswith("case-")
    assert second.startswith("case-")
    assert first != second


def test_the_same_study_twice_still_has_two_names(tmp_path):
    inputs = [study(tmp_path / "a" / "head"), study(tmp_path / "b" / "head")]
    first, second = names(*inputs)
    assert second == f"{first}-2"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sub-01", "sub-01"), ("a b/c", "a_b_c"), ("con", "_con"), ("LPT1.x", "_LPT1.x"), ("..", "case"), ("", "case"),
        ("trailing. ", "trailing"), ("é1", "é1"), ("x" * 200, "x" * 80), ("a:b*c?", "a_b_c"),
    ],
)  # fmt: skip
def test_names_are_safe_on_every_system(text, expected):
    assert safe_name(text) == expected


def test_suffixes_are_no_part_of_a_name(tmp_path):
    assert names(nifti(tmp_path / "head.one.nii.gz")) == ["head.one"]


def test_stations_given_together_are_one_case(tmp_path):
    paths = [nifti(tmp_path / f"{n}.nii", n) for n in "123"]
    (case,) = find_cases(paths, "stations")
    assert [int(volume.array[0, 0, 0]) for volume in case.read("stations")] == [1, 2, 3]
    assert len(find_cases(paths)) == 3


def test_the_digest_follows_the_content_and_nothing_else(tmp_path):
    study(tmp_path / "a")
    one = find_cases([tmp_path / "a"])[0].digest
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    for path in sorted((tmp_path / "b").iterdir()):
        path.rename(path.with_name("z" + path.name))
    assert find_cases([tmp_path / "b"])[0].digest == one
    path = next((tmp_path / "b").iterdir())
    path.write_bytes(path.read_bytes()[:-2] + b"\1\1")
    assert find_cases([tmp_path / "b"])[0].digest != one


@pytest.mark.parametrize(("name", "pixels"), [("scan.mhd", "other.raw"), ("scan [1].mhd", "scan [1].raw")])
def test_the_digest_follows_the_pixels_that_lie_beside_a_header(tmp_path, name, pixels):
    header = f"ObjectType = Image\nNDims = 3\nDimSize = 2 2 2\nElementType = MET_SHORT\nElementDataFile = {pixels}\n"
    (tmp_path / name).write_text(header)
    (tmp_path / pixels).write_bytes(bytes(range(16)))
    one = find_cases([tmp_path / name])[0].digest
    (tmp_path / pixels).write_bytes(bytes(range(1, 17)))
    assert find_cases([tmp_path / name])[0].digest != one


def test_inputs_that_cannot_be_read_are_cases_with_an_error(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "words.txt").write_text("words")
    cases = find_cases([tmp_path / "empty", tmp_path / "words.txt"])
    assert [case.name for case in cases] == ["empty", "words.txt"]
    assert all(isinstance(case.error, InputError) for case in cases)
    assert len({case.digest for case in cases}) == 2


def test_a_volume_file_that_is_not_one_is_told(tmp_path):
    nifti(tmp_path / "good.nii.gz")
    (tmp_path / "bad.nii.gz").touch()
    cases = find_cases([tmp_path])
    assert [(case.name, case.error is None) for case in cases] == [("bad", False), ("good", True)]


@pytest.mark.parametrize("folder", ["JOHN  SMITH", "JOHN\u00a0SMITH", "JOHN\nSMITH", " JOHN SMITH"])
def test_no_folder_of_an_unreadable_file_is_told_however_it_is_written(tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "empty.nii").touch()
    (case,) = find_cases([tmp_path / folder / "empty.nii"])
    assert "empty.nii is empty" in str(case.error)
    assert "SMITH" not in str(case.error)


def _locked(monkeypatch):
    """Let the system refuse to open what is called locked: the tests may run as somebody who may open everything."""
    opened = Path.open

    def refused(path, *arguments, **options):
        if "locked" in path.name:
            raise PermissionError(13, "Permission denied")
        return opened(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", refused)


def test_a_file_that_may_not_be_opened_stops_no_other(tmp_path, monkeypatch):
    for folder in ("a", "b"):
        nifti(tmp_path / "in" / folder / "locked.nii.gz", 1)
    (tmp_path / "in" / "locked.zip").write_bytes(b"PK\3\4")
    (tmp_path / "in" / "locked.log").write_bytes(b"text")
    nifti(tmp_path / "in" / "open.nii.gz", 2)
    _locked(monkeypatch)
    cases = find_cases([tmp_path / "in"])
    assert [case.error is None for case in cases] == [False, False, False, True]
    assert {str(case.error) for case in cases[:2]} == {
        "locked.nii.gz cannot be opened: Permission denied; ask for the right to read it"
    }
    assert len({case.name for case in cases}) == 4
    (alone,) = find_cases([tmp_path / "in" / "a" / "locked.nii.gz"])
    assert isinstance(alone.error, InputError)


def test_an_image_of_a_dataset_that_may_not_be_opened_stops_no_other(tmp_path, monkeypatch):
    (tmp_path / "dataset_description.json").write_text('{"BIDSVersion": "1.9.0"}')
    for name in ("1", "locked"):
        nifti(tmp_path / f"sub-{name}" / "anat" / f"sub-{name}_T1w.nii.gz", 1)
    _locked(monkeypatch)
    assert [case.error is None for case in find_cases([tmp_path])] == [True, False]


def test_no_input_and_no_such_path_are_the_users_error(tmp_path):
    with pytest.raises(UsageError, match="no input given"):
        find_cases([])
    with pytest.raises(UsageError, match="does not exist"):
        find_cases([tmp_path / "gone"])


def test_the_parts_of_one_study_are_one_case_of_stations(tmp_path):
    for n in "123":
        write_series(
            tmp_path / "spine" / n, ramp(SHAPE), sagittal(SHAPE), study="1.7", series=f"1.7.{n}", number=int(n)
        )
    inputs = sorted((tmp_path / "spine").iterdir())
    (case,) = find_cases(inputs, "stations")
    assert (case.name, len(case.study.series)) == ("spine", 3)


def test_results_of_an_earlier_run_are_no_input(tmp_path):
    study(tmp_path / "head")
    nifti(tmp_path / "head" / "out" / "head" / "brain_mask.nii.gz")
    for name in ("report.json", "report.html"):
        (tmp_path / "head" / "out" / "head" / name).touch()
    assert names(tmp_path / "head") == ["head"]


def test_two_people_under_one_study_uid_are_two_cases(tmp_path):
    paths = write_series(tmp_path / "in", ramp(SHAPE), sagittal(SHAPE), study="1.7.1", series="1.7.1.5")
    for path in paths[1:]:
        dataset = pydicom.dcmread(path)
        dataset.PatientName, dataset.PatientID = "Zorro^X", "777777"
        dataset.save_as(path)
    cases = find_cases([tmp_path / "in"])
    assert sorted(len(case.study.files) for case in cases) == [1, len(paths) - 1]
    assert len({case.name for case in cases}) == 2


def test_what_one_study_says_of_its_patient_hides_the_names_beside_it(tmp_path):
    study(tmp_path / "in" / "scan", name="Mustermann^Erika")
    nifti(tmp_path / "in" / "extra" / "Mustermann_t1.nii.gz")
    (tmp_path / "in" / "extra" / "mustermann_2.nii.gz").write_bytes(b"no image")
    cases = find_cases([tmp_path / "in"])
    assert len(cases) == 3
    assert not any("musterm" in f"{case.name} {case.error}".lower() for case in cases)


@pytest.mark.parametrize("name", ["index.html", "INDEX.csv", "run.json"])
def test_a_case_is_never_called_like_a_file_of_the_index(name):
    assert safe_name(name) == f"_{name}"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX pipes")
def test_a_pipe_is_no_input(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        find_cases([tmp_path / "pipe"])
