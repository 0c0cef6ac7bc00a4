"""The pictures of the napari plugin's README, on the phantom: napari_pictures.py CASE SECOND STUDY OUT

CASE and SECOND: finished cases of the phantom; STUDY: its DICOM folder. Needs a display (Xvfb will do).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import napari
import numpy as np
from qtpy.QtWidgets import QApplication


def settle(seconds: float = 0.5) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        QApplication.processEvents()
        time.sleep(0.01)


def until(done: Any) -> None:
    while not done():
        settle(0.05)


def shot(viewer: Any, path: Path) -> None:
    settle(1)
    viewer.screenshot(str(path), canvas_only=False, flash=False)
    print(path, flush=True)


def window(name: str) -> tuple[Any, Any]:
    viewer = napari.Viewer(show=True)
    viewer.window.resize(1300, 820)
    _, widget = viewer.window.add_plugin_dock_widget("napari-mediseg", name)
    return viewer, widget


def main() -> None:
    case, second, study, out = (Path(one) for one in sys.argv[1:5])
    viewer, roi = window("ROI")
    viewer.open(str(case), plugin="napari-mediseg")
    settle(1)
    for _ in range(40):
        roi._nudge(turn_deg=0.2)
    shot(viewer, out / "napari-roi.png")
    viewer.close()

    viewer, correct = window("Correct and keep")
    viewer.open(str(case), plugin="napari-mediseg")
    layer = viewer.layers["callosum"]
    rows, columns, _ = np.nonzero(np.array(layer.data))
    at = (int(np.median(rows)), int(columns[rows == int(np.median(rows))][0]), 0)
    layer.brush_size = 7
    layer.paint(at, 0)
    layer.paint((int(rows.min()) - 1, int(np.median(columns)), 0), 1)
    correct._changed()
    viewer.layers["ROI"].visible = False
    viewer.camera.zoom *= 2.2
    down, right = layer.data_to_world((np.mean(rows), np.mean(columns), 0))[:2]
    viewer.camera.center = (0, down, right)
    shot(viewer, out / "napari-correct.png")
    viewer.close()

    viewer, run = window("Run")
    viewer.open(str(study), plugin="napari-mediseg")
    until(lambda: run.series.rowCount() > 0)
    run._forms[1].setChecked(True)
    shot(viewer, out / "napari-run.png")
    viewer.close()

    viewer, compare = window("Compare")
    compare.add_case(case)
    compare.add_case(second)
    compare.picked[1].setCurrentIndex(1)
    compare.button.click()
    until(lambda: compare.side is not None and compare.side.grid.enabled)
    compare.side.window.resize(1300, 820)
    settle(1)
    compare.side.reset_view()
    shot(compare.side, out / "napari-compare.png")
    compare.side.close()
    viewer.close()


if __name__ == "__main__":
    main()
