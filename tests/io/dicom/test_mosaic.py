"""Siemens mosaics with known voxels and places: cut apart, in order, and never referenced by frame."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from mediseg.errors import Refusal
from mediseg.geometry import Geometry
from mediseg.io import open_study, write
from mediseg.io.dicom.find import Files
from mediseg.io.dicom.mosaic import Layout, cut
from mediseg.io.dicom.read import read_stack
from mediseg.volume import Segment, Segmentation
from tests.io.dicom_factory import FRAME, header, place, ramp, save, set_pixels

SHAPE = (6, 4, 7)  # seven tiles: three in a row, the last two places empty
SPACING = (1.5, 2.0, 5.0)


def csa(count: int | None, normal: np.ndarray | None) -> bytes:
    """A CSA header of type 2 that holds the two entries that mosaics need."""
    entries = {}
    if count is not None:
        entries["NumberOfImagesInMosaic"] = ("US", [str(count)])
    if normal is not None:
        entries["SliceNormalVector"] = ("FD", [f"{value:.8f}" for value in normal])
    entries["SliceResolution"] = ("FD", ["1.0"])
    out = b"SV10\4\3\2\1" + struct.pack("<2I", len(entries), 77)
    for name, (vr, values) in entries.items():
        out += struct.pack("<64si4s3i", name.encode(), len(values), vr.encode(), 3, len(values), 77)
        for value in values:
            data = value.encode() + b"\0"
            out += struct.pack("<4i", len(data), len(data), 77, len(data)) + data + b"\0" * (-len(data) % 4)
    return out


def grid(codes: str) -> Geometry:
    """A slightly turned grid whose axes run towards ``codes``."""
    from scipy.spatial.transform import Rotation

    axes = np.zeros((3, 3))
    for index, letter in enumerate(codes):
        axes["RLAPIS".index(letter) // 2, index] = 1 if letter in "LPS" else -1
    turned = Rotation.from_euler("xyz", (4, -7, 3), degrees=True).as_matrix() @ axes
    return Geometry.from_axes(SHAPE, turned, SPACING, center_lps_mm=(3, -5, 7), frame_of_reference=FRAME)


def tiled(array: np.ndarray) -> np.ndarray:
    columns, rows, count = array.shape
    side = int(np.ceil(np.sqrt(count)))
    out = np.zeros((side * rows, side * columns), array.dtype)
    for n in range(count):
        y, x = n // side * rows, n % side * columns
        out[y : y + rows, x : x + columns] = array[:, :, n].T
    return out


def write_mosaic(path: Path, array: np.ndarray, geometry: Geometry, *, change=None, block=0x10, uid="1.2.77.1") -> Path:
    """Write one volume as a scanner does: the position is that of a slice as large as the mosaic."""
    dataset = header(description="ep2d bold", series="1.2.77")
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]
    dataset.SliceThickness, dataset.SpacingBetweenSlices = 3, geometry.spacing_mm[2]
    place(dataset, geometry, 0)
    mosaic = tiled(array)
    set_pixels(dataset, mosaic)
    columns, rows, count = array.shape
    shift = ((mosaic.shape[1] - columns) / 2, (mosaic.shape[0] - rows) / 2, 0)
    dataset.ImagePositionPatient = [f"{v:.10f}" for v in geometry.lps_from_ijk((-shift[0], -shift[1], 0))]
    private = dataset.private_block(0x0029, "SOMETHING ELSE", create=True) if block != 0x10 else None
    assert private is None or private.block_start == 0x1000
    dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(
        0x10, "OB", csa(count, geometry.axes_lps[:, 2])
    )
    dataset.InstanceNumber = dataset.AcquisitionNumber = 1
    if change is not None:
        change(dataset)
    return save(dataset, path, uid)


@pytest.mark.parametrize("codes", ["LPS", "LPI", "PIR", "PIL", "LIP", "LIA"])
def test_tiles_come_back_as_slices_in_their_places(tmp_path, codes):
    """Axial, sagittal and coronal, tiles running with and against the normal of the image plane."""
    geometry, array = grid(codes), ramp(SHAPE)
    write_mosaic(tmp_path / "a", array, geometry)
    (stack,) = open_study(tmp_path).stacks
    volume = read_stack(stack)
    assert volume.geometry.is_right_handed
    if not geometry.is_right_handed:
        array, geometry = array[:, :, ::-1], Geometry(SHAPE, geometry.affine_lps @ flip_k(SHAPE[2]), FRAME)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.geometry.same_grid(geometry, 1e-5)
    assert volume.warnings == ()


def flip_k(count: int) -> np.ndarray:
    matrix = np.diag([1.0, 1, -1, 1])
    matrix[2, 3] = count - 1
    return matrix


def test_time_points_are_apart_and_each_file_is_decoded_once(tmp_path, monkeypatch):
    for n in range(3):

        def point(dataset: Dataset, n: int = n) -> None:
            dataset.InstanceNumber = dataset.AcquisitionNumber = n + 1

        write_mosaic(tmp_path / f"{9 - n}", ramp(SHAPE) + 1000 * n, grid("LPS"), change=point, uid=f"1.2.77.{n + 1}")
    stacks = open_study(tmp_path).stacks
    assert [len(stack.slices) for stack in stacks] == [7, 7, 7]
    assert len({stack.name for stack in stacks}) == 3
    opened, plain = [], Files.open
    monkeypatch.setattr(Files, "open", lambda files, path: opened.append(path) or plain(files, path))
    for n, stack in enumerate(stacks):
        np.testing.assert_array_equal(read_stack(stack).array, ramp(SHAPE) + 1000 * n)
    assert [path.name for path in opened] == ["9", "8", "7"]


def test_a_copy_of_a_mosaic_is_dropped(tmp_path):
    for name in "ab":
        write_mosaic(tmp_path / name, ramp(SHAPE), grid("LPS"))
    (stack,) = open_study(tmp_path).stacks
    volume = read_stack(stack)
    assert volume.warnings[0].detail == {"index": list(range(7)), "differing": []}
    np.testing.assert_array_equal(volume.array, ramp(SHAPE))


def test_another_private_block_may_hold_the_header(tmp_path):
    write_mosaic(tmp_path / "a", ramp(SHAPE), grid("LPS"), block=0x11)
    assert [len(stack.slices) for stack in open_study(tmp_path).stacks] == [7]


def test_rescale_is_applied_to_tiles(tmp_path):
    def change(dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = 2, -100

    write_mosaic(tmp_path / "a", ramp(SHAPE), grid("LPS"), change=change)
    np.testing.assert_array_equal(read_stack(open_study(tmp_path).stacks[0]).array, ramp(SHAPE) * 2.0 - 100)


def private(value: object):
    def change(dataset: Dataset) -> None:
        if value is None:
            del dataset[0x0029, 0x1010]
        else:
            dataset[0x0029, 0x1010].value = value

    return change


def gone(keyword: str):
    return lambda dataset: delattr(dataset, keyword)


NORMAL = np.array([0.0, 0, 1])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (private(None), r"private header \(CSA\) is missing"),
        (private(b"SV10\4\3\2\1" + b"\xff" * 40), r"private header \(CSA\) is damaged"),
        (private(csa(7, NORMAL)[:-60]), r"private header \(CSA\) is damaged"),
        (private(b""), r"private header \(CSA\) is damaged"),
        (private(csa(None, NORMAL)), r"private header \(CSA\) is damaged"),
        (private(csa(0, NORMAL)), r"private header \(CSA\) is damaged"),
        (private(csa(7, None)), r"private header \(CSA\) is damaged"),
        (private(csa(17, grid("LPS").axes_lps[:, 2])), "18 x 12 pixels that cannot hold 17 slices"),
        (private(csa(7, np.array([1.0, 0, 0]))), "disagree about its orientation"),
        (gone("SpacingBetweenSlices"), "how far apart its slices are"),
        (gone("ImagePositionPatient"), "without position"),
    ],
)
def test_what_cannot_be_cut_apart_is_left_out_with_the_reason(tmp_path, change, why):
    write_mosaic(tmp_path / "a", ramp(SHAPE), grid("LPS"), change=change)
    (stack,) = open_study(tmp_path).stacks
    with pytest.raises(Refusal, match=f"it is a Siemens mosaic .*{why}"):
        read_stack(stack)


def test_pixels_that_are_no_mosaic_are_refused(tmp_path):
    path = write_mosaic(tmp_path / "a", ramp(SHAPE), grid("LPS"))
    study = open_study(tmp_path)
    dataset = dcmread(path)
    set_pixels(dataset, np.zeros((12, 17), np.int16))
    dataset.save_as(path)
    with pytest.raises(Refusal, match="cannot be decoded"):
        read_stack(study.stacks[0])


def test_tiles_are_never_referenced_as_frames(tmp_path):
    """A mosaic is one instance without frames: derived objects name it, and no frame of it."""
    write_mosaic(tmp_path / "in" / "a", ramp(SHAPE), grid("LPS"))
    volume = read_stack(open_study(tmp_path / "in").stacks[0])
    assert volume.source.frames == ()
    assert set(volume.source.sop_uids) == {"1.2.77.1"}
    labels = np.zeros(SHAPE, np.uint8)
    labels[2:4, 1:3, 2:5] = 1
    write(Segmentation(labels, volume.geometry, (Segment(1, "brain"),)), tmp_path / "seg.dcm", source=volume.source)
    made = dcmread(tmp_path / "seg.dcm")
    assert "1.2.77.1" in str(made)
    assert "ReferencedFrameNumber" not in str(made)
    assert "Referenced Frame Number" not in str(made)


@pytest.mark.parametrize(("count", "side"), [(1, 1), (2, 2), (4, 2), (5, 3), (35, 6), (36, 6), (37, 7)])
def test_the_tiles_fill_the_smallest_square(count, side):
    assert Layout(count, (0, 0, 1)).side == side


@pytest.mark.parametrize(("rows", "columns", "tile"), [(2, 2, 5), (2, 3, 1), (3, 2, 1), (2, 2, 0), (5, 5, 1)])
def test_a_tile_that_is_not_there(rows, columns, tile):
    with pytest.raises(ValueError, match="has no tile"):
        cut(np.zeros((4, 4)), rows, columns, tile)
