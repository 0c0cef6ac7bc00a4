import numpy as np
import pytest

from mediseg.numerics.laplace import band_thickness, resample_line


def test_resample_line_keeps_ends_and_length():
    line = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]])
    points, length = resample_line(line, 8)
    assert length == pytest.approx(7)
    assert points[0] == pytest.approx([0, 0])
    assert points[-1] == pytest.approx([3, 4])
    assert points[3] == pytest.approx([3, 0])


def test_a_straight_band_is_as_thick_as_it_was_drawn():
    sides = np.array([[0.0, 0.0], [40.0, 0.0], [42.0, 2.5], [40.0, 5.0], [0.0, 5.0], [-2.0, 2.5]])
    band = band_thickness(sides, (5, 2), 101)
    assert band.thickness_mm[20:-20] == pytest.approx(5.0, abs=0.05)
    assert band.medial_mm[20:-20, 1] == pytest.approx(2.5, abs=0.13)  # half a cell of the 0.25 mm grid
    assert band.length_mm == pytest.approx(44, abs=0.6)


def test_a_ring_segment_is_as_thick_as_its_radii_say():
    angle = np.linspace(0, np.pi, 200)
    outer = np.stack([36 * np.cos(angle), 36 * np.sin(angle)], axis=1)
    inner = np.stack([28 * np.cos(angle), 28 * np.sin(angle)], axis=1)[::-1]
    tips = np.array([[-32.0, -2.0]]), np.array([[32.0, -2.0]])
    polygon = np.concatenate([outer, tips[0], inner, tips[1]])
    band = band_thickness(polygon, (200, 401), 100)
    assert band.thickness_mm[20:-20] == pytest.approx(8.0, abs=0.1)
    assert band.length_mm == pytest.approx(np.pi * 32 + 4, rel=0.02)
