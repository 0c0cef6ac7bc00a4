"""The whole way: open, run, worsen, correct, keep, train, export, run with the new weights, compare."""

import subprocess
import sys

import numpy as np
import pytest
from hands import click, push, settle, wait
from napari_mediseg.cases import record_of

CONFIG = """\
task: callosum
network: {name: unet_small}
data: {manifest: MANIFEST}
schedule: {steps: 2, checkpoint_every: 2, look_every: 0, log_every: 1}
seed: 0
out: run
bundle: {name: taught, version: 0.0.1, licence: CC-BY-4.0, authors: test, data_source: one corrected phantom slice}
"""


def mediseg_command(*arguments, folder, allowed=(0,)):
    done = subprocess.run(
        [sys.executable, "-m", "mediseg", *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode in allowed, done.stderr[-2000:]


@pytest.mark.train
def test_from_a_correction_to_a_new_model(viewer, dock, qtbot, study, case, tmp_path):
    pytest.importorskip("torch")
    viewer.open(str(study), plugin="napari-mediseg")
    run = dock("Run")
    run.out.setText(str(case.parent))  # the case is there already: the run resumes on it
    push(run, "run")
    wait(qtbot, lambda: _has_roi(viewer))
    correct = dock("Correct and keep")
    layer = correct.labels.currentData()
    rows, columns, _ = np.nonzero(np.array(layer.data))
    middle = (int(np.median(rows)), int(columns[rows == int(np.median(rows))][0]), 0)
    layer.mode, layer.brush_size = "erase", 4
    viewer.layers.selection.active = layer
    click(viewer, layer.data_to_world(np.array(middle, float)))
    layer.mode = "pan_zoom"
    push(correct, "smart")
    click(viewer, layer.data_to_world(np.array(middle, float)))
    wait(qtbot, lambda: "clicks" in correct.message.text())
    manifest = tmp_path / "kept" / "corrections.yaml"
    correct.manifest.setText(str(manifest))
    push(correct, "save")
    assert "kept as fix-" in correct.message.text()

    (tmp_path / "config.yaml").write_text(CONFIG.replace("MANIFEST", str(manifest)))
    mediseg_command("train", "config.yaml", folder=tmp_path)
    mediseg_command("export", "run", "--out", "taught", folder=tmp_path)

    second = tmp_path / "second"
    mediseg_command(
        "run", "corpus-callosum", study, "--out", second, "--set", f"segment_callosum.model={tmp_path / 'taught'}",
        "--set", "localize_roi.min_confidence=0", folder=tmp_path, allowed=(0, 4),
    )  # fmt: skip
    again = second / case.name
    assert record_of(again).recipe.parameters["segment_callosum"]["model"] == str(tmp_path / "taught")
    compare = dock("Compare")
    compare.add_case(case)
    compare.add_case(again)
    compare.picked[0].setCurrentIndex(compare.picked[0].findData(case))
    compare.picked[1].setCurrentIndex(compare.picked[1].findData(again))
    push(compare, "compare")
    wait(qtbot, lambda: compare.table.rowCount() > 0)
    settle()
    if compare.side is not None:  # else the new model, after two steps, found nothing and there is only the table
        wait(qtbot, lambda: compare.side.grid.enabled)
        compare.side.close()
        wait(qtbot, lambda: compare.side is None)


def _has_roi(viewer) -> bool:
    return any(layer.name.endswith(": ROI") for layer in viewer.layers)
