"""A scanner's faults: each keeps shape and sign, and says what it changes."""

from __future__ import annotations

import numpy as np
import pytest

from mediseg.train import scanner

FAULTS = ("shaded", "coil", "ghosted", "ringing", "noisy", "lost_rows", "curved", "inverted")


def head() -> np.ndarray:
    rows, columns = np.indices((80, 120), np.float32)
    inside = ((rows - 40) / 30) ** 2 + ((columns - 60) / 45) ** 2 < 1
    return np.where(inside, 0.6 + 0.3 * np.sin(columns / 9), 0).astype(np.float32)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("seed", range(5))
def test_a_fault_keeps_shape_type_and_sign_and_depends_on_the_seed_alone(name, seed):
    fault, image = getattr(scanner, name), head()
    first, again = (fault(np.random.default_rng(seed), image.copy()) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == image.shape
    assert first.dtype == np.float32
    assert np.isfinite(first).all()
    assert first.min() >= 0


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("pixel_mm", [0.5, 1.0])
def test_scans_of_heads_and_of_nothing_are_finite(seed, pixel_mm):
    for image in (head(), np.zeros((80, 120), np.float32)):
        seen = scanner.scan(np.random.default_rng(seed), image, pixel_mm)
        assert seen.shape == image.shape
        assert seen.dtype == np.float32
        assert np.isfinite(seen).all()
        assert seen.min() >= 0


def test_the_input_is_left_as_it_was():
    image = head()
    before = image.copy()
    for seed in range(20):
        scanner.scan(np.random.default_rng(seed), image, 1.0)
    np.testing.assert_array_equal(image, before)


def test_lost_rows_are_few_and_the_rest_is_untouched():
    image = head()
    for seed in range(20):
        changed = scanner.lost_rows(np.random.default_rng(seed), image) != image
        assert min(changed.any(axis=1).sum(), changed.any(axis=0).sum()) <= 9


def test_a_coarse_matrix_blurs_and_keeps_the_mean():
    image = head()
    for seed in range(30):
        rng = np.random.default_rng(seed)
        seen = scanner.acquired(rng, image, 1.0)
        assert seen.shape == image.shape
        assert seen.mean() == pytest.approx(image.mean(), abs=0.35)


def test_a_cut_view_cuts_image_and_target_alike():
    image, target = np.ones((64, 64), np.float32), np.ones((64, 64), np.float32)
    shares = []
    for seed in range(40):
        seen, left = scanner.cut_view(np.random.default_rng(seed), image, target, 1.0)
        np.testing.assert_array_equal(seen, left)
        shares.append(float(seen.mean()))
    assert min(shares) < 0.8
    assert min(shares) >= 0.25
    seen, _ = scanner.cut_view(np.random.default_rng(0), image, target, 0.0)
    np.testing.assert_array_equal(seen, image)
