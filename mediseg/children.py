"""Processes that this one starts: whole or not at all, deaf to what asks this one to end, gone when it is gone."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from typing import Any


@contextmanager
def starting(deaf_to: Sequence[int] = (signal.SIGINT,)) -> Iterator[None]:
    """Let processes that are started in the block not hear these signals: their parent ends them, without tracebacks.

    A signal that comes meanwhile is put off to the block's end. Blocking it, which is what the children inherit, is
    not enough for that: another thread takes it, and Python raises its KeyboardInterrupt in the main one all the same;
    a process that was started by halves then has nobody who ends it, and says on the screen what it has not been told.
    """
    came: list[int] = []
    before: dict[int, Callable[[int, Any], Any]] = {}
    mask = None
    if hasattr(signal, "pthread_sigmask"):
        resource_tracker.ensure_running()  # when it is started, it lets signals through again in this thread
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, deaf_to)
    try:
        _put_off(came, before)
        yield
    finally:
        if mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


def _put_off(came: list[int], before: dict[int, Callable[[int, Any], Any]]) -> None:
    """Note what comes instead of handling it, where Python handles it: in the main thread, by a function."""
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            before[number] = handler
            signal.signal(number, lambda number, _: came.append(number))


def die_with_parent() -> None:
    """End this process when its parent ends, however: an orphan would go on writing what the next run begins anew."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
