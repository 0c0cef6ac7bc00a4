"""A recipe's run as a job: started in a child process, told about, cancelled. No Qt in here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import mediseg
from mediseg import Cancelled, InputError, MedisegError, OutputError, Refusal, RotatedROI, UsageError, Volume

_KINDS: dict[str, type[MedisegError]] = {
    kind.__name__: kind for kind in (UsageError, InputError, Refusal, OutputError, Cancelled)
}
_GRACE_SECONDS = 2.0


@dataclass(frozen=True)
class Request:
    """What to run: a recipe, on a study or file, into a folder, with ``{"step.param": value}``."""

    recipe: str
    path: Path
    out: Path
    settings: Mapping[str, object] = field(default_factory=dict)
    threads: int = 2


@dataclass(frozen=True)
class Stage:
    """Where a run stands: ``done`` of ``total`` stages are finished, ``name`` has begun."""

    name: str
    done: int
    total: int


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``done`` or ``refused`` (with its reason), and the case's folder."""

    folder: Path
    status: str
    reason: str
    resumed: bool


class Job:
    """One run. ``stages()`` blocks and belongs in a thread; ``cancel()`` may be called from anywhere."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.outcome: Outcome | None = None
        self._cancelled = threading.Event()
        self._process: subprocess.Popen[str] | None = None

    @property
    def is_cancelled(self) -> bool:
        """True once somebody has asked for an end."""
        return self._cancelled.is_set()

    def stages(self) -> Iterator[Stage]:
        """Run, telling each stage; ``outcome`` is set at the end. Raises mediseg's errors, Cancelled among them."""
        process = self._started()
        assert process.stdout is not None
        error: dict[str, str] | None = None
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "progress" in message:
                    name, done, total = message["progress"]
                    yield Stage(str(name), int(done), int(total))
                elif "done" in message:
                    told = message["done"]
                    self.outcome = Outcome(Path(told["folder"]), told["status"], told["reason"], told["resumed"])
                else:
                    error = message["error"]
        finally:
            self._ended(process)
        if self.outcome is not None:
            return
        if self.is_cancelled:
            raise Cancelled("stopped; finished cases stay, the next run resumes")
        if error is None:
            raise MedisegError("the run ended without a word (out of memory?); try again with fewer threads")
        raise _KINDS.get(error["kind"], MedisegError)(error["message"])

    def cancel(self) -> None:
        """Ask the run to stop at the next stage, and end its process if that takes longer than two seconds."""
        self._cancelled.set()
        process = self._process
        if process is None or process.poll() is not None:
            return
        try:
            assert process.stdin is not None
            process.stdin.write("cancel\n")
            process.stdin.flush()
        except (OSError, ValueError):  # ValueError: closed
            return  # it has just ended by itself
        timer = threading.Timer(_GRACE_SECONDS, _end, args=(process,))
        timer.daemon = True
        timer.start()

    def _started(self) -> subprocess.Popen[str]:
        if self.is_cancelled:
            raise Cancelled("stopped before it began")
        asked = {
            "recipe": self.request.recipe,
            "path": str(self.request.path),
            "out": str(self.request.out),
            "settings": dict(self.request.settings),
            "threads": self.request.threads,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "napari_mediseg.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONIOENCODING": "utf-8"},
            creationflags=getattr(subprocess, "BELOW_NORMAL_PRIORITY_CLASS", 0),  # Windows; elsewhere the child is nice
        )
        self._process = process
        assert process.stdin is not None
        with suppress(OSError):  # it has ended at once: without a word
            process.stdin.write(json.dumps(asked) + "\n")
            process.stdin.flush()
        if self.is_cancelled:  # while the process was being made, which could not be told yet
            self.cancel()
        return process

    def _ended(self, process: subprocess.Popen[str]) -> None:
        if process.poll() is None and self.outcome is None:
            _end(process)
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):  # what it was to be told, had it not ended
                    stream.close()
        process.wait()


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.kill()


class Prepared:
    """The input of a job on disk: where it lies, or a copy of what only napari holds, thrown away afterwards."""

    def __init__(self) -> None:
        self._folder: Path | None = None

    def volumes(self, volumes: Sequence[tuple[str, Volume]], *, together: bool) -> Path:
        """Write volumes as NIfTI and return the file, or the folder of several that belong together."""
        folder = self._fresh()
        paths = [Path(mediseg.write(volume, folder / f"{_safe(name)}.nii")) for name, volume in volumes]
        return folder if together else paths[0]

    def series(self, study_path: Path, number: str) -> Path:
        """Copy one series of a study, to be run on alone, and return its folder. Raises UsageError."""
        from mediseg.io import copy_series

        every = mediseg.open_study(study_path).series
        found = [series for series in every if series.stacks and str(series.info.number) == number]
        if len(found) != 1:
            many = len(found) or "no"
            raise UsageError(f"the study has {many} series of number {number}; copy the one you mean into a folder")
        return copy_series(found[0], self._fresh() / _safe(f"{study_path.name.split('.')[0]}-series-{number}"))

    def settings(self, settings: Mapping[str, object]) -> dict[str, object]:
        """Return settings as they can be sent: an ROI becomes the path of its roi.json."""
        sent = dict(settings)
        for n, (key, value) in enumerate(settings.items()):
            if isinstance(value, RotatedROI):
                sent[key] = str(mediseg.write(value, self._fresh() / f"roi{n}" / "roi.json"))
        return sent

    def discard(self) -> None:
        """Take the copies away."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def _fresh(self) -> Path:
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="napari-mediseg-"))
        return self._folder


def _safe(name: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in name).strip("-") or "image"
