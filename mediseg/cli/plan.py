"""``mediseg plan``: what was found, what would run on it, why the rest is left out."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command(
    "plan",
    short_help="show what would run on an input; writes nothing",
    epilog="Example: mediseg plan corpus-callosum study.zip",
)
@click.argument("recipe")
@click.argument("inputs", nargs=-1, required=True, metavar="INPUT...")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(recipe: str, inputs: tuple[str, ...], as_json: bool, debug: bool) -> int:
    """Show what INPUT holds, what RECIPE would run on, and why the rest is left out. Decodes and writes nothing."""
    from mediseg.planning import plan

    found = plan(recipe, [Path(one) for one in inputs])
    click.echo(json.dumps(found.to_dict()) if as_json else found.text())
    return found.exit_code
