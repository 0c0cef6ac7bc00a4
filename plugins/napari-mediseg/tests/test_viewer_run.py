"""Run under a real mouse: a recipe to its end, a cancelled one, an error."""

import gc
import shutil
import threading
import weakref

import numpy as np
import pytest
from hands import click, push, settle, wait
from napari_mediseg.layers import origin_of
from napari_mediseg.work import in_thread
from qtpy.compat import isalive
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QWidget

import mediseg
from mediseg.io.dicom.original import PhantomStudy, write_mr_study


@pytest.fixture
def widget(viewer, dock, study, tmp_path):
    viewer.open(str(study), plugin="napari-mediseg")
    made = dock("Run")
    made.out.setText(str(tmp_path / "results"))
    settle(10)
    return made


def test_a_run_stays_with_the_layer_it_was_started_on(viewer, widget, qtbot):
    wait(qtbot, lambda: widget.series.rowCount() == 1)
    assert widget.series.item(0, 0).text() == "●"
    study_layer = viewer.layers[0]
    widget.recipe.setCurrentText("bias")
    assert [form.step.name for form in widget._forms] == ["correct_bias"]
    assert "mm" in widget._forms[0].findChild(QWidget, "correct_bias.spline_spacing_mm").suffix()
    push(widget, "run")
    other = viewer.add_image(np.zeros((3, 4, 5)), name="another")  # the user goes on meanwhile
    widget.image.setCurrentText("another")
    viewer.layers.selection.active = other
    wait(qtbot, widget.run_button.isEnabled)
    wait(qtbot, lambda: f"{study_layer.name}: corrected" in viewer.layers)
    assert study_layer.name in widget.message.text()
    assert "done" in widget.message.text()


def test_another_series_can_be_picked(viewer, dock, qtbot, study, tmp_path):
    both = tmp_path / "both"
    shutil.copytree(study, both / "first")
    coarse = mediseg.phantom_head(spacing_mm=3.0)
    write_mr_study(coarse, both / "second", PhantomStudy(series_number=7, series_description="T1 coarse"))
    viewer.open(str(both), plugin="napari-mediseg")
    widget = dock("Run")
    widget.out.setText(str(tmp_path / "results"))
    widget.recipe.setCurrentText("bias")
    wait(qtbot, lambda: widget.series.rowCount() == 2)
    used = [widget.series.item(n, 0).text() for n in range(2)]
    assert used.count("●") == 1
    other = used.index("")
    shapes = {"1": mediseg.phantom_head(spacing_mm=2.0).geometry.shape, "7": coarse.geometry.shape}
    expected = shapes.pop(widget.series.item(other, 1).text())
    assert set(viewer.layers[0].data.shape) == set(*shapes.values())  # shown is the other one
    settle(10)
    row = widget.series.visualItemRect(widget.series.item(other, 1)).center()
    QTest.mouseClick(widget.series.viewport(), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier, row)
    push(widget, "run")
    wait(qtbot, widget.run_button.isEnabled)
    wait(qtbot, lambda: any(one.name.endswith(": corrected") for one in viewer.layers))
    made = next(one for one in viewer.layers if one.name.endswith(": corrected"))
    assert sorted(origin_of(made.metadata).placing.native.shape) == sorted(expected)
    wait(qtbot, lambda: made.visible)


def test_a_closed_widget_is_not_told(viewer, widget, qtbot):
    """What a thread returns after its widget was closed goes nowhere: Qt has thrown its tables away."""
    seen = []
    gate = threading.Event()
    in_thread(widget, gate.wait, done=seen.append, failed=seen.append)
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    wait(qtbot, lambda: not isalive(widget))
    gate.set()
    other = QWidget()
    in_thread(other, lambda: "told", done=seen.append, failed=seen.append)
    wait(qtbot, lambda: bool(seen))
    assert seen == ["told"]
    other.deleteLater()


@pytest.mark.parametrize("in_parts", [False, True])
def test_a_worker_that_has_told_lets_go_of_its_widget(qtbot, in_parts):
    """Qt throws a worker away some turns later; a viewer that is closed meanwhile must not wait for it."""
    owner, seen = QWidget(), []

    def work(widget):
        return widget.objectName()

    def parts(widget):
        yield "on its way"
        return widget.objectName()

    owner.setObjectName("told")
    worker = in_thread(
        owner, parts if in_parts else work, owner,
        done=lambda name, mine=owner: seen.append((name, mine.objectName())),
        failed=lambda error, mine=owner: seen.append((error, mine)),
        told=(lambda word, mine=owner: seen.append((word, mine.objectName()))) if in_parts else None,
    )  # fmt: skip
    gone = weakref.ref(owner)
    wait(qtbot, lambda: ("told", "told") in seen)
    assert (("on its way", "told") in seen) == in_parts
    del owner
    gc.collect()
    assert gone() is None
    assert worker is not None


@pytest.mark.parametrize("name", ["Run", "ROI", "Correct and keep", "Stitch", "Compare"])
def test_a_closed_widget_leaves_the_viewer_alone(viewer, dock, qtbot, name):
    widget = dock(name)
    viewer.open_sample("napari-mediseg", "phantom_spine")
    viewer.window.remove_dock_widget(widget)
    widget.deleteLater()
    wait(qtbot, lambda: not isalive(widget))
    layer = viewer.layers[0]
    click(viewer, layer.data_to_world(np.array(layer.data.shape) / 2))
    viewer.add_image(np.zeros((3, 4, 5)), name="another")
    viewer.layers.remove(layer)
    assert "another" in viewer.layers


@pytest.mark.usefixtures("endless")
def test_a_run_can_be_cancelled(viewer, widget, qtbot, tmp_path):
    push(widget, "run")
    assert not widget.run_button.isEnabled()
    wait(qtbot, lambda: widget.bar.value() >= 1)
    push(widget, "cancel")
    wait(qtbot, widget.run_button.isEnabled)
    assert "stopped" in widget.message.text()
    assert not list((tmp_path / "results").rglob("report.json"))
    assert len(viewer.layers) == 1


def test_an_error_is_one_line_with_a_hint(viewer, dock, qtbot):
    widget = dock("Run")
    push(widget, "run")
    assert widget.message.text() == (
        "there is no image; drop a study on the window, or open File > Open sample > mediseg"
    )


def test_a_refusal_is_told_with_its_reason(viewer, dock, qtbot, tmp_path):
    viewer.add_image(np.random.default_rng(0).random((20, 20, 20)).astype(np.float32), name="noise")
    widget = dock("Run")
    widget.out.setText(str(tmp_path / "results"))
    push(widget, "run")
    wait(qtbot, widget.run_button.isEnabled)
    assert "\n" not in widget.message.text()
    assert "refus" in widget.message.text() or "noise" in widget.message.text()
    # what was finished before the refusal is shown as well
    wait(qtbot, lambda: any(one.name == "noise: corrected" and one.visible for one in viewer.layers))
