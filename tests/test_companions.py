"""A bundle that names others: they are checked with it, recorded with it, and told when they are missing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from mediseg.casefile import model_record
from mediseg.errors import UsageError
from mediseg.inference import load_bundle
from mediseg.recipe import load_recipe

SHIPPED = Path(__file__).parents[1] / "models" / "callosum-unet"


def bundle(folder: Path, companions: dict[str, str], **changed: str) -> Path:
    """Copy the shipped callosum bundle to ``folder`` with other companions and runtime settings."""
    shutil.copytree(SHIPPED, folder)
    path = folder / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    metadata["mediseg"] = {**metadata["mediseg"], "companions": companions, **changed}
    path.write_text(json.dumps(metadata), encoding="utf-8")
    return folder


def test_companions_are_found_by_kind(tmp_path):
    second = bundle(tmp_path / "second", {}, kind="callosum-fine", name="second")
    first = load_bundle(str(bundle(tmp_path / "first", {"callosum-fine": str(second)})))
    found = first.companion("callosum-fine")
    assert found is not None
    assert found.name == "second"
    assert first.companion("acpc") is None
    assert [one.name for one in first.companions] == ["second"]


def test_a_companion_of_another_kind_is_refused(tmp_path):
    first = load_bundle(str(bundle(tmp_path / "first", {"acpc": "brain-unet"})))
    with pytest.raises(UsageError, match='"brain-unet" is for brain, this step needs one for acpc'):
        first.companion("acpc")


def test_a_missing_companion_is_told(tmp_path):
    first = load_bundle(str(bundle(tmp_path / "first", {"acpc": "acpc-frme"})))
    with pytest.raises(UsageError, match='there is no model "acpc-frme"'):
        _ = first.companions


def test_a_case_depends_on_the_companions_too(tmp_path):
    second = bundle(tmp_path / "second", {}, kind="callosum-fine", name="second")
    first = bundle(tmp_path / "first", {"callosum-fine": str(second)})
    recipe = load_recipe("corpus-callosum", {"segment_callosum.model": str(first)})
    step = next(one for one in recipe.steps if one.info.name == "segment_callosum")
    record = model_record(step)
    assert record is not None
    assert [(one.name, len(one.sha256)) for one in record.companions] == [("second", 64)]
