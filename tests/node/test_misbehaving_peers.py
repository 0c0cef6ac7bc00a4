"""Peers that fall silent in the middle of a message, break the protocol, or are gone before they are answered."""

import json
import socket
import struct
import threading
import time

import pytest

from mediseg.node import peers, receive, send
from mediseg.node.audit import Audit
from mediseg.node.config import Destination, NodeConfig, Rule
from mediseg.node.peers import told_in
from mediseg.node.queue import Sending
from mediseg.node.send import send_all
from tests.io.dicom_factory import ramp, sagittal, write_series
from tests.node.listening import LOCAL, listening

pynetdicom = pytest.importorskip("pynetdicom")
SHAPE = (300, 200, 2)  # an object of several messages


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    """With who has fallen silent; whoever is only slow is waited for as long as ever."""
    associated = send._associated

    def impatient(*arguments):
        association = associated(*arguments)
        association.acse_timeout = association.dimse_timeout = association.network_timeout = 2
        return association

    monkeypatch.setattr(peers, "SILENCE_S", 0.5)
    monkeypatch.setattr(send, "_associated", impatient)


@pytest.fixture
def node(tmp_path):
    with listening(tmp_path / "node") as (receiver, _, config):
        yield receiver, config


def _item(kind, body):
    return struct.pack(">BxH", kind, len(body)) + body


def request(context_id):
    """An A-ASSOCIATE-RQ for Verification with one presentation context (PS3.8, 9.3.2)."""
    context = bytes([context_id, 0, 0, 0]) + _item(0x30, b"1.2.840.10008.1.1") + _item(0x40, b"1.2.840.10008.1.2")
    user = _item(0x51, struct.pack(">L", 16384)) + _item(0x52, b"1.2.3")
    names = b"MEDISEG".ljust(16) + b"SCANNER".ljust(16) + bytes(32)
    body = b"\0\1\0\0" + names + _item(0x10, b"1.2.840.10008.3.1.1.1") + _item(0x20, context) + _item(0x50, user)
    return b"\1\0" + struct.pack(">L", len(body)) + body


def _is_served(port):
    """True as soon as a peer is let in and answered; False where nobody is, however long one waits."""
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        entity = pynetdicom.AE(ae_title="SCANNER")
        entity.add_requested_context("1.2.840.10008.1.1")
        association = entity.associate(LOCAL, port, ae_title="MEDISEG")
        if association.is_established:
            status = association.send_c_echo().Status
            association.release()
            return status == 0
        time.sleep(0.2)
    return False


def _events(config):
    path = config.folder / "audit.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_who_falls_silent_in_the_middle_of_a_message_keeps_nobody_out(tmp_path, monkeypatch):
    monkeypatch.setattr(receive, "_PATIENCE_S", 2)
    half = request(1)[:40]
    with listening(tmp_path / "node") as (receiver, _, _):
        silent = [socket.create_connection((LOCAL, receiver.port)) for _ in range(40)]  # 32 is as many as are let in
        try:
            for one in silent:
                one.sendall(half)
            assert _is_served(receiver.port)
        finally:
            for one in silent:
                one.close()


@pytest.mark.parametrize("half", [b"", request(1)[:40]], ids=["nothing", "half a message"])
def test_the_end_waits_for_no_peer_that_says_nothing_or_keeps_its_association(tmp_path, monkeypatch, half):
    monkeypatch.setattr(peers, "SILENCE_S", 3600)
    monkeypatch.setattr(peers, "_FAREWELL_S", 0.5)
    with listening(tmp_path / "node") as (receiver, _, _):
        entity = pynetdicom.AE(ae_title="SCANNER")
        entity.add_requested_context("1.2.840.10008.1.1")
        kept = entity.associate(LOCAL, receiver.port, ae_title="MEDISEG")
        assert kept.is_established
        with socket.create_connection((LOCAL, receiver.port)) as silent:
            silent.sendall(half)
            while len(found := receiver._server.active_associations) < 2:
                time.sleep(0.01)
            receiver.stop()
            assert [one for one in found if one.dul.is_alive()] == []
        kept.join(300)
        assert kept.is_aborted


