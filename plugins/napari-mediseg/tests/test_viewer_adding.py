"""Layers that are added in parts: the same picture, the same tools, the user's selection untouched."""

import gc

import numpy as np
import pytest
from hands import at, drag, settle, wait
from napari._qt.layer_controls.qt_layer_controls_base import QtLayerControls
from napari.layers import Image, Labels, Shapes
from napari.utils._proxies import PublicOnlyProxy
from napari_mediseg._napari import added_in_parts
from napari_mediseg.work import add_layers
from qtpy.QtWidgets import QApplication


def the_layers():
    """A picture, a mask on half of it, a hidden mask and a rectangle."""
    image = np.random.default_rng(0).random((4, 30, 40)).astype(np.float32)
    half = np.zeros(image.shape, np.uint8)
    half[:, :15] = 1
    return [
        Image(image, name="image", contrast_limits=(0, 1)),
        Labels(half, name="half", opacity=0.5),
        Labels(half[::-1].copy(), name="hidden", visible=False),
        Shapes([np.array([[5, 5], [5, 20], [20, 20], [20, 5]])], name="box", edge_color="red", face_color="blue"),
    ]


def picture(viewer):
    settle(10)  # the first layer's controls make the canvas smaller
    viewer.reset_view()
    settle(5)
    return viewer.screenshot(canvas_only=True, flash=False)


def test_added_in_parts_looks_as_added_by_napari(viewer):
    for layer in the_layers():
        viewer.add_layer(layer)
    expected = picture(viewer)
    viewer.layers.clear()
    for layer in the_layers():
        for _ in added_in_parts(viewer, layer):
            settle(2)
    assert [one.name for one in viewer.layers] == ["image", "half", "hidden", "box"]
    assert [one.visible for one in viewer.layers] == [True, True, False, True]
    np.testing.assert_array_equal(picture(viewer), expected)
    viewer.layers["half"].visible = False
    viewer.layers["hidden"].visible = True
    viewer.layers.move(3, 0)  # drawn below what was above it
    assert (picture(viewer) != expected).any()


def test_a_mask_added_in_parts_can_be_painted_on(viewer):
    layer = the_layers()[1]
    for _ in added_in_parts(viewer, layer):
        settle(2)
    viewer.layers.selection.active = layer
    layer.mode, layer.selected_label, layer.brush_size = "paint", 2, 3
    settle(5)
    drag(viewer, [at(viewer, layer.data_to_world((viewer.dims.current_step[0], 22, x))) for x in (10, 15, 20)])
    assert layer.data[viewer.dims.current_step[0], 22, 10:21].tolist() == [2] * 11
    layer.mode = "polygon"
    settle(2)


@pytest.mark.parametrize("selects", [True, False])
def test_what_the_user_has_selected_stays_selected(viewer, qtbot, selects):
    mine = viewer.add_image(np.zeros((4, 30, 40)), name="mine")
    if not selects:
        viewer.layers.selection.clear()
    came = []
    given = PublicOnlyProxy(viewer)  # as napari gives it to a plugin's widget
    add_layers(given, [one.as_layer_data_tuple() for one in the_layers()], then=came.extend)
    wait(qtbot, lambda: bool(came))
    assert viewer.layers.selection.active is (mine if selects else came[-1])
    assert [one.name for one in came] == ["image", "half", "hidden", "box"]
    wait(qtbot, gc.isenabled)
    assert sum(isinstance(one, QtLayerControls) for one in QApplication.allWidgets()) == len(viewer.layers)
