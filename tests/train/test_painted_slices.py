"""Painted slices: exact where nothing is random, and the seed decides all else."""

from __future__ import annotations

import numpy as np
import pytest

from mediseg.train.callosum_maps import PIXEL_MM, Slab
from mediseg.train.painted_slices import (
    Cut,
    callosum_affine,
    callosum_box,
    draw_cut,
    draw_painted,
    paint_slice,
    render,
    visible_palette,
    whole_slice_affine,
)
from mediseg.train.painting import Palette

WHITE, FLUID, CORTEX, LESION, VESSEL = 2, 24, 3, 25, 202
THIN = Cut(1.0, 0.0, (0.0, 0.0))


def bar_slab(turn_deg: float = 0.0) -> Slab:
    """A white bar of 60 x 8 mm in fluid, in all slices."""
    rows, columns = np.indices((200, 240), np.float64)
    angle = np.deg2rad(turn_deg)
    along = (columns - 119.5) * np.cos(angle) + (rows - 99.5) * np.sin(angle)
    across = (rows - 99.5) * np.cos(angle) - (columns - 119.5) * np.sin(angle)
    bar = (np.abs(along) < 60) & (np.abs(across) < 8)
    labels = np.repeat(np.where(bar, WHITE, FLUID).astype(np.uint8)[:, :, None], 11, axis=2)
    return Slab("bar", labels, (bar * 255).astype(np.uint8), (119.5, 99.5))


def flat_palette(white: float = 0.0, fluid: float = 0.0) -> Palette:
    """Two greys; lesions look like white matter and vessels like fluid, so that drawing them changes nothing."""
    palette = Palette(np.zeros(256, np.float32), np.zeros(256, np.float32))
    palette.means[[WHITE, LESION]] = white
    palette.means[[FLUID, VESSEL]] = fluid
    return palette


def still() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_window_on_the_slabs_own_grid_shows_its_mask_and_means():
    slab = bar_slab()
    affine = np.array([[PIXEL_MM, 0, -119.5 * PIXEL_MM], [0, PIXEL_MM, -99.5 * PIXEL_MM]])
    image, target = render(still(), slab, affine, (200, 240), flat_palette(white=0.8, fluid=0.2), THIN)
    np.testing.assert_allclose(target, slab.mask / 255, atol=1e-6)
    np.testing.assert_allclose(image, np.where(slab.mask > 0, 0.8, 0.2), atol=1e-5)