def test_a_request_that_breaks_the_protocol_is_one_line_in_the_log(node, capfd):
    receiver, config = node
    with socket.create_connection((LOCAL, receiver.port)) as link:
        link.sendall(request(2))  # a context's number is odd
        deadline = time.monotonic() + 300
        while not _events(config) and time.monotonic() < deadline:
            time.sleep(0.05)
    (event,) = _events(config)
    assert (event["event"], event["kind"], event["address"]) == ("association_broken", "ValueError", LOCAL)
    assert event["where"].startswith("presentation.py, line ")
    assert _is_served(receiver.port)
    assert capfd.readouterr() == ("", "")


def test_an_answer_that_is_due_to_a_peer_that_has_gone_is_one_line_in_the_log(node, capfd):
    from pynetdicom.association import Association
    from pynetdicom.pdu_primitives import P_DATA

    _, config = node
    association = Association(pynetdicom.AE("SCANNER"), "requestor")  # no connection: its state machine is in Sta1
    association.dul.to_provider_queue.put(P_DATA())
    association.dul.start()
    association.dul.join(timeout=300)
    assert not association.dul.is_alive()
    (event,) = _events(config)
    assert (event["event"], event["kind"]) == ("association_broken", "InvalidEventError")
    assert capfd.readouterr() == ("", "")


def test_the_fault_of_another_thread_goes_its_own_way(tmp_path, monkeypatch):
    def fall():
        raise ZeroDivisionError("of somebody else")

    heard = []
    monkeypatch.setattr(threading, "excepthook", lambda fallen: heard.append(str(fallen.exc_value)))
    with told_in(Audit(tmp_path)):
        thread = threading.Thread(target=fall)
        thread.start()
        thread.join()
    assert heard == ["of somebody else"]
    assert not (tmp_path / "audit.jsonl").exists()


class Silent:
    """An archive that agrees to an association and takes some bytes more, then says nothing, or half a message."""

    def __init__(self, says):
        self._says, self._open = says, []
        self._door = socket.create_server((LOCAL, 0))
        self.port = self._door.getsockname()[1]
        entity = pynetdicom.AE(ae_title="PACS")
        for context in pynetdicom.StoragePresentationContexts:
            entity.add_supported_context(context.abstract_syntax)
        self._true = entity.start_server((LOCAL, 0), block=False)
        self._thread = threading.Thread(target=self._talk, daemon=True)
        self._thread.start()

    def _talk(self):
        peer, _ = self._door.accept()
        true = socket.create_connection(self._true.socket.getsockname())
        self._open += [peer, true]
        true.sendall(peer.recv(65536))
        peer.sendall(true.recv(65536))
        peer.recv(1000)
        peer.sendall(self._says)

    def close(self):
        for one in (*self._open, self._door):
            one.close()
        self._true.shutdown()


@pytest.mark.parametrize("says", [b"", b"\4\0\0\0\1\0half"], ids=["nothing", "half a message"])
def test_an_archive_that_falls_silent_does_not_hold_up_the_sending(tmp_path, says):
    paths, archive = write_series(tmp_path / "study", ramp(SHAPE), sagittal(SHAPE)), Silent(says)
    config, told = NodeConfig(tmp_path / "node", (Rule("bias"),)), []
    destination = Destination("PACS", LOCAL, archive.port)
    sendings = [Sending(n, "study-1", path, destination.name, 0) for n, path in enumerate(paths)]
    args = (config, destination, sendings, lambda one, why, forever: told.append((one.id, why, forever)))
    thread = threading.Thread(target=send_all, args=args, daemon=True)
    try:
        thread.start()
        thread.join(timeout=300)
        assert not thread.is_alive()
    finally:
        archive.close()
    assert [(number, forever) for number, _, forever in told] == [(0, False), (1, False)]  # both are tried again
    assert {why for _, why, _ in told} <= {"no answer", "the association was ended by the destination"}
