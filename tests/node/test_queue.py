import sqlite3
import subprocess
import sys

import pytest

from mediseg.errors import OutputError, UsageError
from mediseg.io.owner import Owner
from mediseg.node.queue import MOST_SENDS, Queue, wait_s


@pytest.fixture
def queue(tmp_path):
    made = Queue(tmp_path / "q")
    yield made
    made.close()


def _ready(queue, tmp_path, key="study-1", now=100.0):
    queue.received(key, tmp_path / key, "a.dcm", "aa", now)
    queue.ripen(now + 60, 60)
    return queue.take()


def test_a_study_ripens_when_it_has_been_quiet(queue, tmp_path):
    assert queue.received("study-1", tmp_path, "a.dcm", "aa", 100.0)
    assert queue.received("study-1", tmp_path, "b.dcm", "bb", 150.0)
    assert queue.ripen(200.0, 60) == 0
    assert queue.take() is None
    assert queue.ripen(210.0, 60) == 1
    work = queue.take()
    assert (work.key, work.path, work.state, work.tries) == ("study-1", tmp_path, "running", 1)
    assert queue.take() is None


def test_the_same_object_again_changes_nothing(queue, tmp_path):
    work = _ready(queue, tmp_path)
    queue.finish(work, "done", "", "bias", 200.0)
    assert not queue.received("study-1", tmp_path, "a.dcm", "aa", 300.0)
    assert [w.state for w in queue.works()] == ["done"]
    assert queue.objects("study-1") == 1


def test_a_new_or_changed_object_of_an_ended_study_begins_it_again(queue, tmp_path):
    work = _ready(queue, tmp_path)
    queue.finish(work, "done", "", "bias", 200.0)
    assert queue.received("study-1", tmp_path, "a.dcm", "changed", 300.0)
    assert [(w.state, w.tries) for w in queue.works()] == [("receiving", 0)]
    assert queue.objects("study-1") == 1


def test_what_comes_while_it_runs_is_not_forgotten(queue, tmp_path):
    work = _ready(queue, tmp_path)
    queue.received("study-1", tmp_path, "late.dcm", "cc", 170.0)
    assert [w.state for w in queue.works()] == ["running"]
    sends = [(tmp_path / "seg.dcm", "PACS@h:1")]
    queue.finish(work, "done", "", "bias", 200.0, sends)
    assert [w.state for w in queue.works()] == ["receiving"]
    assert queue.sendings() == {}  # half a study's results are not sent
    queue.ripen(300.0, 60)
    queue.finish(queue.take(), "done", "", "bias", 310.0, sends)
    assert [w.state for w in queue.works()] == ["done"]
    assert queue.sendings() == {"waiting": 1}


def test_a_work_that_kills_its_worker_twice_is_set_aside(queue, tmp_path):
    queue.interrupted(_ready(queue, tmp_path), "killed", 200.0)
    assert [w.state for w in queue.works()] == ["queued"]
    queue.interrupted(queue.take(), "killed", 300.0)
    assert [(w.state, w.reason) for w in queue.works()] == [("failed", "killed")]


def test_what_was_running_is_taken_up_at_the_next_start(tmp_path):
    first = Queue(tmp_path / "q")
    _ready(first, tmp_path)
    first.close()
    second = Queue(tmp_path / "q")
    assert second.recover(500.0) == 1
    assert second.take().tries == 1  # the node's end was not this work's fault
    assert second.recover(600.0) == 1
    assert [w.state for w in second.works()] == ["queued"]
    second.close()


def test_sendings_wait_longer_each_time_and_are_given_up_at_last(queue, tmp_path):
    queue.finish(_ready(queue, tmp_path), "done", "", "bias", 0.0, [(tmp_path / "seg.dcm", "PACS@h:1")])
    (one,) = queue.due(0.0, "PACS@h:1")
    queue.not_sent(one, "no answer", 0.0)
    assert queue.due(9.9, "PACS@h:1") == []
    (one,) = queue.due(10.0, "PACS@h:1")
    assert one.tries == 1
    for _ in range(MOST_SENDS - 1):
        (one,) = queue.due(1e9, "PACS@h:1")
        queue.not_sent(one, "no answer", 0.0)
    assert queue.sendings() == {"failed": 1}
    queue.retry("study-1", 0.0)
    (one,) = queue.due(0.0, "PACS@h:1")
    queue.sent(one)
    assert queue.sendings() == {"sent": 1}
    assert queue.due(1e9, "OTHER@h:1") == []


def test_waits():
    assert [wait_s(n) for n in (1, 2, 3)] == [10.0, 20.0, 40.0]
    assert wait_s(30) == 3600.0


def test_retry_and_drop_know_what_they_may(queue, tmp_path):
    work = _ready(queue, tmp_path)
    with pytest.raises(UsageError, match="no ended work study-1"):
        queue.retry("study-1", 0.0)
    with pytest.raises(UsageError, match="no work study-1 in the queue that could be dropped"):
        queue.drop("study-1", print)
    queue.finish(work, "failed", "why", "", 0.0)
    queue.retry("study-1", 0.0)
    assert [w.state for w in queue.works()] == ["queued"]
    gone = []
    queue.drop("study-1", gone.append)
    assert queue.works() == []
    assert queue.objects("study-1") == 0
    assert gone == [work.path]


