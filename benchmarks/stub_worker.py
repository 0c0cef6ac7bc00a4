"""A Dask worker's preload for benchmarks/cluster_batch.py: a case sleeps instead of being worked on."""

from __future__ import annotations

import os
import time
from typing import Any

from mediseg import cluster
from mediseg.record import CaseRecord, MeasurementRecord, RecipeRecord, StepRecord
from mediseg.runner import Case

SLEEP_S = float(os.environ.get("MEDISEG_STUB_SECONDS", "0.05"))


def stub(recipe: Any, item: Any, out: Any, options: Any, progress: Any = None, cancel: Any = None) -> Case:
    """Return a case like a real one, with 38 measurements, after a sleep."""
    time.sleep(SLEEP_S)
    number = int(item.name.rpartition("-")[2])
    measured = [
        MeasurementRecord(name=f"area_{n}", value=100.0 + (number * (n + 3)) % 97, unit="mm2", method="made up")
        for n in range(38)
    ]
    record = CaseRecord(
        status="done", case=item.name, recipe=RecipeRecord(name=recipe.name), mediseg="stub",
        measurements=measured, steps=[StepRecord(name="stub", seconds=SLEEP_S)],
    )  # fmt: skip
    return Case(item.name, "done", "", out / item.name, record)


cluster.attempt = stub
