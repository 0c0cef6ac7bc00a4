"""``mediseg doctor``: proves an installation."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mediseg.errors import Exit


@click.command(
    "doctor", short_help="prove this installation: models, providers, the phantom run, time, memory",
    epilog="Example: mediseg doctor --html doctor.html",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option(
    "--html", "page", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
    help="Also write one page to hand to whoever looks after the computer.",
)  # fmt: skip
@click.option("--threads", type=click.IntRange(1, 256), default=2, show_default=True, help="Threads of the run.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(as_json: bool, page: Path | None, threads: int, debug: bool) -> int:
    """Check versions, ONNX Runtime, every model's checksum and answer, and run the main job on the built-in phantom.

    Its figures (Dice, ROI angle, measurements) are held against those that are stored. Ends with 1 where a check fails.
    """
    from mediseg.cli._progress import Display
    from mediseg.deploy.doctor import examine
    from mediseg.deploy.doctor_page import as_html, as_text
    from mediseg.io.atomic import write_text_atomically

    click.echo("looking at packages, models and recipes, then running the main job on the phantom", err=True)
    with Display(1, quiet=False) as display:
        found = examine(threads=threads, progress=display.stage)
    click.echo(json.dumps(found.to_dict()) if as_json else as_text(found))
    if page is not None:
        write_text_atomically(page, as_html(found))
    return Exit.DONE if found.is_sound else Exit.SOME_FAILED