def test_what_cannot_be_taken_away_is_not_forgotten(queue, tmp_path):
    def held(path):
        raise PermissionError(13, "a program has a file of it open")

    work = _ready(queue, tmp_path)
    queue.finish(work, "failed", "why", "", 0.0)
    with pytest.raises(PermissionError, match="has a file of it open"):
        queue.drop("study-1", held)
    assert [w.key for w in queue.works()] == ["study-1"]
    assert queue.objects("study-1") > 0


def test_a_study_is_complete_when_told_so(queue, tmp_path):
    assert not queue.complete("study-1")
    queue.received("study-1", tmp_path, "a.dcm", "aa", 100.0)
    assert queue.complete("study-1")
    work = queue.take()
    assert work.key == "study-1"
    queue.received("study-1", tmp_path, "b.dcm", "bb", 101.0)  # while it runs
    assert queue.complete("study-1")
    queue.finish(work, "done", "", "bias", 102.0)
    again = queue.take()
    assert (again.key, again.tries) == ("study-1", 1)
    queue.received("study-1", tmp_path, "c.dcm", "cc", 103.0)
    queue.complete("study-1")
    queue.received("study-1", tmp_path, "d.dcm", "dd", 104.0)  # told too early: more came after
    queue.finish(again, "done", "", "bias", 105.0)
    assert [w.state for w in queue.works()] == ["receiving"]


def test_what_came_while_the_last_try_was_killed_is_not_left_behind(queue, tmp_path):
    queue.interrupted(_ready(queue, tmp_path), "killed", 200.0)
    last = queue.take()
    queue.received("study-1", tmp_path, "late.dcm", "zz", 250.0)
    queue.interrupted(last, "killed", 300.0)
    assert [(w.state, w.tries) for w in queue.works()] == [("receiving", 0)]


def test_a_run_that_is_taken_up_has_all_that_came_before(queue, tmp_path):
    queue.received("study-1", tmp_path, "a.dcm", "aa", 0.0)
    queue.complete("study-1")
    queue.take()
    queue.received("study-1", tmp_path, "b.dcm", "bb", 1.0)
    queue.recover(2.0)  # the node was killed and is back: the next run sees both objects, one run is enough
    queue.finish(queue.take(), "done", "", "bias", 3.0)
    assert [w.state for w in queue.works()] == ["done"]


def test_the_time_in_which_nobody_listened_is_no_quiet_time(queue, tmp_path):
    queue.received("study-1", tmp_path, "a.dcm", "aa", 0.0)
    queue.recover(1000.0)  # half a study came, then the node was down
    assert queue.ripen(1001.0, 60) == 0
    assert queue.ripen(1060.0, 60) == 1


def test_entries_for_a_person(queue, tmp_path):
    work = _ready(queue, tmp_path)
    files = [(tmp_path / f"{n}.dcm", "P@h:1") for n in range(3)]
    queue.finish(work, "done", "", "bias", 7.0, files)
    first, second, _ = queue.due(1e9, "P@h:1")
    queue.sent(first)
    queue.not_sent(second, "no answer", 8.0, forever=True)
    entry = queue.entry("study-1")
    assert (entry.changed, entry.sent, entry.to_send, entry.not_sent, entry.trouble) == (7.0, 1, 1, 1, "no answer")
    assert queue.entries(["done"]) == [entry]
    assert queue.entries(["done"], most=5, skip=1) == queue.entries(["failed"]) == []
    assert queue.entry("study-2") is None
    assert queue.counts() == {"done": 1}


def test_only_what_has_ended_and_was_sent_expires(queue, tmp_path):
    work = _ready(queue, tmp_path)
    assert queue.expired(1e9) == []
    queue.finish(work, "done", "", "bias", 100.0, [(tmp_path / "seg.dcm", "P@h:1")])
    assert queue.expired(1e9) == []
    queue.sent(queue.due(1e9, "P@h:1")[0])
    assert queue.expired(50.0) == []
    assert [w.key for w in queue.expired(200.0)] == ["study-1"]
    gone = []
    assert not queue.expire(work, 50.0, gone.append)  # it has changed since
    assert queue.expire(work, 200.0, gone.append)
    assert not queue.expire(work, 200.0, gone.append)
    assert gone == [work.path]
    assert queue.expired(200.0) == []


KILLED = """
import os, sys
from pathlib import Path
from mediseg.node.queue import Queue
queue = Queue(Path(sys.argv[1]))
for n in range(100):
    queue.received(f"study-{n % 7}", Path("x"), f"{n}.dcm", "aa", float(n))
    print(n, flush=True)
    if n == int(sys.argv[2]):
        os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_everything_that_was_answered_is_there_after_kill_9(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), "40"], capture_output=True, text=True, check=False
    )
    assert done.returncode == -9
    answered = len(done.stdout.split())
    queue = Queue(tmp_path)
    assert sum(queue.objects(f"study-{n}") for n in range(7)) == answered == 41
    queue.close()


def test_the_queue_is_in_wal_mode_and_flushes(queue, tmp_path):
    base = sqlite3.connect(tmp_path / "q" / "queue.sqlite")
    assert base.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    base.close()
    assert queue._base.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_folder_has_one_owner(tmp_path):
    first = Owner(tmp_path)
    with pytest.raises(UsageError, match="another process works on the folder"):
        Owner(tmp_path)
    first.release()
    Owner(tmp_path).release()


def test_a_damaged_lock_is_no_other_process(tmp_path):
    (tmp_path / "owner.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match=r"delete the file owner\.sqlite in it"):
        Owner(tmp_path)


def test_a_damaged_queue_is_one_line(tmp_path):
    (tmp_path / "queue.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(OutputError, match="cannot be opened"):
        Queue(tmp_path)
