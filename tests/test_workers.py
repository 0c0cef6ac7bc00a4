"""Worker processes that die: the case is tried once more, alone; the others never notice."""

import multiprocessing
import os
import signal
import sys
import time
from contextlib import suppress
from multiprocessing import resource_tracker, util
from multiprocessing.queues import Queue

import pytest

from mediseg import attempt as attempts
from mediseg.batch import run_batch
from mediseg.casefile import RunOptions
from mediseg.errors import Exit
from mediseg.io.cases import find_cases
from mediseg.recipe import load_recipe
from tests.heads import shaded_ball, write_nifti

CHEAP = {"correct_bias.levels": 1, "correct_bias.iterations": 3}
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="processes are killed by SIGKILL here")


class Killer:
    """Stands in for a case whose reading ends its process, ``times`` times; told by the files it leaves behind."""

    def __init__(self, item, folder, times):
        self._item, self._folder, self._times = item, folder, times

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._item, name)

    def read(self, wanted):
        killed = len(list(self._folder.glob(f"{self._item.name}-*")))
        if killed < self._times:
            (self._folder / f"{self._item.name}-{killed}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return self._item.read(wanted)


@pytest.fixture
def items(tmp_path):
    for name in "abcd":
        write_nifti(tmp_path / "in" / f"{name}.nii.gz", shaded_ball(seed=ord(name)))
    (tmp_path / "killed").mkdir()
    return list(find_cases([tmp_path / "in"]))


def _run(items, out):
    return run_batch(load_recipe("bias", CHEAP), items, out, RunOptions(), workers=2)


def test_a_case_that_was_cut_off_once_is_done_again(items, tmp_path):
    items[1] = Killer(items[1], tmp_path / "killed", 1)
    batch = _run(items, tmp_path / "out")
    assert [(case.name, case.status) for case in batch.cases] == [(name, "done") for name in "abcd"]
    assert batch.exit_code == Exit.DONE


def test_a_case_that_kills_its_workers_is_set_aside(items, tmp_path):
    items[1] = Killer(items[1], tmp_path / "killed", 99)
    batch = _run(items, tmp_path / "out")
    assert {case.name: case.status for case in batch.cases} == {"a": "done", "b": "failed", "c": "done", "d": "done"}
    assert "killed twice" in batch.cases[1].reason
    assert len(list((tmp_path / "killed").iterdir())) == 2
    assert batch.exit_code == Exit.SOME_FAILED
    assert "killed twice" in (tmp_path / "out" / "index.csv").read_text()


def test_a_batch_keeps_no_arrays(items, tmp_path):
    whole = []
    batch = run_batch(load_recipe("bias", CHEAP), items[:1], tmp_path / "out", RunOptions(), finished=whole.append)
    assert (batch.cases[0].values, batch.cases[0].record.outputs) == ({}, ())
    assert whole[0].values
    assert whole[0].record.outputs
    assert attempts.without_values(whole[0]).values == {}


def test_this_process_starts_no_feeder_for_the_progress(items, tmp_path, monkeypatch):
    """It could hold the queue's last lock while the interpreter ends: a warning after "interrupted", at times."""
    fed, start = [], Queue._start_thread
    monkeypatch.setattr(Queue, "_start_thread", lambda queue: (fed.append(type(queue)), start(queue))[1])
    told = []
    run_batch(load_recipe("bias", CHEAP), items, tmp_path / "out", RunOptions(), workers=2, progress=told.append)
    assert {one.case for one in told} == set("abcd")
    assert fed  # the pool's own, which it joins
    assert Queue not in fed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_while_a_worker_is_being_started_leaves_no_half_of_one(
    items, tmp_path, monkeypatch, capfd, number
):
    """Whichever thread takes the signal, Python raises in this one: between a process and what it is to be told."""
    begun, start = [], util.spawnv_passfds

    def interrupted(path, arguments, handles):
        begun.append(start(path, arguments, handles))
        os.kill(os.getpid(), number)
        time.sleep(0.2)  # for the thread that takes it
        return begun[-1]

    resource_tracker.ensure_running()
    monkeypatch.setattr(util, "spawnv_passfds", interrupted)
    before = signal.signal(number, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            _run(items, tmp_path / "out")
    finally:
        signal.signal(number, before)
    for process in begun:
        with suppress(ChildProcessError):  # it has been waited for
            os.waitpid(process, 0)
    assert capfd.readouterr().err == ""
    assert (tmp_path / "out" / "index.csv").is_file()


class Sleeper(Killer):
    """Stands in for a case that takes long; leaves a file behind when it has been read."""

    def read(self, wanted):
        time.sleep(20)
        (self._folder / self._item.name).touch()
        return self._item.read(wanted)


def test_an_interrupt_between_two_cases_does_not_wait_for_the_others(items, tmp_path):
    items[1] = Sleeper(items[1], tmp_path / "killed", 0)

    def interrupt(case):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(
            load_recipe("bias", CHEAP), items[:2], tmp_path / "out", RunOptions(), workers=2, finished=interrupt
        )  # fmt: skip
    assert multiprocessing.active_children() == []
    assert list((tmp_path / "killed").iterdir()) == []
    assert (tmp_path / "out" / "index.csv").is_file()
