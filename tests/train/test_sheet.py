"""The contact sheet: as many windows as asked, every second one with an outline."""

from __future__ import annotations

import numpy as np

from mediseg.train.sheet import contact_sheet, tile


def test_a_sheet_holds_rows_and_columns_of_windows():
    drawn: list[int] = []

    def draw(number: int) -> tuple[np.ndarray, np.ndarray]:
        drawn.append(number)
        return np.full((32, 64), 0.6, np.float32), np.zeros((32, 64), np.float32)

    picture = contact_sheet(draw, columns=3, rows=2)
    assert drawn == [0, 1, 2, 3, 4, 5]
    assert picture.shape == (2 * 96, 3 * 192, 3)
    assert (picture == 127).all()


def test_the_outline_is_drawn_where_the_fraction_is_one_half():
    target = np.zeros((64, 64), np.float32)
    target[16:48, 16:48] = 1
    with_line, without = (tile(np.zeros((64, 64), np.float32), target, 64, outline=o) for o in (True, False))
    assert not without.any()
    yellow = (with_line == (0, 255, 255)).all(axis=2)
    assert yellow[16, 16:48].all()
    assert not yellow[30, 30]
