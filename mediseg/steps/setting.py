"""What stands beside a setting's type in a signature: ``size_mm: Annotated[float, Setting("...", 0, 10)] = 1``."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting does, in a sentence, with its bounds (inclusive) or its choices."""

    doc: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
