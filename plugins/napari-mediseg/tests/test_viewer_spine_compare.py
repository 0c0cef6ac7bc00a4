"""Stitching and comparing under a real mouse."""

import numpy as np
import pytest
from hands import push, settle, wait
from napari_mediseg.layers import image_layer
from napari_mediseg.work import add_layers
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QTableWidget

import mediseg
from mediseg.phantom import cut_stations, plan_stations
from mediseg.phantom.spine import spine_grid


@pytest.fixture(scope="module")
def stations():
    grid = spine_grid((2.0, 2.0, 4.0), width_mm=20.0).crop([0, 0, 0], [100, 200, 5])
    whole = mediseg.phantom_spine(grid=grid)
    plans = plan_stations(
        2, overlap_mm=60, top_mm=350, bottom_mm=10, noise=0.01, matrix=(90, 110), slices=3, deep_mm=180.0
    )
    return [cut.volume for cut in cut_stations(whole, plans)]


def test_a_station_is_nudged_turned_solved_and_saved(viewer, dock, qtbot, stations, tmp_path):
    widget = dock("Stitch")
    layers = [image_layer(one, f"station {n}", role="station") for n, one in enumerate(stations, 1)]
    add_layers(viewer, layers)
    wait(qtbot, lambda: len(viewer.layers) == 2)
    widget.station.setCurrentText("station 2")
    moved = viewer.layers["station 2"]
    before = np.array(moved.data_to_world((0, 0, 0)))
    push(widget, "up")
    np.testing.assert_allclose(np.array(moved.data_to_world((0, 0, 0))) - before, (1.0, 0.0, 0.0), atol=1e-6)
    push(widget, "left_turn")
    assert "turned 0.5" in widget.message.text()
    push(widget, "right_turn")
    push(widget, "down")
    np.testing.assert_allclose(moved.data_to_world((0, 0, 0)), before, atol=1e-6)
    push(widget, "solve")
    wait(qtbot, lambda: "provenance" in viewer.layers)
    assert "aligned" in widget.message.text()
    push(widget, "checkerboard")
    wait(qtbot, lambda: "checkerboard" in viewer.layers)
    push(widget, "flicker")
    shown = moved.visible
    wait(qtbot, lambda: moved.visible != shown)
    push(widget, "flicker")
    widget.save_to(tmp_path / "composite.nii.gz")
    assert mediseg.load(tmp_path / "composite.nii.gz").geometry.same_grid(widget.result.composite.geometry)
    lines = viewer.add_shapes(
        [np.array([[0.0, 0, 0], [30.0, 40, 0]]), np.array([[0.0, 0, 0], [0, 10, 0]])], shape_type="line", name="ruler"
    )
    viewer.layers.selection.active = lines
    push(widget, "measure")
    assert widget.message.text().splitlines() == ["length 50.0 mm", "length 10.0 mm", "Cobb 36.9°"]


def test_nothing_is_kept_of_a_station_that_was_closed(viewer, dock, qtbot, stations):
    widget = dock("Stitch")
    add_layers(viewer, [image_layer(one, f"station {n}", role="station") for n, one in enumerate(stations, 1)])
    wait(qtbot, lambda: len(widget.originals) == 2)
    push(widget, "up")
    viewer.layers.clear()
    assert (widget.originals, widget.motions) == ({}, {})  # the next layer may be given the old one's id


def test_two_cases_side_by_side(viewer, dock, qtbot, case):
    widget = dock("Compare")
    push(widget, "compare")
    assert "choose two finished cases" in widget.message.text()
    widget.add_case(case)
    settle(2)
    push(widget, "compare")
    wait(qtbot, lambda: widget.side is not None and widget.side.grid.enabled)
    side = widget.side
    assert {layer.name for layer in side.layers} == {
        "A: midsagittal", "A: callosum", "B: midsagittal", "B: callosum",
    }  # fmt: skip
    assert (tuple(side.grid.shape), side.grid.stride) == ((1, 2), 2)  # two windows of two layers each
    assert len(viewer.layers) == 0
    names = [widget.table.item(n, 0).text() for n in range(widget.table.rowCount())]
    assert "ROI angle" in names
    assert "area" in names
    assert widget.table.item(names.index("ROI angle"), 3).text() == "+0.00"
    assert widget.table.item(names.index("area"), 4).text() == "mm2"
    table = next(
        one
        for one in QApplication.allWidgets()
        if isinstance(one, QTableWidget) and one.window() is not widget.window()
    )
    settle()
    assert [table.columnViewportPosition(n) + table.columnWidth(n) <= table.viewport().width() for n in range(5)] == [
        True
    ] * 5
    before = table.rowAt(5)
    table.verticalScrollBar().setFocus()
    QTest.keyClick(table.verticalScrollBar(), Qt.Key.Key_End)
    settle()
    assert table.rowAt(table.viewport().height() - 5) == table.rowCount() - 1 > before
    side.close()
    wait(qtbot, lambda: widget.side is None)
