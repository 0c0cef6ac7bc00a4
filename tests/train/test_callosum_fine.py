"""The window about the callosum: level, in the middle, and its area fractions keep the mask's area."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from mediseg.train import callosum, callosum_fine

pytestmark = pytest.mark.train


def bar(angle_deg=20.0, middle=(300.0, 200.0)):
    """Return a bar of 140 x 20 pixels, turned, as a mask of 512 x 512."""
    corners = cv2.boxPoints((middle, (140, 20), angle_deg))
    return cv2.fillConvexPoly(np.zeros((512, 512), np.uint8), np.round(corners).astype(np.int32), 255)


def test_the_pose_of_a_turned_bar():
    pose = callosum_fine.pose_of(bar())
    assert pose.centre == pytest.approx((300, 200), abs=0.5)
    assert np.rad2deg(pose.angle) == pytest.approx(20, abs=0.5)


def test_windows_are_level_and_centred_on_average():
    mask = bar(-25.0)
    pose, rng = callosum_fine.pose_of(mask), np.random.default_rng(0)
    found = [callosum_fine.draw(rng, mask, mask, pose, gentle_share=1.0)[1] for _ in range(150)]
    poses = [callosum_fine.pose_of(one) for one in found]
    rows, columns = callosum_fine.SHAPE
    assert np.mean([one.centre for one in poses], axis=0) == pytest.approx(((columns - 1) / 2, (rows - 1) / 2), abs=1)
    assert abs(np.mean([np.rad2deg(one.angle) for one in poses])) < 1.5


def test_fractions_keep_the_area_but_for_the_zoom():
    mask, rng = bar(), np.random.default_rng(1)
    pose = callosum_fine.pose_of(mask)
    matrix = callosum_fine.frame_affine(callosum_fine.window_affine(rng, pose.angle), pose)
    where = callosum.bend(rng, mask, matrix, callosum_fine.SHAPE, share=0.0)
    fraction = callosum.resized(callosum.sampled(mask, where), callosum_fine.SHAPE)
    pixels = abs(np.linalg.det(matrix[:, :2])) * callosum.FINE**2
    assert fraction.sum() * pixels == pytest.approx((mask > 0).sum(), rel=0.01)


def test_a_batch_depends_on_seed_and_step_only():
    mask = bar()
    slices = callosum.Slices(np.stack([mask] * 2), np.stack([mask] * 2), ("a", "b"), ("NYU", "USM"))
    first, again = (callosum_fine.batches(slices, seed=3)(7) for _ in range(2))
    other = callosum_fine.batches(slices, seed=3)(8)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == first[1].shape == (callosum_fine.BATCH, 1, *callosum_fine.SHAPE)
