"""``mediseg export``: a trained run becomes a model bundle."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from mediseg.cli.train import need_extra
from mediseg.errors import UsageError


@click.command(
    "export",
    short_help="turn a trained run into a model bundle",
    epilog="Example: mediseg export runs/callosum --out bundles/callosum",
)
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the bundle; RUN/bundle where nothing is said.")
@click.option("--metrics", type=click.Path(path_type=Path), help="JSON of scores for the metadata's eval_metrics.")
@click.option("--fp16", is_flag=True, help="Store weights as float16 (half the file); computed in float32.")
@click.option("--int8", is_flag=True, help="Static 8-bit weights and activations, calibrated on the run's dev windows.")
@click.option("--part", metavar="NAME", help="A part of the network as a bundle of its own (brain: coarse).")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def command(
    run: Path, out: Path | None, metrics: Path | None, fp16: bool, int8: bool, part: str | None, debug: bool
) -> int:
    """Write the trained network of RUN as a bundle: ONNX, metadata, model card, licence, in MONAI's layout.

    A model card and a LICENSE that stand in the bundle's folder are kept; else drafts are written, to be completed.
    """
    if fp16 and int8:
        raise UsageError("choose one of --fp16 and --int8")
    from mediseg.train.config import saved

    stage = saved(run)
    need_extra()
    weights = "float16" if fp16 else "int8" if int8 else "float32"
    folder = out or run / "bundle"
    write = import_module("mediseg.train.bundling").export_run
    path = write(stage, run, folder, weights=weights, metrics=metrics, part=part)
    click.echo(str(path))
    click.echo(f"next: mediseg models verify {folder}", err=True)
    return 0
