"""The AC-PC network's windows: the frame in them is where the slice's middle and rows went."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from mediseg.train import acpc, callosum
from mediseg.train.callosum_fine import Pose

pytestmark = pytest.mark.train


def test_a_level_window_over_the_middle_of_the_slice():
    """The callosum's centroid 12 mm above the AC-PC midpoint, level: the window's middle is the midpoint."""
    pose = Pose(np.array([255.5, 255.5 - acpc.BELOW_MM / callosum.SOURCE_MM]), 0.0)
    matrix = acpc.placed(pose, 0.0, (1.0, 1.0), np.zeros(2))
    assert acpc.frame_in(matrix, 512) == pytest.approx((0, 0, 0), abs=1e-4)


def test_a_turned_window_says_so_the_other_way():
    """A window turned so that its rows fall to posterior sees the AC-PC line rise, and the midpoint move."""
    pose = Pose(np.array([255.5, 235.5]), np.deg2rad(10.0))
    right, below, degrees = acpc.frame_in(acpc.placed(pose, 0.0, (1.0, 1.0), np.zeros(2)), 512)
    assert degrees == pytest.approx(-10, abs=1e-4)
    # 10 mm straight below the centroid in the slice: in the window 10 sin(10) to the right, 10 cos(10) - 12 below
    assert right == pytest.approx(10 * np.sin(np.deg2rad(10)), abs=1e-4)
    assert below == pytest.approx(10 * np.cos(np.deg2rad(10)) - acpc.BELOW_MM, abs=1e-4)


def test_a_zoomed_and_shifted_window_counts_its_own_millimetres():
    pose = Pose(np.array([255.5, 255.5]), 0.0)
    matrix = acpc.placed(pose, 0.0, (0.5, 0.5), np.array([3.0, -4.0]))
    assert acpc.frame_in(matrix, 512) == pytest.approx((3, -4 - acpc.BELOW_MM, 0), abs=1e-4)


def test_a_bright_dot_lies_where_the_frame_says():
    image = np.zeros((512, 512), np.uint8)
    image[252:260, 252:260] = 255
    rng = np.random.default_rng(4)
    pose = Pose(np.array([270.0, 220.0]), 0.1)
    for _ in range(5):
        matrix = acpc.window_affine(rng, pose)
        window = callosum.resized(callosum.sampled(image, acpc.places(matrix)), acpc.SHAPE)
        rows, columns = np.nonzero(window > 0.3)
        right, below, _ = acpc.frame_in(matrix, 512)
        assert columns.mean() - 63.5 == pytest.approx(right, abs=0.7)
        assert rows.mean() - 55.5 == pytest.approx(below, abs=0.7)


def test_a_batch_and_the_network_fit_together():
    image = np.random.default_rng(0).integers(0, 255, (512, 512)).astype(np.uint8)
    mask = np.zeros((512, 512), np.uint8)
    mask[220:240, 180:320] = 255
    slices = callosum.Slices(image[None], mask[None], ("a",), ("NYU",))
    windows, frames = acpc.batches(slices, seed=1)(5)
    again, same = acpc.batches(slices, seed=1)(5)
    assert torch.equal(windows, again)
    assert torch.equal(frames, same)
    assert windows.shape == (acpc.BATCH, 1, *acpc.SHAPE)
    found = acpc.AcpcNet()(windows[:2])
    assert found.shape == frames[:2].shape == (2, 3)
    assert float(acpc.frame_loss(frames, frames)) == 0
