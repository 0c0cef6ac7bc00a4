"""What is inside a bundle, as a software bill of materials: CycloneDX 1.6, JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

from mediseg.deploy.wheels import Wheel

SPEC_VERSION = "1.6"


def bill_of_materials(wheels: Iterable[Wheel], models: Iterable[Mapping[str, Any]], version: str) -> dict[str, Any]:
    """Return the document: one library a wheel, one machine-learning model a bundle, each with SHA-256 and licence.

    ``models`` are the bundles' metadata. No time and no serial number: the same content gives the same bytes.
    """
    parts = [*map(_library, wheels), *map(_model, models)]
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "mediseg", "version": version}},
        "components": sorted(parts, key=lambda part: (part["type"], part["name"])),
    }


def _library(wheel: Wheel) -> dict[str, Any]:
    reference = f"pkg:pypi/{quote(wheel.name)}@{quote(wheel.version)}"
    part = {
        "type": "library",
        "bom-ref": reference,
        "name": wheel.name,
        "version": wheel.version,
        "purl": reference,
        "hashes": [{"alg": "SHA-256", "content": wheel.sha256}],
    }
    return part | ({"licenses": [{"license": {"name": wheel.licence}}]} if wheel.licence else {})


def _model(metadata: Mapping[str, Any]) -> dict[str, Any]:
    settings = metadata["mediseg"]
    return {
        "type": "machine-learning-model",
        "bom-ref": f"model:{settings['name']}@{metadata['version']}",
        "name": str(settings["name"]),
        "version": str(metadata["version"]),
        "description": str(metadata.get("task", "")),
        "hashes": [{"alg": "SHA-256", "content": str(settings["sha256"])}],
        "licenses": [{"license": {"name": str(settings["licence"])}}],
    }
