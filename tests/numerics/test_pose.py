"""A shape laid onto a map of signed distances: an ellipsoid with a bump, so that no turn of it looks like another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.transform import Rotation

from mediseg.numerics.pose import fit_pose, unclipped

SPACING_MM = 4.0
Floats = npt.NDArray[np.float64]


def _inside(points: Floats) -> npt.NDArray[np.bool_]:
    body = (points / [60.0, 80.0, 50.0]) ** 2
    bump = ((points - [0.0, -50.0, -45.0]) / [30.0, 25.0, 25.0]) ** 2
    return np.asarray((body.sum(axis=-1) < 1) | (bump.sum(axis=-1) < 1))


def _surface(count: int = 400) -> Floats:
    """Points where rays from the middle leave the shape."""
    rng = np.random.default_rng(0)
    rays = rng.normal(size=(count, 3))
    rays /= np.linalg.norm(rays, axis=1, keepdims=True)
    reach = np.linspace(1, 110, 1091)
    last = _inside(rays[:, None] * reach[None, :, None]) * reach
    return np.asarray(rays * last.max(axis=1, keepdims=True))


def _image(turn: Floats, size: float, shift: Floats, voxels: int = 64) -> npt.NDArray[np.float32]:
    steps = np.arange(voxels) * SPACING_MM
    places = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    inside = _inside((places - shift) @ turn / size)
    return unclipped(np.where(inside, -1.0, 1.0), SPACING_MM, 0.0)


@pytest.mark.parametrize("degrees", [(0, 0, 0), (40, 0, 0), (0, -35, 10), (10, 15, 40)])
def test_finds_turn_size_and_shift(degrees: tuple[int, int, int]) -> None:
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    middle = np.array([120.0, 131.0, 125.0])
    pose = fit_pose(_image(turn, 1.1, middle), SPACING_MM, _surface())
    off = Rotation.from_matrix(pose.turn.T @ turn).magnitude()
    assert np.degrees(off) < 1.5
    assert pose.size == pytest.approx(1.1, abs=0.02)
    np.testing.assert_allclose(pose.shift, middle, atol=1.0)
    assert pose.residual_mm < 1.5
    assert pose.seen == 1.0


def test_a_shape_cut_off_by_the_image_lies_where_the_whole_one_does() -> None:
    middle = np.array([120.0, 131.0, 125.0])
    whole = _image(np.eye(3), 1.0, middle)
    pose = fit_pose(whole[:, :, :38], SPACING_MM, _surface())  # the top 25 mm are missing
    assert pose.seen < 0.95
    np.testing.assert_allclose(pose.shift, middle, atol=2.5)
    assert np.degrees(Rotation.from_matrix(pose.turn).magnitude()) < 2.5


def test_what_is_no_such_shape_fits_badly() -> None:
    steps = np.arange(64) * SPACING_MM
    x, y, z = np.meshgrid(steps, steps, steps, indexing="ij")
    box = (abs(x - 128) < 20) & (abs(y - 128) < 100) & (abs(z - 128) < 90)
    pose = fit_pose(unclipped(np.where(box, -1.0, 1.0), SPACING_MM, 0.0), SPACING_MM, _surface())
    assert pose.residual_mm > 3.0  # twice what shapes of its own kind leave


def test_nothing_inside_is_said() -> None:
    with pytest.raises(ValueError, match="nothing lies inside"):
        fit_pose(np.ones((8, 8, 8)), SPACING_MM, _surface(10))


def test_unclipped_keeps_what_is_near_and_goes_on_beyond() -> None:
    line = np.clip(np.arange(-20.0, 20.0) + 0.5, -8, 8)
    found = unclipped(np.broadcast_to(line[:, None, None], (40, 5, 5)), 1.0, 8.0)[:, 2, 2]
    np.testing.assert_allclose(found, np.arange(-20.0, 20.0) + 0.5)
