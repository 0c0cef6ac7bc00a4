import csv
import errno
import json
import pickle
import tempfile

import numpy as np
import pytest

from mediseg.batch import run_batch
from mediseg.casefile import RunOptions
from mediseg.casefolder import UNFINISHED
from mediseg.errors import Exit, OutputError
from mediseg.io.cases import find_cases
from mediseg.recipe import load_recipe
from tests.heads import shaded_ball, write_nifti
from tests.io.dicom_factory import ramp, sagittal, write_series

CHEAP = {"correct_bias.levels": 1, "correct_bias.iterations": 3}


@pytest.fixture
def folder(tmp_path):
    for name in ("a", "b"):
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(seed=ord(name)))
    write_nifti(tmp_path / "in" / "dark.nii.gz", np.zeros((12, 12, 12), np.float32))
    return tmp_path / "in"


def _run(folder, out, **options):
    return run_batch(load_recipe("bias", CHEAP), find_cases([folder]), out, RunOptions(), **options)


def test_one_refused_case_does_not_stop_the_others(folder, tmp_path):
    batch = _run(folder, tmp_path / "out")
    assert [(c.name, c.status) for c in batch.cases] == [("a", "done"), ("b", "done"), ("dark", "refused")]
    assert batch.exit_code == Exit.SOME_FAILED
    rows = list(csv.DictReader((tmp_path / "out" / "index.csv").open()))
    assert rows[0]["case"] == "dark"  # the suspicious one on top
    assert {row["case"] for row in rows} == {"a", "b", "dark"}
    summary = json.loads((tmp_path / "out" / "run.json").read_text())
    assert summary["counts"] == {"done": 2, "refused": 1, "failed": 0}
    assert "dark" in (tmp_path / "out" / "index.html").read_text()


def test_workers_take_dicom_studies(tmp_path):
    for name in ("a", "b"):
        ball = np.rint(shaded_ball()).astype(np.int16)
        write_series(tmp_path / "in" / name, ball, sagittal(ball.shape, (6, 6, 6)), study=f"1.2.{ord(name)}")
    items = find_cases([tmp_path / "in"])
    assert [item.kind for item in items] == ["dicom", "dicom"]
    again = pickle.loads(pickle.dumps(items[0]))
    assert again.study.stacks[0].facts == items[0].study.stacks[0].facts
    batch = run_batch(load_recipe("bias", CHEAP), items, tmp_path / "out", RunOptions(), workers=2)
    assert [case.status for case in batch.cases] == ["done", "done"]


def test_workers_give_the_same_files_as_one_process(folder, tmp_path):
    _run(folder, tmp_path / "one")
    seen = []
    batch = _run(folder, tmp_path / "two", workers=2, progress=seen.append)
    assert [c.status for c in batch.cases] == ["done", "done", "refused"]
    for name in ("a", "b"):
        hashes = [
            {o["path"]: o["sha256"] for o in json.loads((tmp_path / d / name / "report.json").read_text())["outputs"]}
            for d in ("one", "two")
        ]
        assert hashes[0]["corrected.nii.gz"] == hashes[1]["corrected.nii.gz"]
    assert {p.stage for p in seen} == {"read", "correct_bias", "write"}


def test_an_unreadable_file_among_others_is_told_in_the_index(folder, tmp_path):
    (folder / "c.nii.gz").write_bytes(b"\x1f\x8b not really")
    batch = _run(folder, tmp_path / "out")
    assert batch.exit_code == Exit.SOME_FAILED
    failed = [c for c in batch.cases if c.status == "failed"]
    assert [c.name for c in failed] == ["c"]
    assert "c" in (tmp_path / "out" / "index.csv").read_text()


def test_an_interrupt_keeps_the_finished_cases_and_their_index(folder, tmp_path):
    def interrupt(case):
        if case.name == "b":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _run(folder, tmp_path / "out", finished=interrupt)
    assert (tmp_path / "out" / "a" / "report.json").is_file()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["counts"]["done"] == 2
    resumed = _run(folder, tmp_path / "out")
    assert [c.resumed for c in resumed.cases] == [True, True, False]


