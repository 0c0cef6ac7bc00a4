"""A Dask scheduler and workers as processes of their own, for tests and benchmarks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.ports import kept_port


def started(arguments: list[str], folder: Path, name: str) -> subprocess.Popen[bytes]:
    """Start a module of Dask's; what it says is kept in a file."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with (folder / f"{name}.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", *arguments], stdout=log, stderr=log, cwd=folder, env=environment
        )  # fmt: skip


@contextmanager
def cluster(folder: Path, workers: int = 2, *more: str, nanny: bool = True) -> Iterator[str]:
    """Give the address of a scheduler on this machine with that many workers of one thread each; end them after."""
    folder.mkdir(parents=True, exist_ok=True)
    with kept_port() as port, _running(folder, port, workers, [*more, *([] if nanny else ["--no-nanny"])]) as address:
        yield address


@contextmanager
def _running(folder: Path, port: int, workers: int, more: list[str]) -> Iterator[str]:
    address = f"tcp://127.0.0.1:{port}"
    quiet = ["--no-dashboard", "--host", "127.0.0.1"]
    own = ["--nthreads", "1", "--memory-limit", "0", "--local-directory", str(folder)]
    processes = [started(["distributed.cli.dask_scheduler", *quiet, "--port", str(port)], folder, "scheduler")]
    for n in range(workers):
        processes.append(started(["distributed.cli.dask_worker", address, *quiet, *own, *more], folder, f"worker-{n}"))
    try:
        wait_for(address, workers)
        yield address
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=20)
            process.kill()
            process.wait()


def wait_for(address: str, workers: int) -> None:
    from distributed import Client

    deadline = time.monotonic() + 120
    while True:
        try:
            with Client(address, timeout=20, set_as_default=False) as client:
                client.wait_for_workers(workers, timeout=120)
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.3)
