"""One case of a batch, tried: whatever is wrong with it becomes its outcome, so that the other cases go on."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from mediseg.casefile import RunOptions, version
from mediseg.errors import Cancelled, Exit, MedisegError, UsageError
from mediseg.recipe import Recipe
from mediseg.runner import CancelCheck, Case, ProgressCallback, run_case

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput


@dataclass(frozen=True)
class Work:
    """A recipe to be run on cases, into a folder, and who hears of it; no cases where they come one by one."""

    recipe: Recipe
    out: Path
    options: RunOptions
    items: Sequence[CaseInput] = ()
    progress: ProgressCallback | None = None
    cancel: CancelCheck | None = None


#: Does the work somewhere: gives each case with its place among the items, as they end, each exactly once.
Executor = Callable[[Work], Iterator[tuple[int, Case]]]


def attempt(work: Work, item: CaseInput) -> Case:
    """Run one case. Raises only what concerns all cases: UsageError (a missing model) and Cancelled."""
    if item.error is not None:
        return without_folder(work.recipe, item, work.out, item.error)
    try:
        return run_case(work.recipe, item, work.out, work.options, work.progress, work.cancel)
    except (UsageError, Cancelled):
        raise
    except MedisegError as error:
        return without_folder(work.recipe, item, work.out, error)
    except Exception as error:  # noqa: BLE001 - one case's bug must not stop the others
        bug = _Bug(f"a bug in mediseg ({type(error).__name__}): {_where(error)}")
        return without_folder(work.recipe, item, work.out, bug)


class _Bug(MedisegError):
    exit_code = Exit.BUG


def _where(error: Exception) -> str:
    """Name the place in the code, never the message: its values could hold a name."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno}, in {frame.name}; please report it"


def without_folder(recipe: Recipe, item: CaseInput, out: Path, error: MedisegError) -> Case:
    """Return the failure of a case that could not be read, whose folder could not be written, or whose worker died."""
    from mediseg.record import CaseRecord, RecipeRecord

    record = CaseRecord(
        status="failed",
        reason=str(error),
        case=item.name,
        recipe=RecipeRecord(name=recipe.name, sha256=recipe.sha256),
        mediseg=version(),
    )
    return Case(item.name, "failed", str(error), out / item.name, record, exit_code=error.exit_code)


def without_values(case: Case) -> Case:
    """Return a case as it travels back from another process: arrays stay there."""
    return replace(case, values={})


def in_this_process(work: Work) -> Iterator[tuple[int, Case]]:
    """Do one case after the other, here."""
    for index, item in enumerate(work.items):
        yield index, attempt(work, item)
