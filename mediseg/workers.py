"""Worker processes on this machine, each keeping its models loaded. A case whose worker dies is tried once more."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from queue import Empty
from typing import TYPE_CHECKING, Any

from mediseg.attempt import Work, attempt, without_folder, without_values
from mediseg.casefile import RunOptions
from mediseg.children import die_with_parent, starting
from mediseg.errors import Cancelled, MedisegError
from mediseg.recipe import Recipe
from mediseg.runner import Case, Progress, ProgressCallback

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput

_LISTEN_S = 0.05
_DIED_TWICE = "its worker process was killed twice (out of memory?); run again with fewer --workers"


def in_processes(work: Work, count: int) -> Iterator[tuple[int, Case]]:
    """Do the work in ``count`` spawned processes.

    When one dies, nobody knows on which of the cases that were under way: each of those is done again alone. One that
    ends its worker again is set aside; the others never notice.
    """
    waiting = list(range(len(work.items)))
    while waiting:
        suspects, waiting = yield from _until_one_dies(work, waiting, count)
        for index in suspects:
            killers, _ = yield from _until_one_dies(work, [index], 1)
            if killers:
                yield index, without_folder(work.recipe, work.items[index], work.out, MedisegError(_DIED_TWICE))


def _until_one_dies(
    work: Work, waiting: Sequence[int], count: int
) -> Generator[tuple[int, Case], None, tuple[list[int], list[int]]]:
    """Do cases until all are done or a worker dies. Returns those that were under way then, and those not begun."""
    context = multiprocessing.get_context("spawn")
    queue, over = context.Queue(), threading.Event()
    listener = threading.Thread(target=_listen, args=(queue, over, work.progress), daemon=True)
    listener.start()
    count = min(count, len(waiting))
    pool = ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker, initargs=(queue,))
    left, running = list(waiting), dict[Future[Case], int]()
    try:
        while left or running:
            with starting():
                while left and len(running) < count:  # never more than are worked on: a death names few suspects
                    item = work.items[left[0]]
                    running[pool.submit(_in_worker, work.recipe, item, work.out, work.options)] = left.pop(0)
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                if isinstance(future.exception(), BrokenProcessPool):
                    continue
                yield running.pop(future), future.result()
            if any(future in running for future in ended):
                break
    except BrokenProcessPool:  # it died between two cases: submit() finds out
        pass
    except (KeyboardInterrupt, Cancelled, GeneratorExit):  # the last: whoever takes the cases was interrupted
        for process in list((pool._processes or {}).values()):
            process.terminate()  # a case that is cut off has no report.json, so the next run does it again
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        over.set()
        listener.join()  # it could print after the last line, or be the last to hold the queue while Python ends
    return sorted(running.values()), left


_QUEUE: Any = None


def _begin_worker(queue: Any) -> None:
    """Run once in each worker: progress goes to the parent through the queue."""
    global _QUEUE  # noqa: PLW0603 - a spawned worker has no other place to keep it
    _QUEUE = queue
    die_with_parent()
    queue.cancel_join_thread()  # what is not told of progress in time is not worth an exit that hangs


def _in_worker(recipe: Recipe, item: CaseInput, out: Path, options: RunOptions) -> Case:
    return without_values(attempt(Work(recipe, out, options, progress=_QUEUE.put), item))


def _listen(queue: Any, over: threading.Event, progress: ProgressCallback | None) -> None:
    """Tell of progress until ``over`` is set and nothing is left to tell.

    The end is an event and not a message: to write into the queue, this process would need a feeder thread, which
    could be the last to hold one of the queue's locks while the interpreter ends - and the lock's name would be left.
    """
    while True:
        try:
            message: Progress = queue.get(timeout=_LISTEN_S)
        except Empty:
            if over.is_set():
                return
            continue
        if progress is not None:
            progress(message)
