"""The audit log: one JSON object a line, what happened when; studies by key, callers by AE title, nobody by name."""

from __future__ import annotations

import json
import threading
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path


class Audit:
    """Appends to ``audit.jsonl`` in a folder; may be used by several threads."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "audit.jsonl"
        self._lock = threading.Lock()

    def note(self, event: str, **facts: str | float) -> None:
        """Write a line: the time (UTC), the event and facts that name nobody."""
        line = json.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "event": event, **facts})
        with self._lock, self._path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(line + "\n")

    def note_if_it_can(self, event: str, **facts: str | float) -> None:
        """Write a line unless the log's own disk is full: what is to be told of trouble must cause no more of it."""
        with suppress(OSError):
            self.note(event, **facts)
