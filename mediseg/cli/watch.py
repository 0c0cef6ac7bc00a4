"""``mediseg watch``: a recipe on whatever is exported into a folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mediseg.errors import Cancelled, Exit, UsageError

if TYPE_CHECKING:
    from mediseg.node.queue import Queue


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
    try:
        return _watch(folder, queue, once)
    except KeyboardInterrupt as error:
        raise Cancelled("ended; what is done stays, the rest is taken up at the next start") from error
    finally:
        service.stop()
        queue.close()
        owner.release()


def _watch(folder: Path, queue: Queue, once: bool) -> int:
    from mediseg.node.queue import ENDED
    from mediseg.node.watch import look

    while True:
        changed = look(folder, queue, time.time())
        works = queue.works()
        if once and not changed and all(work.state in ENDED for work in works):
            return Exit.DONE if all(work.state in ("done", "ignored") for work in works) else Exit.SOME_FAILED
        time.sleep(0.5)
