"""The callosum in label maps: a block head whose plane, area and fornix are known."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from mediseg.train.callosum_maps import (
    CUTS,
    HALF_SLICES,
    HELD_OUT_MAPS,
    PIXEL_MM,
    Slab,
    find_midplane,
    list_maps,
    load_slabs,
    make_slab,
)

DATA = Path(os.environ.get("MEDISEG_TEST_DATA", Path(__file__).parents[3] / "shared" / "data"))
LEFT, RIGHT, FLUID = 2, 41, 24


def block_head(*, fornix: bool = False, hole: bool = False, lean: float = 0.0) -> np.ndarray:
    """Two halves of white matter in fluid, joined by a bar 40 mm long and 8 mm high; it leans by ``lean`` mm a mm."""
    labels = np.full((34, 80, 60), FLUID, np.uint8)
    x, y, z = np.indices(labels.shape)
    side = x - (17 + np.round(lean * (z - 30)))
    bar = (y >= 20) & (y < 60) & (z >= 35) & (z < 43)
    if hole:
        bar &= ~((y == 40) & (z == 39))
    if fornix:  # a column 6 mm wide hangs from the bar by 20 mm
        bar |= (y >= 30) & (y < 36) & (z >= 15) & (z < 36)
    white = (np.abs(side + 0.5) < 13) & (y > 5) & (y < 75) & (z > 5) & (z < 55)
    joined = white & (bar | (np.abs(side + 0.5) > 2))
    labels[joined & (side < 0)] = LEFT
    labels[joined & (side >= 0)] = RIGHT
    return labels


def area(slab: Slab) -> float:
    return float(slab.mask.sum()) / 255 * PIXEL_MM**2


def test_the_plane_of_a_straight_head_lies_between_the_halves():
    plane = find_midplane(block_head())
    assert plane.centre[0] == pytest.approx(16.5, abs=0.01)
    np.testing.assert_allclose(plane.right, (1, 0, 0), atol=1e-6)
    np.testing.assert_allclose(plane.posterior, (0, -1, 0), atol=1e-6)
    np.testing.assert_allclose(plane.inferior, (0, 0, -1), atol=1e-6)


def test_the_plane_of_a_leaning_head_leans_with_it():
    plane = find_midplane(block_head(fornix=True, lean=0.1))
    assert np.degrees(np.arctan2(-plane.right[2], plane.right[0])) == pytest.approx(np.degrees(np.arctan(0.1)), abs=1.0)


def test_a_map_without_sides_is_refused():
    labels = block_head()
    labels[labels == RIGHT] = LEFT
    with pytest.raises(ValueError, match=r"touch in 0 faces only"):
        find_midplane(labels)


def test_the_reference_of_a_bar_has_its_area_and_lies_where_the_labels_are_white():
    slab = make_slab("block", block_head(), ())
    assert area(slab) == pytest.approx(40 * 8, rel=0.02)
    middle = slab.labels[:, :, HALF_SLICES]
    assert set(np.unique(slab.labels)) == {LEFT, FLUID}  # the right half carries the left one's label
    assert (middle[slab.mask == 255] == LEFT).all()
    assert (middle[slab.mask == 0] == FLUID).mean() > 0.99
    np.testing.assert_array_equal(slab.mask > 127, middle == LEFT)  # not shifted by a fraction of a pixel either way
    rows, columns = np.nonzero(slab.mask > 127)
    assert slab.centre == pytest.approx((columns.mean(), rows.mean()), abs=0.2)


def test_a_cut_takes_the_fornix_off_and_nothing_else():
    labels = block_head(fornix=True)
    whole = make_slab("block", labels, ())
    assert area(whole) == pytest.approx(40 * 8 + 6 * 20, rel=0.02)
    centre = find_midplane(labels).centre
    under = float(centre[2] - 34.5)  # the bar's underside, in mm to inferior of the contact's centre
    cut = make_slab("block", labels, (((-60.0, under), (60.0, under)),))
    assert area(cut) == pytest.approx(40 * 8, rel=0.02)


def test_a_hole_of_a_voxel_is_filled():
    assert area(make_slab("block", block_head(hole=True), ())) == pytest.approx(40 * 8, rel=0.02)


def test_millimetres_are_counted_from_the_centroid():
    slab = Slab("s", np.zeros((4, 4, 11), np.uint8), np.zeros((4, 4), np.uint8), (10.0, 20.0))
    matrix = slab.pixels_of_mm(np.array([[1.0, 0, 3.0], [0, 1.0, -2.0]]))
    np.testing.assert_allclose(matrix, [[2.0, 0, 16.0], [0, 2.0, 16.0]])


def test_a_folder_without_maps_says_what_is_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--data must name the folder that holds labelmaps/"):
        list_maps(tmp_path, held_out=True)


def test_maps_are_read_once_and_kept(tmp_path):
    import nibabel as nib

    folder = tmp_path / "labelmaps"
    folder.mkdir()
    path = folder / f"{HELD_OUT_MAPS[0]}.nii.gz"
    nib.save(nib.Nifti1Image(block_head(), np.eye(4)), path)
    said: list[str] = []
    (first,) = load_slabs(tmp_path, tmp_path / "kept", held_out=True, say=said.append)
    (again,) = load_slabs(tmp_path, tmp_path / "kept", held_out=True, say=said.append)
    assert len(said) == 1
    np.testing.assert_array_equal(first.labels, again.labels)
    np.testing.assert_array_equal(first.mask, again.mask)
    assert first.centre == again.centre


@pytest.mark.shared
def test_the_reference_of_a_real_map_is_one_callosum_of_human_size():
    import cv2
    import nibabel as nib

    path = DATA / "labelmaps" / "training_seg_13.nii.gz"
    if not path.is_file():
        pytest.skip(f"no label maps under {DATA}")
    labels = np.asarray(nib.as_closest_canonical(nib.load(path)).dataobj).astype(np.uint8)
    slab = make_slab("training_seg_13", labels[65:105, 40:180, 40:140])
    parts, _ = cv2.connectedComponents((slab.mask > 127).astype(np.uint8), connectivity=4)
    assert parts == 2
    assert area(slab) == pytest.approx(707, abs=15)
    assert "training_seg_13" in CUTS
