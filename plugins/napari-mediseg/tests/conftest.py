"""A small case for every test: the phantom at 2 mm as a DICOM study, and what the main recipe makes of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import mediseg
from mediseg.demo import write_demo_study

warnings.filterwarnings("ignore", message="Non-orthogonal slicing is being requested")


@pytest.fixture(scope="session")
def study(tmp_path_factory) -> Path:
    """The head phantom as a DICOM folder."""
    return write_demo_study(tmp_path_factory.mktemp("in") / "phantom", spacing_mm=2.0)


@pytest.fixture(scope="session")
def case(study, tmp_path_factory) -> mediseg.Case:
    """The finished case of it."""
    done = mediseg.run("corpus-callosum", study, tmp_path_factory.mktemp("out"), options=mediseg.RunOptions(threads=1))
    assert done.status == "done", done.reason
    return done


@pytest.fixture
def viewer(make_napari_viewer):
    """A shown viewer, as a user has it."""
    made = make_napari_viewer(show=True)
    made.window.resize(1200, 800)
    return made
