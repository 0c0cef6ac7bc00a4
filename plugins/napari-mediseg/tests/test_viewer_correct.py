"""Correct and keep under a real mouse."""

import numpy as np
import pytest
from hands import click, push, settle, wait
from napari_mediseg.layers import KEY

from mediseg.evaluate.manifest import load_manifest
from mediseg.evaluate.pairs import read_pair


@pytest.fixture
def widget(viewer, dock, case, tmp_path):
    viewer.open(str(case), plugin="napari-mediseg")
    made = dock("Correct and keep")
    made.manifest.setText(str(tmp_path / "kept" / "corrections.yaml"))
    settle(10)
    return made


def world_of(layer, index):
    return np.array(layer.data_to_world(np.asarray(index, float)))


def test_worsened_and_corrected_with_rules_clicks_and_kept(viewer, widget, qtbot, tmp_path):
    layer = viewer.layers["callosum"]
    assert widget.labels.currentData() is layer
    model = np.array(layer.data)
    rows, columns, _ = np.nonzero(model)

    # napari's own eraser bites into the body
    middle = int(np.median(columns))
    row = int(np.median(rows[columns == middle]))
    layer.mode, layer.brush_size, layer.selected_label = "erase", 6, 1
    viewer.layers.selection.active = layer
    click(viewer, world_of(layer, (row, middle, 0)))
    bitten = int((np.array(layer.data) > 0).sum())
    assert bitten < (model > 0).sum()
    push(widget, "changed")
    assert "taken away" in widget.message.text()
    assert "Dice 0." in widget.message.text()
    assert "changed in callosum" in viewer.layers

    # one smart click brings it back
    layer.mode = "pan_zoom"
    push(widget, "smart")
    click(viewer, world_of(layer, (row, middle, 0)))
    wait(qtbot, lambda: "clicks" in widget.message.text())
    assert layer.data[row, middle, 0] == 1
    push(widget, "smart")
    assert len(widget._clicks[id(layer)]) == 1

    # the rules, each told and each undone by napari
    before = np.array(layer.data)
    widget.radius.setValue(5.0)
    push(widget, "smooth")
    wait(qtbot, lambda: "smoothed" in widget.message.text())
    assert (np.array(layer.data) > 0).sum() == (before > 0).sum()
    assert (np.array(layer.data) != before).any()
    layer.undo()
    np.testing.assert_array_equal(layer.data, before)
    for name, said in (("fill", "holes filled"), ("largest", "largest part"), ("interpolate", "interpolated")):
        push(widget, name)
        wait(qtbot, lambda said=said: said in widget.message.text())

    # kept with a role, on the image's own grid
    widget.role.setCurrentText("radiographer")
    push(widget, "save")
    assert "kept as fix-" in widget.message.text(), widget.message.text()
    (entry,) = load_manifest(tmp_path / "kept" / "corrections.yaml").entries
    assert (entry.annotator, entry.structure) == ("radiographer", "callosum")
    assert entry.model.startswith("callosum-bisenetv2")
    image, mask = read_pair(entry)
    assert image.geometry.same_grid(layer.metadata[KEY].placing.native, tolerance_mm=1e-2)
    assert mask.labels.sum() == (np.array(layer.data) > 0).sum()

    # the next layer may be given the id of one that is gone: it must not get its clicks
    viewer.layers.remove(layer)
    assert not widget._clicks


def test_a_mask_on_another_grid_is_refused(viewer, dock, qtbot, tmp_path):
    widget = dock("Correct and keep")
    viewer.add_image(np.zeros((5, 6, 7)), name="small")
    viewer.add_labels(np.ones((5, 6, 8), np.uint8), name="drawn")
    widget.manifest.setText(str(tmp_path / "corrections.yaml"))
    push(widget, "save")
    assert "no open image has the grid of drawn" in widget.message.text()
    assert not (tmp_path / "corrections.yaml").exists()
