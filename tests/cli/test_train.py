"""``mediseg train`` and ``mediseg export`` on made-up slices: from a configuration to a bundle that verifies."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from mediseg.cli import main
from mediseg.cli import train as command
from mediseg.errors import Exit

CONFIG = """
task: callosum
network: {name: unet_small, widths: [16, 16, 16, 16]}
schedule: {steps: 4, warmup: 1, checkpoint_every: 2, log_every: 2, look_every: 2, rate: 0.001}
augmentation: {gentle: 1.0, pixels: 20000}
"""


@pytest.fixture
def data(tmp_path):
    cv2 = pytest.importorskip("cv2")
    folder = tmp_path / "slices"
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    image, mask = np.zeros((2, 512, 512), np.uint8)
    cv2.circle(image, (256, 256), 180, 90, -1)
    cv2.rectangle(mask, (190, 240), (320, 260), 255, -1)
    rows = ["id,site"]
    for k in range(40):  # of these a share of 3 % is looked at
        cv2.imwrite(str(folder / "images" / f"s{k}.jpg"), np.maximum(image, mask // 255 * 200))
        cv2.imwrite(str(folder / "masks" / f"s{k}.png"), mask)
        rows.append(f"s{k},NYU")
    (folder / "index.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(CONFIG)
    return path


@pytest.mark.train
def test_from_a_configuration_to_a_bundle(data, config, tmp_path, capsys):
    for name in ("torch", "onnx", "monai"):
        pytest.importorskip(name)
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    assert main(["train", str(config), "--data", str(data), "--out", str(run)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "run: step 4 of 4, loss " in captured.err
    with (run / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(0.0 <= float(row["score"]) <= 1.0 for row in rows)
    assert [path.name for path in sorted((run / "looks").iterdir())] == ["step_0000002.png", "step_0000004.png"]

    longer = config.with_name("longer.yaml")
    longer.write_text(CONFIG.replace("steps: 4", "steps: 6"))
    assert main(["train", str(longer), "--data", str(data), "--out", str(run)]) == 0
    assert "run goes on with another setting: schedule.steps: 4 -> 6" in capsys.readouterr().err

    assert main(["export", str(run), "--out", str(bundle), "--fp16"]) == 0
    assert capsys.readouterr().out == f"{bundle / 'models' / 'model.onnx'}\n"
    metadata = json.loads((bundle / "configs" / "metadata.json").read_text())
    assert metadata["mediseg"]["name"] == "callosum-unet-small"
    assert metadata["mediseg"]["training"]["schedule"]["steps"] == 6
    assert metadata["mediseg"]["rounding"]["weights"] == "float16"
    assert "complete it before anybody else uses the model" in (bundle / "docs" / "README.md").read_text()
    assert main(["models", "verify", str(bundle)]) == 0


@pytest.mark.train
@pytest.mark.parametrize(
    ("task", "lines", "name", "size"),
    [
        ("callosum-fine", "network: {name: unet_small, widths: [16, 16, 16, 16]}", "callosum-fine-unet-small", None),
        ("acpc", "", "acpc-frame", [112, 128]),
    ],
)
def test_what_goes_on_where_a_callosum_network_stops(task, lines, name, size, data, tmp_path):
    for package in ("torch", "onnx", "monai"):
        pytest.importorskip(package)
    path, run, bundle = tmp_path / "train.yaml", tmp_path / "run", tmp_path / "bundle"
    path.write_text(f"task: {task}\n{lines}\nschedule: {{steps: 1, look_every: 0}}\n")
    assert main(["train", str(path), "--data", str(data), "--out", str(run)]) == 0
    assert main(["export", str(run), "--out", str(bundle)]) == 0
    own = json.loads((bundle / "configs" / "metadata.json").read_text())["mediseg"]
    assert (own["kind"], own["name"]) == (task, name)
    assert own["output"]["looks"][0] == [0.0, 0.0, 0.0]
    assert size is None or own["probe"]["shape"][2:] == size
    assert main(["models", "verify", str(bundle)]) == 0


def test_without_the_extra_one_line_names_the_command(data, config, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert main(["train", str(config), "--data", str(data), "--out", str(tmp_path / "run")]) == Exit.USAGE
    expected = 'mediseg: training needs torch, monai, onnx: pip install "mediseg[train]"\n'
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "callosum-une"], 'there is no configuration "callosum-une" (did you mean "callosum-unet"?)'),
        (["train", "none.yaml"], "cannot read the configuration none.yaml: No such file"),
        (["train", "callosum-unet", "--out", "r"], "names no data; give --data, or data.folder or data.manifest"),
        (["export", "nowhere"], "nowhere is no run: it holds no config.json"),
        (["export", "nowhere", "--fp16", "--int8"], "choose one of --fp16 and --int8"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments, message, capsys):
    assert main(arguments) == Exit.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.train
@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (("gentle: 1.0", "gentel: 1.0"), r'augmentation has no setting "gentel" (did you mean "gentle"?)'),
        (("task: callosum", "task: calosum"), 'there is no task "calosum" (did you mean "callosum"?)'),
        (("unet_small", "unet_smal"), 'there is no network "unet_smal" (did you mean "unet_small"?)'),
        (("rate: 0.001", "device: cuda"), "schedule.device: cuda: this torch sees no GPU; use cpu or auto"),
    ],
)
def test_what_only_the_training_room_knows_is_said_too(data, config, tmp_path, capsys, edit, message):
    torch = pytest.importorskip("torch")
    if "cuda" in edit[1] and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    config.write_text(CONFIG.replace(*edit))
    assert main(["train", str(config), "--data", str(data), "--out", str(tmp_path / "run")]) == Exit.USAGE
    assert message in capsys.readouterr().err
