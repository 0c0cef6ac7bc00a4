"""``mediseg demo``: the main job on the built-in phantom."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mediseg.cli.run import check_place, layout, run_items, run_options


@click.command(
    "demo",
    short_help="run the main job on the built-in phantom study, offline",
    epilog="Example: mediseg demo --out demo",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default=Path("mediseg-demo"), show_default=True,
    help="Folder for the study and the results.",
)  # fmt: skip
@run_options
def command(out: Path, **options: Any) -> int:
    """Write the head phantom as a DICOM study into OUT/input/demo, and run corpus-callosum on it.

    With --layout bids it lies in OUT/mediseg/input, which is no part of the dataset, and has a name of BIDS.
    """
    from mediseg.demo import write_demo_study
    from mediseg.io.cases import find_cases
    from mediseg.recipe import load_recipe, parse_settings

    check_place(options)
    recipe = load_recipe("corpus-callosum", parse_settings(options["settings"]))
    name = "sub-demo_T1w" if options["layout"] == "bids" else "demo"
    place = layout(out, options["layout"], [name]) / "input" / name
    if not options["quiet"]:
        click.echo("painting the phantom", err=True)
    study = write_demo_study(place)
    return run_items(recipe, find_cases([study.absolute()]), out, options)
