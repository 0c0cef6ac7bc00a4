"""Distances to simple bodies at points where they are known by hand."""

import numpy as np
import pytest

from mediseg.phantom import _distance as d


def at(*points):
    x, y, z = np.array(points, np.float32).T
    return d.Points(x, y, z)


def test_sphere():
    assert d.sphere(at((0, 0, 0), (3, 4, 0)), (0, 0, 0), 2.0) == pytest.approx([-2.0, 3.0])


def test_ellipsoid_is_zero_on_its_surface_and_exact_for_a_sphere():
    assert d.ellipsoid(at((3, 0, 0), (0, 2, 0), (0, 0, 1)), (0, 0, 0), (3, 2, 1)) == pytest.approx([0, 0, 0], abs=1e-6)
    assert d.ellipsoid(at((6, 0, 0), (1, 0, 0)), (0, 0, 0), (4, 4, 4)) == pytest.approx([2.0, -3.0])


def test_capsule_tapers():
    shape = d.capsule(at((0, 0, 0), (0, 0, 10), (5, 0, 5)), (0, 0, 0), (0, 0, 10), 1.0, 3.0)
    assert shape == pytest.approx([-1.0, -3.0, 3.0])


def test_tube_joins_its_rods():
    shape = d.tube(at((0, 0, 5), (5, 0, 10)), ((0, 0, 0), (0, 0, 10), (10, 0, 10)), (1, 1, 1), blend=0)
    assert shape == pytest.approx([-1.0, -1.0])


def test_rounded_box():
    shape = d.box(at((0, 0, 0), (4, 0, 0), (0, 0, 1.5)), (0, 0, 0), (2, 2, 2), 0.5)
    assert shape == pytest.approx([-2.0, 2.0, -0.5])


def test_joining():
    a, b = np.array([1.0, -2.0], np.float32), np.array([3.0, 1.0], np.float32)
    assert d.union(a, b).tolist() == [1.0, -2.0]
    assert d.common(a, b).tolist() == [3.0, 1.0]
    assert d.without(a, b).tolist() == [1.0, -1.0]
    same = np.array([0.0], np.float32)
    assert d.union(same, same, 4.0) == pytest.approx([-1.0])  # the seam is filled by a quarter of the blend
    assert d.common(same, same, 4.0) == pytest.approx([1.0])


def test_step_is_smooth_between_its_ends():
    assert d.step(np.array([-1, 0, 1, 2, 9], np.float32), 0, 2) == pytest.approx([0, 0, 0.5, 1, 1])