def test_pixels_of_a_millimetre_hold_area_fractions():
    slab = bar_slab()
    affine = np.array([[1.0, 0, -119.5 * PIXEL_MM + 0.25], [0, 1.0, -99.5 * PIXEL_MM + 0.25]])
    _, target = render(still(), slab, affine, (100, 120), flat_palette(white=1.0), THIN)
    expected = (slab.mask / 255).reshape(100, 2, 120, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(target, expected, atol=1e-5)
    assert target.sum() == pytest.approx(60 * 8)


def test_a_thick_slice_averages_the_labels_it_runs_through():
    labels = np.full((20, 20, 11), FLUID, np.uint8)
    labels[:, :, 6:] = WHITE  # from half a millimetre right of the plane on
    slab = Slab("halves", labels, np.zeros((20, 20), np.uint8), (9.5, 9.5))
    palette, part = flat_palette(white=1.0, fluid=0.2), (slice(0, 20), slice(0, 20))
    for cut, share in (
        (THIN, 0.0),
        (Cut(2.0, 0.0, (0.0, 0.0)), 0.25),
        (Cut(4.0, 0.0, (0.0, 0.0)), 0.375),
        (Cut(1.0, 0.5, (0.0, 0.0)), 0.5),
    ):
        flat = paint_slice(still(), slab, palette, cut, part)
        np.testing.assert_allclose(flat, 0.2 + 0.8 * share, atol=1e-5)


def test_a_sloping_slice_leaves_the_plane_at_its_ends():
    labels = np.full((20, 240, 11), FLUID, np.uint8)
    labels[:, :, 6:] = WHITE
    slab = Slab("halves", labels, np.zeros((20, 240), np.uint8), (119.5, 9.5))
    flat = paint_slice(
        still(), slab, flat_palette(white=1.0), Cut(1.0, 0.0, (0.0, 0.04)), (slice(0, 20), slice(0, 240))
    )
    assert not flat[:, :140].any()  # 60 mm from the centre it lies 2.4 mm to the right
    np.testing.assert_allclose(flat[:, 160:], 1.0, atol=1e-5)


def test_the_seed_decides_all():
    slab = bar_slab()
    draw = [
        draw_painted(rng, slab, whole_slice_affine(rng, (96, 128)), (96, 128))
        for rng in (np.random.default_rng(s) for s in (3, 3, 4))
    ]
    np.testing.assert_array_equal(draw[0][0], draw[1][0])
    np.testing.assert_array_equal(draw[0][1], draw[1][1])
    assert not np.array_equal(draw[0][0], draw[2][0])


@pytest.mark.parametrize("seed", range(40))
def test_every_window_is_finite_normalised_and_its_target_a_fraction(seed):
    rng = np.random.default_rng(seed)
    slab = bar_slab(20)
    size = ((96, 96), (128, 256))[seed % 2]
    affine = whole_slice_affine(rng, size) if seed % 2 == 0 else callosum_affine(rng, slab, size)
    window, target = draw_painted(rng, slab, affine, size)
    assert window.shape == target.shape == size
    assert window.dtype == target.dtype == np.float32
    assert np.isfinite(window).all()
    assert -0.5 <= window.min() <= window.max() <= 1.5
    assert 0.0 <= target.min() <= target.max() <= 1.0


def test_a_window_beside_the_slab_is_empty():
    affine = np.array([[1.0, 0, 5000.0], [0, 1.0, 5000.0]])
    image, target = render(np.random.default_rng(0), bar_slab(), affine, (32, 32), flat_palette(white=1.0), THIN)
    assert not image.any()
    assert not target.any()


def test_the_box_of_a_turned_bar_is_found():
    (column, row), (long, short), angle = callosum_box(bar_slab(20))
    assert (column, row) == pytest.approx((119.5, 99.5), abs=0.6)
    assert (long * PIXEL_MM, short * PIXEL_MM) == pytest.approx((60, 8), abs=1.0)
    assert angle == pytest.approx(20, abs=0.7)


def test_a_callosum_window_without_jitter_is_centred_and_level():
    slab = bar_slab(20)
    affine = callosum_affine(np.random.default_rng(0), slab, (128, 256), 0.5, jitter=0.0)
    _, target = render(still(), slab, affine, (128, 256), flat_palette(white=1.0), THIN)
    rows, columns = np.nonzero(target > 0.5)
    assert (columns.mean(), rows.mean()) == pytest.approx((127.5, 63.5), abs=1.0)
    assert np.ptp(rows) * PIXEL_MM == pytest.approx(8, abs=1.5)  # level: as high as the bar is thick
    assert np.ptp(columns) * PIXEL_MM == pytest.approx(60, abs=1.5)


def test_whole_slices_stay_within_the_stated_turn_and_zoom():
    for seed in range(200):
        linear = whole_slice_affine(np.random.default_rng(seed), (192, 192), 0.5)[:, :2]
        zoom = np.sqrt(np.linalg.det(linear)) / 0.5
        assert 0.79 < zoom < 1.26
        assert abs(np.degrees(np.arctan2(linear[1, 0], linear[0, 0]))) <= 45.01


def test_cuts_stay_near_the_plane():
    cuts = [draw_cut(np.random.default_rng(seed)) for seed in range(200)]
    assert all(1.0 <= cut.thickness_mm <= 6.0 and abs(cut.offset_mm) <= 1.0 for cut in cuts)
    assert sum(cut.thickness_mm == 1.0 for cut in cuts) == pytest.approx(80, abs=25)


def test_white_matter_can_mostly_be_told_from_its_surroundings():
    near = 0
    for seed in range(100):
        palette = visible_palette(np.random.default_rng(seed), "random")
        near += float(np.abs(palette.means[[CORTEX, FLUID, 4]] - palette.means[WHITE]).min()) < 0.08
    assert near <= 5
