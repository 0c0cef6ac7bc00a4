"""The loop around the queue, with a stub in the place of the recipe; one true job; the watched folder."""

import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest

from mediseg.cli import main
from mediseg.errors import Exit
from mediseg.node import service as service_module
from mediseg.node.audit import Audit
from mediseg.node.config import Destination, NodeConfig, Rule
from mediseg.node.job import Outcome, fitting, isolated, work_on
from mediseg.node.queue import Queue
from mediseg.node.service import Service
from mediseg.node.watch import look
from tests.heads import shaded_ball, write_nifti
from tests.io.dicom_factory import ramp, sagittal, write_series

PACS = Destination("PACS", "127.0.0.1", 1)
QUICK = {"correct_bias.levels": 1, "correct_bias.iterations": 2}


@pytest.fixture
def made(tmp_path):
    """A service whose recipe is a stub that answers what it is told."""
    answers, seen = [], []

    def runner(path, out, config, stopped):
        seen.append(path)
        return answers.pop(0)

    config = NodeConfig(tmp_path / "node", (Rule("bias"),), quiet_seconds=0, destinations=(PACS,), keep_days=1)
    queue = Queue(config.folder)
    service = Service(config, queue, Audit(config.folder), runner)
    yield service, queue, answers, seen
    queue.close()


def _receive(queue, tmp_path, key="study-1"):
    folder = tmp_path / "node" / "received" / key
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "a.dcm").write_bytes(b"x")
    queue.received(key, folder, "a.dcm", "aa", time.time() - 1)
    return folder


def test_a_work_is_done_once_and_its_files_are_to_be_sent(made, tmp_path):
    service, queue, answers, seen = made
    folder = _receive(queue, tmp_path)
    answers.append(Outcome("done", "", "bias", (tmp_path / "seg.dcm",)))
    assert service.work()
    assert not service.work()
    assert seen == [folder]
    assert [(w.state, w.recipe) for w in queue.works()] == [("done", "bias")]
    assert [s.path for s in queue.due(time.time(), PACS.name)] == [tmp_path / "seg.dcm"]


def test_a_killed_work_is_tried_once_more_then_set_aside(made, tmp_path):
    service, queue, answers, seen = made
    _receive(queue, tmp_path)
    answers += [Outcome("killed", "killed"), Outcome("killed", "killed again")]
    assert service.work()
    assert service.work()
    assert not service.work()
    assert len(seen) == 2
    assert [(w.state, w.reason) for w in queue.works()] == [("failed", "killed again")]


def test_a_work_that_trouble_kept_from_its_end_is_done_as_soon_as_that_is_over(made, tmp_path, monkeypatch):
    service, queue, answers, seen = made
    _receive(queue, tmp_path)
    answers += [Outcome("done", "", "bias"), Outcome("done", "", "bias")]
    for what, name in ((service.audit, "note"), (queue, "finish")):
        with monkeypatch.context() as full:
            full.setattr(what, name, _full)
            with pytest.raises(OSError, match="full"):
                service.work()
    assert service.work()
    assert not service.work()
    assert [(w.state, w.tries) for w in queue.works()] == [("done", 1)]
    assert len(seen) == 2


def _full(*_args, **_facts):
    raise OSError("the disk is full")


def test_a_work_that_the_nodes_end_cut_off_loses_no_try(made, tmp_path):
    service, queue, answers, _ = made
    _receive(queue, tmp_path)
    answers += [Outcome("stopped")] * 5 + [Outcome("done", "", "bias")]
    for _ in range(6):
        assert service.work()
    assert [w.state for w in queue.works()] == ["done"]


def test_what_expires_is_deleted_and_results_stay(made, tmp_path):
    service, queue, answers, _ = made
    folder = _receive(queue, tmp_path)
    results = service.results("study-1")
    results.mkdir(parents=True)
    answers.append(Outcome("ignored", "no rule"))
    service.work()
    service._expire(time.time() + 3600)
    assert folder.is_dir()
    service._expire(time.time() + 2 * 86400)
    assert not folder.exists()
    assert results.is_dir()
    assert [w.state for w in queue.works()] == ["ignored"]


