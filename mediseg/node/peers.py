"""Peers that misbehave: one that falls silent in the middle of a message, one that is gone before it is answered."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mediseg.node.audit import Audit

#: A peer that has begun a message, or does not take ours, may be silent for so long.
SILENCE_S = 60.0
#: One that is told of the end has so long to hang up.
_FAREWELL_S = 2.0


def limit_silence(event: Any) -> None:
    """Handle EVT_CONN_OPEN: let nobody keep a connection's thread for ever.

    pynetdicom reads and writes a message on a socket that waits without end, whatever its timeouts say: a cable that is
    pulled in the middle of one would hold one of the node's places, or its only sender, until it is started anew.
    """
    event.assoc.dul.socket.socket.settimeout(SILENCE_S)


def end(associations: Sequence[Any]) -> None:
    """Abort associations; return when nothing more is received or kept by them, whatever the peers do.

    Else a peer that keeps one open, or has fallen silent, would keep the node from ending: its process waits for their
    connections' threads. That of an association that was never agreed to has nothing to keep and is not waited for.
    """
    threads = [thread for one in associations for thread in ((one, one.dul) if one.is_established else (one.dul,))]
    for one in associations:
        threading.Thread(target=one.abort, daemon=True).start()
    latest = time.monotonic() + _FAREWELL_S
    for thread in threads:
        thread.join(max(0.0, latest - time.monotonic()))
    for one in associations:
        with suppress(AttributeError, OSError):  # gone already
            one.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join()


@contextmanager
def told_in(audit: Audit) -> Iterator[None]:
    """Within the block, note in the audit log what ends an association's thread; other threads' faults go on as before.

    pynetdicom's state machine raises in its own thread where bytes come out of turn, or where an answer is due to a
    peer that has gone; Python would print a traceback for each. The kind and the place are noted, never the message,
    which may quote the peer. The association ends, the peer sends again; no other is touched.
    """
    before = threading.excepthook

    def hook(fallen: threading.ExceptHookArgs) -> None:
        association = _association(fallen.thread)
        if association is None or not isinstance(fallen.exc_value, Exception):
            before(fallen)
        else:
            kind, where = type(fallen.exc_value).__name__, _place(fallen.exc_value)
            caller, info = association.requestor.ae_title.strip(), association.requestor.address_info
            address = "" if info is None else str(info.address)
            audit.note_if_it_can("association_broken", kind=kind, where=where, caller=caller, address=address)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


def _association(thread: threading.Thread | None) -> Any:
    """Return the association that a thread works for; None for one of somebody else."""
    from pynetdicom.association import Association
    from pynetdicom.dul import DULServiceProvider

    if isinstance(thread, DULServiceProvider):
        return thread.assoc
    return thread if isinstance(thread, Association) else None


def _place(error: Exception) -> str:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}"
