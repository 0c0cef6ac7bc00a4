"""``mediseg node``: receive studies, run recipes, send results."""

from __future__ import annotations

import json
import time
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mediseg.errors import Cancelled, UsageError

if TYPE_CHECKING:
    from mediseg.node.audit import Audit
    from mediseg.node.config import NodeConfig
    from mediseg.node.queue import Queue


@click.command(
    "node", short_help="a DICOM node: receive studies, run recipes, send results (extra: node)",
    epilog="Example: mediseg node config.yaml --status",
)  # fmt: skip
@click.argument("config", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--plan", "planned", type=click.Path(path_type=Path, exists=True), metavar="INPUT",
              help="Only tell which recipe would run on a study.")  # fmt: skip
@click.option("--status", is_flag=True, help="Only show the queue.")
@click.option("--retry", metavar="WORK", help="Do an ended work again, and send what could not be sent.")
@click.option("--drop", metavar="WORK", help="Forget a work and what was received of it; its results stay.")
@click.option("--json", "as_json", is_flag=True, help="The queue as one JSON object on stdout.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    config: Path, planned: Path | None, status: bool, retry: str | None, drop: str | None, as_json: bool, debug: bool
) -> int:
    """Listen as CONFIG (YAML, see docs/node.md) says until stopped: C-ECHO, C-STORE, the queue, results by C-STORE."""
    from mediseg.node.config import load_config
    from mediseg.node.queue import Queue
    from mediseg.node.received import Received

    loaded = load_config(config)
    if planned is not None:
        return _plan(loaded, planned)
    if not (status or retry or drop):
        return _listen(loaded)
    queue = Queue(loaded.folder)
    if retry:
        queue.retry(retry, time.time())
    if drop:
        received = Received(loaded.folder)
        queue.drop(drop, received.take_away)
        received.empty_bin()
    show(queue, as_json)
    return 0


def _plan(config: NodeConfig, path: Path) -> int:
    from mediseg.io.cases import find_cases
    from mediseg.node.job import fitting

    rule = fitting(find_cases([path]), config.rules)
    click.echo(
        f"{rule.recipe}: by the rule for {rule}" if rule else "no rule fits any of its series: it would be ignored"
    )
    return 0


def show(queue: Queue, as_json: bool) -> None:
    """Print a queue: one line a work, and the sendings."""
    works, sendings = queue.works(), queue.sendings()
    if as_json:
        rows = [{"work": w.key, "state": w.state, "recipe": w.recipe, "reason": w.reason} for w in works]
        click.echo(json.dumps({"works": rows, "sendings": sendings}))
        return
    for work in works:
        click.echo(" ".join(word for word in (work.key, work.state, work.recipe, work.reason) if word))
    click.echo(f"{len(works)} works; files: " + (", ".join(f"{n} {s}" for s, n in sendings.items()) or "none to send"))


def _listen(config: NodeConfig) -> int:
    wanted = ("pynetdicom", "starlette", "uvicorn") if config.status else ("pynetdicom",)
    if missing := [name for name in wanted if find_spec(name) is None]:
        raise UsageError(f'a DICOM node needs {" and ".join(missing)}: pip install "mediseg[node]"')
    from mediseg.io.owner import Owner
    from mediseg.node.audit import Audit
    from mediseg.node.config import check_files
    from mediseg.node.peers import told_in
    from mediseg.node.queue import Queue
    from mediseg.node.receive import Receiver
    from mediseg.node.service import Service

    check_files(config)
    with ExitStack() as stack:
        owner = Owner(config.folder)
        stack.callback(owner.release)
        queue, audit = Queue(config.folder), Audit(config.folder)
        stack.callback(queue.close)
        stack.enter_context(told_in(audit))
        receiver, service = Receiver(config, queue, audit), Service(config, queue, audit)
        receiver.start()
        stack.callback(receiver.stop)
        page = _page(config, queue, audit, receiver.port, stack)
        service.start()
        stack.callback(service.stop)
        click.echo(f"{config.ae_title} listens on {config.host}:{receiver.port}{page}; Ctrl-C ends it", err=True)
        try:
            while True:
                time.sleep(1)  # no longer: a signal that comes just before the wait is looked at after it
        except KeyboardInterrupt as error:
            raise Cancelled("the node was ended; what it has is kept and taken up at the next start") from error


def _page(config: NodeConfig, queue: Queue, audit: Audit, port: int, stack: ExitStack) -> str:
    """Start the status page, if there is to be one; return what to say of it."""
    if config.status is None:
        return ""
    from mediseg.node.page import show as show_page

    listener, address = show_page(config, queue, audit, port)
    stack.callback(listener.stop)
    return f"; status page {address}"
