"""The cases of a batch on a Dask cluster (extra ``cluster``): one task a case, on workers that share the folders.

Only headers and paths travel: a case's files are read, and its folder is written, by the worker that has it. Never more
cases than the workers can soon begin lie with the scheduler. A folder of this run's own beside the cases notes when
each was begun and when it ended: one that ends its workers is known for it, and no other that was lost together with
such a worker is taken for one. When that folder goes, the tasks stop.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.attempt import Executor, Work, attempt, without_folder, without_values
from mediseg.casefile import RunOptions, model_record, version
from mediseg.errors import Cancelled, MedisegError, OutputError, UsageError
from mediseg.recipe import Recipe
from mediseg.runner import Case, Progress, ProgressCallback

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput

#: A case is begun this often at most without coming to its end: once, and again when its worker died.
MOST_STARTS = 2
_BEGUN, _ENDED, _SKIPPED = b".", b"!", b"="
#: A case that never began, as its workers were lost with others on them, is handed out anew this often.
_MOST_ROUNDS = 5
_LEAST_WAITING = 64
_KILLED = "it ended its worker twice (out of memory?); give the workers more memory, or run it alone to see why"
_LOST = "the cluster lost it; run again, what is done is skipped"
# one case at a time in a process, whatever --nthreads its worker has: memory and threads are counted so
_ONE_AT_A_TIME = threading.Lock()


def on_scheduler(address: str, patience_s: float = 20) -> Executor:
    """Return what does a batch's work on the workers of a scheduler. Raises UsageError where none answers.

    The items' paths must be absolute: a worker has a working folder of its own.
    """
    return partial(_on_scheduler, address=address, patience_s=patience_s)


@dataclass(frozen=True)
class _Orders:
    """What a worker must know beside the case. ``marks`` is the run's own folder; ``topic`` where progress is told."""

    recipe: Recipe
    out: Path
    options: RunOptions
    marks: Path
    same: tuple[str, ...]
    topic: str


def _on_scheduler(work: Work, *, address: str, patience_s: float) -> Iterator[tuple[int, Case]]:
    run = secrets.token_hex(6)
    out = work.out.absolute()
    marks = out / f".mediseg-run-{run}"
    topic = f"mediseg-{run}" if work.progress is not None else ""
    orders = _Orders(work.recipe, out, work.options, marks, _must_be_same(work.recipe), topic)
    with _connected(address, patience_s) as client:
        _make(marks)
        try:
            with _heard(client, topic, work.progress):
                yield from _Handing(client, work, orders).all()
        finally:
            shutil.rmtree(marks, ignore_errors=True)


class _Handing:
    """Hands cases out, a few at a time, and takes them in as they end."""

    def __init__(self, client: Any, work: Work, orders: _Orders) -> None:
        self._client, self._work, self._orders = client, work, orders
        self._rounds = [0] * len(work.items)
        self._asked_at, self._room = -1e9, _LEAST_WAITING

    def all(self) -> Iterator[tuple[int, Case]]:
        from distributed import as_completed

        waiting = iter(range(len(self._work.items)))
        places: dict[str, int] = {}
        ended = as_completed(loop=self._client.loop)
        try:
            self._hand_out(waiting, places, ended)
            for future in ended:
                index = places.pop(future.key)
                case = self._case(index, future)
                if case is None:  # its worker was lost before the case was begun
                    ended.add(self._submitted(index, places))
                else:
                    yield index, case
                future.release()
                self._hand_out(waiting, places, ended)
        finally:
            if places:
                shutil.rmtree(self._orders.marks, ignore_errors=True)  # what runs stops before its next step
                self._client.cancel(list(ended.futures), force=True)

    def _hand_out(self, waiting: Iterator[int], places: dict[str, int], ended: Any) -> None:
        room = self._places()
        while len(places) < room and (index := next(waiting, None)) is not None:
            ended.add(self._submitted(index, places))

    def _submitted(self, index: int, places: dict[str, int]) -> Any:
        self._rounds[index] += 1
        key = f"{self._orders.marks.name}-{index}-{self._rounds[index]}"
        places[key] = index
        item = self._work.items[index]
        return self._client.submit(_on_worker, self._orders, item, key=key, pure=False, retries=0)

    def _places(self) -> int:
        """Return how many cases may lie with the scheduler: enough that none waits, and that a cluster may grow."""
        if time.monotonic() - self._asked_at > 5:
            threads = sum(self._client.nthreads().values())
            self._asked_at, self._room = time.monotonic(), max(_LEAST_WAITING, 2 * threads)
        return self._room

    def _case(self, index: int, future: Any) -> Case | None:
        from distributed import KilledWorker

        item = self._work.items[index]
        try:
            case: Case | None = future.result()
        except KilledWorker:
            case = None
            if _cut_off(_notes(self._orders.marks, item)) < MOST_STARTS and self._rounds[index] < _MOST_ROUNDS:
                return None
        except MedisegError:
            raise
        except Exception as error:  # noqa: BLE001 - the scheduler's and the connection's own; the case is to be redone
            _log().debug("lost", exc_info=error)
            return without_folder(self._work.recipe, item, self._work.out, MedisegError(_LOST))
        if case is None:
            return without_folder(self._work.recipe, item, self._work.out, MedisegError(_KILLED))
        return replace(case, folder=self._work.out / item.name)


