"""A folder that workstations export into: what has lain there unchanged for long enough goes into the queue."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from mediseg.node.queue import Queue

_PARTIAL = (".part", ".partial", ".tmp", ".crdownload")


def look(folder: Path, queue: Queue, now: float) -> int:
    """Note every study or file right below ``folder``; return how many are new or changed.

    Each entry is one work. Its stamp is every file's path, size and time: while it changes, the work is receiving.
    """
    changed = 0
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith(".") or entry.name.lower().endswith(_PARTIAL):
            continue
        stamp = _stamp(entry)
        if stamp is not None:
            changed += queue.received(entry_key(entry), entry, "stamp", stamp, now)
    return changed


def entry_key(entry: Path) -> str:
    """Return the name of an entry in the queue: of the path's digest, as file names name people."""
    return f"entry-{hashlib.sha256(os.fsencode(entry.name)).hexdigest()[:16]}"


def _stamp(entry: Path) -> str | None:
    total, is_empty = hashlib.sha256(), True
    for path in _files(entry):
        try:
            facts = path.stat()
        except OSError:  # taken away while we look: the next look sees it
            continue
        is_empty = False
        total.update(f"{path}|{facts.st_size}|{facts.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return None if is_empty else total.hexdigest()


def _files(entry: Path) -> Iterator[Path]:
    if entry.is_file():
        yield entry
        return
    for root, folders, names in os.walk(entry):
        folders.sort()
        yield from (Path(root, name) for name in sorted(names))
