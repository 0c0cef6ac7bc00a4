"""Stations by hand, the manifest, and that only mediseg's public names are used: no viewer."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from napari_mediseg import spine

from mediseg import Geometry, Volume

PACKAGE = Path(spine.__file__).parent
ROOT = PACKAGE.parents[3]


def test_a_nudge_turns_about_the_middle_and_then_shifts():
    motion = spine.nudge((0, 10, 20), (0, 1, 0), 90.0, (1, 0, 0))
    np.testing.assert_allclose(motion.apply((0, 10, 20)), (0, 11, 20), atol=1e-12)
    np.testing.assert_allclose(motion.apply((0, 11, 20)), (0, 11, 21), atol=1e-12)


def test_nudged_there_and_back_is_where_it_was():
    there = spine.nudge((0, 10, 20), (0, 1, -2), 3.0, (1, 0, 0))
    back = spine.nudge(there.apply((0, 10, 20)), (0, -1, 2), -3.0, (1, 0, 0))
    np.testing.assert_allclose(back.after(there).matrix, np.eye(4), atol=1e-12)


def test_a_moved_station_keeps_its_voxels():
    station = Volume(np.ones((3, 4, 5)), Geometry((3, 4, 5), np.eye(4)))
    moved = spine.moved(station, spine.nudge((0, 0, 0), (0, 2, 3), 0.0, (1, 0, 0)))
    assert moved.array is station.array or np.shares_memory(moved.array, station.array)
    np.testing.assert_allclose(moved.geometry.origin_lps_mm, (0, 2, 3))


def test_the_checkerboard_shows_both_where_both_are():
    first, second = np.full((4, 4, 1), 1.0, np.float32), np.full((4, 4, 1), 2.0, np.float32)
    first[0] = np.nan
    second[3] = np.nan
    board = spine.checkerboard(first, second, size=1)[:, :, 0]
    assert (board[0] == 2).all()
    assert (board[3] == 1).all()
    assert board[1].tolist() == [2, 1, 2, 1]


def test_lengths_and_cobb_angles():
    assert spine.length_mm([[0, 0, 0], [3, 4, 0], [3, 4, 12]]) == pytest.approx(17.0)
    assert spine.cobb_deg([[0, 0, 0], [0, 1, 0]], [[0, 0, 5], [0, -1, 6]]) == pytest.approx(45.0)
    with pytest.raises(ValueError, match="have a length"):
        spine.cobb_deg([[0, 0, 0], [0, 0, 0]], [[0, 0, 5], [0, 1, 5]])


def test_the_manifest_is_valid_and_complete():
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(PACKAGE / "napari.yaml")
    manifest.validate_imports()
    contributed = manifest.contributions
    assert [one.display_name for one in contributed.widgets] == ["Run", "ROI", "Correct and keep", "Stitch", "Compare"]
    assert {one.key for one in contributed.sample_data} == {"phantom_head", "phantom_spine"}
    assert contributed.readers[0].accepts_directories
    assert {kind for one in contributed.writers for kind in one.layer_types} == {"image", "labels", "shapes"}


def _public() -> set[str]:
    """The modules that docs/api.md lets others import."""
    listed = (ROOT / "docs" / "api.md").read_text(encoding="utf-8").split("Modules that may be imported by name:")[1]
    listed, _, evaluate = listed.partition("`mediseg.evaluate`")
    inner = re.findall(r"`(\w+)`", evaluate.partition(":")[0])
    return {"mediseg", *re.findall(r"`(mediseg\.\w+)`", listed), *(f"mediseg.evaluate.{name}" for name in inner)}


@pytest.mark.parametrize("file", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.name)
def test_only_public_modules_of_mediseg_are_imported(file):
    public = _public()
    assert "mediseg.io" in public
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "mediseg":
            assert node.module in public, f"{file.name}:{node.lineno} imports {node.module}"
            assert not any(alias.name.startswith("_") for alias in node.names)
        if isinstance(node, ast.Import):
            assert all(alias.name in public or not alias.name.startswith("mediseg.") for alias in node.names)


def test_the_contract_of_lint_imports_lets_in_what_is_public():
    contract = (PACKAGE.parents[1] / ".importlinter").read_text(encoding="utf-8")
    let_in = set(re.findall(r"-> ([\w.]+)", contract))
    assert let_in <= _public()
    assert "mediseg.io" in let_in


def test_no_qt_of_its_own():
    text = (PACKAGE.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    dependencies = text.split("dependencies = ")[1].split("]")[0]
    assert not re.search(r"pyside|pyqt|napari\[", dependencies, re.I)


def test_napari_is_only_touched_inside_by_one_file():
    for file in PACKAGE.glob("*.py"):
        if file.name != "_napari.py":
            assert not re.search(r"\._qt_viewer|\._data_view|layer\._slice", file.read_text(encoding="utf-8")), (
                file.name
            )
