import numpy as np
import pytest

from mediseg.numerics.curves import resample_line, smoothed_line, turning_rad


def test_resample_line_keeps_ends_and_length():
    line = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    points, length = resample_line(line, 8)
    assert length == pytest.approx(7)
    assert points[0] == pytest.approx([0, 0])
    assert points[-1] == pytest.approx([3, 4])
    assert points[3] == pytest.approx([3, 0])


def test_lines_in_space_are_resampled_too():
    points, length = resample_line(np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0]]), 4)
    assert length == pytest.approx(3)
    assert points[1] == pytest.approx([1 / 3, 2 / 3, 2 / 3])


def test_smoothing_takes_steps_out_and_leaves_the_ends():
    x = np.arange(0, 20.01, 0.25)
    stairs = np.stack([x, 0.2 * (np.arange(len(x)) % 2)], axis=1)
    smooth = smoothed_line(stairs, 1.0)
    assert smooth[0] == pytest.approx(stairs[0])
    assert smooth[-1] == pytest.approx(stairs[-1])
    assert smooth[20:-20, 1] == pytest.approx(0.1, abs=0.01)
    assert resample_line(smooth, 2)[1] == pytest.approx(20, abs=0.05)


def test_smoothing_a_line_shorter_than_the_kernel():
    smooth = smoothed_line(np.array([[0.0, 0.0], [0.5, 0.0]]), 1.0)
    assert smooth[[0, -1]] == pytest.approx(np.array([[0.0, 0.0], [0.5, 0.0]]))


@pytest.mark.parametrize("turn", [1.0, -1.0])
def test_turning_of_a_circle_is_the_same_everywhere(turn):
    angle = turn * np.linspace(0, np.pi, 181)
    points = np.stack([10 * np.cos(angle), 10 * np.sin(angle)], axis=1)
    assert np.degrees(turning_rad(points)) == pytest.approx(np.ones(179))
    in_space = points @ np.array([[0.0, 0.6, 0.8], [1.0, 0.0, 0.0]])
    assert np.degrees(turning_rad(in_space)) == pytest.approx(np.ones(179))


def test_turning_of_a_corner_and_of_a_point_that_comes_twice():
    assert turning_rad(np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])) == pytest.approx([np.pi / 2])
    assert turning_rad(np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]])) == pytest.approx([0])
