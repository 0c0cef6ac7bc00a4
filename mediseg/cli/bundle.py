"""``mediseg bundle``: everything for a workstation without a network."""

from __future__ import annotations

from pathlib import Path

import click

from mediseg.errors import InputError


@click.command(
    "bundle", short_help="pack everything for a workstation without a network (extra: bundle)",
    epilog="Example: mediseg bundle --target win_amd64 --out mediseg-windows",
)  # fmt: skip
@click.option("--target", default="manylinux_x86_64", show_default=True, help="manylinux_x86_64 or win_amd64.")
@click.option("--python", default="3.11", show_default=True, help="Python of the workstation.")
@click.option("--recipes", multiple=True, metavar="NAME[,NAME...]", help="Recipes to pack, or own files; default: all.")
@click.option("--extras", default="node,serve", show_default=True, help="Extras of mediseg to pack.")
@click.option(
    "--wheel", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE",
    help="mediseg's own wheel; default: built from the project's folder, where the command is run.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="A new folder.")
@click.option(
    "--check", type=click.Path(path_type=Path, exists=True, file_okay=False), metavar="DIR",
    help="Make nothing: check a copied bundle against its checksums.",
)  # fmt: skip
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    target: str, python: str, recipes: tuple[str, ...], extras: str, wheel: Path | None, out: Path | None,
    check: Path | None, debug: bool,
) -> int:  # fmt: skip
    """Write wheels (locked by hash), models, recipes, an installer, licences and a bill of materials into --out.

    This is the one command that needs the package index; the bundle installs and runs without any network.
    """
    from mediseg.deploy.bundle import Wanted, make_bundle, wrong_files
    from mediseg.deploy.targets import check_python, target_named
    from mediseg.recipe import recipe_names

    if check is not None:
        if wrong := wrong_files(check):
            raise InputError(f"{'; '.join(wrong[:5])}: copy the bundle again")
        click.echo(f"{check.name}: whole")
        return 0
    if out is None:
        raise click.UsageError("Missing option '--out': a new folder for the bundle.")
    names = tuple(name for group in recipes for name in group.split(",") if name) or tuple(recipe_names())
    wanted = Wanted(
        target_named(target), check_python(python), names, tuple(one for one in extras.split(",") if one), wheel
    )
    made = make_bundle(wanted, out)
    click.echo(
        f"{made.megabytes:.0f} MB: {len(made.wheels)} wheels, models {', '.join(made.models)}; "
        f"take {out} to the workstation and run {wanted.target.scripts[0]}",
        err=True,
    )
    return 0
