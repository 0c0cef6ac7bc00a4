"""Smaller weights: half the file and nearly the same answer, standard operators only, the cost in the metadata."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from mediseg.bundle_check import DOMAINS, check_file, check_session
from mediseg.train.export import export_bundle, runner, write_onnx
from mediseg.train.look import Reading
from mediseg.train.networks import NETWORKS, build
from mediseg.train.rounding import Half, Int8, halved
from mediseg.train.unet_small import SmallUNet

pytestmark = pytest.mark.train

SAME = Reading(output=lambda values: values, target=lambda values: values)
METADATA = {
    "version": "1.2.3",
    "mediseg": {
        "name": "tiny",
        "licence": "Apache-2.0",
        "input": {"name": "image", "pad_multiple": 16},
        "output": {"name": "probability"},
    },
    "network_data_format": {
        side: {name: {"dtype": "float32", "num_channels": 1, "spatial_shape": ["16*n", "16*n"]}}
        for side, name in (("inputs", "image"), ("outputs", "probability"))
    },
}


def network():
    """Return a network of random weights whose answers are spread over 0..1, and pairs it answers exactly."""
    torch.manual_seed(1)
    made = torch.nn.Sequential(SmallUNet((16, 32, 32, 32)), torch.nn.Sigmoid()).eval()
    with torch.no_grad():
        made[0].head.weight *= 30.0
    images = [torch.rand(1, 1, 32, 48) for _ in range(3)]
    with torch.no_grad():
        return made, [(image, made(image)) for image in images]


@pytest.mark.parametrize(("kind", "share", "apart"), [(Half, 0.75, 0.02), (Int8, 0.95, 0.6)])
def test_the_file_is_smaller_standard_and_says_what_it_cost(tmp_path, kind, share, apart):
    made, pairs = network()
    options = {"metadata": METADATA, "example_shape": (1, 1, 32, 48), "card": "# Card\n", "licence": "Terms\n"}
    whole = export_bundle(made, tmp_path / "whole", **options)
    small = export_bundle(made, tmp_path / "small", **options, rounding=kind(pairs, SAME))
    assert [path.name for path in small.parent.iterdir()] == ["model.onnx"]
    assert small.stat().st_size < share * whole.stat().st_size
    metadata = json.loads((tmp_path / "small" / "configs" / "metadata.json").read_text())
    said = metadata["mediseg"]["rounding"]
    assert (said["samples"], said["dice_float32"]) == (3, 1.0)
    assert said["dice"] > 0.9
    assert said["largest_difference"] < apart
    assert check_file(small, metadata) == []
    assert check_session(small, metadata) == []
    assert {p.key: p.value for p in onnx.load(str(small)).metadata_props}["licence"] == "Apache-2.0"
    if kind is Int8:
        assert said["calibration"].startswith("3 windows")


def test_float16_weights_run_in_float32(tmp_path):
    made, pairs = network()
    path = tmp_path / "model.onnx"
    write_onnx(made, path, (1, 1, 32, 48), ("image", "probability"))
    full = runner(path)(pairs[0][0].numpy())
    Half().apply(path)
    stored = {tensor.data_type for tensor in onnx.load(str(path)).graph.initializer if len(tensor.dims) > 1}
    half = runner(path)(pairs[0][0].numpy())
    assert onnx.TensorProto.FLOAT16 in stored
    assert half.dtype == np.float32
    np.testing.assert_allclose(half, full, atol=0.02)


def test_a_weight_beyond_float16_is_refused():
    tensor = onnx.numpy_helper.from_array(np.full(100, 1e5, np.float32), "huge")
    with pytest.raises(ValueError, match="a weight of huge is beyond float16; export without --fp16"):
        halved(onnx.helper.make_model(onnx.helper.make_graph([], "g", [], [], [tensor])))


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_every_networks_file_has_operators_of_the_standard_alone(tmp_path, name):
    path = tmp_path / "model.onnx"
    write_onnx(build(name).eval(), path, (1, 1, 64, 64), ("image", "logits"))
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= set(DOMAINS)
