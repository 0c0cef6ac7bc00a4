"""``mediseg deidentify``: copies of DICOM images without what names a patient."""

from __future__ import annotations

import json
from pathlib import Path

import click

from mediseg.errors import Exit


@click.command(
    "deidentify", short_help="copies of DICOM images without what names a patient (PS3.15 basic profile)",
    epilog="Example: mediseg deidentify study/ --out anonymous",
)  # fmt: skip
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="INPUT...")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="A new folder."
)
@click.option("--retain-uids", is_flag=True, help="Keep UIDs (PS3.15's option): copies can be traced to the archive.")
@click.option("--retain-dates", is_flag=True, help="Keep dates and times, but those of the patient (PS3.15's option).")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    inputs: tuple[Path, ...], out: Path, retain_uids: bool, retain_dates: bool, as_json: bool, debug: bool
) -> int:
    """Write copies of the MR, CT and PET images in INPUT (DICOM folders, zips, files) into --out, named by numbers.

    What may show a name in its pixels is left out. Faces are NOT taken away from the images.
    """
    from mediseg.io.dicom.confidentiality import Retained
    from mediseg.io.dicom.deidentify import FACES, deidentify

    copies = deidentify(inputs, out, Retained(uids=retain_uids, dates=retain_dates))
    if as_json:
        click.echo(json.dumps({"copied": copies.files, "left_out": dict(copies.left_out), "note": FACES}))
    for why, count in copies.left_out.items():
        click.echo(f"{count} left out: {why}", err=True)
    click.echo(f"{copies.files} copied into {out}; {FACES}", err=True)
    if not copies.files:
        return Exit.REFUSED
    return Exit.SOME_FAILED if copies.left_out else Exit.DONE
