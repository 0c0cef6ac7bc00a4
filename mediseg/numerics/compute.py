"""How much of the machine one case may use. Set once a case by the runner, read where work is handed to a library."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Compute:
    """Threads for one case, and the device networks run on: ``cpu``, ``cuda`` or ``auto``."""

    threads: int = 2
    device: str = "cpu"


COMPUTE: ContextVar[Compute] = ContextVar("COMPUTE", default=Compute())  # noqa: B039 - frozen
