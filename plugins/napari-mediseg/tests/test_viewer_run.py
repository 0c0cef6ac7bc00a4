"""Run under a real mouse: a recipe to its end, a cancelled one, an error."""

import numpy as np
import pytest
from hands import push, settle, wait
from qtpy.QtWidgets import QWidget

import mediseg


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
    assert not widget.run_button.isEnabled()
    other = viewer.add_image(np.zeros((3, 4, 5)), name="another")  # the user goes on meanwhile
    widget.image.setCurrentText("another")
    viewer.layers.selection.active = other
    wait(qtbot, widget.run_button.isEnabled)
    wait(qtbot, lambda: f"{study_layer.name}: corrected" in viewer.layers)
    assert study_layer.name in widget.message.text()
    assert "done" in widget.message.text()


def test_a_run_can_be_cancelled(viewer, widget, qtbot, tmp_path):
    push(widget, "run")
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
    assert mediseg.__version__
