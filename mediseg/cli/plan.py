"""``mediseg plan``: what was found, what would run on it, why the rest is left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mediseg.cli._progress import counted

if TYPE_CHECKING:
    from mediseg.planning import Plan, PlannedCase, Row


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
    if as_json:
        click.echo(json.dumps(found.to_dict()))
    elif any(case.chosen or case.rows for case in found.cases):
        click.echo(_text(found))
    for case in found.cases:
        if case.error:
            whose = f"{case.name}: " if len(found.cases) > 1 else ""
            click.echo(f"mediseg: {whose}{' '.join(case.error.split())}", err=True)
    return found.exit_code


def _text(plan: Plan) -> str:
    """Return the plan as a table; why a case would not run is a message, and messages go to stderr."""
    lines = [f"{plan.recipe}: {' > '.join(plan.steps)}"]
    for case in plan.cases:
        lines += ["", *_case_lines(case)]
    return "\n".join(lines)


def _case_lines(case: PlannedCase) -> list[str]:
    lines = [f"{case.name} ({case.kind})" if case.kind else case.name]
    lines += [f"  {'>' if row.used else ' '} {_row(row)}" for row in case.rows]
    if case.other_files:
        lines.append(f"    {counted(case.other_files, 'other file')} ignored")
    if case.damaged:
        lines.append(f"    {case.damaged}")
    lines.append(f"  would run: {case.chosen}" if case.chosen else "  would not run")
    return lines


def _row(row: Row) -> str:
    shape = " x ".join(str(n) for n in row.shape)
    spacing = " x ".join(f"{s:.3g}" for s in row.spacing_mm)
    grid = f"{row.orientation} {shape} at {spacing} mm" if row.shape else ""
    words = [row.series, row.description, row.modality, grid, row.note, ", ".join(row.warnings)]
    return "; ".join(word for word in words if word)
