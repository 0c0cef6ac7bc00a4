"""Many cases: wherever they run, one failing case never stops the others; an index over all at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mediseg.attempt import Executor, Work, in_this_process
from mediseg.casefile import RunOptions, check_models, version
from mediseg.errors import Exit, OutputError, exit_of
from mediseg.recipe import Recipe
from mediseg.runner import Case, ProgressCallback

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput
    from mediseg.report import IndexRow


@dataclass(frozen=True)
class Batch:
    """All cases in the order of the input, and the exit status of a command that ran them.

    There may be ten thousand: each is without its values and paths, and its record without what fills it (outputs,
    steps, measurements, parameters), which stands in its ``report.json``.
    """

    cases: tuple[Case, ...]
    exit_code: int


def run_batch(
    recipe: Recipe,
    items: Sequence[CaseInput],
    out: Path,
    options: RunOptions,
    *,
    workers: int = 1,
    executor: Executor | None = None,
    progress: ProgressCallback | None = None,
    finished: Callable[[Case], None] | None = None,
) -> Batch:
    """Run a recipe on every case and write index.html, index.csv and run.json into ``out``.

    With several workers each is a spawned process that keeps its models loaded; an executor (such as
    ``cluster.on_scheduler``) does the cases elsewhere instead. ``finished`` is called with the whole case as each ends.
    A KeyboardInterrupt leaves the finished cases and their index in place and is raised again.
    """
    from mediseg.report import index_row

    check_models(recipe)
    _make_folder(out)
    cases: dict[int, Case] = {}
    rows: dict[int, IndexRow] = {}
    chosen = executor or (in_this_process if workers == 1 or len(items) == 1 else _pool(workers))
    try:
        for index, case in chosen(Work(recipe, out, options, items, progress)):
            cases[index], rows[index] = _light(case), index_row(case.record)
            if finished is not None:
                finished(case)
    finally:
        ended = [cases[i] for i in sorted(cases)]
        try:
            _write_index(recipe, ended, list(rows.values()), out)
        except OutputError:
            if all(case.exit_code != Exit.UNWRITABLE for case in ended):  # else a case has said so already
                raise
    ordered = tuple(cases[i] for i in range(len(items)))
    return Batch(ordered, exit_of(case.exit_code for case in ordered))


def _pool(workers: int) -> Executor:
    from mediseg.workers import in_processes

    return partial(in_processes, count=workers)


_FILLING = {"input": (), "steps": (), "measurements": (), "outputs": (), "roi": None, "bias": None, "source": None}


def _light(case: Case) -> Case:
    """Return a case without what ten thousand of them have no room for."""
    recipe = case.record.recipe.model_copy(update={"parameters": {}})
    return replace(case, values={}, paths=(), record=case.record.model_copy(update={**_FILLING, "recipe": recipe}))


def _make_folder(out: Path) -> None:
    from mediseg.io.atomic import make_writable

    make_writable(out)
    has_index = (out / "index.html").exists() or (out / "index.csv").exists()
    if has_index and not (out / "run.json").is_file():
        raise OutputError(f"{out.name} holds an index that mediseg has not written; choose another folder with --out")


def _write_index(recipe: Recipe, cases: Sequence[Case], rows: Sequence[IndexRow], out: Path) -> None:
    from mediseg.io.atomic import write_bytes_atomically
    from mediseg.report import Index, index_csv, render_index

    index = Index([*rows, *_of_earlier_runs(out, {case.name for case in cases})])
    counts = {status: sum(case.status == status for case in cases) for status in ("done", "refused", "failed")}
    summary = {
        "schema_version": "1.0",
        "mediseg": version(),
        "recipe": {"name": recipe.name, "sha256": recipe.sha256, "parameters": recipe.parameters()},
        "counts": counts,
        "cases": [{"case": r.case, "status": r.status, "reason": r.reason} for r in (case.record for case in cases)],
    }
    # run.json first: it is what tells the next run that the index is mediseg's own, should the disk fill up here
    write_bytes_atomically(out / "run.json", (json.dumps(summary, indent=2, default=str) + "\n").encode())
    write_bytes_atomically(out / "index.html", render_index(index).encode())
    write_bytes_atomically(out / "index.csv", index_csv(index).encode())


def _of_earlier_runs(out: Path, present: Set[str]) -> list[IndexRow]:
    """Return the rows of the other complete cases in the folder, so that the index shows all that lies there."""
    from mediseg.record import CaseRecord
    from mediseg.report import index_row

    rows = []
    for path in sorted(out.glob("*/report.json")):
        if path.parent.name in present:
            continue
        try:
            rows.append(index_row(CaseRecord.from_json(path.read_bytes())))
        except (OSError, ValueError):  # not to be read, or not a report of this version: no row of ours
            continue
    return rows
