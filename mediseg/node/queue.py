"""The queue: what was received, what is to be done and sent. SQLite in WAL mode; every change is on the disk.

A work goes ``receiving > queued > running > done | refused | failed | ignored``. New objects of a study send it back to
``receiving``; the same objects once more change nothing.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mediseg.errors import OutputError, UsageError

MOST_TRIES = 2  # a work that kills its worker so often is set aside
MOST_SENDS = 30
_FIRST_WAIT_S, _LONGEST_WAIT_S = 10.0, 3600.0
ENDED = ("done", "refused", "failed", "ignored")
_TABLES = """
CREATE TABLE IF NOT EXISTS work (
  key TEXT PRIMARY KEY, path TEXT NOT NULL, state TEXT NOT NULL, changed REAL NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0, more INTEGER NOT NULL DEFAULT 0,
  recipe TEXT NOT NULL DEFAULT '', reason TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS object (
  key TEXT NOT NULL, name TEXT NOT NULL, sha256 TEXT NOT NULL, PRIMARY KEY (key, name));
CREATE TABLE IF NOT EXISTS sending (
  id INTEGER PRIMARY KEY, key TEXT NOT NULL, path TEXT NOT NULL, destination TEXT NOT NULL,
  state TEXT NOT NULL DEFAULT 'waiting', tries INTEGER NOT NULL DEFAULT 0, next_try REAL NOT NULL DEFAULT 0,
  reason TEXT NOT NULL DEFAULT '', UNIQUE (key, path, destination));
CREATE INDEX IF NOT EXISTS work_by_state ON work (state, changed);
CREATE INDEX IF NOT EXISTS sending_by_state ON sending (state, destination, next_try);
"""
_ENTRY = """
SELECT key, path, state, tries, recipe, reason, changed,
  (SELECT count(*) FROM object o WHERE o.key=work.key),
  (SELECT count(*) FROM sending s WHERE s.key=work.key AND s.state='sent'),
  (SELECT count(*) FROM sending s WHERE s.key=work.key AND s.state='waiting'),
  (SELECT count(*) FROM sending s WHERE s.key=work.key AND s.state='failed'),
  (SELECT reason FROM sending s WHERE s.key=work.key AND s.reason!='' ORDER BY id DESC LIMIT 1)
FROM work """


@dataclass(frozen=True)
class Work:
    """One study or one path, and how far it is."""

    key: str
    path: Path
    state: str
    tries: int
    recipe: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Sending:
    """One file that is to go to one destination."""

    id: int
    key: str
    path: Path
    destination: str
    tries: int


#: Told of each file: the sending, why it was not taken ("" if it was), and whether trying again is of no use.
Told = Callable[[Sending, str, bool], None]


@dataclass(frozen=True)
class Entry:
    """A work as a person looks at it: since when it is so (s since 1970), objects, files sent, to send, given up."""

    work: Work
    changed: float
    objects: int
    sent: int
    to_send: int
    not_sent: int
    trouble: str


class Queue:
    """Opens (or makes) the queue in a folder; may be used by several threads of one process."""

    def __init__(self, folder: Path) -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = threading.Lock()
            self._base = sqlite3.connect(folder / "queue.sqlite", check_same_thread=False, timeout=30)
            self._base.execute("PRAGMA journal_mode=WAL")
            self._base.execute("PRAGMA synchronous=FULL")
            self._base.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise OutputError(f"the queue in {folder.name} cannot be opened: {error}") from error

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._base.close()

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._lock, self._base:  # committed at the end, taken back after an error
            yield self._base

    def received(self, key: str, path: Path, name: str, sha256: str, now: float) -> bool:
        """Note an object that lies on the disk; False for one that was there already, unchanged."""
        with self._change() as base:
            known = base.execute("SELECT sha256 FROM object WHERE key=? AND name=?", (key, name)).fetchone()
            if known is not None and known[0] == sha256:
                return False
            base.execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?)", (key, name, sha256))
            self._touch(base, key, path, now)
            return True

    @staticmethod
    def _touch(base: sqlite3.Connection, key: str, path: Path, now: float) -> None:
        base.execute(
            "INSERT INTO work (key, path, state, changed) VALUES (?, ?, 'receiving', ?) ON CONFLICT (key) DO UPDATE "
            "SET more = (state = 'running'), tries = CASE state WHEN 'running' THEN tries ELSE 0 END, "
            "changed = excluded.changed, state = CASE state WHEN 'running' THEN 'running' ELSE 'receiving' END",
            (key, str(path), now),
        )

    def objects(self, key: str) -> int:
        """How many objects of a study are here."""
        with self._change() as base:
            return int(base.execute("SELECT count(*) FROM object WHERE key=?", (key,)).fetchone()[0])

    def ripen(self, now: float, quiet_seconds: float) -> int:
        """Queue every study of which nothing came for so long; return how many."""
        with self._change() as base:
            return base.execute(
                "UPDATE work SET state='queued' WHERE state='receiving' AND changed<=?", (now - quiet_seconds,)
            ).rowcount

    def complete(self, key: str) -> bool:
        """Take a study as complete now, not after its quiet time; False for one that is not in the queue.

        One that runs while more of it came begins again as soon as that run ends. Any other is complete already.
        """
        with self._change() as base:
            base.execute("UPDATE work SET state='queued' WHERE key=? AND state='receiving'", (key,))
            base.execute("UPDATE work SET more=2 WHERE key=? AND state='running' AND more=1", (key,))
            return base.execute("SELECT 1 FROM work WHERE key=?", (key,)).fetchone() is not None

    def take(self) -> Work | None:
        """Return the oldest queued work as running, its try counted before it begins; None where there is none."""
        with self._change() as base:  # not in one statement with RETURNING: RHEL 8's SQLite is older than that
            row = base.execute(
                "SELECT key, path, 'running', tries+1, recipe, reason FROM work WHERE state='queued' "
                "ORDER BY changed LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            base.execute(
                "UPDATE work SET state='running', tries=tries+1, more=0 WHERE key=? AND state='queued'", (row[0],)
            )
        return _work(row)

    def finish(
        self, work: Work, state: str, reason: str, recipe: str, now: float, sends: Iterable[tuple[Path, str]] = ()
    ) -> None:
        """End a running work and note what is to be sent, in one change.

        One that got more objects meanwhile begins again, and what it gave is not sent: the study was not whole.
        """
        with self._change() as base:
            (more,) = base.execute("SELECT more FROM work WHERE key=?", (work.key,)).fetchone() or (0,)
            base.execute(
                "UPDATE work SET state=CASE more WHEN 1 THEN 'receiving' WHEN 2 THEN 'queued' ELSE ? END, "
                "tries=CASE more WHEN 0 THEN tries ELSE 0 END, more=0, reason=?, recipe=?, changed=? WHERE key=?",
                (state, reason, recipe, now, work.key),
            )
            base.executemany(
                "INSERT INTO sending (key, path, destination) VALUES (?, ?, ?) ON CONFLICT (key, path, destination) DO "
                "UPDATE SET state='waiting', tries=0, next_try=0, reason=''",
                [(work.key, str(path), destination) for path, destination in (() if more else sends)],
            )

    def interrupted(self, work: Work, reason: str, now: float) -> None:
        """A running work's worker was killed: once more, or set aside where that was the last try.

        One that got more objects meanwhile is another work now, with all its tries.
        """
        state = "queued" if work.tries < MOST_TRIES else "failed"
        with self._change() as base:
            base.execute(
                "UPDATE work SET state=CASE more WHEN 1 THEN 'receiving' WHEN 2 THEN 'queued' ELSE ? END, "
                "tries=CASE more WHEN 0 THEN tries ELSE 0 END, more=0, reason=?, changed=? WHERE key=? "
                "AND state='running'",
                (state, reason, now, work.key),
            )

    def put_back(self, work: Work, now: float) -> None:
        """Queue a running work again that was cut off by the node's own end: no try of its is used up."""
        with self._change() as base:
            base.execute(
                "UPDATE work SET state='queued', tries=max(0, tries-1), changed=? WHERE key=? AND state='running'",
                (now, work.key),
            )

    def recover(self, now: float) -> int:
        """Take up what was running when the process ended; return how many.

        The quiet time of what was being received begins anew: while nobody listened nothing could come.
        """
        with self._change() as base:
            base.execute("UPDATE work SET changed=? WHERE state='receiving'", (now,))
            rows = base.execute(
                "SELECT key, path, state, tries, recipe, reason FROM work WHERE state='running'"
            ).fetchall()
        for row in rows:
            self.put_back(_work(row), now)
        return len(rows)

    def due(self, now: float, destination: str, limit: int = 1000) -> list[Sending]:
        """Return what is to be sent to a destination now, oldest first."""
        with self._change() as base:
            rows = base.execute(
                "SELECT id, key, path, destination, tries FROM sending WHERE state='waiting' AND destination=? AND "
                "next_try<=? ORDER BY id LIMIT ?",
                (destination, now, limit),
            ).fetchall()
        return [Sending(row[0], row[1], Path(row[2]), row[3], row[4]) for row in rows]

    def sent(self, sending: Sending) -> None:
        """Note that a destination has taken a file."""
        with self._change() as base:
            base.execute("UPDATE sending SET state='sent', reason='' WHERE id=?", (sending.id,))

    def not_sent(self, sending: Sending, reason: str, now: float, *, forever: bool = False) -> None:
        """Note a failure: tried again after a wait that doubles, given up after MOST_SENDS tries or at once."""
        tries = sending.tries + 1
        state = "failed" if forever or tries >= MOST_SENDS else "waiting"
        with self._change() as base:
            base.execute(
                "UPDATE sending SET state=?, tries=?, next_try=?, reason=? WHERE id=?",
                (state, tries, now + wait_s(tries), reason, sending.id),
            )

    def works(self) -> list[Work]:
        """Return all works, newest first."""
        with self._change() as base:
            rows = base.execute(
                "SELECT key, path, state, tries, recipe, reason FROM work ORDER BY changed DESC"
            ).fetchall()
        return [_work(row) for row in rows]

    def entries(self, states: Sequence[str], most: int = 100, skip: int = 0) -> list[Entry]:
        """Return works in these states, the latest change first, and among them ``most`` after the first ``skip``."""
        where = f"WHERE state IN ({_marks(states)}) ORDER BY changed DESC LIMIT ? OFFSET ?"
        with self._change() as base:
            return [_entry(row) for row in base.execute(_ENTRY + where, (*states, most, skip)).fetchall()]

    def entry(self, key: str) -> Entry | None:
        """Return one work, or None."""
        with self._change() as base:
            row = base.execute(_ENTRY + "WHERE key=?", (key,)).fetchone()
        return None if row is None else _entry(row)

    def counts(self) -> dict[str, int]:
        """Return how many works are in each state."""
        with self._change() as base:
            return dict(base.execute("SELECT state, count(*) FROM work GROUP BY state").fetchall())

    def sendings(self) -> dict[str, int]:
        """Return how many files are waiting, sent, failed."""
        with self._change() as base:
            return dict(base.execute("SELECT state, count(*) FROM sending GROUP BY state").fetchall())

    def retry(self, key: str, now: float) -> None:
        """Queue an ended work again, and its failed sendings. Raises UsageError for an unknown or unfinished one."""
        with self._change() as base:
            changed = base.execute(
                f"UPDATE work SET state='queued', tries=0, changed=? WHERE key=? AND state IN ({_marks(ENDED)})",
                (now, key, *ENDED),
            ).rowcount
            base.execute(
                "UPDATE sending SET state='waiting', tries=0, next_try=0 WHERE key=? AND state='failed'", (key,)
            )
        if not changed:
            raise UsageError(f"there is no ended work {key} in the queue; see --status")

    def drop(self, key: str, take_away: Callable[[Path], object]) -> None:
        """Forget a work that is not running, and its objects and sendings. Raises UsageError.

        ``take_away`` is called with its path while nothing can be noted: what comes later finds it gone.
        """
        with self._change() as base:
            row = base.execute("SELECT path FROM work WHERE key=?", (key,)).fetchone()
            if not base.execute("DELETE FROM work WHERE key=? AND state!='running'", (key,)).rowcount:
                raise UsageError(f"there is no work {key} in the queue that could be dropped; see --status")
            base.execute("DELETE FROM object WHERE key=?", (key,))
            base.execute("DELETE FROM sending WHERE key=?", (key,))
            take_away(Path(row[0]))

    def expired(self, before: float) -> list[Work]:
        """Return works that ended before a time, have nothing left to send, and whose objects are still here."""
        with self._change() as base:
            rows = base.execute(
                "SELECT key, path, state, tries, recipe, reason FROM work WHERE changed<? AND "
                f"key IN (SELECT key FROM object) AND state IN ({_marks(ENDED)}) AND "
                "key NOT IN (SELECT key FROM sending WHERE state='waiting')",
                (before, *ENDED),
            ).fetchall()
        return [_work(row) for row in rows]

    def expire(self, work: Work, before: float, take_away: Callable[[Path], object]) -> bool:
        """Forget the objects of a work that is still as ``expired`` found it; False where more has come since.

        ``take_away`` is called with its path while nothing can be noted: what comes later finds it gone.
        """
        with self._change() as base:
            gone = base.execute(
                "DELETE FROM object WHERE key=? AND EXISTS (SELECT 1 FROM work WHERE key=? AND changed<? "
                f"AND state IN ({_marks(ENDED)}))",
                (work.key, work.key, before, *ENDED),
            ).rowcount
            if gone:
                take_away(work.path)
            return bool(gone)


def wait_s(tries: int) -> float:
    """Return how long to wait after so many failures."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(tries - 1, 20)))


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))


def _work(row: Sequence[object]) -> Work:
    key, path, state, tries, recipe, reason = row
    return Work(str(key), Path(str(path)), str(state), int(str(tries)), str(recipe), str(reason))


def _entry(row: Sequence[object]) -> Entry:
    objects, sent, to_send, not_sent = (int(str(n)) for n in row[7:11])
    return Entry(_work(row[:6]), float(str(row[6])), objects, sent, to_send, not_sent, str(row[11] or ""))
