"""What is fuzzed: each target takes a spoilt input and returns its answer, or raises what no input may cause."""

from __future__ import annotations

import io
import json
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fuzzing.seeds import Seed
from mediseg.errors import Exit, MedisegError

#: docs/contract: what a command may end with on a bad input. 70 is a bug, 130 an interrupt.
DOCUMENTED = {Exit.DONE, Exit.SOME_FAILED, Exit.USAGE, Exit.UNREADABLE, Exit.REFUSED, Exit.UNWRITABLE}
LOCAL = "127.0.0.1"
DICOM_WORDS = (
    b"SQ", b"OB", b"UN", b"UL\4\0", b"DS", b"IS", b"PN", b"\xff\xff\xff\xff", b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0",
    b"\xfe\xff\xdd\xe0", b"\xe0\x7f\x10\x00", b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.4.90",
    b"1.2.840.10008.1.2.1.99",
    b"ISO_IR 192", b"\\ISO 2022 IR 87", b"\x1b$B", b"\x28\0\x10\0US\2\0\xff\xff", b"\x28\0\x08\0IS\x04\x009999",
)  # fmt: skip
HTTP_WORDS = (
    b"POST", b"DELETE", b"PUT", b"TRACE", b"/v1/cases", b"/v1/cases/..%2f..%2f", b"%00", b"?recipe=bias&suffix=.nii",
    b"Content-Length: 99999999999", b"Content-Length: -1", b"Transfer-Encoding: chunked", b"Authorization: Bearer \xff",
    b"Host: evil.example", b"Cookie: mediseg=", b"\r\n", b"Range: bytes=0-1,2-3", b"HTTP/9.9", b"Expect: 100-continue",
    b"Upgrade: websocket",
)  # fmt: skip
TOKEN = "a-token-for-fuzzing-only"


@dataclass
class Target:
    """``share`` of the inputs go to it; ``words`` are put into its files."""

    seeds: Sequence[Seed]
    run: Callable[[Seed, bytes], str]
    share: int = 1
    words: Sequence[bytes] = ()
    close: Callable[[], None] = lambda: None


class WrongAnswer(Exception):
    """An input was answered, but not as documented."""


def all_targets(work: Path, stock: dict[str, list[Seed]], only: set[str]) -> dict[str, Target]:
    """Return every target by name; services are started here and ended by ``close``."""
    files = Files(work)
    text = (b": ", b"- ", b"[", b"{", b"!!binary ", b"*a", b"&a ", b"\t", b'"', b"\\u0000")
    targets = {
        "volume": Target(stock["volume"], files.volume, 5, (b"sizes:", b"DimSize = ", b"ElementDataFile = ", b"n+1\0")),
        "sur": Target(stock["sur"], files.volume, 1, text),
        "dicom": Target(stock["dicom"], files.volume, 6, DICOM_WORDS),
        "zip": Target(stock["zip"], files.volume, 3, DICOM_WORDS),
        "seg": Target(stock["seg"], files.segmentation, 1, DICOM_WORDS),
        "recipe": Target(stock["recipe"], files.recipe, 2, text),
        "roi": Target(stock["roi"], files.roi, 1, text),
        "manifest": Target(stock["manifest"], files.manifest, 2, text),
        "report": Target(stock["report"], files.report, 2, text),
        "node": Target(stock["node"], files.node, 1, text),
        "run": Target(stock["volume"] + stock["dicom"], files.whole, 1, DICOM_WORDS),
    }
    if not only or "http" in only:
        service = Web(work / "serve")
        targets["http"] = Target(service.seeds, service.run, 3, HTTP_WORDS, service.close)
    if not only or only & {"pdu", "c-store"}:
        peer = Dicom(work / "node", stock["dicom"][0])
        targets["pdu"] = Target(peer.seeds, peer.pdu, 2, DICOM_WORDS, peer.close)
        targets["c-store"] = Target(stock["dicom"], peer.store, 2, DICOM_WORDS)
    return {name: one for name, one in targets.items() if not only or name in only}


