import numpy as np
import pytest

from mediseg import Geometry, Refusal, Segment, Segmentation, Volume, correct_bias

QUICK = {"iterations": 20}


def _shaded(spacing=(6.0, 6.0, 6.0), shape=(34, 34, 34), strength=0.4):
    """A ball of two tissues under a known smooth shading."""
    geometry = Geometry.from_axes(shape, np.eye(3), spacing, center_lps_mm=(0, 0, 0))
    x, y, z = geometry.lps_from_ijk(np.argwhere(np.ones(shape))).T
    radius = np.sqrt(x**2 + y**2 + z**2)
    tissue = np.where(radius < 85, np.where(np.sin(x / 14) * np.sin(y / 14) * np.sin(z / 14) > 0, 800.0, 500.0), 0.0)
    field = np.exp(strength * np.sin(x / 90 + 0.4) + strength * 0.6 * np.cos(y / 80))
    noise = np.random.default_rng(0).normal(0, 8, tissue.shape)
    image = (tissue * field + noise).clip(0).reshape(shape).astype(np.float32)
    return Volume(image, geometry), field.reshape(shape), (radius < 80).reshape(shape), tissue.reshape(shape)


def _uneven(image, inside, tissue):
    """Coefficient of variation of the bright tissue."""
    bright = image[inside & (tissue == 800)]
    return float(bright.std() / bright.mean())


def test_a_known_shading_is_taken_out():
    head, field, inside, tissue = _shaded()
    found = correct_bias(head, **QUICK)
    before, after = _uneven(head.array, inside, tissue), _uneven(found.corrected.array, inside, tissue)
    assert before > 0.12
    assert after < before / 4
    ratio = found.field.array[inside] / field[inside]
    assert ratio.std() / ratio.mean() < 0.04


def test_corrected_is_head_divided_by_the_field():
    head, *_ = _shaded()
    found = correct_bias(head, iterations=3)
    assert np.allclose(found.corrected.array * found.field.array, head.array, rtol=1e-5)
    assert found.corrected.array.dtype == np.float32
    assert found.field.geometry == head.geometry
    assert found.field.array.min() > 0


@pytest.mark.parametrize("method", ["fast", "simpleitk"])
def test_both_methods_find_the_field(method):
    head, field, inside, _ = _shaded()
    found = correct_bias(head, method=method, **QUICK).field.array[inside] / field[inside]
    assert found.std() / found.mean() < 0.04


def test_a_mask_on_another_grid_is_taken_as_it_lies():
    head, _, inside, _ = _shaded()
    mask = Segmentation(inside.astype(np.uint8), head.geometry, (Segment(1, "ball"),))
    turned = mask.resample(head.geometry.reorient("SAR").pad((2, 0, 0), (0, 1, 0)))
    one, other = (correct_bias(head, m, **QUICK).field.array for m in (mask, turned))
    assert np.allclose(one, other, rtol=1e-5)


def test_the_field_has_mean_1_inside_the_mask():
    head, _, inside, _ = _shaded()
    mask = Segmentation(inside.astype(np.uint8), head.geometry, (Segment(1, "ball"),))
    found = correct_bias(head, mask, iterations=5)
    assert found.field.array[inside].mean() == pytest.approx(1, abs=0.01)


def test_an_even_image_is_left_alone():
    head, _, inside, _ = _shaded(strength=0.0)
    found = correct_bias(head, **QUICK)
    assert found.field.array[inside].std() < 0.02


def test_thick_slices_and_single_slices_work():
    thick, _, inside, tissue = _shaded((6.0, 6.0, 12.0), (34, 34, 17))
    found = correct_bias(thick, **QUICK)
    assert _uneven(found.corrected.array, inside, tissue) < _uneven(thick.array, inside, tissue) / 3
    one = Volume(thick.array[:, :, 8:9], thick.geometry.crop((0, 0, 8), (34, 34, 9)))
    flat = correct_bias(one, **QUICK)
    assert flat.field.array.shape == (34, 34, 1)
    assert np.isfinite(flat.field.array).all()


def test_the_axis_order_does_not_matter():
    head, _, inside, _ = _shaded()
    a = correct_bias(head, **QUICK).field.array
    b = correct_bias(head.reorient("SAR"), **QUICK).field.reorient(head.geometry.codes).array
    assert np.abs(a / b - 1)[inside].max() < 1e-3


@pytest.mark.parametrize("method", ["fast", "simpleitk"])
@pytest.mark.parametrize("value", [0.0, 7.0])
def test_an_image_without_contrast_is_refused(value, method):
    geometry = Geometry.from_axes((8, 8, 8), np.eye(3), (4, 4, 4), center_lps_mm=(0, 0, 0))
    with pytest.raises(Refusal, match="no foreground"):
        correct_bias(Volume(np.full((8, 8, 8), value, np.float32), geometry), method=method)
