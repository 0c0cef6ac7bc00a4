"""Level boxes: however a head lies, its brain comes to lie in the box as the outline does."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from mediseg.numerics.pose import fit_pose

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

from mediseg.train import brain_heads, brain_level, brain_outline
from mediseg.train import brain_sampling as sampling

pytestmark = pytest.mark.train


def _egg(turn: npt.NDArray[np.float64], size: float) -> brain_heads.Head:
    """A head whose 'brain' is the outline's own inside: what lies below the outline's surface along each ray."""
    n, middle = 128, np.array([66.0, 60.0, 63.0])
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), axis=-1).astype(np.float32) * 2.0
    there = (grid - 2.0 * middle) @ turn / size
    points = brain_outline.outline()
    reach = np.linalg.norm(points, axis=1)
    rays = points / reach[:, None]
    far = np.linalg.norm(there, axis=-1)
    nearest = np.argmax((there.reshape(-1, 3) / np.maximum(far.reshape(-1, 1), 1e-6)) @ rays.T, axis=1)
    distance = np.clip((far - reach[nearest].reshape(far.shape)) * size, -10, 10)
    image = np.where(distance < 0, 120, np.where(distance < 8, 200, 0)).astype(np.uint8)
    centre = tuple(float(c) for c in middle)
    return brain_heads.Head("egg", False, image, np.rint(distance * 10).astype(np.int8), centre, 2.0)  # type: ignore[arg-type]


def test_the_outline_is_a_brains() -> None:
    points = brain_outline.outline()
    assert points.shape == (400, 3)
    width, length, height = np.ptp(points, axis=0)
    assert 125 < width < 145
    assert 155 < length < 180
    assert 125 < height < 155
    np.testing.assert_allclose(points.max(axis=0), -points.min(axis=0), atol=0.5)


def test_a_turned_small_head_fills_the_box_as_the_outline_does() -> None:
    turn = Rotation.from_euler("xyz", (20, -10, 15), degrees=True).as_matrix()
    head = _egg(turn, 0.9)
    pose = brain_outline.pose_of(head)
    assert pose.size == pytest.approx(0.9, abs=0.02)
    found = []
    for seed in range(4):
        image, distance = brain_level.draw_level(head, pose, np.random.default_rng(seed))
        assert image.shape == distance.shape == brain_level.SHAPE
        assert np.isfinite(image).all()
        inside = np.argwhere(distance < 0)
        found.append(inside.mean(axis=0))
        # 134 x 168 x 140 mm of 1.75 mm, give or take the jitter's scale
        np.testing.assert_allclose(np.ptp(inside, axis=0), [76, 96, 80], atol=16)
    np.testing.assert_allclose(np.mean(found, axis=0), (np.array(brain_level.SHAPE) - 1) / 2, atol=8)


def test_the_jitter_is_mostly_small_and_mirrors_half_the_time() -> None:
    drawn = [brain_level.jitter(np.random.default_rng(seed)) for seed in range(200)]
    mirrored = [np.linalg.det(matrix) < 0 for matrix, _ in drawn]
    assert 60 < sum(mirrored) < 140
    assert np.median([np.linalg.norm(shift) for _, shift in drawn]) < 5


def test_rotation_turns_about_one_axis_after_another() -> None:
    np.testing.assert_allclose(sampling.rotation(np.radians([0.0, 0.0, 90.0])) @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_samples_depend_on_seed_and_step_alone_and_some_are_whole_heads() -> None:
    head = _egg(np.eye(3), 1.0)
    sampler = brain_level.LevelSampler.over(sampling.Sampler([head], seed=3), 0.5)
    again = brain_level.LevelSampler.over(sampling.Sampler([head], seed=3), 0.5)
    shapes = set()
    for step in range(6):
        image, distance = sampler(step)
        same, _ = again(step)
        assert torch.equal(image, same)
        assert image.shape == distance.shape
        shapes.add(tuple(image.shape[2:]))
    assert brain_level.SHAPE in shapes
    assert len(shapes) > 1


def test_pose_of_agrees_with_a_direct_fit() -> None:
    head = _egg(np.eye(3), 1.0)
    pose = brain_outline.pose_of(head)
    direct = fit_pose(
        head.distance[::2, ::2, ::2].astype(np.float32) * 0.1, brain_outline.STEP_MM, brain_outline.outline()
    )
    np.testing.assert_allclose(pose.shift, direct.shift, atol=1.5)
