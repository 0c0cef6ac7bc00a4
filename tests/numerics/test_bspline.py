import numpy as np
import pytest

from mediseg.numerics.bspline import Knots, Spline, WeightedFit, _bending


def test_knots_lie_symmetrically_and_cover_the_range():
    knots = Knots.about(10.0, -60.0, 50.0, 50.0)
    assert knots == Knots(-65.0, 50.0, 3)
    assert knots.count == 6
    assert Knots.about(3.0, 3.0, 3.0, 50.0).count == 1


def test_basis_functions_sum_to_1_and_reach_over_four_spans():
    knots = Knots(0.0, 10.0, 4)
    rows = knots.basis(np.linspace(0, 40, 33))
    assert rows.sum(axis=1) == pytest.approx(np.ones(33))
    assert (np.count_nonzero(rows, axis=1) <= 4).all()
    # at a knot a uniform cubic B-spline is 1/6, 4/6, 1/6
    assert rows[0] == pytest.approx([1 / 6, 4 / 6, 1 / 6, 0, 0, 0, 0])


def test_beyond_the_ends_the_value_at_the_end_is_held():
    knots = Knots(0.0, 10.0, 4)
    assert np.array_equal(knots.basis([-30.0, 99.0]), knots.basis([0.0, 40.0]))


def test_energies_of_known_functions():
    knots = Knots(0.0, 10.0, 4)
    value, slope, bend = knots.energies()
    # coefficients on a line of slope 1: the spline is x itself (cubic B-splines reproduce lines)
    line = 10.0 * (np.arange(7) - 1)
    assert line @ value @ line == pytest.approx(40**3 / 3)
    assert line @ slope @ line == pytest.approx(40.0)
    assert line @ bend @ line == pytest.approx(0.0, abs=1e-9)
    # b(n) = n^2 - 1/3 gives x^2 in units of the spacing: second derivative 2 / 100
    square = (np.arange(7) - 1.0) ** 2 - 1 / 3
    assert square @ bend @ square == pytest.approx((2 / 100) ** 2 * 40)


@pytest.mark.parametrize("shape", [(30,), (20, 16), (14, 12, 10)])
def test_a_fit_without_penalty_finds_the_spline_that_made_the_values(shape):
    rng = np.random.default_rng(0)
    points = [np.arange(n) * 4.0 for n in shape]
    knots = [Knots.about(p.mean(), p[0], p[-1], 40.0) for p in points]
    true = Spline(tuple(knots), rng.normal(size=[k.count for k in knots]))
    weights = rng.uniform(0.5, 1, shape).astype(np.float32)
    values = true.on(points)
    found = WeightedFit(knots, points, weights, 1e-12)(weights * values)
    assert np.abs(found.on(points) - values).max() < 1e-3


def test_the_fit_is_the_dense_one():
    rng = np.random.default_rng(1)
    points = [np.arange(9) * 5.0, np.arange(7) * 6.0]
    knots = [Knots.about(20.0, 0.0, 40.0, 25.0), Knots.about(18.0, 0.0, 36.0, 25.0)]
    weights = rng.uniform(size=(9, 7)).astype(np.float32)
    values = rng.normal(size=(9, 7)).astype(np.float32)
    design = np.kron(knots[0].basis(points[0]), knots[1].basis(points[1]))
    w = weights.ravel().astype(float)
    normal = design.T @ (design * w[:, None]) / w.sum() + 0.01 * _bending(knots, 100.0)
    dense = np.linalg.solve(normal, design.T @ (w * values.ravel()) / w.sum())
    found = WeightedFit(knots, points, weights, 0.01)(weights * values)
    assert found.coefficients.ravel() == pytest.approx(dense, abs=1e-5)


def test_without_data_the_penalty_goes_on_straight():
    points = [np.arange(40) * 5.0]
    weights = np.zeros(40, np.float32)
    weights[:20] = 1
    line = (0.01 * points[0]).astype(np.float32)
    found = WeightedFit([Knots(0.0, 50.0, 4)], points, weights, 1e-4)(weights * line)
    assert found.on(points) == pytest.approx(line, abs=1e-3)


def test_a_single_sample_along_an_axis_is_a_constant():
    points = [np.arange(20) * 5.0, np.array([3.0])]
    knots = [Knots.about(50.0, 0.0, 95.0, 50.0), Knots.about(3.0, 3.0, 3.0, 50.0)]
    found = WeightedFit(knots, points, np.ones((20, 1), np.float32), 1e-6)(np.full((20, 1), 2, np.float32))
    assert found.on([points[0], [0.0, 900.0]]) == pytest.approx(np.full((20, 2), 2.0), abs=1e-4)
