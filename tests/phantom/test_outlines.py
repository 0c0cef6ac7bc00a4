"""Polygon mathematics on shapes worked out by hand, and the callosum's outline."""

import numpy as np
import pytest

from mediseg.phantom import _outlines

SQUARE = np.array([[0.0, 0.0], [4.0, 0.0], [4.0, 2.0], [0.0, 2.0]])


def test_area_and_centroid_of_a_rectangle():
    assert _outlines.area_mm2(SQUARE) == 8.0
    assert _outlines.centroid(SQUARE) == pytest.approx([2.0, 1.0])


@pytest.mark.parametrize("angle", [-89.0, -30.0, 0.0, 12.5, 60.0, 90.0])
@pytest.mark.parametrize("backwards", [False, True])
def test_axis_follows_a_turned_rectangle(angle, backwards):
    turn = np.radians(angle)
    turned = SQUARE @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]]) + (50.0, -20.0)
    assert _outlines.axis_angle_deg(turned[::-1] if backwards else turned) == pytest.approx(angle, abs=1e-6)


def test_inside_counts_crossings():
    found = _outlines.inside(SQUARE, np.array([-1.0, 1.0, 5.0]), np.array([-0.5, 0.5, 2.5]))
    assert found.tolist() == [[False] * 3, [False, True, False], [False] * 3]


def test_distance_table_is_signed_millimetres():
    flat = _outlines.Flat(SQUARE, margin_mm=3.0)
    y, z = np.array([2.0, 2.0, -1.0, 2.0], np.float32), np.array([1.0, 0.5, 1.0, 4.0], np.float32)
    assert flat(y, z) == pytest.approx([-1.0, -0.5, 1.0, 2.0], abs=0.05)


def test_callosum_is_a_simple_closed_band_of_anatomical_size():
    outline = _outlines.callosum_outline()
    length, height = np.ptp(outline, axis=0)
    assert 68 <= length <= 78
    assert 22 <= height <= 30
    assert 500 <= _outlines.area_mm2(outline) <= 700
    gaps = np.linalg.norm(outline - np.roll(outline, -1, axis=0), axis=1)
    assert gaps.max() < 1.0
    assert not outline.flags.writeable


def test_callosum_raster_has_the_polygons_area():
    outline = _outlines.callosum_outline()
    y, z = np.arange(-50, 45, 0.1), np.arange(-10, 45, 0.1)
    raster_mm2 = np.count_nonzero(_outlines.inside(outline, y, z)) * 0.01
    assert raster_mm2 == pytest.approx(_outlines.area_mm2(outline), rel=0.005)
