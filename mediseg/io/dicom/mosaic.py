"""Siemens mosaics: the slices of one volume tiled row by row into one large image, cut apart and put in their places.

The tiles fill a square of ``ceil(sqrt(count))`` by as many; the last ones may be empty. ImagePositionPatient is that of
a slice as large as the whole mosaic around the first tile's centre, and nothing in the public header says how many
tiles there are or which way they go: both stand in the private CSA header (NumberOfImagesInMosaic, SliceNormalVector).
Source: nibabel's doc/theory/dicom_mosaic, and dcm2niix, against which the result is tested.
"""

from __future__ import annotations

import math
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from mediseg.io.dicom.header import Image

NORMAL_TOLERANCE = 1e-3
_CREATOR = "SIEMENS CSA HEADER"
_CREATORS = [Tag(0x0029, block) for block in range(0x10, 0x20)]
_CSA = [Tag(0x0029, block << 8 | 0x10) for block in range(0x10, 0x20)]  # image header, by the block of its creator
_MOST_TILES, _MOST_MM = 4096, 10_000.0
Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layout:
    """How many tiles a mosaic holds, and the direction in which they follow each other (a unit vector, LPS)."""

    count: int
    normal: tuple[float, float, float]

    @property
    def side(self) -> int:
        """Tiles in a row, and rows of tiles."""
        return math.isqrt(self.count - 1) + 1


def read_layout(stream: BinaryIO) -> Layout | str:
    """Parse the private header of a mosaic from the start of its file; a text says why it cannot be cut apart."""
    stream.seek(0)
    dataset = pydicom.dcmread(stream, stop_before_pixels=True, force=True, specific_tags=[*_CREATORS, *_CSA])
    tag = _csa_tag(dataset)
    if tag is None:
        return "whose private header (CSA) is missing, so the number and order of its slices are not known"
    return _layout(dataset[tag].value)


def _csa_tag(dataset: Dataset) -> BaseTag | None:
    for creator, tag in zip(_CREATORS, _CSA, strict=True):
        if creator in dataset and str(dataset[creator].value).strip() == _CREATOR and tag in dataset:
            return tag
    return None


def _layout(content: object) -> Layout | str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nibabel calls its DICOM readers experimental
        from nibabel.nicom import csareader

    damaged = "whose private header (CSA) is damaged, so the number and order of its slices are not known"
    if not isinstance(content, bytes):
        return damaged
    try:
        header = csareader.read(content)
        count, normal = csareader.get_n_mosaic(header), csareader.get_slice_normal(header)
    # what nibabel raises on bytes that are no CSA header
    except (
        csareader.CSAError,
        ValueError,
        TypeError,
        LookupError,
        NameError,
        AssertionError,
        OverflowError,
        struct.error,
    ):
        return damaged
    if not isinstance(count, int) or not 1 <= count <= _MOST_TILES or normal is None:
        return damaged
    x, y, z = (float(value) for value in normal)
    return Layout(count, (x, y, z)) if math.isfinite(x + y + z) else damaged


def tiles_of(image: Image, layout: Layout | str) -> list[Image]:
    """Return one image a tile, or the mosaic itself with the reason why it cannot be cut apart."""
    problem = layout if isinstance(layout, str) else _problem(image, layout)
    if problem:
        return [replace(image, problem=f"it is a Siemens mosaic (many slices tiled into one image) {problem}")]
    assert isinstance(layout, Layout)
    return list(_tiles(image, layout))


def _problem(image: Image, layout: Layout) -> str | None:
    """Say what is missing for cutting, or return None."""
    if image.slice.position_lps_mm is None or image.orientation is None or image.spacing_mm is None:
        return "without position, orientation or pixel size"
    if image.rows % layout.side or image.columns % layout.side or min(image.rows, image.columns) < layout.side:
        return f"of {image.columns} x {image.rows} pixels that cannot hold {layout.count} slices of one size"
    if not image.between_slices_mm or image.between_slices_mm <= 0:
        return "whose header does not say how far apart its slices are (SpacingBetweenSlices)"
    if max(map(abs, (*image.slice.position_lps_mm, *image.spacing_mm, image.between_slices_mm))) > _MOST_MM:
        return "whose position or spacing is absurd"
    if abs(abs(float(_normal(image) @ np.array(layout.normal))) - 1) > NORMAL_TOLERANCE:
        return "whose private and public headers disagree about its orientation"
    return None


def _normal(image: Image) -> npt.NDArray[np.float64]:
    assert image.orientation is not None
    return np.cross(image.orientation[:3], image.orientation[3:])


def _tiles(image: Image, layout: Layout) -> Iterator[Image]:
    assert image.orientation is not None
    assert image.spacing_mm is not None
    assert image.between_slices_mm is not None
    rows, columns = image.rows // layout.side, image.columns // layout.side
    between_rows, between_columns = image.spacing_mm
    across, down = np.array(image.orientation[:3]), np.array(image.orientation[3:])
    first = np.array(image.slice.position_lps_mm)
    first = (
        first + across * between_columns * (image.columns - columns) / 2 + down * between_rows * (image.rows - rows) / 2
    )
    normal = _normal(image)
    step = normal * np.sign(normal @ np.array(layout.normal)) * image.between_slices_mm / np.linalg.norm(normal)
    for n in range(layout.count):
        x, y, z = (float(value) for value in first + n * step)
        place = replace(image.slice, tile=n + 1, position_lps_mm=(x, y, z))
        yield replace(image, slice=place, rows=rows, columns=columns)


def cut(mosaic: Pixels, rows: int, columns: int, tile: int) -> Pixels:
    """Return tile number ``tile`` (1-based, row by row) of a mosaic, of shape (rows, columns).

    Raises ValueError when the mosaic is no square of such tiles or has fewer.
    """
    side = mosaic.shape[0] // rows
    row, column = divmod(tile - 1, max(side, 1))
    if mosaic.shape != (side * rows, side * columns) or not 0 <= row < side:
        msg = f"a mosaic of {mosaic.shape} pixels has no tile {tile} of {rows} x {columns}"
        raise ValueError(msg)
    return mosaic[row * rows : (row + 1) * rows, column * columns : (column + 1) * columns]
