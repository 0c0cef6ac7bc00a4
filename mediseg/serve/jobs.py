"""Cases that were submitted: one at a time is worked on, by a thread; each can be cancelled between two steps."""

from __future__ import annotations

import queue
import secrets
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mediseg.errors import Cancelled, MedisegError
from mediseg.runner import Progress, run


@dataclass
class Job:
    """One submitted case: ``waiting > running > done | refused | failed | cancelled``."""

    id: str
    recipe: str
    source: Path
    out: Path
    state: str = "waiting"
    reason: str = ""
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


class Jobs:
    """All jobs of this process. Their files lie below ``folder`` and stay when the process ends; the list does not."""

    def __init__(self, folder: Path, threads: int) -> None:
        self._folder, self._threads = folder, threads
        self._jobs: dict[str, Job] = {}
        self._waiting: queue.Queue[Job | None] = queue.Queue()
        self._worker = threading.Thread(target=self._work, name="cases", daemon=True)
        self._worker.start()

    def new(self, recipe: str, suffix: str) -> Job:
        """Return a new job, not yet begun; its input is to be written to ``source``."""
        key = f"case-{secrets.token_hex(8)}"
        folder = self._folder / key
        (folder / "input").mkdir(parents=True)
        return Job(key, recipe, folder / "input" / f"{key}{suffix}", folder / "out")

    def begin(self, job: Job) -> None:
        """Queue a job whose input is whole."""
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
        job.cancelled.set()
        if job.state == "waiting":
            job.state = "cancelled"

    def close(self) -> None:
        """Cancel everything and wait for the worker."""
        for job in self._jobs.values():
            job.cancelled.set()
        self._waiting.put(None)
        self._worker.join()

    def _work(self) -> None:
        while (job := self._waiting.get()) is not None:
            if not job.cancelled.is_set():
                self._run(job)

    def _run(self, job: Job) -> None:
        from mediseg.casefile import RunOptions

        def told(progress: Progress) -> None:
            job.stage, job.done, job.total = progress.stage, progress.done, progress.total

        job.state = "running"
        options = RunOptions(threads=self._threads, deterministic_uids=True)
        try:
            case = run(job.recipe, job.source, job.out, options=options, progress=told, cancel=job.cancelled.is_set)
        except Cancelled:
            job.state = "cancelled"
            return
        except MedisegError as error:
            job.state, job.reason = "failed", str(error)
            return
        except Exception as error:  # noqa: BLE001 - a bug is this case's failure; its values could hold a name
            job.state, job.reason = "failed", f"a bug in mediseg ({type(error).__name__})"
            return
        job.case_folder, job.reason = case.folder, case.reason
        job.outputs = tuple(path.relative_to(case.folder).as_posix() for path in case.paths)
        job.measurements = tuple(one.model_dump(mode="json") for one in case.record.measurements)
        job.state = case.status
