"""Corrections: kept as one manifest that training and judging read."""

from dataclasses import replace

import numpy as np
import pytest

from mediseg import Geometry, Refusal, Segment, Segmentation, UsageError, Volume
from mediseg.evaluate.corrections import ROLES, About, keep_correction
from mediseg.evaluate.manifest import load_manifest
from mediseg.evaluate.manifest_file import Role
from mediseg.evaluate.pairs import read_pair

FACE_LEFT = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
GRID = Geometry.from_axes((12, 10, 1), FACE_LEFT, (0.5, 0.5, 1.0), center_lps_mm=(1.0, 2.0, 3.0))
ABOUT = About(role="radiographer", model="callosum-unet 1.0", time="2026-01-02T03:04:05+00:00")


def image(value: float = 0.0) -> Volume:
    return Volume(np.arange(120, dtype=np.float32).reshape(12, 10, 1) + value, GRID)


def label(*, at: int = 4) -> Segmentation:
    labels = np.zeros(GRID.shape, np.uint8)
    labels[at, 5, 0] = 1
    return Segmentation(labels, GRID, (Segment(1, "corpus callosum"),))


def test_a_correction_is_read_back_as_a_manifest_entry(tmp_path):
    identity = keep_correction(tmp_path / "new" / "corrections.yaml", image(), label(), ABOUT)
    (entry,) = load_manifest(tmp_path / "new" / "corrections.yaml").entries
    assert (entry.id, entry.annotator, entry.model, entry.split, entry.time) == (
        identity, "radiographer", "callosum-unet 1.0", "train", "2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    again, mask = read_pair(entry)
    np.testing.assert_array_equal(again.array, image().array)
    np.testing.assert_array_equal(mask.labels, label().labels)


def test_the_same_image_again_replaces_its_label_and_another_is_added(tmp_path):
    where = tmp_path / "corrections.yaml"
    first = keep_correction(where, image(), label(), ABOUT)
    assert keep_correction(where, image(), label(at=7), ABOUT) == first
    keep_correction(where, image(1.0), label(), ABOUT)
    entries = {entry.id: entry for entry in load_manifest(where).entries}
    assert len(entries) == 2
    assert read_pair(entries[first])[1].labels[7, 5, 0] == 1


def test_mismatched_grids_are_refused_and_nothing_is_written(tmp_path):
    moved = replace(label(), geometry=Geometry(GRID.shape, GRID.affine_lps + np.diag([0.1, 0, 0, 0])))
    with pytest.raises(Refusal, match="another grid than the image"):
        keep_correction(tmp_path / "corrections.yaml", image(), moved, ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_label_is_refused(tmp_path):
    empty = Segmentation(np.zeros(GRID.shape, np.uint8), GRID, (Segment(1, "corpus callosum"),))
    with pytest.raises(Refusal, match="the label is empty"):
        keep_correction(tmp_path / "corrections.yaml", image(), empty, ABOUT)


def test_a_name_is_no_role(tmp_path):
    with pytest.raises(UsageError, match="annotator") as error:
        keep_correction(tmp_path / "corrections.yaml", image(), label(), replace(ABOUT, role="Dr Miller"))
    assert "Miller" not in str(error.value)


def test_a_manifest_that_is_wrong_is_not_touched(tmp_path):
    where = tmp_path / "corrections.yaml"
    where.write_text("schema_version: '1.0'\nentrees: []\n")
    with pytest.raises(UsageError, match='did you mean "entries"'):
        keep_correction(where, image(), label(), ABOUT)
    assert "entrees" in where.read_text()


def test_the_roles_are_the_manifests():
    assert Role.__args__ == ROLES
