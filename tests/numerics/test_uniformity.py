import numpy as np
import pytest

from mediseg.numerics.uniformity import tissue_classes, uniformity


def _brain(fluid, grey, white, noise=1.0):
    """Shells: fluid 0 to 2 mm deep, grey to 8, white to 30; and what is truly white and grey."""
    rng = np.random.default_rng(0)
    depth = rng.uniform(0, 30, 20_000).astype(np.float32)
    means = np.select([depth < 2, depth < 8], [fluid, grey], white)
    return (means + rng.normal(0, noise, depth.size)).astype(np.float32), depth, depth >= 8, (depth >= 2) & (depth < 8)


@pytest.mark.parametrize("contrast", [(20, 60, 90), (95, 60, 40), (20, 80, 65)], ids=["t1", "t2", "flair"])
def test_white_and_grey_are_told_in_every_contrast(contrast):
    values, depth, white, grey = _brain(*contrast)
    found_white, found_grey = tissue_classes(values, depth)
    assert np.mean(found_white == white) > 0.99
    assert np.mean(found_grey == grey) > 0.99


def test_measures_of_known_classes():
    values, _, white, grey = _brain(20, 60, 90, noise=3.0)
    found = uniformity(values, white, grey)
    assert found.white_cv_percent == pytest.approx(100 * 3 / 90, rel=0.05)
    assert found.cjv == pytest.approx(6 / 30, rel=0.05)


def test_entropy_of_an_even_spread_is_the_logarithm_of_its_bins():
    values = np.linspace(50, 150, 40_000).astype(np.float32)  # 0.5 to 1.5 of the mean: a third of the bins
    found = uniformity(values, values > 100, values < 100).entropy_bits
    assert found == pytest.approx(np.log2(256 / 3), abs=0.1)


def test_whole_numbers_are_measured_as_fractions_are():
    values, _, white, grey = _brain(20, 60, 90, noise=3.0)
    fine, whole = uniformity(values, white, grey), uniformity(np.rint(values), white, grey)
    assert whole.white_cv_percent == pytest.approx(fine.white_cv_percent, rel=0.03)
    assert whole.cjv == pytest.approx(fine.cjv, rel=0.03)
    assert whole.entropy_bits == pytest.approx(fine.entropy_bits, abs=0.05)


def test_shading_makes_every_measure_worse():
    values, _, white, grey = _brain(20, 60, 90)
    even = uniformity(values, white, grey)
    shaded = uniformity(values * np.linspace(0.7, 1.3, values.size).astype(np.float32), white, grey)
    assert shaded.white_cv_percent > even.white_cv_percent
    assert shaded.cjv > even.cjv
    assert shaded.entropy_bits > even.entropy_bits


@pytest.mark.parametrize("values", [np.zeros(0, np.float32), np.full(300, 5, np.float32)])
def test_without_contrast_there_are_no_classes(values):
    white, grey = tissue_classes(values, np.linspace(0, 20, values.size).astype(np.float32))
    assert not white.any()
    assert not grey.any()


def test_a_missing_class_is_nan():
    found = uniformity(np.full(300, 5, np.float32), np.zeros(300, bool), np.zeros(300, bool))
    assert np.isnan(found.white_cv_percent)
    assert np.isnan(found.cjv)
