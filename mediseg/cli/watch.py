"""``mediseg watch``: a recipe on whatever is exported into a folder."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mediseg.errors import Cancelled, Exit, InputError, UsageError

if TYPE_CHECKING:
    from mediseg.node.queue import Queue, Work
    from mediseg.node.service import Service

_TICK_S, _LONGEST_PAUSE_S = 0.5, 60.0


@click.command(
    "watch", short_help="run a recipe on whatever is exported into a folder",
    epilog="Example: mediseg watch export/ --recipe corpus-callosum --out results",
)  # fmt: skip
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR")
@click.option("--recipe", default="corpus-callosum", show_default=True, help="A recipe's name or file.")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
              help="Folder for the queue and the results; not inside the watched one.")  # fmt: skip
@click.option("--quiet-seconds", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="An entry is complete when it has not changed for so long.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads a case.")
@click.option("--once", is_flag=True, help="End when all that is there is done.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(folder: Path, recipe: str, out: Path, quiet_seconds: float, threads: int, once: bool, debug: bool) -> int:
    """Work on every study, zip or file that appears in DIR, each once; results land in --out, a folder each."""
    from mediseg.casefile import check_models
    from mediseg.io.owner import Owner
    from mediseg.node.audit import Audit
    from mediseg.node.config import NodeConfig, Rule
    from mediseg.node.queue import Queue
    from mediseg.node.service import Service
    from mediseg.recipe import load_recipe

    if out.resolve().is_relative_to(folder.resolve()):
        raise UsageError("--out lies inside the watched folder: results would be taken for new studies")
    check_models(load_recipe(recipe))
    owner = Owner(out)
    config = NodeConfig(out, (Rule(recipe),), quiet_seconds=quiet_seconds, keep_days=0, threads=threads, report="none")
    queue = Queue(out)
    service = Service(config, queue, Audit(out))
    service.start()
    click.echo(f"{folder} is watched, results go into {out}; Ctrl-C ends it", err=True)
    try:
        return _watch(folder, queue, service, once)
    except KeyboardInterrupt as error:
        raise Cancelled("ended; what is done stays, the rest is taken up at the next start") from error
    finally:
        service.stop()
        queue.close()
        owner.release()


def _watch(folder: Path, queue: Queue, service: Service, once: bool) -> int:
    """Look until the end; a share that is away for a while, or a full disk, is noted and ends no watch."""
    from mediseg.node.queue import ENDED
    from mediseg.node.watch import look

    pause_s = _TICK_S
    known = {work.key: work.state for work in queue.works()}
    while True:
        try:
            changed, pause_s = look(folder, queue, time.time()), _TICK_S
        except (OSError, sqlite3.Error) as error:
            if once:
                kind = type(error).__name__  # the message could name a study's folder
                raise InputError(f"{folder.name} cannot be looked through ({kind}); try again when it can") from error
            service.audit.note_if_it_can("trouble", where="watch", kind=type(error).__name__)
            changed, pause_s = 0, min(2 * pause_s, _LONGEST_PAUSE_S)
        works = queue.works()
        known = _told(known, works, service)
        if once and not changed and all(work.state in ENDED for work in works):
            return Exit.DONE if all(work.state in ("done", "ignored") for work in works) else Exit.SOME_FAILED
        time.sleep(pause_s)


def _told(known: Mapping[str, str], works: Sequence[Work], service: Service) -> dict[str, str]:
    """Say what has begun and how what ended did since ``known``; return the states of now.

    A work goes by its hash, as an entry's name may name a patient.
    """
    from mediseg.node.queue import ENDED

    for work in works:
        if known.get(work.key) != work.state and (work.state == "running" or work.state in ENDED):
            index = service.results(work.key) / "index.html"
            reason = f": {work.reason}" if work.reason else ""
            where = f"; see {index}" if work.state in ENDED and index.is_file() else ""
            with suppress(OSError):  # nobody reads any more, or a log's disk is full: that ends no watch
                click.echo(f"{work.key}: {work.state}{reason}{where}", err=True)
    return {work.key: work.state for work in works}
