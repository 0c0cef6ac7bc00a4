"""How long a stage took, and how much memory the process held at its highest."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Wall-clock time and the process's highest resident memory, sampled every 20 ms by a thread."""

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self._begin = time.perf_counter()
        self._stop = threading.Event()
        self.peak_mb = self._resident_mb()
        self.seconds = 0.0
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _resident_mb(self) -> float:
        return float(self._process.memory_info().rss) / 1e6

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.peak_mb = max(self.peak_mb, self._resident_mb())

    def stop(self) -> None:
        """End the measurement (twice does no harm)."""
        if not self._stop.is_set():
            self.seconds = time.perf_counter() - self._begin
            self._stop.set()
            self._thread.join()
            self.peak_mb = max(self.peak_mb, self._resident_mb())


@contextmanager
def measured() -> Iterator[Meter]:
    """Measure what happens inside a ``with``."""
    meter = Meter()
    try:
        yield meter
    finally:
        meter.stop()
