import numpy as np
import pytest

from mediseg.numerics.curves import resample_line
from mediseg.numerics.laplace import band_ends, band_thickness


def ring_segment(inner, outer, turn_deg=0.0):
    angle = np.linspace(0, np.pi, 300)
    arcs = [np.stack([r * np.cos(angle), r * np.sin(angle)], axis=1) for r in (outer, inner)]
    a = np.radians(turn_deg)
    return np.concatenate([arcs[0], arcs[1][::-1]]) @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])


def test_a_straight_band_is_as_thick_as_it_was_drawn():
    sides = np.array([[0.0, 0.0], [40.0, 0.0], [42.0, 2.5], [40.0, 5.0], [0.0, 5.0], [-2.0, 2.5]])
    band = band_thickness(sides, (5, 2), 101)
    assert band.thickness_mm[20:-20] == pytest.approx(5.0, abs=0.01)
    assert band.medial_mm[20:-20, 1] == pytest.approx(2.5, abs=0.02)
    assert band.length_mm == pytest.approx(44, abs=0.6)


def test_a_ring_segment_is_as_thick_as_its_radii_say():
    angle = np.linspace(0, np.pi, 200)
    outer = np.stack([36 * np.cos(angle), 36 * np.sin(angle)], axis=1)
    inner = np.stack([28 * np.cos(angle), 28 * np.sin(angle)], axis=1)[::-1]
    tips = np.array([[-32.0, -2.0]]), np.array([[32.0, -2.0]])
    polygon = np.concatenate([outer, tips[0], inner, tips[1]])
    band = band_thickness(polygon, (200, 401), 100)
    assert band.thickness_mm[20:-20] == pytest.approx(8.0, abs=0.02)
    assert band.length_mm == pytest.approx(np.pi * 32 + 4, rel=0.02)


def test_field_lines_end_on_the_two_sides():
    polygon = ring_segment(28, 36)
    band = band_thickness(polygon, (0, 300), 50)
    radii = np.linalg.norm(np.stack([band.first_mm, band.second_mm]), axis=2)
    assert np.sort(radii, axis=0)[:, 15:-15] == pytest.approx(np.array([[28.0], [36.0]]) * np.ones(20), abs=0.05)


@pytest.mark.parametrize("turn", [0, 30, 110, 250])
@pytest.mark.parametrize(("inner", "outer"), [(28, 36), (30.5, 33.5)])
def test_ends_of_a_cut_ring_are_the_middles_of_its_cuts_however_it_lies(inner, outer, turn):
    outline, tips = band_ends(ring_segment(inner, outer, turn))
    radii = np.linalg.norm(outline[list(tips)], axis=1)
    assert radii == pytest.approx((inner + outer) / 2, abs=1.0)
    assert np.linalg.norm(outline[tips[0]] - outline[tips[1]]) == pytest.approx(inner + outer, abs=2.0)
    assert outline[tips[0], 0] <= outline[tips[1], 0]


def test_a_hooked_end_is_found_at_its_tip():
    """An arch whose front turns back under itself, as a callosum's rostrum does."""
    angle, bend = np.linspace(0, np.pi, 250), np.linspace(0.8 * np.pi, 0, 60)
    hook = np.stack([-24 - 6 * np.cos(bend), 5 * np.sin(bend)], axis=1)
    bow = np.stack([-30 * np.cos(angle), -14 * np.sin(angle)], axis=1)
    line = resample_line(np.concatenate([hook, bow]), 200)[0]
    way = np.gradient(line, axis=0)
    normal = np.stack([-way[:, 1], way[:, 0]], axis=1) / np.linalg.norm(way, axis=1)[:, None]
    outline, tips = band_ends(np.concatenate([line + 1.5 * normal, (line - 1.5 * normal)[::-1]]))
    assert np.linalg.norm(outline[tips[0]] - line[0]) < 1.5
    assert np.linalg.norm(outline[tips[1]] - line[-1]) < 1.5


@pytest.mark.parametrize("turn", [0, 0.7, 2.0])
def test_ends_of_an_ellipse_are_its_apices(turn):
    angle = np.linspace(0, 2 * np.pi, 400, endpoint=False)
    long = np.array([np.cos(turn), np.sin(turn)])
    outline = 30 * np.cos(angle)[:, None] * long + 6 * np.sin(angle)[:, None] * np.array([-long[1], long[0]])
    outline, tips = band_ends(outline)
    assert np.abs(outline[list(tips)] @ long) == pytest.approx([30, 30], abs=0.1)


def test_a_thin_band_gets_a_finer_grid():
    sides = np.array([[0.0, 0.0], [20.0, 0.0], [20.0, 0.6], [0.0, 0.6]])
    band = band_thickness(*band_ends(sides), 50)
    assert band.thickness_mm[10:-10] == pytest.approx(0.6, abs=0.01)
    assert band.length_mm == pytest.approx(20, abs=0.1)