def one_line(text: str) -> None:
    """Raise WrongAnswer for what is no line for a person."""
    if "\n" in text.strip() or not text.strip() or len(text) > 2000 or "Traceback" in text:
        raise WrongAnswer(f"not one line: {text[:600]!r}")


def command(*arguments: str) -> tuple[int, str]:
    """Run the command line in this process; return its status and what it said on stderr."""
    from mediseg.cli import main

    with listening() as said, redirect_stdout(io.StringIO()):
        code = main(arguments)
    if code not in DOCUMENTED:
        raise WrongAnswer(f"exit status {code}: {said()[:600]}")
    if "Warning" in said() or "Traceback" in said():
        raise WrongAnswer(f"not for a person: {said()[:600]}")
    return code, said()


@contextmanager
def listening() -> Iterator[Callable[[], str]]:
    """Keep what Python, its libraries and compiled ones write on stderr, and give a function that returns it."""
    sys.stderr.flush()
    kept = os.dup(2)
    texts: list[str] = []
    with tempfile.TemporaryFile() as file:

        def said() -> str:
            if texts:
                return texts[0]
            sys.stderr.flush()
            file.seek(0)
            return file.read().decode("utf-8", "replace")

        os.dup2(file.fileno(), 2)
        try:
            yield said
        finally:
            texts.append(said())
            os.dup2(kept, 2)
            os.close(kept)


class Files:
    """Targets that read files, each input in a fresh folder."""

    def __init__(self, work: Path) -> None:
        self._folder, self._out = work / "in", work / "out"
        self._tiny = work / "tiny.nii"
        import nibabel
        import numpy as np

        from tests.heads import shaded_ball

        nibabel.save(nibabel.Nifti1Image(shaded_ball(12).astype(np.int16), np.diag([2.0, 2, 2, 1])), self._tiny)

    def laid(self, seed: Seed, data: bytes) -> Path:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()
        for name, content in seed.beside:
            (self._folder / name).write_bytes(content)
        path = self._folder / seed.name
        path.write_bytes(data)
        return path

    def _input(self, path: Path, seed: Seed) -> Path:
        """A file that others belong to is given with its folder."""
        return path.parent if seed.beside else path

    def volume(self, seed: Seed, data: bytes) -> str:
        import mediseg

        path = self._input(self.laid(seed, data), seed)
        code, said = command("plan", "bias", str(path), "--json")
        if code not in (0, 1):
            one_line(said)
        is_dicom = seed.name.endswith(".dcm") or seed.name.startswith("im0")
        return answered(lambda: mediseg.load(path if path.is_file() or is_dicom else path / seed.name))

    def whole(self, seed: Seed, data: bytes) -> str:
        shutil.rmtree(self._out, ignore_errors=True)
        path = self._input(self.laid(seed, data), seed)
        quick = ("--set", "correct_bias.levels=1", "--set", "correct_bias.iterations=1", "--threads", "1", "--quiet")
        code, said = command("run", "bias", str(path), "--out", str(self._out), *quick)
        if code not in (0, 1):
            one_line(said)
        for page in self._out.rglob("*.html"):
            if "<script>alert" in page.read_text(encoding="utf-8"):
                raise WrongAnswer(f"a script in {page.name}")
        return f"exit {code}"

    def segmentation(self, seed: Seed, data: bytes) -> str:
        from mediseg.io import is_segmentation, read_segmentation

        path = self.laid(seed, data)
        return answered(lambda: read_segmentation(path) if is_segmentation(path) else None)

    def recipe(self, seed: Seed, data: bytes) -> str:
        code, said = command("plan", str(self.laid(seed, data)), str(self._tiny))
        if code:
            one_line(said)
        return f"exit {code}"

    def roi(self, seed: Seed, data: bytes) -> str:
        from mediseg.io import read_roi

        path = self.laid(seed, data)
        return answered(lambda: read_roi(path))

    def manifest(self, seed: Seed, data: bytes) -> str:
        from mediseg.evaluate.manifest import load_manifest

        path = self.laid(seed, data)
        named = path if path.suffix == ".yaml" else path.parent / "table.yaml"
        return answered(lambda: load_manifest(named))

    def node(self, seed: Seed, data: bytes) -> str:
        from mediseg.node.config import load_config

        path = self.laid(seed, data)
        return answered(lambda: load_config(path))

    def report(self, seed: Seed, data: bytes) -> str:
        """An earlier run's report: read for the index, and for what may be taken away before the case is redone."""
        from mediseg.batch import _of_earlier_runs
        from mediseg.casefolder import case_folder
        from mediseg.report import Index, index_csv, render_index

        shutil.rmtree(self._out, ignore_errors=True)
        case = self._out / "case"
        case.mkdir(parents=True)
        precious = self._out / "precious"
        precious.write_text("not mediseg's")
        (case / "report.json").write_bytes(data)
        rows = _of_earlier_runs(self._out, set())
        page = render_index(Index(rows))
        if "<script>alert" in page:
            raise WrongAnswer("a script in the index")
        index_csv(Index(rows)).encode()

        def redo() -> None:
            with case_folder(case):
                pass

        answer = answered(redo)
        if not precious.exists():
            raise WrongAnswer("a file outside the case's folder was taken away")
        return f"{len(rows)} rows, {answer}"


