"""A small case for every test: the phantom at 2 mm as a DICOM study, and what the main recipe makes of it."""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from hands import PATIENCE_MS, wait
from superqt.utils import WorkerBase

import mediseg
from mediseg.demo import write_demo_study

warnings.filterwarnings("ignore", message="Non-orthogonal slicing is being requested")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory) -> Path:
    """Where the study and its case lie; NAPARI_MEDISEG_WORKPLACE keeps them from one session to the next."""
    kept = os.environ.get("NAPARI_MEDISEG_WORKPLACE")
    return Path(kept) if kept else tmp_path_factory.mktemp("workplace")


@pytest.fixture(scope="session")
def study(workplace) -> Path:
    """The head phantom as a DICOM folder."""
    folder = workplace / "in" / "phantom"
    return folder if folder.is_dir() else write_demo_study(folder, spacing_mm=2.0)


@pytest.fixture(scope="session")
def case(study, workplace) -> Path:
    """The finished case of it."""
    options = mediseg.RunOptions(threads=1)
    done = mediseg.run("corpus-callosum", study, workplace / "out", options=options)
    assert done.status == "done", done.reason
    return done.folder


@pytest.fixture
def viewer(make_napari_viewer, qtbot) -> Iterator[object]:
    """A shown viewer, as a user has it; on the right, widgets are docked by ``dock``.

    It is closed when all has ended that was begun in it: what is still being made or added would keep it in use, which
    napari takes for a leak.
    """
    made = make_napari_viewer(show=False)
    with qtbot.waitExposed(made.window._qt_window, timeout=PATIENCE_MS):  # napari itself waits five seconds
        made.window.show()
    made.window.resize(1200, 800)
    yield made
    wait(qtbot, lambda: not WorkerBase._worker_set and gc.isenabled())  # it is off while layers are added


@pytest.fixture
def dock(viewer):
    """Open a widget of the plugin by its name in the menu."""

    def opened(name: str):
        _, widget = viewer.window.add_plugin_dock_widget("napari-mediseg", name)
        return widget

    return opened


HELD = """
import sys

if "napari_mediseg.child" in sys.orig_argv:
    import time

    from mediseg import runner

    stage = runner._Work._stage

    def held(work, name):
        while work.stages >= 2 and not work.cancel():
            time.sleep(0.05)
        stage(work, name)

    runner._Work._stage = held
"""


@pytest.fixture
def endless(tmp_path, monkeypatch) -> None:
    """Runs in child processes tell of two stages and go no further until they are cancelled."""
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "sitecustomize.py").write_text(HELD)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "held"), *filter(None, sys.path)]))
