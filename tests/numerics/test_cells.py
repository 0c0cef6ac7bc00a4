import numpy as np
import pytest

from mediseg.numerics.cells import cells


def test_a_cell_shows_its_purest_part():
    image = np.full((8, 8, 8), 100, np.int16)
    image[4:] = 300
    image[0:2, 0:2, 0:2] = np.arange(8).reshape(2, 2, 2) * 50
    found = cells(image, (1.0, 1.0, 1.0), 4.0, least=1)
    assert found.values.shape == (2, 2, 2)
    assert found.values[0, 0, 0] == pytest.approx(100)  # seven pure parts, not the mixed one
    assert found.values[1, 1, 1] == pytest.approx(300)
    assert found.purity == pytest.approx(np.ones((2, 2, 2)), abs=1e-3)
    assert found.spacing_mm == (4.0, 4.0, 4.0)
    assert found.points_mm[0].tolist() == [2.0, 6.0]
    assert found.voxel_points_mm[0][:2].tolist() == [0.5, 1.5]


def test_mixed_cells_are_told():
    image = np.indices((8, 8, 8)).sum(0) % 2 * 100.0
    found = cells(image, (1.0, 1.0, 1.0), 4.0, least=1)
    assert found.values == pytest.approx(np.full((2, 2, 2), 50.0))
    assert found.purity == pytest.approx(np.full((2, 2, 2), 1 / 101), rel=1e-3)  # variation 1 where 0.1 counts half


@pytest.mark.parametrize("shape", [(33, 20, 17), (16, 16, 16), (50, 1, 31)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_turning_the_image_turns_the_cells(shape, order):
    rng = np.random.default_rng(0)
    image = np.array(rng.normal(100, 20, shape), order=order)
    mask = rng.uniform(size=shape) > 0.3
    one = cells(image, (1.0, 1.2, 2.0), 5.0, mask, least=100)
    flipped = cells(image[::-1, :, ::-1], (1.0, 1.2, 2.0), 5.0, mask[::-1, :, ::-1], least=100)
    assert np.allclose(one.values, flipped.values[::-1, :, ::-1], rtol=1e-4)
    assert np.allclose(one.purity, flipped.purity[::-1, :, ::-1], rtol=1e-3)
    assert np.allclose(one.covered, flipped.covered[::-1, :, ::-1], atol=1e-5)


def test_the_mask_says_which_part_may_speak():
    image = np.full((4, 4, 4), 100.0)
    image[:2] = 50.0
    mask = np.zeros((4, 4, 4), bool)
    mask[:2] = True
    found = cells(image, (1.0, 1.0, 1.0), 4.0, mask, least=1)
    assert found.values == pytest.approx(50.0)
    assert found.covered == pytest.approx(1.0)


def test_small_images_get_smaller_cells_but_never_less_than_a_voxel():
    image = np.ones((64, 64, 4))
    # 64 x 64 x 24 mm hold 20 000 cells of 1.7 mm; along the slices none is smaller than one
    assert cells(image, (1.0, 1.0, 6.0), 4.0).values.shape == (38, 38, 4)
    assert cells(image, (1.0, 1.0, 6.0), 4.0, least=1).values.shape == (16, 16, 4)
    assert cells(np.ones(1), (1.0,), 4.0).values.shape == (1,)
