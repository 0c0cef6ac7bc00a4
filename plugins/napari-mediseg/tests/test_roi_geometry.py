"""The ROI's geometry: no viewer, expected values by hand."""

import math

import numpy as np
import pytest
from napari_mediseg.roi_geometry import (
    History,
    Hit,
    PlaneROI,
    Turn,
    hit,
    moved,
    nudged,
    on_plane,
    resized,
    upright_base,
    wrapped,
)

FACE_LEFT = np.column_stack([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])


def roi(angle: float = 0.0, center: tuple[float, float] = (0.0, 0.0)) -> PlaneROI:
    return PlaneROI(np.array([1.0, 2.0, 3.0]), FACE_LEFT, center, angle, (40.0, 10.0, 20.0))


def around(start: PlaneROI, angle: float, radius: float = 30.0) -> tuple[float, float]:
    x, y = start.center
    return x + radius * math.cos(math.radians(angle)), y + radius * math.sin(math.radians(angle))


def test_upright_base_of_the_sagittal_plane_is_back_and_down():
    np.testing.assert_allclose(upright_base([-1, 0, 0]), FACE_LEFT, atol=1e-12)


def test_a_turned_box_keeps_its_angle_on_a_tilted_plane():
    base = upright_base([-1.0, 0.05, 0.03])
    made = PlaneROI(np.zeros(3), base, (0.0, 0.0), 12.5, (40.0, 10.0, 20.0))
    again = on_plane(made.to_roi())
    assert again.angle_deg == pytest.approx(12.5, abs=1e-9)
    np.testing.assert_allclose(again.to_roi().corners_lps_mm(), made.to_roi().corners_lps_mm(), atol=1e-9)


def test_positive_angle_lowers_the_posterior_end():
    corners = roi(30.0).to_roi().axes_lps[:, 0]
    np.testing.assert_allclose(corners, [0, math.cos(math.pi / 6), -0.5], atol=1e-12)


@pytest.mark.parametrize("step", [7.0, 33.0, 170.0])
def test_twice_round_and_back_gives_the_same_numbers(step):
    start = roi(2.9488127, (1.22, -55.27))
    turn = Turn(start, around(start, 10.0))
    way = np.append(np.arange(10.0, 730.0, step), 730.0)
    there = [turn.to(around(start, angle)) for angle in way]
    assert there[-1].angle_deg == pytest.approx(start.angle_deg + 720.0, abs=1e-9)
    back = [turn.to(around(start, angle)) for angle in way[::-1]][-1]
    assert back.angle_deg == pytest.approx(start.angle_deg, abs=1e-9)
    np.testing.assert_allclose(back.to_roi().corners_lps_mm(), start.to_roi().corners_lps_mm(), atol=1e-9)


def test_no_jump_at_180_degrees():
    start = roi(175.0)
    turn = Turn(start, around(start, 0.0))
    angles = [turn.to(around(start, a)).angle_deg for a in range(0, 21)]
    assert max(np.diff(angles)) < 1.0 + 1e-9
    assert angles[-1] == pytest.approx(195.0)
    assert turn.to(around(start, 20)).wrapped_deg == pytest.approx(-165.0)


def test_shift_snaps_to_whole_degrees():
    start = roi(2.3)
    assert Turn(start, around(start, 0)).to(around(start, 10.4), snap=True).angle_deg == 13.0


def test_a_pointer_on_the_centre_does_not_turn():
    start = roi(5.0)
    assert Turn(start, around(start, 0)).to(start.center).angle_deg == 5.0


@pytest.mark.parametrize(
    ("angle", "wanted"), [(180.0, 180.0), (-180.0, 180.0), (190.0, -170.0), (-190.0, 170.0), (720.0, 0.0)]
)
def test_wrapped(angle, wanted):
    assert wrapped(angle) == wanted


def test_handles_come_before_ring_and_inside():
    box = roi()
    assert hit(box, (20.0, 5.0), 1.0) == Hit("resize", (1, 1))
    assert hit(box, (0.5, -5.0), 1.0) == Hit("resize", (0, -1))
    assert hit(box, (3.0, 2.0), 1.0) == Hit("inside")
    assert hit(box, (box.ring_mm, 0.0), 1.0) == Hit("turn")
    assert hit(box, (0.0, 15.0), 1.0) is None


def test_a_handle_moves_its_side_and_leaves_the_other():
    grown = resized(roi(90.0), (1, 0), (0.0, 30.0))  # along points down: from -20 to 30
    assert grown.size_mm == pytest.approx((50.0, 10.0, 20.0))
    assert grown.center == pytest.approx((0.0, 5.0))


def test_a_handle_cannot_turn_a_box_inside_out():
    assert resized(roi(), (0, 1), (0.0, -50.0)).size_mm == (40.0, 1.0, 20.0)


def test_moving_and_nudging():
    assert moved(roi(), (1.0, 1.0), (4.0, -1.0)).center == (3.0, -2.0)
    assert nudged(roi(1.0), turn_deg=0.1, down_mm=0.5).angle_deg == pytest.approx(1.1)


def test_undo_and_redo():
    history = History()
    first, second = roi(1.0), roi(2.0)
    assert history.undo(first) is first
    history.push(first)
    assert history.undo(second) is first
    assert history.redo(first) is second
    assert history.redo(second) is second
    history.push(second)
    assert history.redo(first) is first


def test_a_point_is_dropped_along_the_view():
    base = upright_base([-1.0, 0.1, 0.0])
    box = PlaneROI(np.array([5.0, 0.0, 0.0]), base, (0.0, 0.0), 0.0, (10.0, 10.0, 10.0))
    point = box.lift((7.0, -3.0))
    seen = point + np.array([12.0, 0.0, 0.0])
    np.testing.assert_allclose(box.drop(seen, [1.0, 0.0, 0.0]), (7.0, -3.0), atol=1e-12)
