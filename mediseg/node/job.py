"""One work in a process of its own: the rule that fits, its recipe run, what came of it. A crash there stops nobody."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mediseg.children import die_with_parent, starting
from mediseg.errors import MedisegError
from mediseg.node.config import NodeConfig, Rule

if TYPE_CHECKING:
    from mediseg.io.cases import CaseInput


@dataclass(frozen=True)
class Outcome:
    """How a work ended: done, refused, failed, ignored (no rule fits), killed, stopped with the node; and its files."""

    state: str
    reason: str = ""
    recipe: str = ""
    files: tuple[Path, ...] = field(default=())


def work_on(path: Path, out: Path, config: NodeConfig) -> Outcome:
    """Run the first rule that fits on what lies at ``path``, into ``out``. Never raises for what is wrong with it.

    What an earlier, cut off run has finished is not done again; UIDs of results depend on the input alone, so that a
    result that is sent twice is one object in the archive.
    """
    from mediseg.batch import run_batch
    from mediseg.casefile import RunOptions
    from mediseg.io.cases import find_cases
    from mediseg.recipe import load_recipe

    try:
        rule = fitting(find_cases([path]), config.rules)
        if rule is None:
            return Outcome("ignored", "no rule fits any of its series")
        recipe = load_recipe(rule.recipe, config.settings)
        items = find_cases([path], recipe.input)
        options = RunOptions(
            threads=config.threads, deterministic_uids=True, dicom_report=config.report == "pages",
            dicom_pdf=config.report == "pdf",
        )  # fmt: skip
        batch = run_batch(recipe, items, out, options)
    except MedisegError as error:
        return Outcome("failed", str(error.about(path)))
    states = [case.status for case in batch.cases]
    worst = next((state for state in ("failed", "refused") if state in states), "done")
    reasons = "; ".join(dict.fromkeys(case.reason for case in batch.cases if case.reason))
    done = [case for case in batch.cases if case.status == "done"]
    files = [one for case in done for one in sorted((case.folder / "dicom").glob("*.dcm"))]
    return Outcome(worst, reasons, recipe.name, tuple(files))


def fitting(items: tuple[CaseInput, ...], rules: tuple[Rule, ...]) -> Rule | None:
    """Return the first rule that fits a series of a case; a file that is not DICOM fits rules without patterns."""
    series = [one for item in items for one in _described(item)]
    return next((rule for rule in rules if any(rule.fits(one) for one in series)), None)


def _described(item: CaseInput) -> list[Mapping[str, str]]:
    if item.error is not None:
        raise item.error
    if item.study is None:
        return [{"modality": "", "description": "", "body_part": ""}]
    infos = [series.info for series in item.study.series]
    return [{"modality": i.modality, "description": i.description, "body_part": i.body_part} for i in infos]


def isolated(path: Path, out: Path, config: NodeConfig, stopped: Callable[[], bool]) -> Outcome:
    """Run ``work_on`` in a spawned process; state ``killed`` where that ends without an answer, or takes too long."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_in_process, args=(path, out, config, sender), daemon=True)
    with starting(deaf_to=(signal.SIGINT, signal.SIGTERM)):  # what ends a whole group ends the node, and that its job
        process.start()
    sender.close()
    try:
        return _awaited(process, receiver, config.case_minutes * 60.0, stopped)
    finally:
        if process.is_alive():
            process.kill()
        process.join()
        receiver.close()


def _awaited(process: Any, receiver: Any, seconds: float, stopped: Callable[[], bool]) -> Outcome:
    step_s, waited_s = 0.2, 0.0
    while not receiver.poll(step_s):
        waited_s += step_s
        if stopped():
            return Outcome("stopped", "the node was ended")
        if waited_s > seconds:
            return Outcome("failed", f"it took longer than {seconds / 60.0:g} minutes (case_minutes)")
        if not process.is_alive() and not receiver.poll(0):
            return Outcome("killed", "its process was killed (out of memory?)")
    try:
        outcome: Outcome = receiver.recv()
    except (EOFError, OSError):  # it has said nothing, or was killed while it spoke
        return Outcome("killed", "its process was killed (out of memory?)")
    return outcome


def _in_process(path: Path, out: Path, config: NodeConfig, sender: Any) -> None:
    die_with_parent()
    try:
        outcome = work_on(path, out, config)
    except Exception as error:  # noqa: BLE001 - a bug is this work's failure; its values could hold a name
        outcome = Outcome("failed", f"a bug in mediseg ({type(error).__name__}); run the study by hand with --debug")
    sender.send(outcome)
    sender.close()
