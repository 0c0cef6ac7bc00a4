"""From grid to grid: the quick ways give what the plain ones give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from mediseg.geometry import Geometry
from mediseg.resampling import _along_axes, resampled
from mediseg.volume import Volume


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
@pytest.mark.parametrize("spacing", [(0.7, 2.1, 1.0), (3.0, 0.9, 0.4)])
def test_axis_by_axis_is_the_same_as_the_general_way(monkeypatch, order, spacing):
    rng = np.random.default_rng(3)
    head = Volume.from_affine(rng.normal(size=(20, 17, 23)).astype(np.float32), np.diag([1.0, -1.3, 2.0, 1.0]))
    axes = np.eye(3)[:, order] * (1, -1, -1)
    middle = head.geometry.center_lps_mm + np.array([3.3, -2.0, 7.0])
    grid = Geometry.from_axes((31, 40, 26), axes, spacing, center_lps_mm=middle)
    quick = head.resample(grid, fill=-5.0)
    monkeypatch.setattr("mediseg.resampling._aligned", lambda matrix: None)
    general = head.resample(grid, fill=-5.0)
    assert (general.array == -5.0).any()
    assert np.abs(quick.array - general.array).max() < 1e-5


@pytest.mark.parametrize("memory", ["C", "F"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_smoothing_and_sampling_along_an_axis_is_a_gaussian_and_then_linear(axis, memory):
    array = np.asarray(np.random.default_rng(5).normal(size=(14, 11, 17)), np.float32, order=memory)
    places = np.array([-0.3, 0.0, 2.25, 5.5, 9.0, array.shape[axis] - 1.0, array.shape[axis] + 3.0])
    smooth = np.moveaxis(ndimage.gaussian_filter1d(array, 1.3, axis=axis, mode="nearest", truncate=3.0), axis, 0)
    place = np.clip(places, 0, len(smooth) - 1)
    low = np.minimum(place.astype(int), len(smooth) - 2)
    share = (place - low)[:, None, None]
    wanted = smooth[low] * (1 - share) + smooth[low + 1] * share
    sigma = [1.3 if each == axis else 0.0 for each in range(3)]
    found = np.moveaxis(_along_axes(array, {axis: places}, sigma), axis, 0)
    np.testing.assert_allclose(found, wanted, atol=2e-6)


@pytest.mark.parametrize("spacing", [0.8, 2.4])
@pytest.mark.parametrize("order", [1, 3])
def test_a_small_turned_box_is_cut_from_what_the_whole_would_give(spacing, order):
    rng = np.random.default_rng(6)
    old = Geometry.from_axes((40, 36, 44), np.eye(3), (1.0, 1.2, 0.9), center_lps_mm=(0, 0, 0))
    array = rng.normal(size=old.shape).astype(np.float32)
    turn = Rotation.from_euler("xyz", (20, -15, 35), degrees=True).as_matrix()
    large = Geometry.from_axes((41, 41, 41), turn, (spacing,) * 3, center_lps_mm=(2, 3, -1))
    small = large.crop((15, 18, 14), (22, 23, 24))
    whole = resampled(array, old, large, order=order, fill=-9.0)
    part = resampled(array, old, small, order=order, fill=-9.0)
    np.testing.assert_allclose(part, whole[15:22, 18:23, 14:24], atol=2e-5)
    assert whole.min() == -9.0


def test_a_box_beside_the_image_is_empty():
    old = Geometry((5, 6, 7), np.eye(4))
    turn = Rotation.from_euler("z", 30, degrees=True).as_matrix()
    far = Geometry.from_axes((4, 4, 4), turn, (1, 1, 1), center_lps_mm=(80, 80, 80))
    assert (resampled(np.ones(old.shape, np.float32), old, far, order=1, fill=-2.0) == -2.0).all()


@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_small_image_in_a_large_turned_grid_fills_what_it_covers(order):
    turn = Rotation.from_euler("xyz", (20, -15, 35), degrees=True).as_matrix()
    old = Geometry.from_axes((6, 5, 4), turn, (1.0, 1.2, 0.9), center_lps_mm=(7, -5, 3))
    large = Geometry.from_axes((50, 50, 50), np.eye(3), (0.7, 0.7, 0.7), center_lps_mm=(0, 0, 0))
    found = resampled(np.full(old.shape, 4, np.float32), old, large, order=order, fill=-1.0)
    index = np.stack(np.meshgrid(*map(np.arange, large.shape), indexing="ij"), axis=-1)
    inside = old.ijk_from_lps(large.lps_from_ijk(index))
    covered = ((inside > -0.499) & (inside < np.array(old.shape) - 0.501)).all(axis=-1)
    assert 0 < np.count_nonzero(covered) < 1000
    np.testing.assert_allclose(found[covered], 4.0, atol=1e-5)
    assert (found == -1.0).sum() >= found.size - np.count_nonzero(covered) - 30
