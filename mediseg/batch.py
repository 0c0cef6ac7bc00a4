"""Many cases: worker processes, one failing case never stops the others, an index over all at the end."""

from __future__ import annotations

import json
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.casefile import RunOptions, check_models, version
from mediseg.errors import Cancelled, Exit, MedisegError, OutputError, UsageError, exit_of
from mediseg.recipe import Recipe
from mediseg.runner import CancelCheck, Case, Progress, ProgressCallback, run_case

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput
    from mediseg.record import CaseRecord


@dataclass(frozen=True)
class Batch:
    """All cases in the order of the input, and the exit status of a command that ran them."""

    cases: tuple[Case, ...]
    exit_code: int


def run_batch(
    recipe: Recipe,
    items: Sequence[CaseInput],
    out: Path,
    options: RunOptions,
    *,
    workers: int = 1,
    progress: ProgressCallback | None = None,
    finished: Callable[[Case], None] | None = None,
    cancel: CancelCheck | None = None,
) -> Batch:
    """Run a recipe on every case and write index.html, index.csv and run.json into ``out``.

    With several workers each is a spawned process that keeps its models loaded. ``finished`` is called as each case
    ends. A KeyboardInterrupt leaves the finished cases and their index in place and is raised again.
    """
    check_models(recipe)
    _make_folder(out)
    cases: dict[int, Case] = {}
    results = (
        _in_this_process(recipe, items, out, options, progress, cancel)
        if workers == 1 or len(items) == 1
        else _in_workers(recipe, items, out, options, min(workers, len(items)), progress)
    )
    try:
        for index, case in results:
            cases[index] = case
            if finished is not None:
                finished(case)
    finally:
        ended = [cases[i] for i in sorted(cases)]
        try:
            _write_index(recipe, ended, out)
        except OutputError:
            if all(case.exit_code != Exit.UNWRITABLE for case in ended):  # else a case has said so already
                raise
    ordered = tuple(cases[i] for i in range(len(items)))
    return Batch(ordered, exit_of(case.exit_code for case in ordered))


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        has_index = (out / "index.html").exists() or (out / "index.csv").exists()
    except OSError as error:
        raise OutputError(
            f"cannot make the output folder {out.name}: {error.strerror}; choose another with --out"
        ) from error
    if has_index and not (out / "run.json").is_file():
        raise OutputError(f"{out.name} holds an index that mediseg has not written; choose another folder with --out")


def _one(
    recipe: Recipe,
    item: CaseInput,
    out: Path,
    options: RunOptions,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Case:
    if item.error is not None:
        return _without_folder(recipe, item, out, item.error)
    try:
        return run_case(recipe, item, out, options, progress, cancel)
    except (UsageError, Cancelled):
        raise
    except MedisegError as error:
        return _without_folder(recipe, item, out, error)
    except Exception as error:  # noqa: BLE001 - one case's bug must not stop the others
        return _without_folder(recipe, item, out, _Bug(f"a bug in mediseg ({type(error).__name__}): {_where(error)}"))


class _Bug(MedisegError):
    exit_code = Exit.BUG


def _where(error: Exception) -> str:
    """Name the place in the code, never the message: its values could hold a name."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}; please report it"


def _without_folder(recipe: Recipe, item: CaseInput, out: Path, error: MedisegError) -> Case:
    """Return the failure of a case that could not be read, or whose folder could not be written."""
    from mediseg.record import CaseRecord, RecipeRecord

    record = CaseRecord(
        status="failed",
        reason=str(error),
        case=item.name,
        recipe=RecipeRecord(name=recipe.name, sha256=recipe.sha256),
        mediseg=version(),
    )
    return Case(item.name, "failed", str(error), out / item.name, record, exit_code=error.exit_code)


def _in_this_process(
    recipe: Recipe,
    items: Sequence[CaseInput],
    out: Path,
    options: RunOptions,
    progress: ProgressCallback | None,
    cancel: CancelCheck | None,
) -> Iterator[tuple[int, Case]]:
    for index, item in enumerate(items):
        yield index, _one(recipe, item, out, options, progress, cancel)


_QUEUE: Any = None


def _begin_worker(queue: Any) -> None:
    """Run once in each worker: progress goes to the parent through the queue."""
    global _QUEUE  # noqa: PLW0603 - a spawned worker has no other place to keep it
    _QUEUE = queue


def _in_worker(recipe: Recipe, item: CaseInput, out: Path, options: RunOptions) -> Case:
    # arrays stay in the worker: only the record travels back
    return replace(_one(recipe, item, out, options, _QUEUE.put, None), values={})


def _in_workers(
    recipe: Recipe,
    items: Sequence[CaseInput],
    out: Path,
    options: RunOptions,
    workers: int,
    progress: ProgressCallback | None,
) -> Iterator[tuple[int, Case]]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    listener = threading.Thread(target=_listen, args=(queue, progress), daemon=True)
    listener.start()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker, initargs=(queue,))
    try:
        with _deaf_children():
            futures = {pool.submit(_in_worker, recipe, item, out, options): i for i, item in enumerate(items)}
        for future in as_completed(futures):
            index = futures[future]
            yield index, _result(future, recipe, items[index], out)
    except (KeyboardInterrupt, Cancelled):
        for process in list((pool._processes or {}).values()):
            process.terminate()  # a case that is cut off has no report.json, so the next run does it again
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        queue.put(None)
        listener.join(timeout=5)


@contextmanager
def _deaf_children() -> Iterator[None]:
    """Let processes that are started here not hear a terminal's Ctrl-C: their parent ends them, without tracebacks."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited; here it is only put off
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _result(future: Future[Case], recipe: Recipe, item: CaseInput, out: Path) -> Case:
    try:
        return future.result()
    except BrokenProcessPool:
        error = MedisegError("its worker process was killed (out of memory?); run again with fewer --workers")
        return _without_folder(recipe, item, out, error)


def _listen(queue: Any, progress: ProgressCallback | None) -> None:
    while True:
        message: Progress | None = queue.get()
        if message is None:
            return
        if progress is not None:
            progress(message)


def _write_index(recipe: Recipe, cases: Sequence[Case], out: Path) -> None:
    from mediseg.io.atomic import write_bytes_atomically
    from mediseg.report import index_csv, render_index

    records = [case.record for case in cases]
    everything = [*records, *_of_earlier_runs(out, {case.name for case in cases})]
    counts = {status: sum(r.status == status for r in records) for status in ("done", "refused", "failed")}
    summary = {
        "schema_version": "1.0",
        "mediseg": version(),
        "recipe": {"name": recipe.name, "sha256": recipe.sha256, "parameters": recipe.parameters()},
        "counts": counts,
        "cases": [{"case": r.case, "status": r.status, "reason": r.reason} for r in records],
    }
    # run.json first: it is what tells the next run that the index is mediseg's own, should the disk fill up here
    write_bytes_atomically(out / "run.json", (json.dumps(summary, indent=2, default=str) + "\n").encode())
    write_bytes_atomically(out / "index.html", render_index(everything).encode())
    write_bytes_atomically(out / "index.csv", index_csv(everything).encode())


def _of_earlier_runs(out: Path, present: Set[str]) -> list[CaseRecord]:
    """Return the records of the other complete cases in the folder, so that the index shows all that lies there."""
    from mediseg.record import CaseRecord

    records = []
    for path in sorted(out.glob("*/report.json")):
        if path.parent.name in present:
            continue
        try:
            records.append(CaseRecord.from_json(path.read_bytes()))
        except ValueError:  # not a report of this version: no row of ours
            continue
    return records
