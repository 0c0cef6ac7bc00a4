"""The networks: known by name, same resolution out as in, the small one small and free of odd operators."""

from __future__ import annotations

import pytest

from mediseg.errors import UsageError

torch = pytest.importorskip("torch")
pytest.importorskip("monai")
onnx = pytest.importorskip("onnx")

from mediseg.train.export import write_onnx
from mediseg.train.networks import NETWORKS, architecture, build
from mediseg.train.unet_small import SmallUNet

pytestmark = pytest.mark.train


@pytest.mark.parametrize("name", sorted(NETWORKS))
def test_logits_have_the_images_size_and_every_weight_learns(name):
    torch.manual_seed(0)
    network = build(name).train()
    multiple = architecture(name).multiple
    image = torch.rand(2, 1, 4 * multiple, 5 * multiple)
    network(image).square().mean().backward()
    assert [key for key, value in network.named_parameters() if value.grad is None] == []
    with torch.no_grad():
        assert network.eval()(image).shape == image.shape


def test_classes_and_widths_are_free():
    network = build("unet_small", widths=(16, 16, 16, 16), classes=3).eval()
    with torch.no_grad():
        assert network(torch.rand(1, 1, 32, 48)).shape == (1, 3, 32, 48)


def test_a_wrong_name_is_answered_with_a_near_one():
    with pytest.raises(UsageError, match=r'there is no network "unet_smal" \(did you mean "unet_small"\?\)'):
        build("unet_smal")


def test_the_small_network_wants_four_widths():
    with pytest.raises(ValueError, match="give 4 widths, not 2"):
        SmallUNet((16, 32))


def test_the_small_networks_file_is_under_a_megabyte_in_float32(tmp_path):
    path = tmp_path / "small.onnx"
    write_onnx(build("unet_small").eval(), path, (1, 1, 64, 64), ("image", "logits"))
    assert path.stat().st_size < 1e6


def test_the_small_network_sees_a_callosum_from_end_to_end():
    """A change 60 mm away (at 1 mm pixels) reaches the logits: the callosum is about 70 mm long."""
    torch.manual_seed(0)
    network = build("unet_small").eval()
    image = torch.rand(1, 1, 192, 192, requires_grad=True)
    network(image)[0, 0, 96, 96].backward()
    reached = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert reached.min() <= 36
    assert reached.max() >= 156
