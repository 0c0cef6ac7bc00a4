"""How the napari plugin responds: time to the first slice, stalls while a recipe runs, time from mouse to layer data.

    python benchmarks/napari_responsiveness.py [--slices 300] [--matrix 512] [--turns 200]

Needs a display (Xvfb will do) and the plugin. Wall-clock and, beside it, processor time of the GUI thread: on a machine
that others use the first says what a user saw there, the second what the plugin and napari themselves take.

- first slice: a DICOM head of that size opened by its folder, until the first slice is drawn; then scrolling. Beside
  it what is not the plugin's: pydicom alone reading the same files, napari alone showing the same voxels. Each in
  fresh processes, as a user who has just started napari.
- stalls: a timer of 5 ms in the event loop while `corpus-callosum` runs on the 2 mm phantom; the time between two of
  its ticks, from Run until the run has ended, and apart from it while the result's layers are added.
- layers: the same for the layers of a finished case, added as the plugin does and, in turn, one by one by napari's own
  `add_layer`. Bare: napari alone, one small layer of each kind added, and the turn of the event loop after it.
- rotating: real mouse events on the ROI's ring; from the event to the moment when ROI and plan have their new data.
- start: `napari` imported and a viewer made, with the plugin and with it disabled, each in a fresh process.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

START = """
import time; begin = time.perf_counter(); cpu = time.process_time()
import npe2
{disable}
import napari
viewer = napari.Viewer(show=False)
print(time.perf_counter() - begin, time.process_time() - cpu)
"""
DISABLE = "npe2.PluginManager.instance().discover(); npe2.PluginManager.instance().disable('napari-mediseg')"


def told(name: str, seconds: list[float], cpu: list[float]) -> None:
    wall, own = np.array(seconds) * 1000, np.array(cpu) * 1000
    print(
        f"{name}: wall median {np.median(wall):.0f}, p95 {np.percentile(wall, 95):.0f}, longest {wall.max():.0f} ms; "
        f"processor median {np.median(own):.0f}, p95 {np.percentile(own, 95):.0f} ms; n {len(wall)}",
        flush=True,
    )


def start(rounds: int) -> None:
    own = {}
    for name in ("with", "without"):
        runs = [_started(DISABLE if name == "without" else "") for _ in range(rounds)]
        told(f"start {name} the plugin", [wall for wall, _ in runs], [cpu for _, cpu in runs])
        own[name] = float(np.median([cpu for _, cpu in runs]))
    print(f"start: the plugin adds {1000 * (own['with'] - own['without']):.0f} ms (processor)")


def _started(disable: str) -> tuple[float, float]:
    code = START.format(disable=disable)
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    wall, cpu = out.split()[-2:]
    return float(wall), float(cpu)


def settle(times: int = 3) -> None:
    from qtpy.QtWidgets import QApplication

    for _ in range(times):
        QApplication.processEvents()


def bare(rounds: int = 6) -> None:
    """Print what napari itself takes to add one layer of each kind."""
    import napari

    viewer = napari.Viewer(show=True)
    shape = (128, 120, 96)
    adding = {
        "an empty image": lambda: viewer.add_image(np.zeros(shape, np.float32), contrast_limits=(0, 1)),
        "an empty Labels layer": lambda: viewer.add_labels(np.zeros(shape, np.uint8)),
        "a Shapes layer of one rectangle": lambda: viewer.add_shapes([[[0, 0], [0, 50], [50, 50], [50, 0]]]),
    }
    for name, add in adding.items():
        parts: dict[str, tuple[list[float], list[float]]] = {"adding": ([], []), "the turn after it": ([], [])}
        add()  # the first one loads and compiles
        settle(20)
        for _ in range(rounds):
            for part, call in (("adding", add), ("the turn after it", lambda: settle(1))):
                begin, cpu = time.perf_counter(), time.thread_time()
                call()
                parts[part][0].append(time.perf_counter() - begin)
                parts[part][1].append(time.thread_time() - cpu)
            settle(5)
            viewer.layers.pop()
            settle(5)
        for part, (walls, cpus) in parts.items():
            told(f"bare napari, {name}: {part}", walls, cpus)
    viewer.close()


class Ticks:
    """A timer of 5 ms in the event loop: how long it was not heard."""

    def __init__(self) -> None:
        from qtpy.QtCore import QTimer

        self.at: list[tuple[float, float]] = []
        self.timer = QTimer()
        self.timer.setInterval(5)
        self.timer.timeout.connect(self.tick)
        self.timer.start()

    def tick(self) -> None:
        self.at.append((time.perf_counter(), time.thread_time()))

    def told(self, name: str, start: int = 0) -> None:
        walls, cpus = np.diff(np.array(self.at[start:]), axis=0).T
        told(name, walls.tolist(), cpus.tolist())
        for what, values in (("wall", walls), ("processor", cpus)):
            longest = " ".join(f"{1000 * one:.0f}" for one in np.sort(values)[::-1][:12])
            print(f"  longest, {what}: {longest} ms; {np.count_nonzero(values > 0.05)} above 50 ms", flush=True)


def layers(folder: Path, rounds: int = 2) -> None:
    """Print how long the window does not answer while a case's layers are added."""
    import napari
    from napari.layers import Layer
    from napari_mediseg.cases import read_case
    from napari_mediseg.work import add_layers
    from qtpy.QtWidgets import QApplication

    import mediseg
    from mediseg.demo import write_demo_study

    study = write_demo_study(folder / "phantom", spacing_mm=2.0)
    case = mediseg.run("corpus-callosum", study, folder / "out", options=mediseg.RunOptions(threads=1)).folder
    viewer = napari.Viewer(show=True)
    viewer.open(str(study), plugin="napari-mediseg")
    for round_ in range(-1, rounds):  # the first one loads and compiles
        for how in ("as the plugin adds them", "as napari adds them"):
            settle(20)
            scene = read_case(case)
            ticks, came = Ticks(), []
            if how == "as the plugin adds them":
                add_layers(viewer, scene, then=came.extend)
            while len(came) < len(scene):
                QApplication.processEvents()
                if how == "as napari adds them":
                    data, keywords, kind = scene[len(came)]
                    came.append(viewer.add_layer(Layer.create(data, keywords, kind)))
                time.sleep(0.001)
            settle(20)
            ticks.timer.stop()
            if round_ >= 0:
                ticks.told(how)
            for layer in came:
                viewer.layers.remove(layer)
    viewer.close()


