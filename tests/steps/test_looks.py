"""Windows level on a callosum: where they lie, and that what a network says in them comes back to its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mediseg import Geometry, Volume
from mediseg.inference import Bundle
from mediseg.steps import looks

# columns: to posterior and a little up, to inferior and a little back, to the right
OBLIQUE = np.array([[0.0, 0.0, -1.0], [0.96, 0.28, 0.0], [0.28, -0.96, 0.0]])


def upright(spacing_mm=0.5, shape=(300, 260)):
    """Return a bar of 80 x 16 mm, its posterior end 15 degrees lower, on an oblique upright slice, and its centre."""
    grid = Geometry.from_axes((*shape, 1), OBLIQUE, (spacing_mm, spacing_mm, 4.0), center_lps_mm=(3.0, -10.0, 40.0))
    pixels = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), axis=-1) * spacing_mm
    centre = np.array([80.0, 60.0])
    angle = np.deg2rad(15)
    axis, across = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    offset = pixels - centre
    inside = (np.abs(offset @ axis) < 40) & (np.abs(offset @ across) < 8)
    point = grid.lps_from_ijk(np.array([*(centre / spacing_mm), 0.0]))
    return Volume(inside[:, :, None].astype(np.float32), grid), point


def bundle(**output):
    settings = {
        "input": {"spacing_mm": 0.75, "shape": [96, 160], "below_mm": 10.0},
        "output": {"looks": [[0.0, 0.0, 0.0]], **output},
    }
    return Bundle("made-up", "1.0.0", "0", Path("model.onnx"), settings)


def test_the_pose_of_a_turned_bar():
    image, point = upright()
    pose = looks.pose_of(image, image.array[:, :, 0])
    assert pose.centre_lps_mm == pytest.approx(point, abs=0.3)
    posterior, inferior = OBLIQUE[:, 0], OBLIQUE[:, 1]
    assert np.rad2deg(np.arctan2(pose.along @ inferior, pose.along @ posterior)) == pytest.approx(15, abs=0.3)
    assert pose.down @ pose.along == pytest.approx(0, abs=1e-12)
    assert pose.down @ inferior > 0.9


def test_a_faint_pixel_far_away_does_not_move_the_pose():
    image, point = upright()
    probability = image.array[:, :, 0].copy()
    probability[:20, -20:] = 0.04
    assert looks.pose_of(image, probability).centre_lps_mm == pytest.approx(point, abs=0.3)


def test_turning_a_pose_lowers_its_posterior_end():
    pose = looks.Pose(np.zeros(3), np.array([0.0, 1.0, 0.0]), np.array([0.0, 0.0, -1.0]))
    assert pose.turned(90).along == pytest.approx((0, 0, -1))
    assert pose.turned(90).down == pytest.approx((0, -1, 0))
    assert pose.at(3, 5) == pytest.approx((0, 3, -5))


def test_the_network_sees_the_bar_level_and_in_the_middle(monkeypatch):
    image, _ = upright()
    seen = []
    monkeypatch.setattr(looks, "predict", lambda _, window: seen.append(window) or window)
    looks.level_window(image, looks.pose_of(image, image.array[:, :, 0]), bundle())
    (window,) = seen
    assert window.shape == (96, 160)
    rows, columns = np.nonzero(window > 0.5)
    assert (rows.min() + rows.max()) / 2 == pytest.approx(47.5, abs=1)
    assert (columns.min() + columns.max()) / 2 == pytest.approx(79.5, abs=1)
    assert np.ptp(columns) * 0.75 == pytest.approx(80, abs=2)
    assert np.ptp(rows) * 0.75 == pytest.approx(16, abs=2)


@pytest.mark.parametrize("spacing_mm", [0.4, 0.75, 1.3])
def test_what_is_said_in_windows_comes_back_to_its_place(monkeypatch, spacing_mm):
    image, _ = upright(spacing_mm, (round(150 / spacing_mm), round(130 / spacing_mm)))
    monkeypatch.setattr(looks, "predict", lambda _, window: window)
    model = bundle(looks=[[0.0, 0.0, 0.0], [0.4, 0.0, 3.0], [0.0, -0.4, -3.0]])
    found = looks.level_window(image, looks.pose_of(image, image.array[:, :, 0]), model)
    true = image.array[:, :, 0] > 0.5
    common = np.count_nonzero((found > 0.5) & true)
    assert 2 * common / (np.count_nonzero(found > 0.5) + np.count_nonzero(true)) > 0.98
    moments = [looks.pose_of(image, part) for part in (found, true.astype(np.float32))]
    assert moments[0].centre_lps_mm == pytest.approx(moments[1].centre_lps_mm, abs=0.1)


def test_beyond_the_window_there_is_nothing(monkeypatch):
    image, _ = upright()
    monkeypatch.setattr(looks, "predict", lambda _, window: np.ones_like(window))
    found = looks.level_window(image, looks.pose_of(image, image.array[:, :, 0]), bundle())
    spacing = 0.5**2
    assert found.sum() * spacing == pytest.approx(120 * 72, rel=0.02)
    assert found[-1].max() == 0


def test_the_frame_stands_where_the_network_says(monkeypatch):
    image, _ = upright()
    pose = looks.pose_of(image, image.array[:, :, 0])
    monkeypatch.setattr(looks, "predict_values", lambda *_: np.array([4.0, 6.0, -10.0], np.float32))
    frame = looks.acpc_frame(image, pose, bundle())
    assert frame.center_lps_mm == pytest.approx(pose.at(4.0, 16.0))
    assert frame.direction_lps == pytest.approx(pose.turned(-10.0).along)


def test_looks_that_agree_give_one_frame(monkeypatch):
    """Each look is told where the frame lies in its own window; the mean must not depend on how looks are turned."""
    image, _ = upright()
    pose = looks.pose_of(image, image.array[:, :, 0])
    model = bundle(looks=[[0.0, 0.0, 5.0], [0.0, 0.0, -5.0]])
    answers = iter([[0.0, 0.0, -5.0], [0.0, 0.0, 5.0]])
    monkeypatch.setattr(looks, "predict_values", lambda *_: np.array(next(answers), np.float32))
    assert looks.acpc_frame(image, pose, model).direction_lps == pytest.approx(pose.along)
