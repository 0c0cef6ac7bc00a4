"""Real associations on loopback: pynetdicom and DCMTK as peers, a node that is killed."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from mediseg.cli import main
from mediseg.errors import UsageError
from mediseg.node import receive, send
from mediseg.node.audit import Audit
from mediseg.node.config import Caller, Destination, NodeConfig, Rule
from mediseg.node.peers import told_in
from mediseg.node.queue import Queue, Sending
from mediseg.node.receive import Receiver, study_key
from mediseg.node.send import send_all
from tests import dcmtk
from tests.io.dicom_factory import MR, STUDY, ramp, sagittal, write_series
from tests.node.listening import LOCAL, listening

pynetdicom = pytest.importorskip("pynetdicom")
SHAPE = (6, 5, 4)


@pytest.fixture(name="listening")
def only_from_here(tmp_path):
    """A receiver which takes only what SCANNER sends from this machine."""
    with listening(tmp_path / "node", Caller("SCANNER", LOCAL), Caller("ELSEWHERE", "192.0.2.1")) as node:
        yield node


@pytest.fixture
def study(tmp_path):
    return write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))


def _associated(port, title="SCANNER", called="MEDISEG"):
    entity = pynetdicom.AE(ae_title=title)
    entity.add_requested_context("1.2.840.10008.1.1")
    entity.add_requested_context(MR)
    return entity.associate(LOCAL, port, ae_title=called)


def _stored(port, paths, title="SCANNER"):
    from pydicom import dcmread

    association = _associated(port, title)
    assert association.is_established
    codes = [association.send_c_store(dcmread(path)).Status for path in paths]
    association.release()
    return codes


def test_what_is_stored_is_on_the_disk_and_in_the_queue_and_twice_is_once(listening, study):
    receiver, queue, config = listening
    assert _stored(receiver.port, study) == [0, 0, 0, 0]
    assert _stored(receiver.port, study) == [0, 0, 0, 0]
    (work,) = queue.works()
    assert (work.key, work.state) == (study_key(STUDY), "receiving")
    assert queue.objects(work.key) == 4
    import mediseg

    assert (mediseg.load(work.path).array == ramp(SHAPE)).all()
    log = (config.folder / "audit.jsonl").read_text()
    assert log.count('"received"') == 4
    assert "Nemo" not in log
    assert [p for p in config.folder.rglob("*") if "nemo" in str(p.relative_to(config.folder)).lower()] == []


def test_a_studys_folder_never_holds_half_an_object(listening, study, monkeypatch):
    receiver, queue, config = listening
    places, written = [], receive.write_bytes_atomically

    def noted(path, data):
        places.append(path.parent)
        written(path, data)

    monkeypatch.setattr(receive, "write_bytes_atomically", noted)
    assert _stored(receiver.port, study) == [0, 0, 0, 0]
    assert places == [config.folder / "incoming"] * 4  # a run may be reading the study's folder
    assert list((config.folder / "incoming").iterdir()) == []
    assert len(list(queue.works()[0].path.iterdir())) == 4


def test_what_was_being_received_when_the_node_was_killed_is_taken_away(tmp_path):
    half = tmp_path / "node" / "incoming" / ".a.dcm.part"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    with listening(tmp_path / "node"):
        assert not half.exists()


def test_echo_and_strangers(listening, study):
    receiver, queue, config = listening
    association = _associated(receiver.port)
    assert association.send_c_echo().Status == 0
    association.release()
    assert not _associated(receiver.port, "STRANGER").is_established
    assert not _associated(receiver.port, called="OTHER").is_established
    assert _stored(receiver.port, study[:1], "ELSEWHERE") == [receive.NOT_AUTHORIZED]
    assert queue.works() == []
    assert '"not_authorized"' in (config.folder / "audit.jsonl").read_text()


def test_a_disk_that_is_nearly_full_is_told_by_status(listening, study, monkeypatch):
    receiver, queue, _ = listening
    monkeypatch.setattr(Receiver, "_free_mb", lambda self: 0.5)
    assert _stored(receiver.port, study[:1]) == [receive.OUT_OF_RESOURCES]
    assert queue.works() == []


def test_a_disk_that_fails_while_writing_is_told_by_status(listening, study, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    receiver, queue, _ = listening
    monkeypatch.setattr(receive, "write_bytes_atomically", full)
    monkeypatch.setattr(Audit, "note", full)
    assert _stored(receiver.port, study[:1]) == [receive.OUT_OF_RESOURCES]
    assert queue.works() == []


def test_a_queue_that_cannot_note_an_object_is_told_by_status(listening, study, monkeypatch):
    def full(*_, **__):
        raise sqlite3.OperationalError("database or disk is full")

    receiver, queue, config = listening
    monkeypatch.setattr(queue, "received", full)
    assert _stored(receiver.port, study[:1]) == [receive.OUT_OF_RESOURCES]
    assert '"cannot_write"' in (config.folder / "audit.jsonl").read_text()


def test_an_object_without_a_study_is_not_understood(listening, study):
    from pydicom import dcmread

    receiver, queue, _ = listening
    dataset = dcmread(study[0])
    del dataset.StudyInstanceUID
    association = _associated(receiver.port)
    assert association.send_c_store(dataset).Status == receive.CANNOT_UNDERSTAND
    association.release()
    assert queue.works() == []


def test_a_port_that_is_taken_is_one_line(listening, tmp_path):
    receiver, queue, config = listening
    import dataclasses

    second = Receiver(dataclasses.replace(config, port=receiver.port), queue, Audit(config.folder))
    with pytest.raises(UsageError, match="cannot be used"):
        second.start()


def test_nobody_may_send_where_nobody_is_named(tmp_path):
    config = NodeConfig(tmp_path / "node", (Rule("bias"),), port=0)
    queue = Queue(config.folder)
    receiver = Receiver(config, queue, Audit(config.folder))
    receiver.start()
    try:
        assert not _associated(receiver.port).is_established
    finally:
        receiver.stop()
        queue.close()


def test_four_senders_at_once(listening, tmp_path):
    receiver, queue, _ = listening

    def change(n):
        def changed(k, dataset):
            dataset.StudyInstanceUID = f"{STUDY}.{n}"
            dataset.SeriesInstanceUID = f"{STUDY}.{n}.1"

        return changed

    studies = [write_series(tmp_path / f"s{n}", ramp(SHAPE), sagittal(SHAPE), change=change(n)) for n in range(4)]
    codes = []
    threads = [threading.Thread(target=lambda s=s: codes.extend(_stored(receiver.port, s))) for s in studies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0] * 16
    assert sorted(queue.objects(work.key) for work in queue.works()) == [4, 4, 4, 4]


@pytest.mark.conformance
def test_dcmtk_talks_to_it(listening, study):
    receiver, queue, _ = listening
    storescu, echoscu = dcmtk.needed("storescu", "echoscu")
    peer = ["-aet", "SCANNER", "-aec", "MEDISEG", LOCAL, str(receiver.port)]
    assert subprocess.run([echoscu, *peer], check=False).returncode == 0
    assert subprocess.run([storescu, *peer, *map(str, study)], check=False).returncode == 0
    assert [queue.objects(work.key) for work in queue.works()] == [4]
    stranger = ["-aet", "STRANGER", *peer[2:]]
    assert subprocess.run([echoscu, *stranger], check=False, capture_output=True).returncode != 0


# --- sending ---


def _archive(status, taken):
    from pynetdicom import AE, evt

    def store(event):
        taken.append(str(event.request.AffectedSOPInstanceUID))
        return status

    entity = AE(ae_title="PACS")
    entity.add_supported_context(MR)
    return entity.start_server((LOCAL, 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])


def _sent_to(port, tmp_path, paths):
    told = []
    config = NodeConfig(tmp_path / "node", (Rule("bias"),))
    destination = Destination("PACS", LOCAL, port)
    sendings = [Sending(n, "study-1", Path(path), destination.name, 0) for n, path in enumerate(paths)]
    send_all(config, destination, sendings, lambda one, why, forever: told.append((one.id, why, forever)))
    return told


def test_results_are_sent(tmp_path, study):
    taken = []
    server = _archive(0x0000, taken)
    try:
        (tmp_path / "damaged.dcm").write_bytes(b"no DICOM")
        paths = [*study[:2], tmp_path / "gone.dcm", tmp_path / "damaged.dcm"]
        told = _sent_to(server.socket.getsockname()[1], tmp_path, paths)
    finally:
        server.shutdown()
    gone, damaged = (2, "the file is gone", True), (3, "the file is damaged", True)
    assert sorted(told) == [(0, "", False), (1, "", False), gone, damaged]
    assert len(taken) == 2


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
def test_a_file_that_breaks_off_anywhere_in_its_header_is_damaged_and_no_more(tmp_path, study):
    whole, cut = study[0].read_bytes(), tmp_path / "cut.dcm"
    for length in range(132, 400):
        cut.write_bytes(whole[:length])
        kind = send._kind(cut)
        assert kind is None or all(uid.is_valid for uid in kind), length


def test_a_refusal_is_told_with_its_status_and_a_kind_that_is_not_taken_is_given_up(tmp_path, study):
    other = write_series(tmp_path / "ct", ramp(SHAPE), sagittal(SHAPE), sop_class="1.2.840.10008.5.1.4.1.1.2")
    server = _archive(0xA700, [])
    try:
        told = _sent_to(server.socket.getsockname()[1], tmp_path, [study[0], other[0]])
    finally:
        server.shutdown()
    assert told == [
        (0, "refused with status 0xA700", False),
        (1, "the destination does not take this kind of object", True),
    ]


def test_an_archive_that_is_not_there_is_tried_again_later(tmp_path, study):
    assert _sent_to(1, tmp_path, study[:1]) == [
        (0, f"PACS@{LOCAL}:1 does not answer or refuses the association", False)
    ]


# --- the whole process ---


def _started(config):
    process = subprocess.Popen(
        [sys.executable, "-m", "mediseg", "node", str(config)], stderr=subprocess.PIPE, text=True
    )
    line = process.stderr.readline()
    assert "listens on" in line, line
    return process, int(line.split(";")[0].rsplit(":", 1)[1])


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX")
def test_nothing_that_was_answered_is_lost_when_the_node_is_killed(tmp_path, capsys):
    paths = write_series(tmp_path / "study", ramp((6, 5, 60)), sagittal((6, 5, 60)))
    config = tmp_path / "node.yaml"
    config.write_text(
        "folder: node\nport: 0\nstatus: {port: 0}\nquiet_seconds: 100000\nfree_mb: 1\n"
        "callers: [{ae_title: SCANNER}]\nrules: [{recipe: bias}]\n"
    )
    process, port = _started(config)
    answered = []

    def send():
        from pydicom import dcmread

        association = _associated(port)
        for path in paths:
            if not association.is_established:
                return
            try:
                status = association.send_c_store(dcmread(path))
            except RuntimeError:  # the node was killed since it was asked for
                return
            if "Status" not in status:
                return
            answered.append(status.Status)

    sender = threading.Thread(target=send)
    with told_in(Audit(tmp_path)):  # pynetdicom's thread of this association may fall, as its peer is gone
        sender.start()
        deadline = time.monotonic() + 300
        while len(answered) < 10 and sender.is_alive() and time.monotonic() < deadline:
            time.sleep(0.001)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        sender.join()
    process.stderr.close()
    assert set(answered) == {0}
    queue = Queue(tmp_path / "node")
    known = queue.objects(study_key(STUDY))
    queue.close()
    assert len(answered) <= known <= len(answered) + 1  # the one whose answer the kill cut off

    process, port = _started(config)
    try:
        assert _stored(port, paths) == [0] * 60
        assert main(["node", str(config), "--status"]) == 0
        assert "receiving" in capsys.readouterr().out
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=300) == 130
        process.stderr.close()
    queue = Queue(tmp_path / "node")
    assert [(work.state, queue.objects(work.key)) for work in queue.works()] == [("receiving", 60)]
    queue.close()


def test_plan_tells_which_recipe_would_run(tmp_path, capsys):
    write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE))
    config = tmp_path / "node.yaml"
    config.write_text("folder: node\nrules: [{recipe: brain, modality: CT}, {recipe: bias, description: T1}]\n")
    assert main(["node", str(config), "--plan", str(tmp_path / "study")]) == 0
    assert capsys.readouterr().out == "bias: by the rule for description T1\n"
    assert not (tmp_path / "node").exists()
