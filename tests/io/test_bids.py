"""BIDS in and out: what is a case and what is not, names, links, and what the BIDS validator says of the result."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mediseg.cli import main
from mediseg.errors import Exit, InputError, OutputError, UsageError
from mediseg.io.bids import images, is_part_of_dataset, parsed
from mediseg.io.bids_write import _KINDS, INNER, begin_dataset, check_dataset, write_case
from mediseg.io.cases import find_cases
from tests.heads import shaded_ball, write_nifti

VALIDATOR = shutil.which(
    "bids-validator-deno", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
)
QUICK = ["--set", "correct_bias.levels=1", "--set", "correct_bias.iterations=2", "--quiet"]
NAMES = (
    "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz",
    "sub-01/ses-2/anat/sub-01_ses-2_FLAIR.nii.gz",
    "sub-02/anat/sub-02_run-1_T1w.nii.gz",
    "sub-02/anat/sub-02_run-2_T1w.nii.gz",
)
NO_CASES = (
    "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii.gz",
    "sub-01/ses-1/anat/sub-01_ses-1_T1map.nii.gz",
    "sub-02/dwi/sub-02_dwi.nii.gz",
    "derivatives/x/sub-01/anat/sub-01_desc-preproc_T1w.nii.gz",
    "sourcedata/sub-01/anat/sub-01_T1w.nii.gz",
)


@pytest.fixture
def dataset(tmp_path):
    root = tmp_path / "study"
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "made", "BIDSVersion": "1.10.0"}')
    (root / "README").write_text("made here")
    for number, name in enumerate((*NAMES, *NO_CASES)):
        write_nifti(root / name, shaded_ball(seed=number))
    return root


def names(*inputs, wanted="head"):
    return [case.name for case in find_cases(inputs, wanted)]


EVERY = ["sub-01_ses-1_T1w", "sub-01_ses-2_FLAIR", "sub-02_run-1_T1w", "sub-02_run-2_T1w"]


def test_each_anatomical_image_is_a_case_named_as_its_file(dataset):
    assert names(dataset) == EVERY
    assert [case.kind for case in find_cases([dataset])] == ["nifti"] * 4


@pytest.mark.parametrize(
    ("part", "found"), [("sub-02", EVERY[2:]), ("sub-01/ses-2", EVERY[1:2]), ("sub-01/ses-1/anat", EVERY[:1])]
)
def test_a_subject_or_session_may_be_given_alone(dataset, part, found):
    assert names(dataset / part) == found


def test_a_folder_without_the_description_is_an_ordinary_one(dataset):
    (dataset / "dataset_description.json").write_text('{"Name": "no version"}')
    assert not is_part_of_dataset(dataset)
    assert len(names(dataset)) == 9
    (dataset / "dataset_description.json").write_text("[" * 100_000)
    assert not is_part_of_dataset(dataset)


def test_stations_of_one_spine_belong_together(dataset):
    for chunk in "12":
        write_nifti(dataset / f"sub-03/anat/sub-03_chunk-{chunk}_T2w.nii.gz", shaded_ball())
    cases = {case.name: len(case.paths) for case in find_cases([dataset], "stations")}
    assert cases == {"sub-01_ses-1_T1w": 1, "sub-01_ses-2_FLAIR": 1, "sub-02_T1w": 2, "sub-03_T2w": 2}


def test_a_link_without_content_is_told(dataset):
    link = dataset / "sub-04" / "anat" / "sub-04_T1w.nii.gz"
    link.parent.mkdir(parents=True)
    link.symlink_to(".git/annex/objects/none")
    case = next(case for case in find_cases([dataset]) if case.error is not None)
    assert case.name == "sub-04_T1w"
    with pytest.raises(InputError, match="link to content that is not here"):
        case.read()


def test_a_dataset_without_images_says_what_is_looked_for(tmp_path):
    (tmp_path / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.8.0"}')
    (case,) = find_cases([tmp_path])
    with pytest.raises(InputError, match=r"BIDS directory without anatomical images"):
        case.read()
    assert images(tmp_path) == []


@pytest.mark.parametrize("stem", ["sub-01", "T1w", "sub_01_T1w", "sub-01__T1w", "sub-01_ses_T1w", ""])
def test_names_that_are_none(stem):
    assert parsed(stem) is None


def run(dataset, out, *more):
    return main(["run", "bias", str(dataset), "--out", str(out), "--layout", "bids", *QUICK, *more])


def test_the_tree_and_its_second_run(dataset, tmp_path, capsys):
    out = tmp_path / "out"
    assert run(dataset, out) == 0
    made = {path.relative_to(out).as_posix() for path in out.glob("sub-*/**/*.nii.gz")}
    assert made == {
        "sub-01/ses-1/anat/sub-01_ses-1_desc-biascorrected_T1w.nii.gz",
        "sub-01/ses-2/anat/sub-01_ses-2_desc-biascorrected_FLAIR.nii.gz",
        "sub-02/anat/sub-02_run-1_desc-biascorrected_T1w.nii.gz",
        "sub-02/anat/sub-02_run-2_desc-biascorrected_T1w.nii.gz",
    }
    inner = out / INNER / "sub-02_run-1_T1w" / "corrected.nii.gz"
    assert (out / "sub-02/anat/sub-02_run-1_desc-biascorrected_T1w.nii.gz").read_bytes() == inner.read_bytes()
    assert (out / INNER / "index.html").is_file()
    stamp = inner.stat().st_mtime_ns
    assert run(dataset, out) == 0  # resumed
    assert inner.stat().st_mtime_ns == stamp
    if VALIDATOR:
        assert faults(out) == []


def test_the_demo_as_a_dataset(tmp_path, monkeypatch):
    from mediseg import demo

    write = demo.write_demo_study
    monkeypatch.setattr(demo, "write_demo_study", lambda folder: write(folder, spacing_mm=2.0))
    out = tmp_path / "out"
    assert main(["demo", "--layout", "bids", "--out", str(out), "--no-dicom", *QUICK]) == 0
    assert (out / INNER / "input" / "sub-demo_T1w").is_dir()
    made = {path.name for path in out.glob("sub-demo/anat/*.nii.gz")}
    assert {"sub-demo_desc-biascorrected_T1w.nii.gz", "sub-demo_desc-callosum_mask.nii.gz"} < made
    if VALIDATOR:
        assert faults(out) == []


def test_somebody_elses_dataset_is_not_written_into(dataset, tmp_path, capsys):
    assert run(dataset, dataset) == Exit.UNWRITABLE
    assert "holds files that mediseg has not written" in capsys.readouterr().err
    assert not (dataset / INNER).exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="needs a folder of its own"):
        check_dataset(tmp_path / "full", [])


def test_cases_that_bids_cannot_tell_apart_are_told_before_anything_runs(tmp_path):
    with pytest.raises(UsageError, match='"a-b" and "a_B" are one subject'):
        check_dataset(tmp_path / "new", ["a-b", "a_B"])
    with pytest.raises(UsageError, match="no letter or digit"):
        check_dataset(tmp_path / "new", ["--"])
    check_dataset(tmp_path / "new", ["sub-1_T1w", "sub-1_T2w", "sub-1_run-2_T1w"])


def whole_case(root, case, kinds=_KINDS):
    for file in kinds:
        write_nifti(root / INNER / case / file, shaded_ball(12))


def test_every_kind_has_a_name_of_its_own_and_goes_with_its_case(tmp_path):
    root = tmp_path / "out"
    begin_dataset(root, "0.1.0")
    for case in ("sub-01_ses-1_T1w", "sub-01_ses-1_T2w", "child_10"):
        whole_case(root, case)
        write_case(root, case, is_complete=True)
    made = sorted(path.name for path in root.glob("sub-01/**/*.nii.gz"))
    assert len(made) == 12
    assert "sub-01_ses-1_desc-brain_mask.nii.gz" in made
    assert "sub-01_ses-1_desc-T2wBrain_mask.nii.gz" in made
    assert sorted(path.name for path in root.glob("sub-child10/anat/*.nii.gz")) == [
        "sub-child10_desc-brain_mask.nii.gz",
        "sub-child10_desc-callosum_mask.nii.gz",
        "sub-child10_desc-callosum_probseg.nii.gz",
        "sub-child10_desc-callosumparts_dseg.nii.gz",
    ]
    if VALIDATOR:
        assert faults(root) == []
    (root / INNER / "sub-01_ses-1_T1w" / "callosum.nii.gz").unlink()  # the next run finds none
    write_case(root, "sub-01_ses-1_T1w", is_complete=True)
    left = {path.name for path in root.glob("sub-01/**/*")}
    assert "sub-01_ses-1_desc-callosum_mask.nii.gz" not in left
    assert "sub-01_ses-1_desc-callosum_mask.json" not in left
    assert "sub-01_ses-1_desc-brain_mask.nii.gz" in left
    write_case(root, "sub-01_ses-1_T2w", is_complete=False)
    assert list(root.glob("sub-01/**/*T2w*")) == []


def test_without_hard_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    begin_dataset(tmp_path / "out", "0.1.0")
    whole_case(tmp_path / "out", "sub-1_T1w", ["brain_mask.nii.gz"])
    mask, _ = write_case(tmp_path / "out", "sub-1_T1w", is_complete=True)
    assert mask.read_bytes() == (tmp_path / "out" / INNER / "sub-1_T1w" / "brain_mask.nii.gz").read_bytes()
    assert mask.stat().st_nlink == 1


def faults(root: Path) -> list[str]:
    """What the BIDS validator (bids-validator-deno of PyPI) calls an error."""
    done = subprocess.run([str(VALIDATOR), "--json", str(root)], capture_output=True, text=True, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [
        f"{one['code']} {one.get('subCode', '')} {one.get('location')}" for one in issues if one["severity"] == "error"
    ]


@pytest.mark.skipif(VALIDATOR is None, reason="bids-validator-deno is not installed (pip install bids-validator-deno)")
def test_the_validator_would_find_a_fault(tmp_path):
    begin_dataset(tmp_path / "out", "0.1.0")
    whole_case(tmp_path / "out", "sub-1_T1w", ["brain_mask.nii.gz"])
    write_case(tmp_path / "out", "sub-1_T1w", is_complete=True)
    write_nifti(tmp_path / "out" / "sub-1" / "anat" / "sub-2_desc-x_nonsense.nii.gz", shaded_ball(12))
    assert faults(tmp_path / "out") != []
