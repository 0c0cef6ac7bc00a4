"""The training configuration: checked before torch is loaded, stages inherit, a run remembers what it was."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from mediseg._resources import shipped
from mediseg.errors import UsageError
from mediseg.record import shipped_schema
from mediseg.train import config

WHOLE = """
task: callosum
network: unet_small
data: {folder: slices}
schedule: {steps: 9, rate: 0.001}
augmentation: {gentle: 0.5}
"""
STAGED = (
    WHOLE
    + """
stages:
  - {name: a, seed: 3}
  - {name: b, start: [a], schedule: {steps: 4}, augmentation: {pixels: 7}}
"""
)


@pytest.fixture
def write(tmp_path):
    (tmp_path / "slices").mkdir()

    def written(text):
        path = tmp_path / "train.yaml"
        path.write_text(text)
        return path

    return written


def test_paths_are_relative_to_the_file_and_options_go_before_it(write, tmp_path):
    (run,) = config.load_config(write(WHOLE + "out: runs/x\n"))
    assert run.out == tmp_path / "runs" / "x"
    assert run.stage.data.folder == tmp_path / "slices"
    assert run.stage.network.name == "unet_small"
    (other,) = config.load_config(write(WHOLE + "out: runs/x\n"), data=tmp_path, out=tmp_path / "y")
    assert (other.out, other.stage.data.folder) == (tmp_path / "y", tmp_path)


def test_a_stage_says_what_differs_and_starts_from_an_earlier_one(write, tmp_path):
    first, second = config.load_config(write(STAGED), out=tmp_path / "run")
    assert (first.out, first.stage.seed, first.stage.schedule.steps) == (tmp_path / "run" / "a", 3, 9)
    assert (second.stage.schedule.steps, second.stage.schedule.rate, second.stage.seed) == (4, 0.001, 0)
    assert second.stage.augmentation == {"gentle": 0.5, "pixels": 7}
    assert second.stage.start == (str(tmp_path / "run" / "a" / "checkpoint.pt"),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (WHOLE.replace("schedule", "shedule"), r'"shedule" is unknown \(did you mean "schedule"\?\)'),
        (WHOLE.replace("steps: 9", "step: 9"), r'"schedule.step" is unknown \(did you mean "steps"\?\)'),
        (WHOLE.replace("rate: 0.001", "rate: -1"), "schedule.rate: input should be greater than 0"),
        (WHOLE.replace("task: callosum\n", ""), '"task" is missing'),
        (WHOLE.replace("steps: 9", "precision: half"), "schedule.precision: input should be 'auto'"),
        (WHOLE.replace("folder: slices", "folder: nowhere"), "the data .*nowhere do not exist; give --data DIR"),
        (WHOLE.replace("data: {folder: slices}\n", ""), "names no data; give --data, or"),
        (STAGED.replace("name: b", "name: a"), "two stages have one name"),
        ("task: [1\n", r"no valid YAML \(line 2\)"),
        ("task: callosum\ntask: acpc\n", '"task" stands twice'),
        ("- 1\n", "a configuration must be pairs"),
    ],
)
def test_a_fault_is_one_line_that_says_what_to_do(write, tmp_path, text, message):
    with pytest.raises(UsageError, match=f"^train.yaml.*{message}") as caught:
        config.load_config(write(text), out=tmp_path)
    assert "\n" not in str(caught.value)


def test_label_maps_are_named_beside_the_data(write, tmp_path):
    text = WHOLE.replace("folder: slices", "folder: slices, maps: heads")
    with pytest.raises(UsageError, match=r"the folder .*heads of maps does not exist; give --maps DIR"):
        config.load_config(write(text), out=tmp_path / "run")
    (run,) = config.load_config(write(text), maps=tmp_path, data=tmp_path, out=tmp_path / "run")
    assert (run.stage.data.folder, run.stage.data.maps) == (tmp_path, tmp_path)


def test_data_may_be_a_manifest(write, tmp_path):
    (tmp_path / "all.yaml").write_text("")
    (run,) = config.load_config(write(WHOLE.replace("folder: slices", "manifest: all.yaml")), out=tmp_path / "run")
    assert (run.stage.data.folder, run.stage.data.manifest) == (None, tmp_path / "all.yaml")
    (run,) = config.load_config(write(WHOLE), data=tmp_path / "all.yaml", out=tmp_path / "run")
    assert (run.stage.data.folder, run.stage.data.manifest) == (None, tmp_path / "all.yaml")


def test_a_file_without_a_folder_for_the_run_asks_for_one(write):
    with pytest.raises(UsageError, match="names no folder for the run; give --out DIR"):
        config.load_config(write(WHOLE))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"cannot read the configuration .*none\.yaml: No such file"):
        config.load_config(tmp_path / "none.yaml")


def test_a_run_remembers_its_configuration_and_tells_what_changed(write, tmp_path):
    (run,) = config.load_config(write(WHOLE), out=tmp_path / "run")
    assert config.save(run) == ()
    assert config.saved(run.out) == run.stage
    (longer,) = config.load_config(write(WHOLE.replace("steps: 9", "steps: 12")), out=tmp_path / "run")
    assert config.save(longer) == ("schedule.steps: 9 -> 12",)
    (other,) = config.load_config(write(WHOLE.replace("unet_small", "unet")), out=tmp_path / "run")
    with pytest.raises(UsageError, match="holds a run of another network; give another --out"):
        config.save(other)


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"is no run: it holds no config.json"):
        config.saved(tmp_path)


@pytest.mark.parametrize("path", sorted(shipped("models").glob("*/configs/train.yaml")), ids=lambda p: p.parts[-3])
def test_shipped_configurations_are_valid(path, tmp_path):
    (tmp_path / "maps").mkdir()
    assert config.load_config(path, data=tmp_path, out=tmp_path / "run")


def test_the_shipped_schema_is_the_models():
    text = "write config.train_schema() to schemas/train.schema.json"
    assert shipped_schema("train.schema.json") == json.loads(config.train_schema()), text


def test_a_configuration_is_checked_without_torch():
    code = "import mediseg.train.config, mediseg.cli.train, mediseg.cli.export, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
