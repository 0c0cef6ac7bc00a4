"""Slices from a manifest: any pixel size and axis order comes out face left at 0.5 mm about its middle."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")
cv2 = pytest.importorskip("cv2")

import mediseg
from mediseg.errors import UsageError
from mediseg.geometry import Geometry
from mediseg.train.manifest_slices import SIDE, load_slices
from mediseg.volume import Volume

pytestmark = pytest.mark.train

HEAD = 'schema_version: "1.0"\ndefaults: {licence: none, origin: made, pixel_mm: 1.0}\nentries:\n'


@pytest.fixture
def pictures(tmp_path):
    """Write an image of 100 x 80 pixels of 1 mm, with a bar of 20 x 10 mm left above the middle."""
    image = np.full((100, 80), 50, np.uint8)
    mask = np.zeros_like(image)
    mask[30:40, 10:30] = 1
    image[mask > 0] = 200
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cv2.imwrite(str(tmp_path / "a_mask.png"), mask)
    cv2.imwrite(str(tmp_path / "b.png"), image // 2)
    return tmp_path


def write(folder, *entries):
    path = folder / "all.yaml"
    path.write_text(HEAD + "".join(f"  - {{{entry}}}\n" for entry in entries))
    return path


def test_a_picture_lies_in_the_middle_at_half_a_millimetre(pictures):
    entries = ("image: a.png, label: a_mask.png, split: train, group: here", "image: b.png, label: absent, split: dev")
    train, dev = load_slices(write(pictures, *entries), print)
    assert (train.ids, train.sites, dev.ids) == (("a",), ("here",), ("b",))
    assert train.images.shape == (1, SIDE, SIDE)
    rows, columns = np.nonzero(train.masks[0])
    corner = SIDE // 2 - np.array([100, 80])  # the picture's first pixels, at half the size
    assert len(rows) == 20 * 40
    assert (rows.min(), columns.min()) == (corner[0] + 60, corner[1] + 20)
    assert set(np.unique(train.masks)) == {0, 255}
    assert not dev.masks.any()


def test_a_volume_is_turned_face_left(pictures):
    """One sagittal slice stored left, superior, anterior."""
    axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    array = np.full((1, 80, 100), 50.0, np.float32)
    mask = np.zeros_like(array)
    mask[:, 50:60, 70:90] = 1  # high up, in front
    grid = Geometry.from_axes(array.shape, axes, (3.0, 1.0, 1.0), center_lps_mm=(4.0, 10.0, -20.0))
    for name, part in (("v", array + 100 * mask), ("v_mask", mask)):
        mediseg.write(Volume(part, grid), pictures / f"{name}.nii.gz")
    train, _ = load_slices(write(pictures, "image: v.nii.gz, label: v_mask.nii.gz, split: train"), print)
    rows, columns = np.nonzero(train.masks[0])
    assert (rows.mean() < SIDE / 2, columns.mean() < SIDE / 2) == (True, True)
    assert len(rows) == pytest.approx(20 * 40, rel=0.05)
    inside = train.masks[0] > 0
    assert train.images[0][inside].mean() > 200


def test_what_cannot_be_used_is_told_and_left_out(pictures):
    cv2.imwrite(str(pictures / "small.png"), np.zeros((5, 5), np.uint8))
    said = []
    entries = ("image: a.png, label: a_mask.png, split: train", "image: b.png, label: small.png, split: train")
    train, _ = load_slices(write(pictures, *entries), said.append)
    assert train.ids == ("a",)
    assert len(said) == 1
    assert said[0].startswith("all.yaml: left out: b: small.png is 5 x 5 pixels")


def test_a_manifest_without_training_slices_is_refused(pictures):
    with pytest.raises(UsageError, match=r"all\.yaml has no usable slice of the split train"):
        load_slices(write(pictures, "image: a.png, label: a_mask.png, split: test"), print)