def answered(call: Callable[[], object]) -> str:
    """Call what may refuse with one line, and with nothing else."""
    with listening() as said:
        try:
            call()
            answer = "taken"
        except MedisegError as error:
            one_line(str(error))
            answer = type(error).__name__
        if said():
            raise WrongAnswer(f"said beside its answer: {said()[:600]}")
    return answer


class Web:
    """The service behind a real server on loopback, spoken to in raw bytes."""

    def __init__(self, folder: Path) -> None:
        import logging

        import uvicorn

        from mediseg.serve.app import Service

        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        folder.mkdir(parents=True)
        self._folder, self._service = folder, Service(folder, TOKEN, max_mb=1, threads=1)
        self._port = free_port()
        config = uvicorn.Config(
            self._service.app(), host=LOCAL, port=self._port, log_level="critical", access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.05)
        self.seeds = [Seed(name, data) for name, data in self._requests().items()]
        self._asked = 0

    def _requests(self) -> dict[str, bytes]:
        head = f"HTTP/1.1\r\nHost: {LOCAL}\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
        lines = {
            "list": b"GET /v1/cases ", "recipes": b"GET /v1/recipes ", "api": b"GET /openapi.json ", "page": b"GET / ",
            "one": b"GET /v1/cases/case-0123456789abcdef ", "cancel": b"DELETE /v1/cases/case-0123456789abcdef ",
            "file": b"GET /v1/cases/case-0123456789abcdef/files/dicom/a.dcm ", "token": b"GET /?token=wrong ",
        }  # fmt: skip
        requests = {name: line + head + b"\r\n" for name, line in lines.items()}
        body = b"\x5c\1\0\0 no image"
        submit = b"POST /v1/cases?recipe=bias&suffix=.nii " + head
        requests["submit"] = submit + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
        requests["chunked"] = submit + b"Transfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n0\r\n\r\n"
        return requests

    def run(self, seed: Seed, data: bytes) -> str:
        answer = spoken(self._port, data, 1.0)
        self._asked += 1
        status = answer[:12].decode("latin-1")
        if status.startswith("HTTP/1.1 5") and not status.startswith("HTTP/1.1 507"):
            raise WrongAnswer(f"answered {answer[:300]!r}")
        if self._asked % 20 == 0:
            self._check()
        return status or "closed"

    def _check(self) -> None:
        """It still answers, and no job ended in a bug."""
        answer = spoken(self._port, self._requests()["list"], 20.0, is_whole=lambda got: b"]" in got)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise WrongAnswer(f"does not answer any more: {answer[:200]!r}")
        jobs: list[dict[str, Any]] = json.loads(answer.partition(b"\r\n\r\n")[2])
        for job in jobs:
            if "bug" in job["reason"]:
                raise WrongAnswer(f"a bug in a job: {job}")
            if job["reason"]:
                one_line(job["reason"])
        for job in self._service.jobs.all():
            if job.state not in ("waiting", "running"):
                self._service.jobs._jobs.pop(job.id, None)
                shutil.rmtree(self._folder / job.id, ignore_errors=True)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._service.jobs.close()


