"""Cases that were submitted: one at a time is worked on, by a thread; each can be cancelled between two steps.

What is known of a case lies in its folder (``job.json``), so that the list survives the service's end, however it ends.
"""

from __future__ import annotations

import json
import queue
import re
import secrets
import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mediseg.errors import Cancelled, MedisegError
from mediseg.io.atomic import write_text_atomically
from mediseg.runner import Progress, run

_ID = re.compile(r"case-[0-9a-f]{16}")
_OPEN = ("waiting", "running")


@dataclass
class Job:
    """One submitted case: ``waiting > running > done | refused | failed | cancelled``; submitted in s since 1970."""

    id: str
    recipe: str
    source: Path
    out: Path
    state: str = "waiting"
    reason: str = ""
    submitted: float = 0.0
    stage: str = ""
    done: int = 0
    total: int = 0
    case_folder: Path | None = None
    outputs: tuple[str, ...] = ()
    measurements: tuple[dict[str, Any], ...] = ()
    cancelled: threading.Event = field(default_factory=threading.Event)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        return {
            "id": self.id, "recipe": self.recipe, "state": self.state, "reason": self.reason,
            "progress": {"stage": self.stage, "done": self.done, "total": self.total},
            "outputs": list(self.outputs), "measurements": list(self.measurements),
        }  # fmt: skip

    def file(self, name: str) -> Path | None:
        """Return an output by the name that ``outputs`` gives it, and nothing else; None for any other name."""
        if self.case_folder is None or name not in self.outputs:
            return None
        return self.case_folder / name

    def keep(self) -> None:
        """Write what is known into the case's folder. Raises OutputError."""
        kept = self.to_dict() | {"submitted": self.submitted, "source": self.source.name}
        kept["folder"] = self.case_folder.name if self.case_folder else None
        write_text_atomically(self.out.parent / "job.json", json.dumps(kept))

    @classmethod
    def kept(cls, folder: Path) -> Job:
        """Return the job that lies in a folder. Raises OSError, ValueError, KeyError, TypeError where it is damaged."""
        known = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        source, out = folder / "input" / Path(known["source"]).name, folder / "out"
        made = cls(
            folder.name, known["recipe"], source, out, known["state"], known["reason"], float(known["submitted"])
        )
        made.stage, made.done, made.total = (known["progress"][name] for name in ("stage", "done", "total"))
        made.case_folder = out / Path(known["folder"]).name if known["folder"] else None
        made.outputs, made.measurements = tuple(known["outputs"]), tuple(known["measurements"])
        return made


class Jobs:
    """All jobs below ``folder``: those of earlier processes, and new ones. What had not ended is begun again."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder, self._threads = folder, threads
        self._closing = threading.Event()
        self._deciding = threading.Lock()  # whether a case that waits is begun or cancelled
        self._jobs = {job.id: job for job in _kept_in(folder)}
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        for job in self._jobs.values():
            if job.state in _OPEN:
                job.state = "waiting"
                self._waiting.put(job)
        self._worker = threading.Thread(target=self._work, name="cases", daemon=True)
        self._worker.start()

    def new(self, recipe: str, suffix: str) -> Job:
        """Return a new job, not yet begun; its input is to be written to ``source``."""
        key = f"case-{secrets.token_hex(8)}"
        folder = self._folder / key
        (folder / "input").mkdir(parents=True)
        return Job(key, recipe, folder / "input" / f"{key}{suffix}", folder / "out", submitted=time.time())

    def begin(self, job: Job) -> None:
        """Queue a job whose input is whole: from now on it is known, also after a restart. Raises OutputError."""
        job.keep()
        self._jobs[job.id] = job
        self._waiting.put(job)

    def get(self, key: str) -> Job | None:
        """Return a job by its id."""
        return self._jobs.get(key)

    def all(self) -> list[Job]:
        """Return all jobs, newest first."""
        return list(reversed(self._jobs.values()))

    def cancel(self, job: Job) -> None:
        """Cancel a job that has not ended: at once where it waits, before its next step where it runs."""
        with self._deciding:
            job.cancelled.set()
            if job.state != "waiting":
                return
            job.state = "cancelled"
        job.keep()

    def close(self) -> None:
        """Cut off what runs, to be begun again by the next process, and wait for the worker."""
        self._closing.set()
        self._waiting.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None and not self._closing.is_set():
            with self._deciding:
                if job.cancelled.is_set():
                    continue
                job.state = "running"
            self._ended(job)

    def _ended(self, job: Job) -> None:
        try:
            self._run(job)
            job.keep()
        except MedisegError as error:  # its folder cannot be written: told, and as it was after a restart
            job.reason, job.state = str(error), "failed"

    def _run(self, job: Job) -> None:
        from mediseg.casefile import RunOptions

        def told(progress: Progress) -> None:
            job.stage, job.done, job.total = progress.stage, progress.done, progress.total

        def is_cut_off() -> bool:
            return job.cancelled.is_set() or self._closing.is_set()

        options = RunOptions(threads=self._threads, deterministic_uids=True)
        try:
            case = run(job.recipe, job.source, job.out, options=options, progress=told, cancel=is_cut_off)
        except Cancelled:
            job.state = "cancelled" if job.cancelled.is_set() else "waiting"
            return
        except MedisegError as error:
            job.reason, job.state = str(error), "failed"  # the state last: who asks meanwhile is told all or nothing
            return
        except Exception as error:  # noqa: BLE001 - a bug is this case's failure; its values could hold a name
            job.reason, job.state = f"a bug in mediseg ({type(error).__name__})", "failed"
            return
        job.case_folder, job.reason = case.folder, case.reason
        job.outputs = tuple(path.relative_to(case.folder).as_posix() for path in case.paths)
        job.measurements = tuple(one.model_dump(mode="json") for one in case.record.measurements)
        job.state = case.status


def _kept_in(folder: Path) -> list[Job]:
    """Return the jobs of earlier processes, oldest first; an input that was never whole is deleted."""
    found = []
    for one in sorted(folder.glob("case-*")):
        if not _ID.fullmatch(one.name):
            continue
        if not (one / "job.json").exists() and [inner.name for inner in one.iterdir()] == ["input"]:
            shutil.rmtree(one, ignore_errors=True)
            continue
        try:
            found.append(Job.kept(one))
        except (OSError, ValueError, KeyError, TypeError):
            found.append(
                Job(one.name, "", one, one, "failed", "what was known of it cannot be read", one.stat().st_mtime)
            )
    return sorted(found, key=lambda job: job.submitted)