def _on_worker(orders: _Orders, item: CaseInput) -> Case | None:
    """Do one case, on a worker; None for one that has ended its worker twice.

    What came of a case lies with its worker until it is fetched. If the next case ends that worker first, the innocent
    one is asked for again: what it has written is taken as it lies there.
    """
    with _ONE_AT_A_TIME:
        _check_place(orders)
        notes = _notes(orders.marks, item)
        if _cut_off(notes) >= MOST_STARTS:
            return None
        has_ended = _ENDED in notes
        options = replace(orders.options, resume=orders.options.resume or has_ended)
        tell = _teller(orders.topic) if orders.topic else None
        _note(orders.marks, item, _BEGUN)
        work = Work(orders.recipe, orders.out, options, progress=tell, cancel=_gone(orders.marks))
        case = attempt(work, item)
        _note(orders.marks, item, _SKIPPED if case.resumed else _ENDED)
        return without_values(replace(case, resumed=case.resumed and not has_ended))


def _check_place(orders: _Orders) -> None:
    """Raise UsageError where this worker is not what the results would claim, or does not see the folder."""
    from socket import gethostname

    if _must_be_same(orders.recipe) != orders.same:
        raise UsageError(
            f"the worker on {gethostname()} has another mediseg or other models than this computer; install the same"
        )
    if not orders.out.is_dir():
        raise UsageError(f"the worker on {gethostname()} does not see --out; choose a folder that all workers share")
    if not orders.marks.is_dir():
        raise Cancelled("the run was stopped")


def _must_be_same(recipe: Recipe) -> tuple[str, ...]:
    models = (model_record(step) for step in recipe.steps)
    return (version(), *(model.model_dump_json() for model in models if model is not None))


def _note(marks: Path, item: CaseInput, what: bytes) -> None:
    """Note that a case is begun or has ended; it is on the disk before anything else can go wrong."""
    try:
        with (marks / item.name).open("ab") as file:
            file.write(what)
    except FileNotFoundError as error:
        raise Cancelled("the run was stopped") from error
    except OSError as error:
        raise OutputError(f"cannot write into --out: {error.strerror}") from error


def _notes(marks: Path, item: CaseInput) -> bytes:
    try:
        return (marks / item.name).read_bytes()
    except FileNotFoundError:
        return b""


def _cut_off(notes: bytes) -> int:
    """Return how often a case was begun since it last came to its end: so often its worker died on it."""
    return len(notes) - len(notes.rstrip(_BEGUN))


def _gone(marks: Path) -> Callable[[], bool]:
    return lambda: not marks.exists()


def _teller(topic: str) -> ProgressCallback:
    from distributed import get_worker

    worker = get_worker()

    def tell(progress: Progress) -> None:
        worker.log_event(topic, (progress.case, progress.stage, progress.done, progress.total))

    return tell


def _make(marks: Path) -> None:
    try:
        marks.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"cannot write into {marks.parent.name}: {error.strerror}; choose another --out") from error


@contextmanager
def _connected(address: str, patience_s: float) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise UsageError('--executor dask needs Dask: pip install "mediseg[cluster]"') from error
    with _hushed():
        try:
            client = Client(address, timeout=patience_s, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise UsageError(f"no Dask scheduler answers at {address}; start one with: dask scheduler") from error
        try:
            yield client
        finally:
            client.close(timeout=patience_s)


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep Dask from telling of every lost connection and result; what matters comes out as a case's reason."""
    loggers = (_log(), logging.getLogger("distributed.client"))  # Dask's configuration gives the second its own level
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _log() -> logging.Logger:
    return logging.getLogger("distributed")


@contextmanager
def _heard(client: Any, topic: str, progress: ProgressCallback | None) -> Iterator[None]:
    """Pass on what workers tell of their cases."""
    if progress is None:
        yield
        return

    def told(event: tuple[float, Any]) -> None:
        case, stage, done, total = event[1]
        progress(Progress(str(case), str(stage), int(done), int(total)))

    client.subscribe_topic(topic, told)
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
