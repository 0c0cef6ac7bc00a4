"""A port for a program that cannot be told to take any free one, kept from everybody else until it has it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def kept_port() -> Iterator[int]:
    """Give a port on which nobody listens.

    It is bound to all the while: the system gives it to nobody who asks for any. A program that names it may listen
    on it all the same (SO_REUSEADDR), and who connects before is refused.
    """
    with socket.socket() as keeper:
        keeper.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        keeper.bind(("127.0.0.1", 0))
        yield int(keeper.getsockname()[1])
