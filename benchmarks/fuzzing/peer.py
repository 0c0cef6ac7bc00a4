"""The DICOM node as a target: bytes of its protocol out of place, and spoilt objects in associations that are right."""

from __future__ import annotations

import io
import logging
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from fuzzing.answers import WrongAnswer
from fuzzing.seeds import Seed
from fuzzing.wire import LOCAL, Recorder, spoken


class Dicom:
    """A DICOM node on loopback: raw bytes of its protocol, and whole associations that send spoilt objects."""

    def __init__(self, folder: Path, first: Seed) -> None:
        from mediseg.node.audit import Audit
        from mediseg.node.config import Caller, NodeConfig, Rule
        from mediseg.node.peers import told_in
        from mediseg.node.queue import Queue
        from mediseg.node.receive import Receiver

        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
        folder.mkdir(parents=True)
        self._config = NodeConfig(folder, (Rule("bias"),), port=0, callers=(Caller("SCANNER", LOCAL),), free_mb=1)
        self._queue = Queue(folder)
        audit = Audit(folder)
        self._receiver = Receiver(self._config, self._queue, audit)
        self._receiver.start()
        self._fallen: list[str] = []
        threading.excepthook = lambda args: self._fallen.append(f"{args.exc_type.__name__}: {args.exc_value}")
        self._telling = ExitStack()
        self._telling.enter_context(told_in(audit))  # as the command does: what ends an association is logged
        self.seeds = [Seed("store", self._recorded(first)), Seed("echo", self._recorded(None))]
        self._asked = 0

    def _recorded(self, seed: Seed | None) -> bytes:
        """The bytes that a well-behaved peer sends, read off the wire."""
        recorder = Recorder(self._receiver.port)
        self._send(recorder.port, seed, b"" if seed is None else _body(seed.data))
        return recorder.close()

    def _send(self, port: int, seed: Seed | None, data: bytes) -> str:
        from pydicom import dcmread
        from pynetdicom import AE, association

        entity = AE(ae_title="SCANNER")
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 60
        entity.add_requested_context("1.2.840.10008.1.1")
        entity.add_requested_context("1.2.840.10008.5.1.4.1.1.4", ["1.2.840.10008.1.2.1"])
        for _ in range(5):  # a busy machine may need more than one try
            peer = entity.associate(LOCAL, port, ae_title="MEDISEG")
            if peer.is_established or port != self._receiver.port:
                break
            time.sleep(1)
        if not peer.is_established:
            raise WrongAnswer("the node takes no association any more")
        try:
            if seed is None:
                return f"echo {peer.send_c_echo().Status:04x}"
            valid = dcmread(io.BytesIO(self._valid(seed)))
            true, association.encode = association.encode, lambda *_: data
            try:
                answer = peer.send_c_store(valid)
            finally:
                association.encode = true
            return f"status {answer.Status:04x}" if "Status" in answer else "no status"
        finally:
            peer.release()

    def _valid(self, seed: Seed) -> bytes:
        from pydicom import dcmread

        if not hasattr(self, "_stand_in"):
            dataset = dcmread(io.BytesIO(seed.data), force=True)
            made = io.BytesIO()
            dataset.save_as(made)
            self._stand_in = made.getvalue()
        return self._stand_in

    def store(self, seed: Seed, data: bytes) -> str:
        """A spoilt data set in a C-STORE that is right."""
        answer = self._send(self._receiver.port, seed, _body(data))
        self._tidy()
        return answer

    def pdu(self, seed: Seed, data: bytes) -> str:
        answer = spoken(self._receiver.port, data, 0.5)
        self._asked += 1
        if self._asked % 20 == 0:
            self._send(self._receiver.port, None, b"")
        self._tidy()
        return f"PDU {answer[0]}" if answer else "closed"

    def _tidy(self) -> None:
        if self._fallen:
            raise WrongAnswer(f"a thread of the node fell: {self._fallen.pop()[:500]}")
        received = self._config.folder / "received"
        for folder in received.glob("*") if received.exists() else []:
            if folder.resolve().parent != received.resolve():
                raise WrongAnswer(f"written outside: {folder}")
            for path in folder.iterdir():
                if path.name == "..." or path.stat().st_size == 0:
                    raise WrongAnswer(f"an empty file was kept: {path.name}")
                path.unlink()

    def close(self) -> None:
        self._receiver.stop()
        self._telling.close()
        self._queue.close()


def _body(data: bytes) -> bytes:
    """Return a file's data set, without the preamble and the meta header."""
    return data[144 + int.from_bytes(data[140:144], "little") :] if data[128:132] == b"DICM" else data
