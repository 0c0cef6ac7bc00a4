"""``mediseg info``: what a bug report needs."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import click

_PACKAGES = ("numpy", "scipy", "pydicom", "highdicom", "nibabel", "SimpleITK", "opencv-python-headless", "onnxruntime")


@click.command("info", short_help="versions, processor, providers and paths", epilog="Example: mediseg info --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(as_json: bool) -> int:
    """Print versions, processor, ONNX Runtime providers and where recipes and models lie."""
    fields = _facts()
    if as_json:
        click.echo(json.dumps(fields))
    else:
        for key, value in fields.items():
            click.echo(f"{key}: {_words(value)}")
    return 0


def _facts() -> dict[str, object]:
    import mediseg
    from mediseg._resources import shipped
    from mediseg.inference import available_providers, bundle_names

    return {
        "mediseg": mediseg.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "providers": available_providers(),
        "models": list(bundle_names()),
        "paths": {
            "package": str(Path(mediseg.__file__).parent),
            **{k: str(shipped(k)) for k in ("pipelines", "models")},
        },
        "executable": sys.executable,
    }


def _words(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {text or 'missing'}" for name, text in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