def test_a_file_that_breaks_off_does_not_stop_the_others(folder, tmp_path):
    paths = write_series(tmp_path / "in" / "scan", ramp((6, 5, 4)), sagittal((6, 5, 4)))
    items = find_cases([folder])
    paths[0].unlink()
    batch = run_batch(load_recipe("bias", CHEAP), items, tmp_path / "out", RunOptions())
    assert {c.name: c.status for c in batch.cases} == {"a": "done", "b": "done", "dark": "refused", "in": "failed"}
    assert "moved or changed" in (tmp_path / "out" / "index.html").read_text()


def test_a_bug_outside_the_steps_does_not_stop_the_others(folder, tmp_path, monkeypatch):
    def broken(job):
        if job.item.name == "a":
            raise KeyError("SMITH")

    monkeypatch.setattr("mediseg.runner.earlier_record", broken)
    batch = _run(folder, tmp_path / "out")
    assert [(c.name, c.status) for c in batch.cases] == [("a", "failed"), ("b", "done"), ("dark", "refused")]
    assert batch.cases[0].exit_code == Exit.BUG
    assert "a bug in mediseg (KeyError)" in batch.cases[0].reason
    assert "SMITH" not in batch.cases[0].reason


def test_the_index_shows_the_cases_of_earlier_runs_too(folder, tmp_path):
    for name in ("a", "b"):
        run_batch(load_recipe("bias", CHEAP), find_cases([folder / f"{name}.nii.gz"]), tmp_path / "out", RunOptions())
    rows = list(csv.DictReader((tmp_path / "out" / "index.csv").open()))
    assert {row["case"] for row in rows} == {"a", "b"}
    assert [c["case"] for c in json.loads((tmp_path / "out" / "run.json").read_text())["cases"]] == ["b"]


def test_a_report_that_cannot_be_read_is_no_row_of_the_index(folder, tmp_path):
    (tmp_path / "out" / "other" / "report.json").mkdir(parents=True)
    batch = _run(folder / "a.nii.gz", tmp_path / "out")
    assert [c.status for c in batch.cases] == ["done"]


def test_an_index_of_somebody_else_is_not_overwritten(folder, tmp_path):
    (tmp_path / "index.html").write_text("my site")
    with pytest.raises(OutputError, match="an index that mediseg has not written"):
        _run(folder, tmp_path)
    assert (tmp_path / "index.html").read_text() == "my site"


@pytest.mark.parametrize(
    ("full", "message"),
    [(("report.html", "index.html"), ""), (("run.json",), "run.json"), (("index.csv",), "index.csv")],
)
def test_after_a_full_disk_the_next_run_goes_on(tmp_path, monkeypatch, full, message):
    path = write_nifti(tmp_path / "in" / "a.nii.gz", shaded_ball())
    out, make = tmp_path / "out", tempfile.mkstemp

    def no_room(prefix, **more):
        if prefix.startswith(tuple(f".{name}" for name in full)):
            raise OSError(errno.ENOSPC, "No space left on device")
        return make(prefix=prefix, **more)

    monkeypatch.setattr(tempfile, "mkstemp", no_room)
    if message:
        with pytest.raises(OutputError, match=f"{message}: No space left on device"):
            _run(path, out)
    else:
        batch = _run(path, out)
        assert (batch.exit_code, batch.cases[0].status) == (Exit.UNWRITABLE, "failed")
        assert (out / "a" / "corrected.nii.gz").is_file()
        assert (out / "a" / UNFINISHED).is_file()
        assert not (out / "a" / "report.json").exists()
    monkeypatch.undo()
    again = _run(path, out)
    assert [(case.status, case.resumed) for case in again.cases] == [("done", bool(message))]
    assert {p.name for p in out.iterdir()} == {"a", "run.json", "index.html", "index.csv"}
    assert not (out / "a" / UNFINISHED).exists()


def test_a_folder_that_cannot_be_written_is_told_before_a_case_is_begun(folder, tmp_path, monkeypatch):
    def locked(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    begun = []
    monkeypatch.setattr(tempfile, "TemporaryFile", locked)
    with pytest.raises(OutputError, match=r"the folder out cannot be written: Permission denied; choose another"):
        run_batch(
            load_recipe("bias", CHEAP), find_cases([folder]), tmp_path / "out", RunOptions(), progress=begun.append
        )
    assert begun == []