TIMED = """
import sys, time; from pathlib import Path
import napari; from qtpy.QtWidgets import QApplication
def settle(times=3):
    for _ in range(times): QApplication.processEvents()
def timed(do):
    begin, cpu = time.perf_counter(), time.thread_time(); do()
    return time.perf_counter() - begin, time.thread_time() - cpu
def told(name, *took): print(name, *took, sep="|")
folder = Path(sys.argv[1])
"""
PLAIN = (
    TIMED
    + """
def read():
    import numpy as np, pydicom
    files = [pydicom.dcmread(one) for one in sorted(folder.iterdir())]
    return np.stack([one.pixel_array for one in sorted(files, key=lambda one: one.ImagePositionPatient[0])])
held = []
told("pydicom alone, reading it (with its import)", *timed(lambda: held.append(read())))
viewer = napari.Viewer(show=True); settle()
told("napari alone, showing it", *timed(lambda: (viewer.add_image(held[0], contrast_limits=(0, 900)), settle())))
"""
)
FIRST = (
    TIMED
    + """
viewer = napari.Viewer(show=True); settle()
told("mediseg, the first slice", *timed(lambda: (viewer.open(str(folder), plugin="napari-mediseg"), settle())))
middle = viewer.dims.nsteps[viewer.dims.order[0]] // 2
for index in range(40):
    step = lambda: (viewer.dims.set_current_step(viewer.dims.order[0], middle + index), settle(1))
    told("mediseg, scrolling, a slice", *timed(step))
"""
)


