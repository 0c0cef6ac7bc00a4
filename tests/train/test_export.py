"""The bundle: ONNX equals torch at free sizes, metadata and checksum fit the file."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("monai")
import onnxruntime

from mediseg.train import export

pytestmark = pytest.mark.train

METADATA = {
    "version": "1.2.3",
    "task": "a test",
    "mediseg": {
        "name": "tiny",
        "licence": "Apache-2.0",
        "input": {"name": "image", "pad_multiple": 2},
        "output": {"name": "probability"},
    },
}


def network(dims):
    torch.manual_seed(0)
    conv, up = (torch.nn.Conv2d, torch.nn.ConvTranspose2d) if dims == 2 else (torch.nn.Conv3d, torch.nn.ConvTranspose3d)
    return torch.nn.Sequential(
        conv(1, 3, 3, padding=1), torch.nn.ReLU(), conv(3, 3, 2, stride=2), up(3, 1, 2, stride=2), torch.nn.Sigmoid()
    )


def write(folder, dims):
    shape = (1, 1, 16, 16) if dims == 2 else (1, 1, 8, 8, 8)
    return export.export_bundle(
        network(dims), folder, metadata=METADATA, example_shape=shape, card="# Card\n", licence="Terms\n"
    )


@pytest.mark.parametrize(("dims", "shape"), [(2, (3, 1, 10, 22)), (3, (1, 1, 6, 12, 4))])
def test_sizes_are_free_and_equal_torch(tmp_path, dims, shape):
    session = onnxruntime.InferenceSession(str(write(tmp_path, dims)))
    array = np.random.default_rng(1).random(shape, dtype=np.float32)
    (found,) = session.run(["probability"], {"image": array})
    with torch.no_grad():
        expected = network(dims).eval()(torch.from_numpy(array)).numpy()
    assert found.shape == shape
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_metadata_card_licence_and_checksum_are_written(tmp_path):
    path = write(tmp_path, 2)
    written = json.loads((tmp_path / "configs" / "metadata.json").read_text())
    assert written["mediseg"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert {"schema", "monai_version", "pytorch_version", "numpy_version"} <= written.keys()
    assert (tmp_path / "docs" / "README.md").read_text() == "# Card\n"
    assert (tmp_path / "LICENSE").read_text() == "Terms\n"


def test_the_file_itself_carries_version_and_licence_and_its_weights(tmp_path):
    path = write(tmp_path, 2)
    assert [p.name for p in path.parent.iterdir()] == ["model.onnx"]
    properties = {p.key: p.value for p in onnx.load(str(path)).metadata_props}
    assert properties == {"version": "1.2.3", "licence": "Apache-2.0", "name": "tiny"}


def test_the_same_network_gives_the_same_file(tmp_path):
    assert write(tmp_path / "a", 2).read_bytes() == write(tmp_path / "b", 2).read_bytes()


def test_other_weights_are_refused(tmp_path):
    path = write(tmp_path, 2)
    other = network(2)
    with torch.no_grad():
        other[0].bias += 1.0
    with pytest.raises(ValueError, match="ONNX Runtime and torch differ"):
        export.check_parity(other.eval(), path, [(1, 1, 8, 8)])


def test_probed_sizes_hold_to_the_multiple_and_are_not_all_square():
    shapes = export.probe_shapes((1, 1, 64, 64), 16)
    assert all(size % 16 == 0 for shape in shapes for size in shape[2:])
    assert any(shape[2] != shape[3] for shape in shapes)
    assert any(shape[0] == 2 for shape in shapes)
    assert all(shape[0] == 1 for shape in export.probe_shapes((1, 1, 64, 64, 64), 16))


def test_a_fixed_size_stays_fixed_but_for_the_batch(tmp_path):
    torch.manual_seed(0)
    numbers = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, 2), torch.nn.Flatten(), torch.nn.Linear(2 * 3 * 4, 3))
    own = {**METADATA["mediseg"], "input": {"name": "image", "fixed_size": True}, "output": {"name": "frame"}}
    path = export.export_bundle(
        numbers,
        tmp_path,
        metadata={**METADATA, "mediseg": own},
        example_shape=(1, 1, 8, 10),
        card="# Card\n",
        licence="Terms\n",
    )
    session = onnxruntime.InferenceSession(str(path))
    assert session.get_inputs()[0].shape == ["batch", 1, 8, 10]
    assert session.run(None, {"image": np.zeros((5, 1, 8, 10), np.float32)})[0].shape == (5, 3)
    assert json.loads((tmp_path / "configs" / "metadata.json").read_text())["mediseg"]["probe"]["shape"] == [
        1,
        1,
        8,
        10,
    ]
