import numpy as np
import pytest

from mediseg.numerics.polygons import crossings, deepest_pocket, farthest_pair, grid_inside, with_point

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 4.0], [0.0, 4.0]])
U_SHAPE = np.array([[0, 0], [6, 0], [6, 4], [4, 4], [4, 2], [2, 2], [2, 4], [0, 4]], float)


def test_grid_points_inside_of_a_u():
    inside = grid_inside(U_SHAPE, np.array([-0.5, 0.5]), 1.0, (8, 4))
    assert inside[:, 0].tolist() == [False, True, True, True, True, True, True, False]
    assert inside[:, 2].tolist() == [False, True, True, False, False, True, True, False]


def test_a_line_crosses_a_u_four_times():
    places, edges = crossings(U_SHAPE, np.array([-1.0, 3.0]), np.array([1.0, 0.0]))
    assert places == pytest.approx([1, 3, 5, 7])
    assert edges.tolist() == [7, 5, 3, 1]


def test_a_line_beside_the_shape_crosses_nothing():
    assert len(crossings(SQUARE, np.array([0.0, 5.0]), np.array([1.0, 0.0]))[0]) == 0


def test_farthest_points_of_a_triangle():
    a, b = farthest_pair(np.array([[5.0, 1.0], [0.0, 0.0], [1.0, 2.0], [3.0, 1.0]]))
    assert a == pytest.approx([0, 0])
    assert b == pytest.approx([5, 1])


def test_the_pocket_of_a_u_lies_between_its_arms():
    (first, second), depth = deepest_pocket(U_SHAPE)
    assert (first, second) == (2, 7)
    assert depth == pytest.approx(2)


def test_a_pocket_across_the_first_point_is_found():
    (first, second), depth = deepest_pocket(np.roll(U_SHAPE, 3, axis=0))
    assert depth == pytest.approx(2)
    assert first > second


def test_a_square_has_no_pocket():
    assert deepest_pocket(SQUARE)[1] == pytest.approx(0)


def test_a_point_is_put_in_after_its_edge():
    longer = with_point(SQUARE, 3, np.array([0.0, 1.0]))
    assert longer[4] == pytest.approx([0, 1])
    assert len(longer) == 5
