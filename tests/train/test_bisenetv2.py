"""BiSeNetV2 against the paper's layer table (table 1) and its parameter counts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from mediseg.train.bisenetv2 import BiSeNetV2, Booster, GatherExpand

pytestmark = pytest.mark.train


def parameters(module) -> int:
    return sum(one.numel() for one in module.parameters())


@pytest.fixture(scope="module")
def paper():
    return BiSeNetV2(channels=3, classes=19, subpixel=False)


def test_parameters_at_reference_width():
    network = BiSeNetV2(channels=1, classes=1, subpixel=False)
    boosters = parameters(network.boosters)
    assert round((parameters(network) - boosters) / 1e6, 2) == 3.34
    assert round(parameters(network) / 1e6, 2) == 5.19


def test_the_detail_branch_has_the_tables_layers(paper):
    table = [(64, 2), (64, 1), (64, 2), (64, 1), (64, 1), (128, 2), (128, 1), (128, 1)]
    convolutions = [layer[0] for layer in paper.detail]
    assert [(one.out_channels, one.stride[0]) for one in convolutions] == table
    assert {one.kernel_size for one in convolutions} == {(3, 3)}


def test_the_semantic_branch_has_the_tables_layers(paper):
    stages = [[tuple(layer.body[-1][0].weight.shape[:2]) for layer in stage] for stage in paper.semantic.stages]
    assert stages == [
        [(32, 16 * 6), (32, 32 * 6)],
        [(64, 32 * 6), (64, 64 * 6)],
        [(128, 64 * 6), (128, 128 * 6), (128, 128 * 6), (128, 128 * 6)],
    ]


def test_sizes_on_the_way(paper):
    image = torch.zeros(1, 3, 64, 96)
    with torch.no_grad():
        levels, context = paper.eval().semantic(image)
        assert [tuple(one.shape[1:]) for one in levels] == [(16, 16, 24), (32, 8, 12), (64, 4, 6), (128, 2, 3)]
        assert context.shape == (1, 128, 2, 3)
        assert paper.detail(image).shape == (1, 128, 8, 12)
        assert paper.aggregation(paper.detail(image), context).shape == (1, 128, 8, 12)
        assert paper(image).shape == (1, 19, 64, 96)


def test_boosters_answer_in_training_only():
    network = BiSeNetV2(channels=1, classes=1, head_width=32)
    image = torch.zeros(2, 1, 64, 64)
    assert network.train()(image).shape == (2, 5, 64, 64)
    assert network.eval()(image).shape == (2, 1, 64, 64)


@pytest.mark.parametrize("scale", [4, 8, 16, 32])
def test_a_booster_reaches_full_size(scale):
    answer = Booster(8, 16, 2, scale=scale)(torch.zeros(2, 8, 64 // scale, 64 // scale))
    assert answer.shape == (2, 2, 64, 64)


def test_gather_and_expand_keeps_or_halves():
    assert GatherExpand(8, 8)(torch.zeros(2, 8, 6, 6)).shape == (2, 8, 6, 6)
    assert GatherExpand(8, 12, stride=2)(torch.zeros(2, 8, 6, 6)).shape == (2, 12, 3, 3)


def test_the_subpixel_head_paints_single_pixels():
    """Neighbouring pixels of one 8 x 8 block may differ by any amount; a stretched head cannot do that."""
    torch.manual_seed(0)
    network = BiSeNetV2(channels=1, classes=1, head_width=32).eval()
    with torch.no_grad():
        network.head.last.bias.copy_(torch.arange(64) % 2 * 10.0)
        answer = network(torch.zeros(1, 1, 32, 32))[0, 0]
    assert float((answer[:, 1:8:2] - answer[:, 0:8:2]).min()) > 5
