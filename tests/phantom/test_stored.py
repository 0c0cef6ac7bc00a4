"""The stored truth is what the code says today."""

import inspect
import json
from pathlib import Path

import pytest

from mediseg.phantom import HEAD_VERSION, phantom_head
from mediseg.phantom.__main__ import main
from mediseg.phantom.stored import FILE_NAME, PARAMETERS, write_head_truth

STORED = Path(__file__).parents[2] / "data" / FILE_NAME


def same(stored, fresh, where=""):
    """Compare two JSON values; numbers to a ten-thousandth, as other processors round differently."""
    if isinstance(stored, dict):
        assert stored.keys() == fresh.keys(), where
        for key in stored:
            same(stored[key], fresh[key], f"{where}.{key}")
    elif isinstance(stored, list):
        assert len(stored) == len(fresh), where
        for n, (a, b) in enumerate(zip(stored, fresh, strict=True)):
            same(a, b, f"{where}[{n}]")
    elif isinstance(stored, float):
        assert stored == pytest.approx(fresh, rel=1e-4, abs=2e-4), where
    else:
        assert stored == fresh, where


def test_stored_truth_is_the_codes(tmp_path):
    fresh = json.loads(write_head_truth(tmp_path).read_text(encoding="utf-8"))
    same(json.loads(STORED.read_text(encoding="utf-8")), fresh)
    assert fresh["phantom_version"] == HEAD_VERSION


def test_stored_parameters_are_the_defaults():
    defaults = {name: p.default for name, p in inspect.signature(phantom_head).parameters.items()}
    assert defaults == PARAMETERS


def test_command_writes_the_file(tmp_path, capsys):
    assert main(["--write-truth", str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / FILE_NAME)
    assert (tmp_path / FILE_NAME).is_file()


def test_command_needs_an_existing_folder(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--write-truth", str(tmp_path / "none")])
    assert "is no folder" in capsys.readouterr().err


def test_data_folder_is_small():
    folder = STORED.parent
    assert sum(p.stat().st_size for p in folder.iterdir()) < 300_000
    assert FILE_NAME in (folder / "README.md").read_text(encoding="utf-8")
