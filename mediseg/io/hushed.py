"""What libraries print by themselves about a damaged file is kept off the screen: our own error says it in one line."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_ONE_AT_A_TIME = threading.RLock()


@contextmanager
def hushed_logger(name: str) -> Iterator[None]:
    """Switch a library's logger off, whatever handlers it has (without any, Python itself prints warnings)."""
    logger = logging.getLogger(name)
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before


@contextmanager
def hushed_stderr() -> Iterator[None]:
    """Send the process's own stderr (descriptor 2) nowhere: compiled readers write there, past Python.

    It is the whole process's, so the block should be short; what other threads print meanwhile is lost with it.
    """
    with _ONE_AT_A_TIME:
        if sys.stderr is not None:
            sys.stderr.flush()
        try:
            kept = os.dup(2)
        except OSError:  # there is no stderr: a service on Windows
            yield
            return
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
