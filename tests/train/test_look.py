"""Validation: Dice by hand, and a picture with the worst first."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
import cv2

from mediseg.train.look import COLUMNS, SIDE, WORST, Panel, Reading, dice, judge, sheet, validation

pytestmark = pytest.mark.train

SAME = Reading(output=lambda values: values, target=lambda values: values)


def half(size=8):
    """Return a window whose left half is 1."""
    part = np.zeros((size, size), np.float32)
    part[:, : size // 2] = 1
    return part


def test_dice_by_hand():
    assert dice(half(), half()) == 1.0
    assert dice(half(), np.ones((8, 8), np.float32)) == pytest.approx(2 / 3)
    assert dice(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)) == 1.0
    assert dice(half(), np.zeros((8, 8), np.float32)) == 0.0


def test_the_worst_stand_first_and_the_sheet_is_filled_with_black():
    panels = [Panel(half(), half(), half(), dice=k / 10) for k in (9, 3, 5, 7, 4)]
    picture = sheet(panels)
    assert picture.shape == (2 * SIDE, COLUMNS * SIDE, 3)
    assert picture[SIDE:, SIDE:].max() == 0
    assert sheet([Panel(half(), half(), half(), dice=1.0)] * (WORST + 5)).shape[0] == WORST // COLUMNS * SIDE


def test_outlines_are_green_where_true_and_red_where_found():
    picture = sheet([Panel(np.zeros((8, 8), np.float32), half(), half().T, dice=0.5)])
    red, green = (picture == (60, 60, 255)).all(-1), (picture == (80, 220, 80)).all(-1)
    assert red[:SIDE, SIDE // 2 - 3 : SIDE // 2 + 3].any()
    assert green[SIDE // 2 - 3 : SIDE // 2 + 3, :SIDE].any()


def test_a_validation_gives_scores_and_writes_the_picture(tmp_path):
    network = torch.nn.Conv2d(1, 1, 1)
    torch.nn.init.constant_(network.weight, 1.0)
    torch.nn.init.constant_(network.bias, 0.0)
    right, wrong = (torch.from_numpy(part)[None, None] for part in (half(), 1.0 - half()))
    scores = validation([(right, right), (right, wrong)], SAME, tmp_path)(network, 40)
    assert scores == {"score": 0.5, "worst": 0.0}
    assert cv2.imread(str(tmp_path / "step_0000040.png")).shape == (SIDE, COLUMNS * SIDE, 3)


def test_a_volume_is_shown_by_its_three_middle_planes():
    image = torch.zeros(1, 1, 4, 6, 8)
    image[0, 0, 2, 3, 4] = 1.0
    (panel,) = judge(torch.nn.Conv3d(1, 1, 1), [(image, image)], SAME)
    assert panel.image.shape == (8, 6 + 4 + 4)
    assert panel.image.sum() == 3.0
