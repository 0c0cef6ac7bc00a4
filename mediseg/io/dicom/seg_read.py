"""A DICOM SEG back into labels."""

from __future__ import annotations

import sqlite3
import zlib
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import SegmentationStorage

from mediseg.errors import InputError, Refusal, UsageError
from mediseg.geometry import Geometry
from mediseg.io.dicom.attributes import UNREADABLE
from mediseg.io.dicom.header import tolerant
from mediseg.volume import CodedConcept, Segment, Segmentation

_LABELMAP = "1.2.840.10008.5.1.4.1.1.66.7"  # Label Map Segmentation Storage, which pydicom 3.0 does not name yet
_CLASSES = (str(SegmentationStorage), _LABELMAP)


def is_segmentation(path: str | Path) -> bool:
    """True for a DICOM file that holds a segmentation, by its header."""
    where = Path(path)
    try:
        with where.open("rb") as stream:
            if stream.read(132)[128:] != b"DICM":
                return False
        with tolerant():
            return str(dcmread(where, specific_tags=["SOPClassUID"]).get("SOPClassUID", "")) in _CLASSES
    except UNREADABLE:
        return False


def read_segmentation(path: str | Path) -> Segmentation:
    """Read a DICOM SEG (BINARY or LABELMAP) of parallel slices; slices without a frame are empty.

    Axes are the file's: i along rows, j down columns, k along slices. Raises UsageError for a path that does not
    exist, InputError for another file, Refusal for segments that overlap, probabilities, or slices that are no stack.
    """
    where = Path(path)
    if not where.exists():
        raise UsageError(f"{where} does not exist")
    if not is_segmentation(where):
        raise InputError(f"{where.name} is no DICOM segmentation; give a SEG file")
    with tolerant():
        return _read(where)


def _read(where: Path) -> Segmentation:
    import highdicom as hd

    try:
        made = hd.seg.segread(where)
        frame = str(made.FrameOfReferenceUID)
        segments = tuple(_segment(item) for item in made.SegmentSequence)
        volume = made.get_volume(combine_segments=True, allow_missing_positions=True)
    except (RuntimeError, ValueError) as error:
        raise Refusal(f"{where.name} cannot be shown as labels: {_reason(error)}") from error
    # what highdicom, which keeps a table of the frames in SQLite, and pydicom raise on attributes that are not there
    except (*UNREADABLE, zlib.error, sqlite3.Error) as error:
        raise InputError(f"{where.name} is damaged: it lacks what a segmentation must hold; copy it again") from error
    # highdicom's axes are slices, rows, columns; its affine is LPS as ours
    labels = np.asarray(volume.array).transpose(2, 1, 0)
    affine = np.asarray(volume.affine, np.float64)[:, [2, 1, 0, 3]]
    shape = (int(labels.shape[0]), int(labels.shape[1]), int(labels.shape[2]))
    try:
        return Segmentation(labels, Geometry(shape, affine, frame), segments)
    except ValueError as error:
        raise Refusal(f"{where.name} cannot be shown as labels: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _segment(item: Dataset) -> Segment:
    code = item.SegmentedPropertyTypeCodeSequence[0]
    concept = CodedConcept(str(code.CodeValue), str(code.CodingSchemeDesignator), str(code.CodeMeaning))
    return Segment(int(item.SegmentNumber), str(item.SegmentLabel), concept)
