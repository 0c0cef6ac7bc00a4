"""``mediseg watch``: a recipe on whatever is exported into a folder."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mediseg.errors import Cancelled, Exit, InputError, UsageError

if TYPE_CHECKING:
    from mediseg.node.audit import Audit
    from mediseg.node.queue import Queue

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
    audit = Audit(out)
    service = Service(config, queue, audit)
    service.start()
    try:
        return _watch(folder, queue, audit, once)
    except KeyboardInterrupt as error:
        raise Cancelled("ended; what is done stays, the rest is taken up at the next start") from error
    finally:
        service.stop()
        queue.close()
        owner.release()


def _watch(folder: Path, queue: Queue, audit: Audit, once: bool) -> int:
    """Look until the end; a share that is away for a while, or a full disk, is noted and ends no watch."""
    from mediseg.node.queue import ENDED
    from mediseg.node.watch import look

    pause_s = _TICK_S
    while True:
        try:
            changed, pause_s = look(folder, queue, time.time()), _TICK_S
        except (OSError, sqlite3.Error) as error:
            if once:
                kind = type(error).__name__  # the message could name a study's folder
                raise InputError(f"{folder.name} cannot be looked through ({kind}); try again when it can") from error
            audit.note_if_it_can("trouble", where="watch", kind=type(error).__name__)
            changed, pause_s = 0, min(2 * pause_s, _LONGEST_PAUSE_S)
        works = queue.works()
        if once and not changed and all(work.state in ENDED for work in works):
            return Exit.DONE if all(work.state in ("done", "ignored") for work in works) else Exit.SOME_FAILED
        time.sleep(pause_s)
