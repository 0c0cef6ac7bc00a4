"""``models verify``: every shipped bundle passes; every kind of damage is named."""

from __future__ import annotations

import hashlib
import json
import shutil

import jsonschema
import numpy as np
import pytest

from mediseg import bundle_check
from mediseg._resources import shipped
from mediseg.bundle_metadata import bundle_schema, faults
from mediseg.cli import main
from mediseg.errors import UsageError
from mediseg.inference import bundle_names
from mediseg.record import shipped_schema


@pytest.fixture
def bundle(tmp_path):
    folder = tmp_path / "callosum-unet"
    shutil.copytree(shipped("models") / "callosum-unet", folder)
    return folder


def change(folder, edit):
    path = folder / "configs" / "metadata.json"
    metadata = json.loads(path.read_text(encoding="utf-8"))
    edit(metadata)
    path.write_text(json.dumps(metadata), encoding="utf-8")


def rewrite(folder, edit):
    """Change the ONNX file itself, and its checksum with it."""
    onnx = pytest.importorskip("onnx")
    path = folder / "models" / "model.onnx"
    model = onnx.load(str(path))
    edit(model)
    onnx.save(model, str(path))
    change(folder, lambda m: m["mediseg"].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))


@pytest.mark.parametrize("name", bundle_names())
def test_every_shipped_bundle_is_whole(name):
    assert bundle_check.verify(name) == []


@pytest.mark.parametrize("name", bundle_names())
def test_every_shipped_bundle_states_opset_and_probe_and_has_a_training_configuration(name):
    folder = shipped("models") / name
    own = json.loads((folder / "configs" / "metadata.json").read_text(encoding="utf-8"))["mediseg"]
    assert {"opset", "probe"} <= own.keys()
    assert (folder / "configs" / "train.yaml").is_file()


@pytest.mark.parametrize("name", bundle_names())
def test_metadata_are_valid_against_the_shipped_schema(name):
    path = shipped("models") / name / "configs" / "metadata.json"
    jsonschema.validate(json.loads(path.read_text(encoding="utf-8")), shipped_schema("bundle.schema.json"))


def test_the_shipped_schema_is_the_classes():
    text = "write bundle_metadata.bundle_schema() to schemas/bundle.schema.json"
    assert shipped_schema("bundle.schema.json") == json.loads(bundle_schema()), text


@pytest.mark.parametrize("name", bundle_check.FILES)
def test_a_missing_file_is_named(bundle, name):
    if name == "configs/metadata.json":
        (bundle / name).unlink()
        with pytest.raises(UsageError, match="there is no model"):
            bundle_check.verify(str(bundle))
        return
    (bundle / name).write_bytes(b"")
    assert bundle_check.verify(str(bundle)) == [f"{name} is missing or empty"]


@pytest.mark.parametrize(
    ("edit", "fault"),
    [
        (lambda m: m.pop("task"), "configs/metadata.json: task: field required"),
        (lambda m: m.update(version=1), "configs/metadata.json: version: input should be a valid string"),
        (
            lambda m: m["network_data_format"]["inputs"]["image"].pop("value_range"),
            "configs/metadata.json: network_data_format.inputs.image.value_range: field required",
        ),
        (lambda m: m["mediseg"].pop("licence"), "configs/metadata.json: mediseg.licence: field required"),
        (
            lambda m: m["mediseg"].update(sha256="0" * 64),
            "models/model.onnx does not match its checksum: it is damaged or was changed; copy the bundle again",
        ),
        (lambda m: m["mediseg"].update(opset=12), "opset 17, and the metadata say 12"),
        (
            lambda m: m["network_data_format"].update(inputs={"slice": m["network_data_format"]["inputs"]["image"]}),
            "inputs are image, and the metadata say slice",
        ),
        (
            lambda m: m["network_data_format"]["inputs"]["image"].update(dtype="float16"),
            "image is tensor(float), and the metadata say float16",
        ),
        (
            lambda m: m["network_data_format"]["outputs"]["probability"].update(num_channels=2),
            "probability has 1 channels, and the metadata say 2",
        ),
    ],
)
def test_what_the_metadata_say_wrongly_is_named(bundle, edit, fault):
    if fault.startswith("opset"):
        pytest.importorskip("onnx")
    change(bundle, edit)
    assert bundle_check.verify(str(bundle)) == [fault]


def test_another_networks_weights_are_found_out_by_the_probe(bundle):
    def louder(model):
        import onnx

        weights = model.graph.initializer[0]
        values = onnx.numpy_helper.to_array(weights) * 1.5
        weights.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float32), weights.name))

    rewrite(bundle, louder)
    (fault,) = bundle_check.verify(str(bundle))
    assert fault.startswith("the probe's answer is ")


def test_an_operator_beyond_the_standard_is_named(bundle):
    def odd(model):
        import onnx

        model.opset_import.append(onnx.helper.make_opsetid("com.microsoft", 1))
        node = model.graph.node[-1]
        inner = onnx.helper.make_node("Gelu", [node.output[0]], ["odd"], domain="com.microsoft")
        model.graph.node.append(inner)

    rewrite(bundle, odd)
    assert "operator com.microsoft.Gelu is not of the ONNX standard" in bundle_check.verify(str(bundle))


def test_a_file_that_does_not_load_is_named(bundle):
    path = bundle / "models" / "model.onnx"
    path.write_bytes(path.read_bytes()[:1000])
    change(bundle, lambda m: m["mediseg"].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    found = bundle_check.verify(str(bundle))
    assert any(fault.startswith(("ONNX Runtime cannot load model.onnx", "onnx.checker")) for fault in found)


def test_the_command_names_every_fault_and_ends_with_1(bundle, capsys):
    change(bundle, lambda m: m.pop("task"))
    assert main(["models", "verify", str(bundle), "brain-unet"]) == 1
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"{bundle}: configs/metadata.json: task: field required"]
    assert captured.out.startswith("brain-unet: ok, sha256 ")


def test_further_keys_are_free():
    assert faults({}) != []
    path = shipped("models") / "brain-unet" / "configs" / "metadata.json"
    assert faults({**json.loads(path.read_text(encoding="utf-8")), "supported_apps": {}}) == []


def test_the_probe_is_not_alike_along_its_axes():
    waves = bundle_check.probe_input([1, 1, 8, 8])[0, 0]
    assert waves.shape == (8, 8)
    assert 0.0 <= waves.min() < waves.max() <= 1.0
    assert not np.allclose(waves, waves.T)
