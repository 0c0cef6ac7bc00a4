"""What the status page shows, as plain data: works in groups, counts, the links to their reports. No names."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from mediseg.node.config import NodeConfig
from mediseg.node.queue import ENDED, Entry, Queue

if TYPE_CHECKING:
    from jinja2 import Environment

#: state -> (how a person calls it, what it means)
STATES = {
    "running": ("Running", "is worked on now"),
    "queued": ("Waiting", "complete, waits for its turn"),
    "receiving": ("Receiving", "objects are still coming"),
    "failed": ("Failed", "ended without a result"),
    "refused": ("Refused", "read, but not fit"),
    "done": ("Done", "worked on"),
    "ignored": ("No rule", "no rule of the configuration fits"),
}
_SHORT, _LONG = 25, 100  # rows of a group, rows of a page that shows one state


@dataclass(frozen=True)
class Row:
    """One work, ready to print."""

    key: str
    state: str
    recipe: str
    reason: str
    since: str
    ago: str
    objects: int
    tries: int
    sending: str
    is_unsent: bool
    reports: tuple[tuple[str, str], ...]

    @property
    def is_receiving(self) -> bool:
        """True while it can be told complete."""
        return self.state == "receiving"

    @property
    def may_retry(self) -> bool:
        """True where doing it again could help."""
        return self.state in ENDED

    @property
    def may_drop(self) -> bool:
        """True for all but what is running."""
        return self.state != "running"


@dataclass(frozen=True)
class Group:
    """Rows under a heading, and how many more there are."""

    heading: str
    note: str
    states: tuple[str, ...]
    rows: tuple[Row, ...]
    total: int


_GROUPS = (
    ("Needs a look", "Studies that ended without a result, with the reason.", ("failed", "refused")),
    ("Under way", "What is worked on, waits or is still being received.", ("running", "queued", "receiving")),
    ("Ended", "Studies that were worked on, or that no rule was for.", ("done", "ignored")),
)


def reports(results: Path) -> list[str]:
    """Return the cases of a work that have a report: the names of their folders."""
    return sorted(path.parent.name for path in results.glob("*/report.html"))


def row(entry: Entry, folder: Path, now: float) -> Row:
    """Return one work ready to print; ``folder`` is the node's."""
    work = entry.work
    names = reports(folder / "results" / work.key)
    links = tuple((name, f"/works/{work.key}/reports/{quote(name, safe='')}") for name in names)
    since = datetime.fromtimestamp(entry.changed, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return Row(
        work.key, work.state, work.recipe, work.reason, since, ago(now - entry.changed), entry.objects, work.tries,
        _sending(entry), entry.not_sent > 0, links,
    )  # fmt: skip


def _sending(entry: Entry) -> str:
    parts = ((entry.sent, "sent"), (entry.to_send, "to send"), (entry.not_sent, "given up"))
    text = ", ".join(f"{n} {word}" for n, word in parts if n)
    return f"{text}: {entry.trouble}" if entry.trouble else text


def ago(seconds: float) -> str:
    """Return how long ago something was, in one unit."""
    if seconds < 1:
        return "now"
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit} ago"
    return f"{int(seconds)} s ago"


def groups(queue: Queue, folder: Path, now: float) -> list[Group]:
    """Return what the page shows at first: the latest works of each group; what failed first, if anything did."""
    counts = queue.counts()
    found = []
    for heading, note, states in _GROUPS:
        rows = tuple(row(entry, folder, now) for entry in queue.entries(states, _SHORT))
        found.append(Group(heading, note, states, rows, sum(counts.get(state, 0) for state in states)))
    return [group for group in found if group.rows or "failed" not in group.states]


def one_state(queue: Queue, folder: Path, now: float, state: str, page: int) -> tuple[Group, int]:
    """Return one page (from 1) of the works in a state, and how many pages there are."""
    total = queue.counts().get(state, 0)
    pages = max(1, -(-total // _LONG))
    page = min(max(page, 1), pages)
    entries = queue.entries([state], _LONG, (page - 1) * _LONG)
    label, note = STATES[state]
    heading = f"{label}, page {page} of {pages}" if pages > 1 else label
    return Group(heading, f"{total} {'study' if total == 1 else 'studies'}: {note}.", (state,),
                 tuple(row(entry, folder, now) for entry in entries), total), pages  # fmt: skip


def to_dict(entry: Entry, folder: Path) -> dict[str, Any]:
    """Return a work as JSON types, for other programs."""
    work = entry.work
    return {
        "work": work.key, "state": work.state, "recipe": work.recipe, "reason": work.reason, "tries": work.tries,
        "changed": datetime.fromtimestamp(entry.changed, UTC).isoformat(timespec="milliseconds"),
        "objects": entry.objects,
        "files": {"sent": entry.sent, "waiting": entry.to_send, "failed": entry.not_sent, "reason": entry.trouble},
        "reports": [
            f"/works/{work.key}/reports/{quote(name, safe='')}" for name in reports(folder / "results" / work.key)
        ],
    }  # fmt: skip


def facts(config: NodeConfig, port: int) -> list[tuple[str, str]]:
    """Return what the node is, as (name, value)."""
    free_mb = shutil.disk_usage(config.folder).free / 1e6
    room = f"{free_mb / 1000:.1f} GB free" + (", nearly full: nothing is taken" if free_mb < config.free_mb else "")
    targets = ", ".join(one.name for one in config.destinations) or "nowhere"
    return [
        ("Listens", f"{config.ae_title} on {config.host}:{port}{', TLS' if config.tls else ''}"),
        ("Sends to", targets),
        ("Disk", room),
        ("Complete after", f"{config.quiet_seconds:g} s of quiet"),
    ]


def rendered(
    what: Sequence[Group], queue: Queue, told: Mapping[str, object], fact_list: Sequence[tuple[str, str]]
) -> str:
    """Return the page."""
    import mediseg
    from mediseg.record import INTENDED_USE

    page = _environment().get_template("status.html.j2")
    return page.render(
        groups=what, states=STATES, counts=dict.fromkeys(STATES, 0) | queue.counts(),
        sendings={"waiting": 0, "sent": 0, "failed": 0} | queue.sendings(), facts=fact_list,
        version=mediseg.__version__, intended_use=INTENDED_USE, **told,
    )  # fmt: skip


@lru_cache(maxsize=1)
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("mediseg.node"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
