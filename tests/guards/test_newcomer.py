"""A newcomer adds a step, a recipe, a format and a model, each in one place, and all of it works together."""

import json
import shutil
import sys

import numpy as np
import pytest

import mediseg
from mediseg import steps
from mediseg._resources import shipped
from mediseg.cli import main
from mediseg.inference import load_bundle
from mediseg.io import formats

STEP = '''
"""A newcomer's step."""
from dataclasses import dataclass
from typing import Annotated

from mediseg import Measurement, Volume
from mediseg.steps.setting import Setting


@dataclass(frozen=True)
class Brightness:
    """How bright it is."""
    measurements: tuple[Measurement, ...]
    warnings: tuple = ()


def measure_brightness(
    head: Volume, *, factor: Annotated[float, Setting("multiplies the mean", 0, 10)] = 1.0
) -> Brightness:
    """Return the mean intensity."""
    return Brightness((Measurement("brightness", float(head.array.mean()) * factor, "1", method="mean"),))
'''

FORMAT = '''
"""A newcomer's format: numbers in a text file."""
import numpy as np

from mediseg import Volume


def can_read(path):
    return path.read_bytes()[:3] == b"TOY"


def read(path):
    return Volume.from_affine(np.full((4, 5, 6), float(path.read_text()[3:]), np.float32), np.eye(4))
'''


@pytest.fixture
def newcomer(tmp_path, monkeypatch):
    (tmp_path / "newstep.py").write_text(STEP)
    (tmp_path / "newformat.py").write_text(FORMAT)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(steps.REGISTRY, "measure_brightness", ("newstep", "brightness"))
    monkeypatch.setitem(formats.FORMATS, "toy", ("newformat", (".toy",)))
    (tmp_path / "brightness.yaml").write_text("summary: new\nsteps: [{measure_brightness: {factor: 2}}]\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.toy").write_text("TOY21")
    yield tmp_path
    for name in ("newstep", "newformat"):
        sys.modules.pop(name, None)


def test_a_new_step_recipe_and_format_run_and_are_listed(newcomer, capsys):
    case = mediseg.run(str(newcomer / "brightness.yaml"), newcomer / "in" / "a.toy", newcomer / "out")
    assert case.status == "done"
    assert "brightness,42,1" in (case.folder / "measurements.csv").read_text()
    report = json.loads((case.folder / "report.json").read_text())
    assert [m["name"] for m in report["measurements"]] == ["brightness"]
    assert "brightness" in (case.folder / "report.html").read_text()
    assert main(["steps", "measure_brightness"]) == 0
    assert "factor = 1.0 (float, 0 to 10): multiplies the mean" in capsys.readouterr().out


def test_a_new_step_takes_settings_from_the_command_line(newcomer, capsys):
    recipe, out = str(newcomer / "brightness.yaml"), str(newcomer / "out")
    arguments = ["run", recipe, str(newcomer / "in"), "--out", out, "--set", "measure_brightness.factor=3", "--json"]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["measurements"][0]["value"] == 63
    assert main([*arguments[:-2], "measure_brightness.faktor=3"]) == 2
    assert 'did you mean "factor"' in capsys.readouterr().err


def test_a_new_model_is_a_folder(tmp_path):
    folder = tmp_path / "my-callosum"
    shutil.copytree(shipped("models") / "callosum-unet", folder)
    bundle = load_bundle(str(folder), "callosum")
    assert bundle.name == "callosum-unet"
    blank = mediseg.Volume.from_affine(
        np.zeros((64, 64)), np.array([[0, 0, -1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1.0]])
    )
    with pytest.raises(mediseg.Refusal, match="no corpus callosum found"):
        mediseg.segment_callosum(blank, model=str(folder))


def test_a_damaged_model_is_refused(tmp_path):
    folder = tmp_path / "my-callosum"
    shutil.copytree(shipped("models") / "callosum-unet", folder)
    onnx = folder / "models" / "model.onnx"
    onnx.write_bytes(onnx.read_bytes()[:-1] + b"\0")
    with pytest.raises(mediseg.UsageError, match="does not match its checksum"):
        load_bundle(str(folder))
