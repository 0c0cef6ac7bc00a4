"""The head's pose, the scan's grid and the shading."""

import numpy as np
import pytest

from mediseg.errors import UsageError
from mediseg.phantom._pose import Pose, Shading, scan_grid


def posed(**angles):
    return Pose(**{"yaw_deg": 0.0, "roll_deg": 0.0, "pitch_deg": 0.0, "offset_mm": (0.0, 0.0, 0.0), **angles})


def moved(pose, direction):
    return pose.lps_from_head.matrix[:3, :3] @ np.array(direction, float)


def test_yaw_turns_the_face_to_the_left():
    face = moved(posed(yaw_deg=30.0), (0, -1, 0))
    assert face == pytest.approx([0.5, -np.sqrt(0.75), 0])


def test_roll_tips_the_crown_to_the_left():
    assert moved(posed(roll_deg=30.0), (0, 0, 1)) == pytest.approx([0.5, 0, np.sqrt(0.75)])


def test_pitch_lowers_the_posterior_end():
    assert moved(posed(pitch_deg=30.0), (0, 1, 0)) == pytest.approx([0, np.sqrt(0.75), -0.5])


def test_pitch_leaves_the_midplane_alone():
    pose = posed(yaw_deg=10.0, roll_deg=-7.0, pitch_deg=20.0)
    assert moved(pose, (1, 0, 0)) == pytest.approx(moved(posed(yaw_deg=10.0, roll_deg=-7.0), (1, 0, 0)))


def test_scan_grid_is_a_right_handed_sagittal_stack():
    grid = scan_grid((1.0, 1.0, 1.0))
    assert grid.shape == (240, 256, 192)
    assert grid.codes == "PIR"
    assert grid.is_right_handed
    assert grid.center_lps_mm == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.mark.parametrize("wrong", [{"yaw_deg": 46.0}, {"pitch_deg": np.nan}, {"offset_mm": (0.0, 101.0, 0.0)}])
def test_pose_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError, match="pose"):
        posed(**wrong)


def test_offset_needs_three_numbers():
    with pytest.raises(UsageError, match="offset of three numbers"):
        posed(offset_mm=(1.0, 2.0))


@pytest.mark.parametrize("spacing", [(0.4, 1.0, 1.0), (1.0, 1.0, 13.0)])
def test_spacing_out_of_range_is_refused(spacing):
    with pytest.raises(UsageError, match=r"0\.5 to 12 mm"):
        scan_grid(spacing)


def test_shading_has_mean_one_where_asked_and_follows_its_seed():
    points = np.random.default_rng(3).uniform(-70, 70, (500, 3))
    field = Shading(0.3, 5, points)
    x, y, z = points.T.astype(np.float32)
    values = field(x, y, z)
    assert values.mean() == pytest.approx(1.0, abs=1e-4)
    assert values.min() > 0
    assert 0.05 < values.std() < 0.5
    assert np.array_equal(values, Shading(0.3, 5, points)(x, y, z))
    assert not np.allclose(values, Shading(0.3, 6, points)(x, y, z), atol=1e-3)


def test_shading_on_a_grid_is_the_shading_at_its_voxels():
    grid = scan_grid((12.0, 12.0, 12.0))
    field = Shading(0.4, 0, np.zeros((1, 3)))
    at = field.on(grid)
    x, y, z = grid.lps_from_ijk([3, 5, 7]).astype(np.float32)
    assert at.shape == grid.shape
    assert float(at[3, 5, 7]) == pytest.approx(float(field(x[None], y[None], z[None])[0]), rel=1e-5)
