"""Windows without a callosum: slices lie where they should, made ones are varied, held-out scans stay apart."""

from __future__ import annotations

import numpy as np
import pytest

from mediseg.train.callosum_maps import HELD_OUT_MAPS
from mediseg.train.negatives import (
    HELD_OUT_SPINES,
    KINDS,
    LATERAL_MM,
    MADE,
    SPINES,
    Plain,
    draw_negative,
    plain_window,
    slices_of_head,
    slices_of_spine,
)


def numbered_head(spacing: float = 1.0) -> np.ndarray:
    """Every sagittal plane holds its own distance from the midline, in voxels, plus 100; symmetric."""
    count = round(161 / spacing)
    column = (100 + np.abs(np.arange(count) - count // 2)).astype(np.uint8)
    return np.broadcast_to(column[:, None, None], (count, 60, 50)).copy()


def test_lateral_slices_lie_far_from_the_midline():
    lateral = slices_of_head(numbered_head(), (1.0, 1.0, 1.0), painted=False)["lateral"]
    distances = [int(plain.image[0, 0]) - 100 for plain in lateral]
    assert len(distances) >= 10
    assert min(distances) >= LATERAL_MM
    assert max(distances) <= 61


def test_the_distance_is_in_millimetres():
    lateral = slices_of_head(numbered_head(2.0), (2.0, 1.0, 1.0), painted=False)["lateral"]
    assert min(int(plain.image[0, 0]) - 100 for plain in lateral) * 2.0 >= LATERAL_MM - 1


def test_slices_show_the_face_on_the_left_and_the_top_above():
    image = np.ones((100, 40, 30), np.uint8)
    image[:, -1, -1] = 200  # foremost, topmost
    head = slices_of_head(image, (1.0, 1.0, 2.0), painted=False)
    for plain in head["lateral"]:
        assert plain.image.shape == (30, 40)
        assert plain.pixel_mm == (2.0, 1.0)
        assert plain.image[0, 0] == 200
    assert head["axial"][0].image.shape == (40, 100)
    assert head["coronal"][0].image.shape == (30, 100)


def test_empty_slices_are_left_out():
    spine = np.zeros((30, 20, 40), np.uint8)
    assert slices_of_spine(spine, (1.0, 1.0, 1.0)) == []
    spine[13] = 90
    assert len(slices_of_spine(spine, (1.0, 1.0, 1.0))) == 1


def test_a_painted_head_gives_its_neck_as_a_spine():
    labels = np.zeros((100, 60, 120), np.uint8)
    labels[10:50, 10:50, 90:] = 2
    labels[50:90, 10:50, 90:] = 41
    labels[40:60, 5:20, 70:90] = 8
    labels[30:70, :, :80] = 207
    necks = slices_of_head(labels, (1.0, 1.0, 1.0), painted=True)["spine"]
    assert len(necks) > 0
    assert all(not np.isin(plain.image, (2, 41)).any() for plain in necks)


@pytest.mark.parametrize("kind", sorted(MADE))
def test_made_windows_depend_on_the_seed_alone_and_vary(kind):
    first, again, other = (plain_window(np.random.default_rng(s), {}, (96, 130), 1.0, kind) for s in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (96, 130)
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.min() >= 0
    assert first.max() > 0


@pytest.mark.parametrize("seed", range(20))
def test_windows_are_finite_and_normalised(seed):
    plains = {"lateral": [Plain(np.full((60, 50), 120, np.uint8), painted=False, pixel_mm=(2.0, 1.0))]}
    window = draw_negative(np.random.default_rng(seed), plains, (64, 96), (0.5, 1.0)[seed % 2])
    assert window.shape == (64, 96)
    assert window.dtype == np.float32
    assert np.isfinite(window).all()
    assert -0.5 <= window.min() <= window.max() <= 1.5


def test_a_slice_is_placed_at_its_size_in_millimetres():
    plain = Plain(np.full((50, 80), 255, np.uint8), painted=False, pixel_mm=(2.0, 1.0))  # 100 x 80 mm
    areas = [
        float((plain_window(np.random.default_rng(s), {"lateral": [plain]}, (400, 400), 0.5, "lateral") > 0.5).sum())
        for s in range(20)
    ]
    assert min(areas) * 0.25 > 100 * 80 * 0.8**2 * 0.9
    assert max(areas) * 0.25 < 100 * 80 * 1.25**2 * 1.1


def test_what_is_held_out_is_never_trained_on():
    assert not set(SPINES) & set(HELD_OUT_SPINES)
    assert len(HELD_OUT_MAPS) >= 5
    assert set(MADE) < set(KINDS)
