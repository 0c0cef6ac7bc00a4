"""``mediseg models``: weights, licences, scores, checksums."""

from __future__ import annotations

import json
from typing import Any

import click


@click.group("models", short_help="list, verify or describe the model bundles", epilog="Example: mediseg models list")
def command() -> None:
    """List, verify or describe the shipped model bundles."""


def _metadata(name: str) -> dict[str, Any]:
    from mediseg.inference import bundle_folder

    text = (bundle_folder(name) / "configs" / "metadata.json").read_text(encoding="utf-8")
    metadata: dict[str, Any] = json.loads(text)
    return metadata


@command.command("list", short_help="one line a model", epilog="Example: mediseg models list")
def list_models() -> int:
    """One line a model: name, version, what it is for, licence of the weights."""
    from mediseg.inference import bundle_names

    for name in bundle_names():
        metadata = _metadata(name)
        click.echo(f"{name} {metadata['version']}: {metadata['mediseg']['kind']}; {metadata['mediseg']['licence']}")
    return 0


@command.command(
    "verify", short_help="check that they are whole and answer as they should", epilog="Example: mediseg models verify"
)
@click.argument("names", nargs=-1, metavar="[NAME|DIR]...")
def verify(names: tuple[str, ...]) -> int:
    """Check that models are whole and do what they say: all shipped ones, or those named, or bundle folders.

    Checksum, metadata against their schema, the ONNX file (checker, opset, operators; with the onnx package), names,
    types and sizes of inputs and outputs, model card and LICENSE, and the answer to a stored probe.
    """
    from mediseg.bundle_check import verify as wrong_with
    from mediseg.inference import bundle_names, load_bundle

    damaged = 0
    for name in names or bundle_names():
        wrong = wrong_with(name)
        damaged += bool(wrong)
        for fault in wrong:
            click.echo(f"{name}: {fault}", err=True)
        if not wrong:
            click.echo(f"{name}: ok, sha256 {load_bundle(name).sha256}")
    return 1 if damaged else 0


@command.command(
    "info",
    short_help="a model's card: data, licence, scores, limits",
    epilog="Example: mediseg models info callosum-unet",
)
@click.argument("name")
def info(name: str) -> int:
    """Print a model's card: data, licence, scores, limits."""
    from mediseg.inference import bundle_folder

    click.echo((bundle_folder(name) / "docs" / "README.md").read_text(encoding="utf-8"))
    return 0
