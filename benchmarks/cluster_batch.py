"""What a Dask cluster costs beside the work: a batch of cases that only sleep, against the time of the sleeping alone.

    python benchmarks/cluster_batch.py [--cases 10000] [--workers 4] [--sleep 0.2]

Scheduler, workers and client are processes of their own on this machine. Everything else is as in `mediseg run`: cases
are handed out, counted on the disk, records travel back, the index is written (timed apart). Overhead per case is what
the wall time exceeds the ideal by, times the workers, over the cases.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

import psutil

from mediseg.attempt import Work
from mediseg.batch import run_batch
from mediseg.casefile import RunOptions
from mediseg.cluster import on_scheduler
from mediseg.io.cases import CaseInput
from mediseg.recipe import load_recipe
from tests.dask_cluster import cluster


def cpu_s() -> float:
    """Processor time of this process and all that it has started: what other programs on the machine do not change."""
    me = psutil.Process()
    times = [one.cpu_times() for one in (me, *me.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--sleep", type=float, default=0.2)
    given = parser.parse_args()
    os.environ["MEDISEG_STUB_SECONDS"] = str(given.sleep)
    stub = Path(__file__).with_name("stub_worker.py").resolve()
    items = [CaseInput(f"case-{n}", (Path(f"/nowhere/{n}.nii"),), "nifti") for n in range(given.cases)]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        with cluster(Path(folder) / "dask", given.workers, "--preload", str(stub)) as address:
            ended = []

            def timed(work: Work):
                for one in on_scheduler(address)(work):
                    ended.append(time.perf_counter())
                    if len(ended) % 500 == 0:
                        print(f"{len(ended)} after {ended[-1] - begin:.1f} s", flush=True)
                    yield one
                spent.append(cpu_s() - spent[0])

            begin, spent = time.perf_counter(), [cpu_s()]
            batch = run_batch(load_recipe("bias"), items, out, RunOptions(), executor=timed)
            total = time.perf_counter() - begin
        assert batch.exit_code == 0
        wall, ideal = ended[-1] - begin, given.cases * given.sleep / given.workers
        more_ms = (wall - ideal) / given.cases * 1000
        print(f"{given.cases} cases of {given.sleep} s on {given.workers} workers: {wall:.1f} s, ideal {ideal:.1f} s")
        print(f"first case after {ended[0] - begin:.1f} s (connecting, importing)")
        print(f"overhead per case: {more_ms:.1f} ms of the clock, {more_ms * given.workers:.1f} ms of a worker")
        print(
            f"processor time of client, scheduler and workers together: {spent[1] / given.cases * 1000:.1f} ms a case"
        )
        size = (out / "index.html").stat().st_size / 1e6
        print(f"index and run.json: {total - wall:.1f} s more; index.html {size:.2f} MB")


if __name__ == "__main__":
    main()
