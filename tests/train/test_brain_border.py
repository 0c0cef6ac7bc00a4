"""The border's training: crops, guesses that are wrong as a coarser network is, and a network that begins with them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from mediseg.train import brain_border, brain_heads  # noqa: E402
from mediseg.train.brain import distance_loss  # noqa: E402

pytestmark = pytest.mark.train


@pytest.fixture
def head():
    steps = np.indices((80, 80, 80)) - 39.5
    away = np.sqrt((steps**2).sum(axis=0)) - 28.0
    labels = np.where(away < 0, 3, np.where(away < 4, 165, 0)).astype(np.uint8)
    distance = brain_heads.signed_distance((away < 0).astype(np.float32))
    return brain_heads.Head("ball", True, labels, distance, (39.5, 39.5, 39.5))


def test_most_crops_lie_on_the_border(head):
    voxels = brain_border.border_voxels(head, np.random.default_rng(0))
    near = np.abs(head.distance[tuple(voxels.T)]) < 30
    assert len(voxels) == brain_border.CENTRES
    assert 0.75 <= near.mean() < 0.9


def test_a_head_without_a_brain_gives_crops_from_anywhere(head):
    empty = brain_heads.Head("air", True, head.image, np.full_like(head.distance, 100), head.centre_ijk)
    assert len(brain_border.border_voxels(empty, np.random.default_rng(0))) == brain_border.CENTRES


def test_a_batch_depends_on_seed_and_step_alone(head):
    centres = [brain_border.border_voxels(head, np.random.default_rng(0))]
    first, second = (brain_border.BorderSampler([head], centres, seed)(3) for seed in (1, 1))
    other = brain_border.BorderSampler([head], centres, 2)(3)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])
    side = brain_border.SIDE
    assert first[0].shape == (brain_border.COUNT, 2, side, side, side)
    assert first[1].shape == (brain_border.COUNT, 1, side, side, side)


def test_a_guess_is_wrong_by_a_millimetre_or_so_and_clipped(head):
    truth = head.distance.astype(np.float32) / 10
    near = np.abs(truth) < 2
    errors = []
    for seed in range(12):
        guess = brain_border.draw_guess(truth, np.random.default_rng(seed))
        assert np.abs(guess).max() <= 8
        errors.append(np.abs(guess - truth)[near].mean())
    assert 0.3 < np.mean(errors) < 2.0
    assert np.ptp(errors) > 0.3


def test_grey_values_are_scaled_by_what_lies_near_the_brain():
    image = np.full((20, 20, 20), 1000.0, np.float32)
    guess = np.full(image.shape, 8.0, np.float32)
    guess[:10] = -8.0
    image[:10] = np.linspace(10, 110, 4000, dtype=np.float32).reshape(10, 20, 20)
    found = brain_border.scaled(image, guess)
    assert found[:10].min() == pytest.approx(-0.01, abs=0.005)
    assert found[:10].max() == pytest.approx(1.01, abs=0.005)
    assert found[10:].max() == 2.0


def test_the_network_begins_with_the_guess_and_its_gradient_reaches_every_weight():
    network = brain_border.BorderNet().train()
    pair = torch.rand(1, 2, 16, 24, 16) - 0.5
    found = network(pair)
    assert found.shape == (1, 1, 16, 24, 16)
    assert torch.allclose(found, 8.0 * pair[:, 1:], atol=1e-5)
    torch.nn.init.normal_(network.head.weight, std=0.1)
    distance_loss(network(pair), torch.zeros(1, 1, 16, 24, 16)).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_a_voxel_is_normalised_by_itself():
    norm = brain_border.ChannelNorm(4)
    features = torch.rand(1, 4, 3, 3, 3) + 1
    changed = features.clone()
    changed[0, :, 0, 0, 0] = 7.0
    assert torch.allclose(norm(features).square().mean(dim=1), torch.ones(1, 3, 3, 3), atol=1e-2)
    assert torch.equal(norm(features)[..., 1:], norm(changed)[..., 1:])
