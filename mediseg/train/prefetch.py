"""Make batches ahead of the step that needs them, in background threads.

Threads, not processes: numpy, scipy and OpenCV let go of Python's lock where their time goes, the data are shared, and
nothing is left running when the training is killed. ``batch(step)`` depends on ``step`` alone, so order is all there is
to keep.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def ahead(batch: Callable[[int], T], steps: range, depth: int) -> Iterator[Iterator[T]]:
    """Give ``batch(step)`` for every step in order, up to ``depth`` of them in the making at once; 0 makes none ahead.

    An error in a batch is raised at its own step.
    """
    if depth == 0:
        yield map(batch, steps)
        return
    pool = ThreadPoolExecutor(depth, thread_name_prefix="batch")
    try:
        yield _ordered(pool, batch, steps, depth)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _ordered(pool: ThreadPoolExecutor, batch: Callable[[int], T], steps: range, depth: int) -> Iterator[T]:
    waiting: deque[Future[T]] = deque()
    for step in steps:
        waiting.append(pool.submit(batch, step))
        if len(waiting) > depth:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
