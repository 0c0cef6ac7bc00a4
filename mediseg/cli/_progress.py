"""What a person sees while cases run: a bar on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mediseg.runner import Case, Progress

_WORDS = {
    "read": "reading",
    "correct_bias": "correcting the bias field",
    "extract_brain": "extracting the brain",
    "find_midsagittal": "finding the mid-sagittal plane",
    "segment_callosum": "segmenting the corpus callosum",
    "measure_callosum": "measuring",
    "localize_roi": "laying the ROI",
    "plan_scan": "planning slices",
    "stitch_stations": "stitching the stations",
    "write": "writing results",
}


def counted(number: int, noun: str) -> str:
    """Return ``1 warning`` or ``2 warnings``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.start()
    return bar


class WithBar:
    """A context manager that ends the bar that it has begun, if it has."""

    _bar: Any = None

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


class Counter(WithBar):
    """Shows how many of many like things are done: a bar on a terminal, a line a tenth elsewhere."""

    def __init__(self, total: int, noun: str, *, quiet: bool) -> None:
        self._total, self._noun, self._quiet = total, noun, quiet
        self._done = 0
        self._task: Any = None

    def __enter__(self) -> Counter:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
            self._task = self._bar.add_task(f"{self._noun}s", total=self._total)
        return self

    def one(self, problem: str = "") -> None:
        """One more is done; a problem with it is said in a line of its own, also where quiet."""
        before, self._done = self._done, self._done + 1
        if problem:
            click.echo(f"mediseg: {problem}", err=True)
        if self._bar is not None:
            self._bar.advance(self._task)
        elif not self._quiet and self._done * 10 // self._total > before * 10 // self._total:
            click.echo(f"{self._done} of {counted(self._total, self._noun)}", err=True)


class Display(WithBar):
    """Shows which case is at which stage and how much remains."""

    def __init__(self, cases: int, *, quiet: bool) -> None:
        self._cases, self._quiet = cases, quiet
        self._tasks: dict[str, Any] = {}
        self._lock = threading.Lock()

    def __enter__(self) -> Display:
        if not self._quiet and sys.stderr.isatty():
            self._bar = _bar()
            if self._cases > 1:
                self._tasks[""] = self._bar.add_task("cases", total=self._cases)
        return self

    def stage(self, progress: Progress) -> None:
        """A case has begun a stage."""
        words = _WORDS.get(progress.stage, progress.stage)
        with self._lock:
            if self._bar is not None:
                if progress.case not in self._tasks:
                    self._tasks[progress.case] = self._bar.add_task(progress.case, total=progress.total)
                text = f"{progress.case}: {words}"
                self._bar.update(self._tasks[progress.case], description=text, completed=progress.done)
            elif not self._quiet:
                click.echo(f"{progress.case}: {words} ({progress.done + 1}/{progress.total})", err=True)

    def case(self, case: Case) -> None:
        """A case has ended."""
        with self._lock:
            if self._bar is not None:
                if case.name in self._tasks:
                    self._bar.remove_task(self._tasks.pop(case.name))
                if "" in self._tasks:
                    self._bar.advance(self._tasks[""])
        if case.status != "done":
            click.echo(f"mediseg: {case.name}: {case.status}: {' '.join(case.reason.split())}", err=True)
        elif not self._quiet:
            already = " (already)" if case.resumed else ""
            warned = f", {counted(len(case.record.warnings), 'warning')}" if case.record.warnings else ""
            click.echo(f"{case.name}: done{already}{warned}", err=True)
