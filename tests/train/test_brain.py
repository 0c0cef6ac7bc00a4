"""Brain extraction's training: targets by hand, batches by step, the network's shape and field of view."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from mediseg.train import brain, brain_heads, brain_sampling

pytestmark = pytest.mark.train


def _ball(shape=(60, 64, 60), radius=20.0):
    steps = [np.arange(n) - (n - 1) / 2 for n in shape]
    grid = np.meshgrid(*steps, indexing="ij")
    return np.sqrt(sum(g**2 for g in grid)) - radius


def _head(painted=True):
    away = _ball()
    labels = np.where(away < 0, 3, np.where(away < 4, 165, np.where(away < 8, 240, 0))).astype(np.uint8)
    image = labels if painted else np.where(away < 0, 150, np.where(away < 8, 60, 0)).astype(np.uint8)
    distance = brain_heads.signed_distance((away < 0).astype(np.float32))
    return brain_heads.Head("ball", painted, image, distance, (29.5, 31.5, 29.5))


def test_signed_distance_of_a_ball_is_its_radius_law():
    away = _ball()
    found = brain_heads.signed_distance((away < 0).astype(np.float32)) * 0.1
    inside_reach = np.abs(away) < 8
    assert np.abs(found - away)[inside_reach].mean() < 0.25
    assert found[0, 0, 0] == pytest.approx(10.0)
    assert found[30, 32, 30] == pytest.approx(-10.0)


def test_signed_distance_of_nothing_and_of_all_is_far_away():
    assert (brain_heads.signed_distance(np.zeros((5, 6, 7), np.float32)) == 100).all()
    assert (brain_heads.signed_distance(np.ones((5, 6, 7), np.float32)) == -100).all()


def test_signed_distance_of_one_voxel_and_of_a_slab_at_the_edge():
    one = np.zeros((9, 9, 9), np.float32)
    one[4, 4, 4] = 1
    found = brain_heads.signed_distance(one)
    assert found.argmin() == np.ravel_multi_index((4, 4, 4), (9, 9, 9))
    slab = np.zeros((30, 8, 8), np.float32)
    slab[:15] = 1
    along = brain_heads.signed_distance(slab)[:, 4, 4]
    assert along[14] == -5
    assert along[15] == 5
    assert (np.diff(along.astype(int)) >= 0).all()


def test_brain_is_cut_ten_millimetres_below_the_cerebellum():
    labels = np.zeros((20, 20, 60), np.uint8)
    labels[8:12, 8:12, 0:40] = 16
    labels[5:15, 5:15, 30:50] = 8
    mask = brain_heads.brain_of_labels(labels)
    levels = np.flatnonzero(mask.any(axis=(0, 1)))
    assert (levels[0], levels[-1]) == (20, 49)


def test_brain_without_cerebellum_is_not_cut_and_holes_are_filled():
    labels = np.zeros((20, 20, 20), np.uint8)
    labels[4:16, 4:16, 2:16] = 3
    labels[9, 9, 9] = 202
    labels[0, 0, 0] = 3
    mask = brain_heads.brain_of_labels(labels)
    assert mask[9, 9, 9]
    assert not mask[0, 0, 0]
    assert mask[:, :, 2].any()


def test_held_out_heads_are_never_listed(tmp_path):
    (tmp_path / "labelmaps").mkdir()
    (tmp_path / "heads_nichart").mkdir()
    for name in (*brain_heads.HELD_OUT_MAPS, "training_seg_02"):
        (tmp_path / "labelmaps" / f"{name}.nii.gz").touch()
    for person in (*brain_heads.HELD_OUT_ELDERS, "subj01"):
        (tmp_path / "heads_nichart" / f"{person}_t1.nii.gz").touch()
    names = [image.name for image, _ in brain_heads.list_heads(tmp_path)]
    assert names == ["training_seg_02.nii.gz", "subj01_t1.nii.gz", "subj01_flair.nii.gz"]


def test_an_empty_data_folder_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"expected labelmaps/\*seg\*\.nii\.gz"):
        brain_heads.list_heads(tmp_path)


@pytest.mark.parametrize("painted", [True, False])
def test_a_batch_depends_on_seed_and_step_alone(painted):
    heads = [_head(painted)]
    sampler = brain_sampling.Sampler(heads, seed=4)
    image, distance = sampler(2)
    sampler(0)
    again = brain_sampling.Sampler(heads, seed=4)(2)
    assert torch.equal(image, again[0])
    assert torch.equal(distance, again[1])
    assert image.shape == distance.shape
    assert image.dtype == distance.dtype == torch.float32
    assert not torch.equal(image.flatten()[:1000], sampler(3)[0].flatten()[:1000])


def test_a_halved_head_is_the_same_head_seen_more_coarsely():
    head = _head()
    half = head.halved()
    assert half.voxel_mm == 2.0
    assert half.image.shape == (30, 32, 30)
    assert half.distance[15, 16, 15] == head.distance[30, 32, 30]
    image, distance = brain_sampling.Sampler([half], 1, 4.0, brain_sampling.COARSE_SIZES, count=2)(0)
    assert image.shape == distance.shape
    assert image.shape[0] == 2


def test_samples_are_finite_and_in_range():
    sampler = brain_sampling.Sampler([_head(), _head(painted=False)], seed=0)
    for step in range(6):
        image, distance = sampler(step)
        low, high = brain_sampling.NORMALIZE["clip"]
        assert torch.isfinite(distance).all()
        assert low <= float(image.min()) <= float(image.max()) <= high


def test_beyond_the_head_there_is_no_brain():
    full = np.full((40, 40, 40), -100, np.int8)
    head = brain_heads.Head("cut", False, np.full((40, 40, 40), 200, np.uint8), full, (19.5, 19.5, 19.5))
    _, distance = brain_sampling.draw_sample(head, (64, 64, 64), np.random.default_rng(0))
    assert distance.max() > 10
    assert distance.min() < -2


def test_cutting_the_view_blanks_image_and_brain_alike():
    for seed in range(20):
        image, distance = np.ones((16, 16, 16), np.float32), np.full((16, 16, 16), -5, np.float32)
        seen, target = brain_sampling.cut_view(image, distance, np.random.default_rng(seed))
        assert (target[seen > 0] <= -2).all()
        assert (target >= distance).all()


def test_fold_and_unfold_undo_each_other():
    image = torch.arange(4 * 6 * 8, dtype=torch.float32).reshape(1, 1, 4, 6, 8)
    assert torch.equal(brain.unfold(brain.fold(image)), image)


@pytest.mark.parametrize("size", [(16, 16, 16), (32, 48, 16), (48, 32, 64)])
def test_the_network_gives_a_clipped_distance_of_the_input_size(size):
    torch.manual_seed(0)
    network = brain.BrainNet().eval()
    with torch.no_grad():
        found = network(torch.randn(1, 1, *size))
    assert found.shape == (1, 1, *size)
    assert float(found.abs().max()) <= brain.CLIP_MM


def test_the_coarse_part_keeps_its_size_and_is_left_alone_by_the_fine_one():
    coarse = brain.CoarseNet((8, 8))
    assert coarse(torch.randn(2, 1, 16, 8, 24)).shape == (2, 1, 16, 8, 24)
    network = brain.BrainNet(brain.CoarseNet()).train()
    network(torch.randn(1, 1, 16, 16, 32)).sum().backward()
    assert all(p.grad is None and not p.requires_grad for p in network.coarse.parameters())
    assert all(p.grad is not None for p in network.refine.parameters())


def test_voxels_are_normalised_each_by_itself():
    features = torch.randn(1, 8, 4, 4, 4)
    norm = brain.VoxelNorm(8)
    whole, part = norm(features), norm(features[..., :2])
    torch.testing.assert_close(whole[..., :2], part)
    torch.testing.assert_close(whole.mean(dim=1), torch.zeros(1, 4, 4, 4), rtol=0, atol=1e-5)


def test_the_loss_is_least_at_the_truth_and_worse_on_the_wrong_side():
    truth = torch.from_numpy(_ball((32, 32, 32), 10.0).astype(np.float32))[None, None]
    right = brain.distance_loss(truth.clamp(-8, 8), truth)
    near = brain.distance_loss((truth + 1).clamp(-8, 8), truth)
    wrong = brain.distance_loss(-truth, truth)
    assert float(right) < 0.1 < float(near) < float(wrong)
