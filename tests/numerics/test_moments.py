import numpy as np
import pytest

from mediseg.numerics.moments import principal_axis


def test_axis_of_a_tilted_row_of_points():
    along = np.array([np.cos(0.3), np.sin(0.3)])
    points = np.linspace(-10, 10, 41)[:, None] * along + [5, 7]
    mean, axis = principal_axis(points, np.ones(41))
    assert mean == pytest.approx([5, 7])
    assert axis == pytest.approx(along)


def test_weights_move_the_mean():
    mean, _ = principal_axis(np.array([[0.0, 0.0], [4.0, 0.0]]), np.array([1.0, 3.0]))
    assert mean == pytest.approx([3, 0])


def test_axis_points_to_larger_x():
    _, axis = principal_axis(np.array([[4.0, 1.0], [-4.0, -1.0], [0.0, 0.1]]), np.ones(3))
    assert axis[0] > 0
