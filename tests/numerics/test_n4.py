import numpy as np
import pytest

from mediseg.numerics.cells import cells
from mediseg.numerics.n4 import N4, correct, expected, foreground, n4


def _two_tissues(shape=(64, 64, 64), strength=0.25, noise=5.0):
    """A ball of 2 mm voxels with stripes of two tissues, its field, and what is well inside."""
    places = [(np.arange(n) - (n - 1) / 2) * 2 for n in shape]
    x, y, z = np.meshgrid(*places, indexing="ij", sparse=True)
    radius = np.sqrt(x**2 + y**2 + z**2)
    stripes = np.sin(x / 5) * np.cos(y / 6) * np.cos(z / 5) > 0
    tissue = np.where(radius < 56, np.where(stripes, 800.0, 500.0), 0.0)
    field = np.exp(strength * (x / 60 + 0.7 * (y / 60) ** 2 - 0.5 * z * x / 3600))
    image = tissue * field + np.random.default_rng(0).normal(0, noise, shape)
    return image.clip(0).astype(np.float32), np.broadcast_to(field, shape), radius < 52


def _residual(true, found, inside):
    ratio = true[inside] / found[inside]
    return float(ratio.std() / ratio.mean())


def test_a_known_field_is_found():
    image, field, inside = _two_tissues()
    corrected, found = correct(image, (2.0, 2.0, 2.0))
    assert _residual(field, np.ones_like(found), inside) > 0.1
    assert _residual(field, found, inside) < 0.01
    assert np.allclose(corrected * found, image, rtol=1e-5)
    assert corrected.dtype == found.dtype == np.float32


def test_inside_the_mask_the_mean_is_1():
    image, _, inside = _two_tissues()
    assert correct(image, (2.0, 2.0, 2.0), inside)[1][inside].mean() == pytest.approx(1, abs=3e-3)


def test_an_even_image_stays_as_it_is():
    image, _, inside = _two_tissues(strength=0.0)
    found = correct(image, (2.0, 2.0, 2.0))[1]
    assert found[inside].std() < 0.005


def test_turning_the_image_turns_the_field():
    image, _, inside = _two_tissues((48, 50, 61))
    one = correct(image, (2.0, 2.0, 2.0))[1]
    other = correct(image[::-1, :, ::-1].transpose(1, 0, 2), (2.0, 2.0, 2.0))[1].transpose(1, 0, 2)[::-1, :, ::-1]
    assert np.abs(one / other - 1)[inside].max() < 1e-3


def test_bright_and_dark_spots_do_not_drag_the_field():
    image, _, inside = _two_tissues()
    plain = correct(image, (2.0, 2.0, 2.0), inside)[1]
    spoilt = image.copy()
    spoilt[20:26, 20:26, 28:34] *= 4  # contrast agent or fat
    spoilt[40:45, 36:41, 30:35] *= 0.1
    assert np.abs(correct(spoilt, (2.0, 2.0, 2.0), inside)[1] / plain - 1)[inside].max() < 0.02


@pytest.mark.parametrize("shape", [(64, 64), (64, 1, 64), (64, 64, 8), (500,)])
def test_few_dimensions_work(shape):
    rng = np.random.default_rng(2)
    along = np.linspace(-1, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    field = np.broadcast_to(np.exp(0.3 * along), shape)
    image = np.where(rng.uniform(size=shape) > 0.5, 800.0, 400.0) * field + rng.normal(0, 5, shape)
    spacing = tuple(2.0 if n > 20 else 6.0 for n in shape)
    found = correct(image, spacing, np.ones(shape, bool))[1]
    inside = np.ones(shape, bool)
    assert _residual(field, found, inside) < 0.4 * _residual(field, np.ones(shape), inside)


def test_the_same_image_gives_the_same_bits():
    image, _, _ = _two_tissues((40, 40, 40))
    assert np.array_equal(correct(image, (2.0,) * 3)[1], correct(image, (2.0,) * 3)[1])


def test_more_tolerance_takes_fewer_iterations():
    image, _, _ = _two_tissues()
    coarse = cells(image, (2.0, 2.0, 2.0), 4.0)
    inside = foreground(coarse.values)
    few, many = (n4(coarse, inside, N4(tolerance=t)).iterations for t in (1e-2, 1e-4))
    assert few < many
    assert n4(coarse, inside, N4(levels=2, iterations=1)).iterations == 2


def test_values_beyond_the_tails_count_as_the_ends():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(0, 0.05, 500), rng.normal(1, 0.05, 500), [9.0]]).astype(np.float32)
    change = expected(values, np.ones_like(values), 0.15, 0.01, 200, 0.005)
    assert abs(change[-1]) < 0.2
    assert change.dtype == np.float32


def test_nothing_in_the_mask_is_told():
    with pytest.raises(ValueError, match="no positive value inside the mask"):
        correct(np.zeros((20, 20)), (1.0, 1.0), np.ones((20, 20), bool))


@pytest.mark.parametrize("value", [0.0, 3.0])
def test_an_image_without_contrast_has_no_foreground(value):
    assert not foreground(np.full((6, 6), value, np.float32)).any()


def test_foreground_is_the_largest_bright_part():
    values = np.zeros((12, 12), np.float32)
    values[2:8, 2:8] = 100
    values[10, 10] = 100
    assert np.array_equal(
        foreground(values), (np.indices((12, 12)) // 1 >= 2).all(0) & (np.indices((12, 12)) < 8).all(0)
    )
