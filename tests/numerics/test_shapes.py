import numpy as np
import pytest

from mediseg.numerics.shapes import (
    alone,
    bridged,
    fine_outline,
    isolated,
    largest_component,
    outline,
    polygon_area,
    polygon_perimeter,
    soft_weights,
)


def test_largest_component_of_nothing_is_nothing():
    assert not largest_component(np.zeros((4, 5), bool)).any()


def test_largest_component_keeps_the_bigger_of_two():
    mask = np.zeros((5, 9), bool)
    mask[1:3, 1:3] = True
    mask[1:4, 5:8] = True
    kept = largest_component(mask)
    assert kept.sum() == 9
    assert kept[2, 6]
    assert not kept[1, 1]


def test_pixels_that_touch_by_a_corner_belong_together():
    assert largest_component(np.eye(3, dtype=bool)).sum() == 3


def test_outline_of_one_pixel_is_a_diamond_of_half_a_pixel():
    values = np.zeros((3, 3))
    values[1, 1] = 1.0
    points = outline(values, 0.5)
    assert abs(polygon_area(points)) == pytest.approx(0.5)
    assert points.mean(axis=0) == pytest.approx([1, 1])


def test_outline_at_the_edge_of_the_map_is_closed():
    points = outline(np.ones((4, 6)), 0.5)
    assert points[:, 0].min() >= -1
    assert points[:, 0].max() <= 4
    assert points[:, 1].max() > 5


def test_outline_of_a_soft_disc_has_its_area_and_perimeter():
    y, x = np.mgrid[:81, :81] * 0.5
    soft = np.clip(0.5 + (15.3 - np.hypot(y - 20.2, x - 19.9)) / 0.5, 0, 1)
    points = outline(soft, 0.5) * 0.5
    assert abs(polygon_area(points)) == pytest.approx(np.pi * 15.3**2, rel=2e-3)
    assert polygon_perimeter(points) == pytest.approx(2 * np.pi * 15.3, rel=5e-3)


def test_outline_of_a_map_below_the_level_says_so():
    with pytest.raises(ValueError, match=r"never reaches 0\.5"):
        outline(np.full((3, 3), 0.2), 0.5)


def test_isolated_keeps_the_soft_ring_and_drops_the_rest():
    values = np.zeros((5, 10))
    values[2, 1:4] = 0.9
    values[2, 4] = 0.3  # ring
    values[2, 8] = 0.9  # another part
    kept = isolated(values, 0.5)
    assert kept[2, 4] == 0.3
    assert kept[2, 8] == 0


def test_a_thin_neck_is_closed():
    values = np.zeros((9, 30))
    values[3:6, 2:12] = 0.9
    values[3:6, 15:28] = 0.9
    values[4, 12:15] = 0.3
    closed, necks = bridged(values, 0.5, 0.2)
    assert necks == 1
    assert largest_component(closed >= 0.5).sum() == 3 * 10 + 3 * 13 + 3
    assert np.array_equal(closed[values >= 0.5], values[values >= 0.5])


def test_parts_without_a_bridge_stay_apart():
    values = np.zeros((9, 30))
    values[3:6, 2:12] = 0.9
    values[3:6, 15:28] = 0.9
    values[4, 12:15] = 0.1
    closed, necks = bridged(values, 0.5, 0.2)
    assert necks == 0
    assert np.array_equal(closed, values)


def test_nothing_has_no_neck():
    assert bridged(np.zeros((4, 4)), 0.5, 0.2)[1] == 0
    assert bridged(np.ones((4, 4)), 0.5, 0.2)[1] == 0


def test_alone_keeps_the_whole_soft_border_but_nothing_of_another_part():
    values = np.zeros((5, 14))
    values[2, 1:4] = 0.9
    values[2, 4:7] = 0.3
    values[2, 9:11] = 0.8
    kept = alone(values, 0.5)
    assert kept[2].tolist() == [0, 0.9, 0.9, 0.9, 0.3, 0.3, 0.3, *[0] * 7]
    assert np.array_equal(alone(values[:, :8], 0.5), values[:, :8])


def test_soft_weights_reach_as_far_as_they_may():
    values = np.full((1, 20), 0.2)
    values[0, 5:8] = 1.0
    assert soft_weights(values, 0.5, np.array([1.0, 1.0]), 3.0).sum() == pytest.approx(3 + 6 * 0.2)
    assert soft_weights(values, 0.5, np.array([1.0, 1.0]), 0.5).sum() == pytest.approx(3 + 4 * 0.2)  # two pixels


def test_fine_outline_of_a_coarse_disc_has_no_chords():
    y, x = np.mgrid[:40, :40] * 1.5
    soft = np.clip(0.5 + (15.3 - np.hypot(y - 30.2, x - 29.9)) / 1.5, 0, 1)
    points = fine_outline(soft, 0.5, np.array([1.5, 1.5]))
    assert points.mean(axis=0) == pytest.approx([30.2, 29.9], abs=0.2)
    radii = np.hypot(*(points - [30.2, 29.9]).T)
    assert radii.mean() == pytest.approx(15.3, abs=0.02)
    assert radii == pytest.approx(15.3, abs=0.15)  # a tenth of a pixel


def test_fine_outline_of_nothing_says_so():
    with pytest.raises(ValueError, match=r"never reaches 0\.5"):
        fine_outline(np.zeros((3, 3)), 0.5, np.array([1.0, 1.0]))