def first_slice(folder: Path, slices: int, matrix: int, rounds: int) -> None:
    """Print the time to the first slice, and what pydicom and napari alone take: each in fresh processes, in turn."""
    from mediseg import Volume
    from mediseg.geometry import Geometry
    from mediseg.io.dicom.original import write_mr_study

    axes = np.column_stack([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])
    grid = Geometry.from_axes((matrix, matrix, slices), axes, (0.5, 0.5, 0.6), center_lps_mm=(0, 0, 0))
    array = np.random.default_rng(0).integers(0, 900, grid.shape, dtype=np.int16)
    write_mr_study(Volume(array, grid), folder / "large")
    del array
    took: dict[str, list[tuple[float, float]]] = {}
    for code in (PLAIN, FIRST) * rounds:
        arguments = [sys.executable, "-c", code, str(folder / "large")]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        for name, wall, cpu in (line.split("|") for line in done.stdout.splitlines() if line.count("|") == 2):
            took.setdefault(name, []).append((float(wall), float(cpu)))
    print(f"{matrix} x {matrix} x {slices}, {rounds} fresh processes of each kind")
    for name, pairs in took.items():
        told(name, [wall for wall, _ in pairs], [cpu for _, cpu in pairs])


def stalls_and_turns(folder: Path, turns: int) -> None:
    import napari
    from napari_mediseg._napari import canvas_position, qt_canvas
    from napari_mediseg.frames import world_from_lps
    from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
    from qtpy.QtGui import QMouseEvent
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    from mediseg.demo import write_demo_study

    study = write_demo_study(folder / "phantom", spacing_mm=2.0)
    viewer = napari.Viewer(show=True)
    viewer.open(str(study), plugin="napari-mediseg")
    _, run = viewer.window.add_plugin_dock_widget("napari-mediseg", "Run")
    run.out.setText(str(folder / "out"))
    settle(20)
    ticks = Ticks()
    run.run_button.click()
    while not run.run_button.isEnabled():
        QApplication.processEvents()
        time.sleep(0.001)
    ended = len(ticks.at)
    ticks.told("stall while the recipe runs")
    while not any(layer.name.endswith(": ROI") and layer.visible for layer in viewer.layers):
        QApplication.processEvents()
        time.sleep(0.001)
    settle(20)
    ticks.timer.stop()
    ticks.told("stall while layers are added", ended)

    _, tool = viewer.window.add_plugin_dock_widget("napari-mediseg", "ROI")
    settle(20)
    canvas, left, none = qt_canvas(viewer), Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    ring = [canvas_position(viewer, world_from_lps(tool.state.lift(point))) for point in tool.state.ring()]
    pixels = [QPoint(round(x), round(y)) for x, y in ring]
    QTest.mousePress(canvas, left, none, pixels[0])
    walls, cpus = [], []
    for n in range(1, turns + 1):
        where = QPointF(pixels[n % len(pixels)])
        event = QMouseEvent(
            QEvent.Type.MouseMove, where, canvas.mapToGlobal(where), Qt.MouseButton.NoButton, left, none
        )
        begin, cpu = time.perf_counter(), time.thread_time()
        QApplication.sendEvent(canvas, event)
        walls.append(time.perf_counter() - begin)
        cpus.append(time.thread_time() - cpu)
        settle(1)
    QTest.mouseRelease(canvas, left, none, pixels[turns % len(pixels)])
    told("rotating, mouse event to layer data", walls, cpus)
    viewer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=300)
    parser.add_argument("--matrix", type=int, default=512)
    parser.add_argument("--turns", type=int, default=200)
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--only", choices=("start", "first", "run", "layers", "bare"), default=None)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if args.only in (None, "run"):
            stalls_and_turns(Path(name), args.turns)
        if args.only in (None, "layers"):
            layers(Path(name) / "layers")
        if args.only in (None, "bare"):
            bare()
        if args.only in (None, "start"):
            start(args.starts)
        if args.only in (None, "first"):
            first_slice(Path(name), args.slices, args.matrix, args.starts)


if __name__ == "__main__":
    main()