def test_trouble_in_the_loop_is_noted_and_the_loop_goes_on(made, monkeypatch):
    service, _, _, _ = made
    calls = []

    def step():
        calls.append(1)
        if len(calls) == 1:
            raise OSError(28, "Hidden^Name")
        service._stop.set()
        return True

    monkeypatch.setattr(service_module, "_TICK_S", 0.01)
    service._loop(step)
    assert len(calls) == 2
    text = (service.config.folder / "audit.jsonl").read_text()
    assert '"event": "trouble"' in text
    assert "Hidden" not in text


def test_a_disk_so_full_that_not_even_trouble_can_be_noted_stops_no_loop(made, monkeypatch):
    service, _, _, _ = made
    calls = []

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def step():
        calls.append(1)
        if len(calls) == 3:
            service._stop.set()
        full()

    monkeypatch.setattr(service_module, "_TICK_S", 0.001)
    monkeypatch.setattr(service.audit, "note", full)
    service._loop(step)
    assert len(calls) == 3


def test_failed_sendings_are_put_off(made, tmp_path, monkeypatch):
    service, queue, answers, _ = made
    _receive(queue, tmp_path)
    answers.append(Outcome("done", "", "bias", (tmp_path / "seg.dcm",)))
    service.work()
    monkeypatch.setattr(
        service_module, "send_all", lambda c, d, due, told: [told(one, "no answer", False) for one in due]
    )
    assert service.send()
    assert not service.send()
    assert queue.sendings() == {"waiting": 1}


def _config(tmp_path, *rules):
    return NodeConfig(tmp_path / "node", rules, settings=QUICK, threads=1)


def test_a_true_job_writes_results_and_names_dicom_files_to_send(tmp_path):
    ball = shaded_ball(24).astype(np.int16)
    write_series(tmp_path / "study", ball, sagittal(ball.shape, (8, 8, 8)))
    outcome = work_on(tmp_path / "study", tmp_path / "out", _config(tmp_path, Rule("brain", "CT"), Rule("bias", "MR")))
    assert (outcome.state, outcome.recipe) == ("done", "bias")
    assert outcome.files
    assert all(path.is_file() for path in outcome.files)
    again = work_on(tmp_path / "study", tmp_path / "out", _config(tmp_path, Rule("bias")))
    assert again.files == outcome.files  # resumed: nothing is done twice


def test_no_rule_no_run(tmp_path):
    write_series(tmp_path / "study", ramp((6, 5, 4)), sagittal((6, 5, 4)))
    outcome = work_on(tmp_path / "study", tmp_path / "out", _config(tmp_path, Rule("bias", description="spine")))
    assert outcome == Outcome("ignored", "no rule fits any of its series")
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_read_fails_with_its_reason(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "a.txt").write_text("hello")
    outcome = work_on(tmp_path / "study", tmp_path / "out", _config(tmp_path, Rule("bias")))
    assert outcome.state == "failed"
    assert "not DICOM" in outcome.reason
    assert str(tmp_path) not in outcome.reason
    assert fitting((), (Rule("bias"),)) is None


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_a_job_does_not_hear_what_ends_its_nodes_group(tmp_path, monkeypatch, capfd):
    """Ctrl-C in a terminal, or a service manager: the node ends its job itself, and no try is used up."""
    from mediseg.node import job

    monkeypatch.setattr(job, "_in_process", _heard)
    outcome = isolated(tmp_path, tmp_path, _config(tmp_path, Rule("bias")), lambda: False)
    assert outcome == Outcome("ignored", "it goes on")
    assert capfd.readouterr().err == ""


def _heard(path, out, config, sender):
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(os.getpid(), number)
    sender.send(Outcome("ignored", "it goes on"))


def _dies(path, out, config, sender):
    os._exit(9)


def _dies_while_it_speaks(path, out, config, sender):
    os.write(sender.fileno(), b"\0\0\1\0of 256")
    os._exit(9)


@pytest.mark.parametrize("how", [_dies, _dies_while_it_speaks])
def test_a_crash_in_the_job_is_told_as_killed(tmp_path, monkeypatch, how):
    from mediseg.node import job

    monkeypatch.setattr(job, "_in_process", how)
    outcome = isolated(tmp_path, tmp_path, _config(tmp_path, Rule("bias")), lambda: False)
    assert outcome == Outcome("killed", "its process was killed (out of memory?)")


