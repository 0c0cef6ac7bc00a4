"""Bytes to and from loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable

LOCAL = "127.0.0.1"


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
