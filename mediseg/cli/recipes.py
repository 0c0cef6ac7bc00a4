"""``mediseg recipes``: what there is to run."""

from __future__ import annotations

import json

import click


@click.command("recipes", short_help="list the recipes", epilog="Example: mediseg recipes")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a recipe.")
def command(as_json: bool) -> int:
    """List the recipes with their steps."""
    from mediseg.recipe import recipes

    for recipe in recipes():
        names = [step.info.name for step in recipe.steps]
        if as_json:
            fields = {"name": recipe.name, "summary": recipe.summary, "input": recipe.input, "steps": names}
            click.echo(json.dumps(fields))
        else:
            click.echo(f"{recipe.name}: {recipe.summary}\n    {recipe.input} > {' > '.join(names)}")
    return 0
