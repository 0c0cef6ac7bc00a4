import numpy as np
import pytest

from mediseg.numerics.partition import along_angle, along_axis, along_line, subpixels


def test_share_of_a_straight_way_ends_at_its_ends():
    points = np.array([[-1.0, 3.0], [1.0, 0.0], [2.0, 9.0], [7.0, 0.0]])
    assert along_axis(points, np.zeros(2), np.array([4.0, 0.0])) == pytest.approx([0, 0.25, 0.5, 1])


def test_angles_run_from_the_front_to_the_back():
    points = np.array([[-2.0, 0.0], [-1.0, -1.0], [0.0, -3.0], [1.0, -1.0], [5.0, 0.0], [0.0, 3.0]])
    share = along_angle(points, np.zeros(2), np.array([-1.0, 0.0]))
    assert share == pytest.approx([0, 0.25, 0.5, 0.75, 1, 0.5])


def test_share_of_a_bent_line_is_that_of_its_nearest_place():
    corner = np.array([[0.0, 0.0], [10.0, 0.0], [10.0, 10.0]])
    points = np.array([[5.0, 1.0], [11.0, 5.0], [-3.0, 0.0], [10.0, 20.0]])
    assert along_line(points, corner) == pytest.approx([0.25, 0.75, 0, 1], abs=1e-3)


def test_pieces_of_a_pixel_lie_about_its_middle():
    points, pieces = subpixels(np.array([[2, 3], [0, 0]]), np.array([1.0, 0.5]), 0.25)
    assert pieces == 8
    assert points[:8].mean(axis=0) == pytest.approx([2, 1.5])
    assert points[8:].min(axis=0) == pytest.approx([-0.375, -0.125])


def test_many_pixels_are_cut_less():
    cells = np.argwhere(np.ones((500, 500)))
    assert subpixels(cells, np.array([1.0, 1.0]))[1] == 1