#: pynetdicom's state machine ends its association's thread with this on bytes out of turn; the node goes on, which is
#: asked of it every 20 inputs
_PYNETDICOM_GIVES_UP = "InvalidEventError"


class Dicom:
    """A DICOM node on loopback: raw bytes of its protocol, and whole associations that send spoilt objects."""

    def __init__(self, folder: Path, first: Seed) -> None:
        import logging

        from mediseg.node.audit import Audit
        from mediseg.node.config import Caller, NodeConfig, Rule
        from mediseg.node.queue import Queue
        from mediseg.node.receive import Receiver

        logging.getLogger("pynetdicom").setLevel(logging.CRITICAL + 1)
        folder.mkdir(parents=True)
        self._config = NodeConfig(folder, (Rule("bias"),), port=0, callers=(Caller("SCANNER", LOCAL),), free_mb=1)
        self._queue = Queue(folder)
        self._receiver = Receiver(self._config, self._queue, Audit(folder))
        self._receiver.start()
        self._fallen: list[str] = []
        threading.excepthook = lambda args: self._fallen.append(f"{args.exc_type.__name__}: {args.exc_value}")
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
        fallen = [one for one in self._fallen if not one.startswith(_PYNETDICOM_GIVES_UP)]
        self._fallen.clear()
        if fallen:
            raise WrongAnswer(f"a thread of the node fell: {fallen[0][:500]}")
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
        self._queue.close()


def _body(data: bytes) -> bytes:
    """Return a file's data set, without the preamble and the meta header."""
    return data[144 + int.from_bytes(data[140:144], "little") :] if data[128:132] == b"DICM" else data


class Recorder:
    """Stands between a peer and the node and keeps what the peer sends."""

    def __init__(self, port: int) -> None:
        self._sent = bytearray()
        self._door = socket.create_server((LOCAL, 0))
        self.port = self._door.getsockname()[1]
        self._thread = threading.Thread(target=self._pass_on, args=(port,), daemon=True)
        self._thread.start()

    def _pass_on(self, port: int) -> None:
        peer, _ = self._door.accept()
        with peer, socket.create_connection((LOCAL, port)) as node:
            back = threading.Thread(target=_copied, args=(node, peer, bytearray()), daemon=True)
            back.start()
            _copied(peer, node, self._sent)
            back.join(timeout=10)

    def close(self) -> bytes:
        self._thread.join(timeout=10)
        self._door.close()
        return bytes(self._sent)


def _copied(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    try:
        while chunk := source.recv(65536):
            kept += chunk
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        return


def free_port() -> int:
    with socket.create_server((LOCAL, 0)) as one:
        return int(one.getsockname()[1])


def spoken(port: int, data: bytes, patience_s: float, is_whole: Callable[[bytes], bool] = lambda got: False) -> bytes:
    """Send bytes, return the answer's first part: whatever came until it closed, or nothing came for a while."""
    got = b""
    with socket.create_connection((LOCAL, port), timeout=30) as link:
        try:
            link.sendall(data)
            link.settimeout(patience_s)
            while len(got) < 1_000_000 and not is_whole(got):
                chunk = link.recv(65536)
                if not chunk:
                    break
                got += chunk
                if got.startswith(b"HTTP/") and b"\r\n\r\n" in got and not patience_s > 5:
                    break
        except (TimeoutError, ConnectionError):
            pass
    return got
