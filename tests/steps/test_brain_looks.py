"""The box about a brain: where it lies, what the network sees of it, and that its answer comes back to its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mediseg import Geometry, Volume
from mediseg.inference import Bundle
from mediseg.steps import brain_looks

CENTRE = np.array([2.0, -3.0, 5.0])


def ball(geometry, radius_mm=30.0):
    """Return a bright ball about CENTRE and the true distance to its border, on a grid."""
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in geometry.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(geometry.lps_from_ijk(ijk.reshape(-1, 3)) - CENTRE, axis=1).reshape(geometry.shape)
    distance = np.clip(away - radius_mm, -8, 8).astype(np.float32)
    return Volume(np.where(distance < 0, 400.0, 100.0).astype(np.float32), geometry), Volume(distance, geometry)


def found_at_two_mm():
    return ball(Geometry.from_axes((60, 60, 60), np.diag([-1.0, -1, 1]), (2, 2, 2), center_lps_mm=CENTRE))[1]


LEVEL = {
    "input": {
        "spacing_mm": 2.0,
        "orientation": "RAS",
        "level": {
            "shape": [48, 48, 56],
            "voxel_mm": 1.5,
            "normalize": {"low": 1.0, "high": 99.0, "clip": (-0.5, 2.0)},
            "outline_mm": (24.0 * np.random.default_rng(0).normal(size=(200, 3))).tolist(),
        },
    },
    "output": {"clip_mm": 8.0},
}
_RAYS = np.array(LEVEL["input"]["level"]["outline_mm"])
# the outline: a ball of 24 mm; the brain found is one of 30 mm, 1.25 times as large
LEVEL["input"]["level"]["outline_mm"] = (24.0 * _RAYS / np.linalg.norm(_RAYS, axis=1, keepdims=True)).tolist()
LEVELLED = Bundle("made-up", "1.0.0", "0", Path("model.onnx"), LEVEL)


@pytest.mark.parametrize(
    "axes", [np.eye(3), np.array([[1.0, 0, 0], [0, 0.8, 0.6], [0, -0.6, 0.8]]), np.diag([-1.0, -1.0, 1.0])]
)
def test_a_level_box_shows_the_brain_in_its_middle_and_the_answer_comes_back(monkeypatch, axes):
    _, distance = ball(Geometry.from_axes((120, 110, 100), axes, (1, 1, 1), center_lps_mm=CENTRE))
    seen = []

    found = found_at_two_mm()
    pose = brain_looks.brain_pose(found, LEVELLED)
    assert pose.size == pytest.approx(1.25, abs=0.06)  # a ball this small is held back a little by the usual size

    def answer(bundle, channels):
        seen.append(channels[0])
        # voxels are size * 1.5 mm wide, the network takes them for 2 mm
        return channels[0] * np.float32(2.0 / (pose.size * 1.5))

    monkeypatch.setattr(brain_looks, "stretched", lambda image, *_: image)
    monkeypatch.setattr(brain_looks, "predict_channels", answer)
    level = brain_looks.level_box(distance, found, pose, LEVELLED)
    (box,) = seen
    assert box.shape == (48, 48, 56)
    inside = np.argwhere(box < 0)
    np.testing.assert_allclose(inside.mean(axis=0), [23.5, 23.5, 27.5], atol=0.5)
    np.testing.assert_allclose(np.ptp(inside, axis=0), 60 / (1.5 * pose.size) - 1, atol=1)
    assert level.geometry == found.geometry
    near = np.abs(found.array) < 3
    assert np.abs(level.array - found.array)[near].max() < 0.3


def test_beyond_the_level_box_the_first_look_stands(monkeypatch):
    head, _ = ball(Geometry.from_axes((120, 110, 100), np.eye(3), (1, 1, 1), center_lps_mm=CENTRE))
    monkeypatch.setattr(brain_looks, "predict_channels", lambda bundle, channels: np.full(channels.shape[1:], -3.0))
    found = found_at_two_mm()
    pose = brain_looks.brain_pose(found, LEVELLED)
    level = brain_looks.level_box(head, found, pose, LEVELLED)
    ijk = np.stack(np.meshgrid(*(np.arange(n) for n in found.geometry.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm(found.geometry.lps_from_ijk(ijk.reshape(-1, 3)) - CENTRE, axis=1).reshape(60, 60, 60)
    np.testing.assert_array_equal(level.array[away > 92], np.asarray(found.array)[away > 92])
    np.testing.assert_allclose(level.array[away < 40], -3.0 * 1.5 * pose.size / 2, rtol=1e-3)


def test_a_level_box_is_as_bright_as_the_brain_found(monkeypatch):
    head, _ = ball(Geometry.from_axes((120, 110, 100), np.eye(3), (1, 1, 1), center_lps_mm=CENTRE))
    ramp = head.with_array(np.broadcast_to(np.arange(120.0)[:, None, None], (120, 110, 100)).astype(np.float32))
    seen = []
    monkeypatch.setattr(
        brain_looks, "predict_channels", lambda bundle, channels: seen.append(channels[0]) or channels[0]
    )
    found = found_at_two_mm()
    brain_looks.level_box(ramp, found, brain_looks.brain_pose(found, LEVELLED), LEVELLED)
    inside = seen[0][20:28, 20:28, 24:32]
    assert 0.3 < inside.min() < inside.max() < 0.7
    assert seen[0].max() <= 2.0
    assert seen[0].min() >= -0.5


def test_the_first_look_of_a_coarser_companion_lies_where_the_head_does(monkeypatch):
    _, distance = ball(Geometry.from_axes((121, 111, 101), np.eye(3), (1, 1, 1), center_lps_mm=CENTRE))
    coarse = Bundle("coarse", "1.0.0", "0", Path("model.onnx"), {"output": {"clip_mm": 8.0}})
    whole = {"input": {"spacing_mm": 2.0, "orientation": "RAS"}, "output": {"clip_mm": 8.0}}
    bundle = Bundle("whole", "1.0.0", "0", Path("model.onnx"), whole)
    monkeypatch.setattr(Bundle, "companion", lambda self, kind: coarse if kind == "brain-coarse" else None)
    monkeypatch.setattr(brain_looks, "predict", lambda model, image: image if model is coarse else None)
    found = brain_looks.whole_head(distance, bundle)
    assert found.geometry.codes == "RAS"
    assert found.geometry.spacing_mm == pytest.approx((2, 2, 2))
    truth = ball(found.geometry)[1].array
    inner = np.abs(truth) < 4
    assert np.abs(found.array - truth)[inner].max() < 0.5


def test_halving_keeps_places_and_means():
    geometry = Geometry.from_axes((4, 4, 5), np.eye(3), (2, 2, 2), center_lps_mm=CENTRE)
    array = np.arange(80, dtype=np.float32).reshape(4, 4, 5)
    half = brain_looks.halved(Volume(array, geometry))
    assert half.geometry.shape == (2, 2, 3)
    assert half.array[0, 0, 0] == pytest.approx(array[:2, :2, :2].mean())
    assert half.array[0, 0, 2] == pytest.approx(array[:2, :2, 4].mean() / 2)  # an odd end: half of it is air
    np.testing.assert_allclose(half.geometry.lps_from_ijk((0, 0, 0)), geometry.lps_from_ijk((0.5, 0.5, 0.5)))
    assert half.geometry.spacing_mm == pytest.approx((4, 4, 4))
