"""A small case for every test: the phantom at 2 mm as a DICOM study, and what the main recipe makes of it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

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
def viewer(make_napari_viewer) -> Iterator[object]:
    """A shown viewer, as a user has it; on the right, widgets are docked by ``dock``."""
    made = make_napari_viewer(show=True)
    made.window.resize(1200, 800)
    return made


@pytest.fixture
def dock(viewer):
    """Open a widget of the plugin by its name in the menu."""

    def opened(name: str):
        _, widget = viewer.window.add_plugin_dock_widget("napari-mediseg", name)
        return widget

    return opened
