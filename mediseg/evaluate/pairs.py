"""An entry's image, reference and prediction, read and laid on one grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import InputError, Refusal
from mediseg.evaluate.manifest import PICTURES, Entry
from mediseg.geometry import Geometry
from mediseg.volume import Segment, Segmentation, Source, Volume

# Columns run to posterior, rows to inferior: face left
_FACE_LEFT = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
_LOSSY = (".jpg", ".jpeg")
_GREY_MODES = ("1", "L", "I", "I;16", "I;16L", "I;16B")


def read_pair(entry: Entry) -> tuple[Volume, Segmentation]:
    """Return an entry's image and its reference (labels 0 and 1) on the image's grid.

    A plain picture becomes one sagittal slice with its middle at the origin, i to posterior, j to inferior. A label
    whose axes only stand in another order is reordered, never resampled. Raises InputError (unreadable, or another
    grid than the image's), Refusal (read, but not fit).
    """
    image = _image(entry)
    if entry.label is None:
        return image, _segmentation(np.zeros(image.geometry.shape, bool), image.geometry, entry.structure)
    return image, read_mask(entry, entry.label, image.geometry, entry.label_values)


def read_mask(entry: Entry, path: Path, geometry: Geometry, values: Sequence[int] = ()) -> Segmentation:
    """Return a label file (``values``, or all but 0, become 1) on a grid. Raises InputError, Refusal."""
    if path.suffix.lower() in PICTURES:
        if path.suffix.lower() in _LOSSY:
            raise InputError(f"{entry.id}: {path.name} is a JPEG, which does not keep labels exactly; save it as PNG")
        labels = _picture(path, indexed=True).T[:, :, None]
        if labels.shape != geometry.shape:
            sizes = f"{_size(labels.shape)} pixels, its image {_size(geometry.shape)}"
            raise InputError(f"{entry.id}: {path.name} is {sizes}")
        return _segmentation(_counting(labels, values, entry), geometry, entry.structure)
    volume = _loaded(path, entry).reorient(geometry.codes)
    if not volume.geometry.same_grid(geometry, tolerance_mm=1e-2):
        raise InputError(f"{entry.id}: {path.name} lies on another grid than its image; resample it to the image's")
    return _segmentation(_counting(volume.array, values, entry), geometry, entry.structure)


def _image(entry: Entry) -> Volume:
    if entry.pixel_mm is None:
        return _loaded(entry.image, entry)
    down, across = entry.pixel_mm
    array = _picture(entry.image).T[:, :, None]
    grid = Geometry.from_axes(array.shape, _FACE_LEFT, (across, down, min(down, across)), center_lps_mm=(0, 0, 0))
    return Volume(array, grid, Source(files=(entry.image,), kind="picture", grid=grid))


def _loaded(path: Path, entry: Entry) -> Volume:
    from mediseg.io import load

    try:
        return load(path)
    except (InputError, Refusal) as error:
        raise type(error)(f"{entry.id}: {error}") from error


def _counting(labels: npt.NDArray[Any], values: Sequence[int], entry: Entry) -> npt.NDArray[np.bool_]:
    if not np.array_equal(labels, np.rint(labels)):
        raise InputError(f"{entry.id}: the label holds fractions; give a mask or whole label values")
    return np.isin(labels, values) if values else np.asarray(labels != 0)


def _segmentation(mask: npt.NDArray[np.bool_], geometry: Geometry, structure: str) -> Segmentation:
    return Segmentation(mask.astype(np.uint8), geometry, (Segment(1, structure),))


def _picture(path: Path, *, indexed: bool = False) -> npt.NDArray[Any]:
    """Return a picture's grey values, or its palette's numbers (rows, columns)."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            mode, values = picture.mode, np.asarray(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError, ValueError) as error:
        raise InputError(f"{path.name} is damaged or no picture; copy it again") from error
    if mode in _GREY_MODES or (indexed and mode == "P"):
        return values.astype(np.uint8) if mode == "1" else values
    grey: npt.NDArray[Any] = values[..., 0]
    if mode == "RGB" and (values == grey[..., None]).all():
        return grey
    raise InputError(f"{path.name} is a colour picture; give one grey value a pixel")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(n) for n in shape[:2])
