"""The receiving side: C-ECHO and C-STORE. Success is answered when object and queue are on the disk, not before."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import socket
import sqlite3
import ssl
import time
import warnings
from pathlib import Path
from typing import Any

from mediseg.errors import MedisegError, UsageError
from mediseg.io.atomic import write_bytes_atomically
from mediseg.node.audit import Audit
from mediseg.node.config import NodeConfig
from mediseg.node.peers import end, limit_silence
from mediseg.node.queue import Queue

SUCCESS, NOT_AUTHORIZED, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0x0124, 0xA700, 0xC000
_PATIENCE_S = 30


def study_key(study_uid: str) -> str:
    """Return the name of a study in the queue and on the disk: it names nobody and fits every file system."""
    return f"study-{hashlib.sha256(study_uid.encode()).hexdigest()[:16]}"


class Receiver:
    """Stores what allowed callers send. ``start`` listens in threads of its own, ``stop`` ends that."""

    def __init__(self, config: NodeConfig, queue: Queue, audit: Audit) -> None:
        self._config, self._queue, self._audit = config, queue, audit
        self._server: Any = None
        self._incoming = config.folder / "incoming"

    @property
    def port(self) -> int:
        """The port that is listened on (of use where the configuration says 0: any)."""
        return int(self._server.socket.getsockname()[1])

    def start(self) -> None:
        """Listen. Raises UsageError where the port is taken or the TLS files are unusable."""
        from pynetdicom import AE, AllStoragePresentationContexts, evt
        from pynetdicom.presentation import build_context
        from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made while the module loads

        # pydicom's warnings about what breaks a rule quote it, a patient's ID among others, into the service's log
        warnings.filterwarnings("ignore", module=r"pydicom(\.|$)")
        shutil.rmtree(self._incoming, ignore_errors=True)  # left by a node that was killed: no sender was answered
        entity = AE(ae_title=self._config.ae_title)
        entity.require_called_aet = True
        entity.require_calling_aet = [caller.ae_title for caller in self._config.callers] or ["(nobody)"]
        entity.maximum_associations = 32
        entity.acse_timeout = _PATIENCE_S
        syntaxes = _syntaxes()
        contexts = [build_context(str(one.abstract_syntax), syntaxes) for one in AllStoragePresentationContexts]
        contexts.append(build_context(Verification))
        handlers: list[Any] = [(evt.EVT_C_ECHO, self._echo), (evt.EVT_C_STORE, self._store)]
        handlers.append((evt.EVT_CONN_OPEN, limit_silence))
        try:
            self._server = entity.start_server(
                (self._config.host, self._config.port), block=False, contexts=contexts, evt_handlers=handlers,
                ssl_context=_server_context(self._config),
            )  # fmt: skip
        except OSError as error:
            raise UsageError(
                f"port {self._config.port} of {self._config.host} cannot be used: {error.strerror}"
            ) from error

    def stop(self) -> None:
        """End listening and every association; what is being received is not answered and will be sent again."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            end(server.active_associations)

    def _is_allowed(self, event: Any) -> bool:
        requestor = event.assoc.requestor
        title, address = requestor.ae_title.strip(), requestor.address
        return any(
            caller.ae_title.strip() == title and caller.address in (None, address) for caller in self._config.callers
        )

    def _echo(self, event: Any) -> int:
        if not self._is_allowed(event):
            return self._turned_away(event, "not_authorized", NOT_AUTHORIZED)
        return SUCCESS

    def _store(self, event: Any) -> int:
        if not self._is_allowed(event):
            return self._turned_away(event, "not_authorized", NOT_AUTHORIZED)
        try:
            data = event.encoded_dataset()
            study_uid, sop_uid = str(event.dataset.StudyInstanceUID), str(event.request.AffectedSOPInstanceUID)
        except Exception:  # noqa: BLE001 - whatever a stranger's bytes make pydicom raise; told by its status alone
            return self._turned_away(event, "cannot_understand", CANNOT_UNDERSTAND)
        if not study_uid or not sop_uid:
            return self._turned_away(event, "cannot_understand", CANNOT_UNDERSTAND)
        try:
            if self._free_mb() - len(data) / 1e6 < self._config.free_mb:
                return self._turned_away(event, "disk_nearly_full", OUT_OF_RESOURCES)
            return self._keep(event, data, study_uid, sop_uid)
        except (MedisegError, OSError, sqlite3.Error):
            return self._turned_away(event, "cannot_write", OUT_OF_RESOURCES)

    def _keep(self, event: Any, data: bytes, study_uid: str, sop_uid: str) -> int:
        key, name = study_key(study_uid), f"{hashlib.sha256(sop_uid.encode()).hexdigest()[:24]}.dcm"
        folder = self._config.folder / "received" / key
        self._put(data, folder / name)
        is_new = self._queue.received(key, folder, name, hashlib.sha256(data).hexdigest(), time.time())
        if not (folder / name).is_file():  # its study was dropped or has expired between the two lines above
            return self._turned_away(event, "dropped_meanwhile", OUT_OF_RESOURCES)
        if is_new:
            self._audit.note("received", work=key, caller=event.assoc.requestor.ae_title.strip())
        return SUCCESS

    def _put(self, data: bytes, path: Path) -> None:
        """Write beside all studies first: a folder that a run may be reading never holds half an object."""
        incoming = self._incoming / f"{secrets.token_hex(8)}.dcm"
        try:
            write_bytes_atomically(incoming, data)
            path.parent.mkdir(parents=True, exist_ok=True)
            incoming.replace(path)
        finally:
            incoming.unlink(missing_ok=True)
        flush_folder(path.parent)

    def _free_mb(self) -> float:
        return shutil.disk_usage(self._config.folder).free / 1e6

    def _turned_away(self, event: Any, why: str, status: int) -> int:
        requestor = event.assoc.requestor
        caller, address = requestor.ae_title.strip(), str(requestor.address)
        self._audit.note_if_it_can("turned_away", why=why, caller=caller, address=address)
        return status


def flush_folder(folder: Path) -> None:
    """Make a new name in a folder survive a power cut, where the system lets a folder be flushed (not Windows)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _syntaxes() -> list[str]:
    """Every transfer syntax that the readers decode, uncompressed first; not the deflated one (see deflated.py)."""
    from pydicom import uid

    plain = [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian]
    packed = [
        uid.RLELossless, uid.JPEGLossless, uid.JPEGLosslessSV1, uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit,
        uid.JPEGLSLossless, uid.JPEGLSNearLossless, uid.JPEG2000Lossless, uid.JPEG2000,
    ]  # fmt: skip
    return [*plain, *packed]


class _PatientContext(ssl.SSLContext):
    """Shakes hands when the first bytes are read, in the association's own thread.

    pynetdicom wraps a connection where it accepts it: a peer that connects and says nothing would keep everybody else
    out for as long as it likes.
    """

    def wrap_socket(self, sock: socket.socket, *args: Any, **options: Any) -> ssl.SSLSocket:
        """Wrap without shaking hands."""
        return super().wrap_socket(sock, *args, **{**options, "do_handshake_on_connect": False})


def _server_context(config: NodeConfig) -> ssl.SSLContext | None:
    if config.tls is None:
        return None
    try:
        context = _PatientContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_verify_locations(config.tls.authority)
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(config.tls.certificate, config.tls.key)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"tls: certificate, key or authority cannot be used: {error}") from error
    return context
