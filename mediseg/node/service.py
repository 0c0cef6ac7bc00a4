"""The loop: what was received ripens, is worked on, its results are sent; expired objects are deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

from mediseg.node.audit import Audit
from mediseg.node.config import NodeConfig
from mediseg.node.job import Outcome, isolated
from mediseg.node.queue import Queue, Sending, Work
from mediseg.node.received import Received
from mediseg.node.send import send_all

Runner = Callable[[Path, Path, NodeConfig, Callable[[], bool]], Outcome]
_TICK_S = 0.5
_LONGEST_PAUSE_S = 60.0
_DAY_S = 86400.0


class Service:
    """Works on a queue until stopped: one thread works, one sends. ``runner`` does one work (a spawned process)."""

    def __init__(self, config: NodeConfig, queue: Queue, audit: Audit, runner: Runner = isolated) -> None:
        self.config, self.queue, self.audit = config, queue, audit
        self.received = Received(config.folder)
        self._runner = runner
        self._begun: Work | None = None  # taken, and not ended yet: what trouble keeps from its end is done again
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._loop, args=(step,), name=step.__name__) for step in (self.work, self.send)
        ]

    def start(self) -> None:
        """Take up what was cut off, and begin."""
        self.received.empty_bin()
        recovered = self.queue.recover(time.time())
        self.audit.note("started", recovered=recovered)
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after what is being sent; the work that is running is cut off and taken up at the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self.audit.note("stopped")

    def _loop(self, step: Callable[[], bool]) -> None:
        pause_s = _TICK_S
        while not self._stop.is_set():
            try:
                is_busy = step()
                pause_s = _TICK_S
            except Exception as error:  # noqa: BLE001 - a full disk or a bug stops no loop; it is told and tried again
                self.audit.note_if_it_can("trouble", where=step.__name__, kind=type(error).__name__)
                is_busy, pause_s = False, min(2 * pause_s, _LONGEST_PAUSE_S)
            if not is_busy:
                self._stop.wait(pause_s)

    def work(self) -> bool:
        """Do the next work, if there is one."""
        now = time.time()
        self.queue.ripen(now, self.config.quiet_seconds)
        self._expire(now)
        work = self._begun = self._begun or self.queue.take()
        if work is None:
            return False
        self.audit.note("begun", work=work.key, attempt=work.tries, objects=self.queue.objects(work.key))
        began = time.perf_counter()
        outcome = self._runner(work.path, self.results(work.key), self.config, self._stop.is_set)
        self._ended(work, outcome, time.perf_counter() - began)
        return True

    def results(self, key: str) -> Path:
        """The folder of a work's results."""
        return self.config.folder / "results" / key

    def _ended(self, work: Work, outcome: Outcome, seconds: float) -> None:
        now = time.time()
        if outcome.state == "stopped":
            self.queue.put_back(work, now)
        elif outcome.state == "killed":
            self.queue.interrupted(work, outcome.reason, now)
        else:
            sends = [(path, one.name) for one in self.config.destinations for path in outcome.files]
            self.queue.finish(work, outcome.state, outcome.reason, outcome.recipe, now, sends)
        self._begun = None
        self.audit.note("ended", work=work.key, state=outcome.state, seconds=round(seconds, 2))

    def send(self) -> bool:
        """Send what is due, a destination at a time."""
        is_busy = False
        for destination in self.config.destinations:
            due = self.queue.due(time.time(), destination.name)
            if due:
                send_all(self.config, destination, due, self._told)
                is_busy = True
        return is_busy

    def _told(self, sending: Sending, why: str, forever: bool) -> None:
        if why:
            self.queue.not_sent(sending, why, time.time(), forever=forever)
            self.audit.note("not_sent", work=sending.key, file=sending.path.name, to=sending.destination, why=why)
        else:
            self.queue.sent(sending)
            self.audit.note("sent", work=sending.key, file=sending.path.name, to=sending.destination)

    def _expire(self, now: float) -> None:
        """Delete received objects whose work ended long ago; results stay."""
        if self.config.keep_days <= 0:
            return
        before = now - self.config.keep_days * _DAY_S
        for work in self.queue.expired(before):
            if self.queue.expire(work, before, self.received.take_away):
                self.audit.note("expired", work=work.key)
            self.received.empty_bin()