ORPHAN = """
import multiprocessing, os, sys, time
from mediseg.children import die_with_parent

def child():
    die_with_parent()
    print(os.getpid(), flush=True)
    time.sleep(300)

if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=child)
    process.start()
    sys.stdin.readline()
    os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_a_job_dies_with_a_node_that_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(ORPHAN)
    parent = subprocess.Popen([sys.executable, script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    os.kill(child, 0)  # alive
    parent.communicate("now\n", timeout=120)  # returns when nobody holds stdout any more: the child sleeps 300 s
    assert parent.returncode == -9


def test_a_watched_folder_is_looked_at_by_content(tmp_path):
    folder, queue = tmp_path / "in", Queue(tmp_path / "q")
    (folder / "study").mkdir(parents=True)
    assert look(folder, queue, 0.0) == 0  # an empty folder is being filled
    (folder / "study" / "a.dcm").write_bytes(b"1")
    (folder / "half.zip.part").write_bytes(b"1")
    (folder / ".hidden").write_bytes(b"1")
    assert look(folder, queue, 0.0) == 1
    assert look(folder, queue, 10.0) == 0
    (folder / "study" / "b.dcm").write_bytes(b"22")
    assert look(folder, queue, 20.0) == 1
    assert queue.ripen(25.0, 10) == 0
    assert queue.ripen(30.0, 10) == 1
    assert queue.take().path == folder / "study"
    queue.close()


def test_a_watched_share_that_is_away_for_a_while_ends_no_watch(tmp_path, monkeypatch, capsys):
    looks, pauses = iter([OSError("SMITH"), OSError("SMITH"), 0, KeyboardInterrupt()]), []

    def stub(*_args):
        found = next(looks)
        if isinstance(found, BaseException):
            raise found
        return found

    (tmp_path / "in").mkdir()
    monkeypatch.setattr("mediseg.node.watch.look", stub)
    monkeypatch.setattr("mediseg.cli.watch.time", SimpleNamespace(time=time.time, sleep=pauses.append))
    arguments = ["watch", str(tmp_path / "in"), "--recipe", "bias", "--out", str(tmp_path / "out")]
    assert main(arguments) == Exit.INTERRUPTED
    assert pauses == [1.0, 2.0, 0.5]
    assert (tmp_path / "out" / "audit.jsonl").read_text().count('"where": "watch", "kind": "OSError"') == 2
    looks = iter([OSError("SMITH")])
    assert main([*arguments, "--once"]) == Exit.UNREADABLE
    assert "in cannot be looked through (OSError)" in (said := capsys.readouterr().err)
    assert "SMITH" not in said


def test_watch_once_runs_what_is_there_and_refuses_to_watch_its_own_results(tmp_path, capsys):
    write_nifti(tmp_path / "in" / "dark.nii.gz", np.zeros((12, 12, 12), np.float32))
    arguments = ["watch", str(tmp_path / "in"), "--recipe", "bias", "--quiet-seconds", "0", "--once"]
    assert main([*arguments, "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err.splitlines()
    key = next((tmp_path / "out" / "results").iterdir()).name
    assert told[0] == f"{tmp_path / 'in'} is watched, results go into {tmp_path / 'out'}; Ctrl-C ends it"
    assert told[-1].startswith(f"{key}: refused: the image has no foreground")
    assert told[-1].endswith(f"; see {tmp_path / 'out' / 'results' / key / 'index.html'}")
    assert "dark" not in " ".join(told)  # an entry's name may name a patient
    queue = Queue(tmp_path / "out")
    assert [(w.state, w.recipe) for w in queue.works()] == [("refused", "bias")]
    queue.close()
    assert len(list((tmp_path / "out" / "results").glob("*/*/report.json"))) == 1
    assert main([*arguments, "--out", str(tmp_path / "in" / "out")]) == 2
    assert "inside the watched folder" in capsys.readouterr().err


def test_a_log_that_cannot_be_written_ends_no_watch(tmp_path, monkeypatch):
    from mediseg.cli import watch

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    told = []
    work = SimpleNamespace(key="entry-1", state="done", reason="")
    service = SimpleNamespace(results=lambda key: tmp_path / key)
    monkeypatch.setattr(watch.click, "echo", lambda text, err: told.append(text))
    assert watch._told({}, [work], service) == {"entry-1": "done"}
    assert watch._told({"entry-1": "done"}, [work], service) == {"entry-1": "done"}
    assert told == ["entry-1: done"]
    monkeypatch.setattr(watch.click, "echo", full)
    assert watch._told({}, [work], service) == {"entry-1": "done"}
