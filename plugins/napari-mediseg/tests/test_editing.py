"""Rules for masks and the smart click: no viewer."""

import numpy as np
import pytest
from napari_mediseg.clicks import Click, refined
from napari_mediseg.editing import change, filled, interpolated, largest_part, smoothed

MM = (1.0, 1.0, 1.0)


def block(shape=(5, 20, 20)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[1:4, 5:15, 5:15] = True
    return mask


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_smoothing_keeps_the_volume_and_rounds_the_corner(axis):
    mask = block()
    out = smoothed(mask, MM, 2.0, axis)
    assert out.sum() == mask.sum()
    if axis == 0:
        assert not out[2, 5, 5]
        assert (out.sum(axis=(1, 2)) == mask.sum(axis=(1, 2))).all()


def test_an_empty_mask_stays_empty():
    empty = np.zeros((3, 4, 5), bool)
    assert not smoothed(empty, MM, 1.0, 0).any()
    assert not smoothed(empty, MM, 1.0, None).any()
    assert not filled(empty, 0).any()
    assert not largest_part(empty).any()
    assert not interpolated(empty, MM, 0).any()
    assert change(empty, empty).dice == 1.0


def test_a_hole_in_a_slice_is_filled_and_an_open_one_is_not_in_3d():
    mask = block()
    mask[:, 9, 9] = False
    assert filled(mask, 0)[1:4, 9, 9].all()
    assert not filled(mask, None)[2, 9, 9]  # a tunnel is open at both ends


def test_slices_between_painted_ones_are_interpolated():
    mask = np.zeros((5, 21, 21), bool)
    mask[0, 8:13, 8:13] = True
    mask[4, 4:17, 4:17] = True
    out = interpolated(mask, MM, 0)
    sizes = out.sum(axis=(1, 2))
    assert (np.diff(sizes) > 0).all()
    assert sizes[0] == 25
    assert sizes[4] == 169
    assert out[2, 6:15, 6:15].all()  # half way: a square of 9


def test_the_largest_part_stays():
    mask = block()
    mask[0, 0, 0] = True
    np.testing.assert_array_equal(largest_part(mask), block())


def test_what_changed_and_its_dice():
    before, after = np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)
    before[0, 0, :] = True
    after[0, :, 0] = True
    found = change(before, after)
    assert (found.dice, found.added, found.removed) == (0.5, 1, 1)
    assert found.overlay.tolist() == [[[0, 2], [1, 0]]]
    with pytest.raises(ValueError, match="different grids"):
        change(before, np.zeros((1, 2, 3), bool))


def unsure() -> tuple[np.ndarray, np.ndarray]:
    """A bar that the network is sure of on the left, and half sure on the right."""
    probability = np.full((40, 60), 0.02)
    probability[15:25, 5:40] = 0.97
    probability[15:25, 40:50] = 0.4
    return probability, probability >= 0.5


def test_one_click_brings_the_part_that_was_missed():
    probability, mask = unsure()
    out = refined(probability, mask, [Click(20, 45, True)], (1.0, 1.0))
    truth = probability >= 0.3
    assert change(mask[None], truth[None]).dice < 0.9
    assert change(out[None], truth[None]).dice > 0.97


def test_a_click_outside_takes_a_part_away_and_later_clicks_win():
    probability, mask = unsure()
    first = Click(20, 45, True)
    out = refined(probability, mask, [first, Click(20, 45, False)], (1.0, 1.0))
    assert not out[20, 45]
    assert out[20, 20]


def test_a_click_that_cuts_in_two_keeps_both_halves_and_drops_a_crumb():
    probability = np.full((40, 60), 0.02)
    probability[15:25, 5:40] = 0.97
    probability[18:22, 20:23] = 0.3  # a narrow place that the network is unsure of
    probability[5:7, 20:22] = 0.97
    mask = np.zeros((40, 60), bool)
    mask[15:25, 5:40] = mask[5:7, 20:22] = True
    clicks = [Click(row, 21, False) for row in range(15, 25)]
    out = refined(probability, mask, clicks, (1.0, 1.0))
    assert not out[15:25, 21].any()
    assert out[20, 10]
    assert out[20, 35]
    assert not out[5:7, 20:22].any()


def test_far_from_the_click_nothing_changes():
    probability, mask = unsure()
    mask[16, 6] = False
    assert not refined(probability, mask, [Click(20, 45, True)], (1.0, 1.0))[16, 6]


def test_a_click_moves_the_border_it_lies_beside_and_leaves_the_other_and_the_brush_alone():
    rows = np.repeat(np.arange(50.0)[:, None], 80, axis=1)
    probability = 1 / (1 + np.exp(-2 * np.minimum(rows - 19.5, 27.5 - rows)))  # a bar from row 20 to row 27
    mask = probability >= 0.5
    mask[40:45, 10:15] = True  # painted by hand
    out = refined(probability, mask, [Click(18, 40, True)], (1.0, 1.0))
    assert out[18, 40]
    assert out[19, 25:56].all()
    np.testing.assert_array_equal(out[24:], mask[24:])
    back = refined(probability, out, [Click(18, 40, True), Click(19, 60, False)], (1.0, 1.0))
    assert back[18, 40]
    assert not back[19, 60]
    assert back[40:45, 10:15].all()


def test_a_click_where_the_network_saw_nothing_is_obeyed():
    out = refined(np.zeros((20, 20)), np.zeros((20, 20), bool), [Click(10, 10, True)], (1.0, 1.0))
    assert out[10, 10]


def test_no_click_no_change_and_wrong_input_is_refused():
    probability, mask = unsure()
    np.testing.assert_array_equal(refined(probability, mask, [], (1.0, 1.0)), mask)
    with pytest.raises(ValueError, match="beyond the image"):
        refined(probability, mask, [Click(99, 0, True)], (1.0, 1.0))
    with pytest.raises(ValueError, match="not one slice of one grid"):
        refined(probability[:-1], mask, [Click(1, 1, True)], (1.0, 1.0))
