"""A path into studies: every DICOM header in it, grouped into series and stacks. No pixel is decoded."""

from __future__ import annotations

import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

from mediseg.errors import InputError
from mediseg.io.dicom.attributes import text
from mediseg.io.dicom.find import HEAD_BYTES, Files, candidates, is_zip, looks_like_dicom
from mediseg.io.dicom.header import DICOMDIR_CLASS, Image, identity_of, images_of, read_header, tolerant
from mediseg.io.dicom.mosaic import read_layout, tiles_of
from mediseg.io.dicom.stack import stacks_of
from mediseg.io.identity import Identity
from mediseg.io.study import Series, Study

# What pydicom raises on a file that begins as DICOM and goes on as something else, and unpacking a damaged zip
_UNPARSABLE = (
    InvalidDicomError, BytesLengthException, EOFError, struct.error, ValueError, TypeError, KeyError, AttributeError,
    NotImplementedError, OverflowError, UnicodeDecodeError, zipfile.BadZipFile, zlib.error, OSError,
    RecursionError,
)  # fmt: skip
_NOT_IMAGES = {
    "SR": "a report",
    "PR": "a presentation state",
    "KO": "a key object note",
    "DOC": "a document",
    "REG": "a registration",
    "RTSTRUCT": "contours",
    "RTPLAN": "a plan",
    "RTDOSE": "a dose",
    "SEG": "a segmentation",
    "RWV": "a value map",
}
_STORAGE = "1.2.840.10008.5.1.4.1.1."
_CAPTURES = tuple(_STORAGE + tail for tail in ("7", "7.1", "7.2", "7.3", "7.4"))
_PHOTOS = _STORAGE + "77.1."


@dataclass
class Found:
    """What a walk through a path met: images, and how many other files."""

    images: list[Image] = field(default_factory=list)
    ignored: int = 0
    broken: list[Path] = field(default_factory=list)  # begin as DICOM, cannot be parsed
    directories: list[Path] = field(default_factory=list)  # DICOMDIR
    identity: Identity = field(default_factory=Identity)

    def study(self, path: Path, images: Iterable[Image] | None = None) -> Study:
        """Group the images (or some of them) into series and stacks."""
        mine = self.images if images is None else list(images)
        homes = {image.slice.file.parent for image in mine}
        is_all = len(mine) == len(self.images)
        broken = tuple(self.identity.safe_path(one) for one in self.broken if is_all or one.parent in homes)
        patients = frozenset(image.patient for image in mine)
        return Study(path, _series(mine), self.ignored, broken, self.identity, patients)


def scan(path: Path) -> Study:
    """Return what DICOM holds at a path: a folder of any depth, a zip, a DICOMDIR or one file.

    Raises UsageError where there is nothing at the path, InputError where nothing in it is DICOM.
    """
    found = gather(path)
    if not found.images:
        raise InputError(nothing_in(path, found))
    return found.study(path)


def gather(path: Path) -> Found:
    """Read every DICOM header at a path. Raises UsageError where nothing is there, InputError for a broken zip."""
    found = Found()
    with Files() as files, tolerant():
        for one in candidates(path, files):
            _look(one, files, found)
        if found.directories and not found.images and path.is_file() and not is_zip(path):
            for one in candidates(path.parent, files):  # a DICOMDIR was given: it indexes the folder that it lies in
                if one != path:
                    _look(one, files, found)
    return found


def _look(path: Path, files: Files, found: Found) -> None:
    try:
        with files.open(path, whole=False) as stream:
            if not looks_like_dicom(stream.read(HEAD_BYTES)):
                found.ignored += 1
                return
            stream.seek(0)
            dataset = read_header(stream)
            uid = _class_of(dataset)
            if uid == DICOMDIR_CLASS:
                found.directories.append(path)
            elif not uid or _is_cut_off(dataset):
                found.broken.append(path)
            else:
                identity = identity_of(dataset)
                found.images += _images(dataset, path, stream, identity)
                found.identity |= identity
    except (*_UNPARSABLE, InputError):
        found.broken.append(path)


def _images(dataset: Dataset, path: Path, stream: BinaryIO, identity: Identity) -> list[Image]:
    """Return the images of one file; of a Siemens mosaic, for which its private header is read as well, the tiles."""
    images = images_of(dataset, path, identity)
    return tiles_of(images[0], read_layout(stream)) if images and images[0].is_mosaic else images


def _class_of(dataset: Dataset) -> str:
    return text(dataset, "SOPClassUID") or text(getattr(dataset, "file_meta", Dataset()), "MediaStorageSOPClassUID")


def _is_cut_off(dataset: Dataset) -> bool:
    """A header that ends before it says what it belongs to or how large its image is."""
    return not any(text(dataset, name) for name in ("StudyInstanceUID", "SeriesInstanceUID", "Modality", "Rows"))


def nothing_in(path: Path, found: Found) -> str:
    """One line on why nothing could be read, and what to do."""
    what = "give a DICOM folder, a zip of one, or a NIfTI, MGH, NRRD or MetaImage file"
    if found.directories:
        return f"{path} holds the index of a disc (DICOMDIR) without the files that it names; give the whole disc"
    if found.broken:
        name = found.identity.safe_path(found.broken[0])
        return f"{path} begins as DICOM but is damaged or its header cannot be read ({name}); copy it again, or {what}"
    if path.is_dir():
        held = f"only {found.ignored} files that are not DICOM" if found.ignored else "no file at all"
        return f"{path} holds {held}; {what}"
    if is_zip_safely(path):
        return f"{path} holds no DICOM file, and a zip of anything else is not read; unpack it and give the image in it"
    if found.ignored > 1:
        return f"{path} holds no DICOM file; {what}"
    return f"{path} is {'empty' if path.stat().st_size == 0 else 'no image that mediseg reads'}; {what}"


def is_zip_safely(path: Path) -> bool:
    """True for a zip; False for anything else, an empty file or one that may not be opened among it."""
    try:
        return path.is_file() and path.stat().st_size > 3 and is_zip(path)
    except OSError:
        return False


def _series(images: Iterable[Image]) -> tuple[Series, ...]:
    groups: dict[tuple[object, ...], list[Image]] = defaultdict(list)
    for image in images:
        info = image.info
        groups[(info.study_uid, image.patient, info.series_uid, info.number, info.sop_class, info.modality)].append(
            image
        )
    return tuple(sorted((_one_series(group) for group in groups.values()), key=_order))


def _one_series(images: list[Image]) -> Series:
    info = images[0].info
    files = len({image.slice.file for image in images})
    reason = _no_image(info.modality, info.sop_class)
    if reason:
        return Series(info, (), files, reason)
    stacks = tuple(stacks_of(images))
    info = stacks[0].info
    return Series(info, tuple(replace(stack, info=info) for stack in stacks), files)


def _no_image(modality: str, sop_class: str) -> str | None:
    if sop_class in _CAPTURES:
        return "it is a secondary capture (a screenshot or a scanned picture)"
    if sop_class.startswith(_PHOTOS):
        return "it is a photo"
    if modality in _NOT_IMAGES:
        return f"it is {_NOT_IMAGES[modality]}, not an image"
    return None


def _order(series: Series) -> tuple[object, ...]:
    info = series.info
    number = info.number if info.number is not None else 1 << 40
    return (info.study_uid, number, info.series_uid, info.sop_class, info.modality)
