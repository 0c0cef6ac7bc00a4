"""The ROI tool under a real mouse and keys."""

import numpy as np
import pytest
from hands import at, drag, key, push, settle, wait
from napari_mediseg.cases import record_of
from napari_mediseg.frames import world_from_lps
from napari_mediseg.shapes import PLAN_KEY
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest

from mediseg.recipe import load_recipe

SHIFT, ALT, CTRL = (
    Qt.KeyboardModifier.ShiftModifier, Qt.KeyboardModifier.AltModifier, Qt.KeyboardModifier.ControlModifier,
)  # fmt: skip


@pytest.fixture
def tool(viewer, dock, qtbot, case):
    viewer.open(str(case), plugin="napari-mediseg")
    widget = dock("ROI")
    wait(qtbot, lambda: bool(widget.scene.choices))
    settle(20)
    return widget


def pixel(viewer, tool, point):
    return at(viewer, world_from_lps(tool.state.lift(np.asarray(point, float))))


def test_the_roi_follows_the_hand(viewer, tool, tmp_path):
    assert viewer.dims.order[0] == 2  # sagittal
    start = tool.state
    report = record_of(tool.layer.metadata["mediseg"].case)
    assert start.angle_deg == pytest.approx(report.roi.angle_deg, abs=1e-6)
    first_plan = viewer.layers["scan plan"].metadata[PLAN_KEY]

    # the ring: a quarter turn, past nothing; then back to the same pixel
    ring = [pixel(viewer, tool, point) for point in start.ring()]
    drag(viewer, ring[:19])
    assert tool.state.angle_deg - start.angle_deg == pytest.approx(90.0, abs=2.0)
    plan = viewer.layers["scan plan"].metadata[PLAN_KEY]
    assert plan.groups[0].angulation != first_plan.groups[0].angulation
    assert tool.boxes["angle"].value() == pytest.approx(tool.state.wrapped_deg, abs=0.006)
    push(tool, "undo")
    assert tool.state == start
    drag(viewer, [*ring[:19], *ring[18::-1]])
    assert tool.state.angle_deg == pytest.approx(start.angle_deg, abs=1e-9)

    # Shift snaps; keys nudge; undo and redo by keys
    drag(viewer, ring[:4], SHIFT)
    assert tool.state.angle_deg == round(tool.state.angle_deg)
    snapped = tool.state.angle_deg
    key(viewer, Qt.Key.Key_Right)
    assert tool.state.angle_deg == pytest.approx(snapped + 0.1)
    key(viewer, Qt.Key.Key_Left, SHIFT)
    assert tool.state.angle_deg == pytest.approx(snapped - 0.9)
    key(viewer, Qt.Key.Key_Z, CTRL)
    assert tool.state.angle_deg == pytest.approx(snapped + 0.1)
    key(viewer, Qt.Key.Key_Z, CTRL | SHIFT)
    assert tool.state.angle_deg == pytest.approx(snapped - 0.9)

    # inside moves, a handle resizes; the view does not pan
    camera = viewer.camera.center
    center = np.array(tool.state.center)
    moved = center + np.array([10.0, 5.0])
    drag(viewer, [pixel(viewer, tool, center), pixel(viewer, tool, moved)])
    np.testing.assert_allclose(tool.state.center, moved, atol=1.5)
    length = tool.state.size_mm[0]
    along, _ = tool.state.axes_2d()
    end = np.array(tool.state.center) + along * length / 2
    drag(viewer, [pixel(viewer, tool, end), pixel(viewer, tool, end + 12 * along)])
    assert tool.state.size_mm[0] == pytest.approx(length + 12, abs=2.0)
    assert viewer.camera.center == pytest.approx(camera)


def test_numbers_files_estimates_and_planes(viewer, tool, tmp_path):
    report = record_of(tool.layer.metadata["mediseg"].case)

    # a number typed in
    box = tool.boxes["angle"]
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, "12.5")
    QTest.keyClick(box, Qt.Key.Key_Return)
    assert tool.state.angle_deg == pytest.approx(12.5)

    # saved, and taken by the command line
    tool.save_to(tmp_path / "roi.json")
    recipe = load_recipe("corpus-callosum", {"localize_roi.roi": str(tmp_path / "roi.json")})
    taken = next(step.settings["roi"] for step in recipe.steps if step.info.name == "localize_roi")
    np.testing.assert_allclose(taken.corners_lps_mm(), tool.state.to_roi().corners_lps_mm(), atol=1e-6)

    # an estimate to start from; all three planes
    tool.method.setCurrentText("box")
    tool.method.activated.emit(tool.method.currentIndex())
    assert tool.state.angle_deg == pytest.approx(report.roi.estimates["box"].angle_deg)
    for plane, axis in (("axial", 0), ("coronal", 1), ("sagittal", 2)):
        push(tool, plane)
        assert viewer.dims.order[0] == axis
        assert len(viewer.layers["scan plan"]._data_view.displayed_vertices) > 0
