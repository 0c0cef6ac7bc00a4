"""A stack into a Volume: pixels decoded, rescaled, put in slice order, a single gap filled."""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels.utils import iter_pixels
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from mediseg.errors import Code, InputError, Refusal, Warn
from mediseg.io.dicom import jpeg, mosaic, values
from mediseg.io.dicom.attributes import UNREADABLE, whole
from mediseg.io.dicom.elements import wanted_image
from mediseg.io.dicom.find import Files
from mediseg.io.dicom.header import tolerant
from mediseg.io.hushed import hushed_stderr
from mediseg.io.identity import Identity
from mediseg.io.plausible import check_size
from mediseg.io.study import Slice, Stack
from mediseg.volume import Source, Volume

Pixels = npt.NDArray[Any]
jpeg.register()
_NEEDED = {int(tag): tag for tag in map(Tag, (
    "SpecificCharacterSet", "SOPClassUID", "SamplesPerPixel", "NumberOfFrames", "Rows", "Columns", "BitsAllocated",
    "BitsStored", "PixelRepresentation", "PixelPaddingValue", "PixelPaddingRangeLimit", "RescaleIntercept",
    "RescaleSlope",
))}  # fmt: skip
# What pydicom and its decoders raise on damaged pixels
_UNDECODABLE = (*UNREADABLE, RuntimeError, zlib.error)


@contextmanager
def _no_panic() -> Iterator[None]:
    """Make a panic of pylibjpeg-rle, which is written in Rust, an error like any other.

    Its class is derived from BaseException, so that it would end the whole batch, and has no public name.
    """
    try:
        with hushed_stderr():  # where a panic is told, past Python
            yield
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise RuntimeError("the decoder gave up") from error


def open_dataset(path: Path, files: Files | None = None) -> Dataset:
    """Return the whole pydicom dataset of a file, which may lie inside a zip (see mediseg.io.dicom.find).

    Raises InputError when the file is gone or cannot be unpacked.
    """
    if files is None:
        with Files() as own:
            return open_dataset(path, own)
    with _again(), tolerant(), files.open(path) as stream:
        return _with_syntax(pydicom.dcmread(stream, force=True))


@contextmanager
def _again() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError("a file of the study cannot be read again: it was moved or changed meanwhile") from error


def _with_syntax(dataset: Dataset) -> Dataset:
    """Name the transfer syntax of a file without meta header as it was parsed; such files are never compressed."""
    meta = getattr(dataset, "file_meta", None)
    if meta is None or "TransferSyntaxUID" not in meta:
        is_implicit, is_little = dataset.original_encoding
        plain = ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else plain
    return dataset


def read_stack(stack: Stack, identity: Identity | None = None) -> Volume:
    """Decode a stack. Array (columns, rows, slices): int16 where the stored values are it, else float32.

    Rescale slope and intercept are applied, frame by frame; an image that is meant to be shown inverted (MONOCHROME1)
    is inverted, and padding becomes background (see mediseg.io.dicom.values). A single missing slice is the mean of
    its neighbours. Raises Refusal for a stack that is not fit, truncated pixels, or NaN.
    """
    if stack.unfit is not None or stack.geometry is None:
        raise Refusal(f"{stack.name} cannot be read as a volume: {stack.unfit}", stack.warnings)
    check_size(stack.geometry.shape, stack.name)
    reader = _Reader(stack, identity or Identity())
    array, warnings = reader.read()
    return Volume(array, stack.geometry, _source(stack), warnings)


def _source(stack: Stack) -> Source:
    held = [one for one in stack.slices if one is not None]
    frames = tuple(0 if one is None else one.frame for one in stack.slices) if any(s.frame for s in held) else ()
    return Source(
        files=stack.files,
        kind="dicom",
        modality=stack.info.modality,
        study_uid=stack.info.study_uid,
        series_uid=stack.info.series_uid,
        sop_class=stack.info.sop_class,
        sop_uids=tuple(None if one is None else one.sop_uid for one in stack.slices),
        frames=frames,
        grid=stack.geometry,
        manufacturer=stack.info.manufacturer,
        sequence=stack.info.sequence,
        facts=stack.facts,
    )


@dataclass(frozen=True, slots=True)
class _Page:
    """One slice (rows, columns): its values, and which of them are padding."""

    array: Pixels
    padding: values.Mask | None


@dataclass
class _Reader:
    stack: Stack
    identity: Identity

    def read(self) -> tuple[Pixels, tuple[Warn, ...]]:
        assert self.stack.geometry is not None
        columns, rows, count = self.stack.geometry.shape
        # Slices lie one after the other in memory, so that each is written in one go; there is room for them only when
        # the first has shown that it is as large as its header says
        pages: Pixels = np.zeros((0, rows, columns), np.int16)
        padded: values.Mask | None = None
        copies: list[tuple[int, Pixels]] = []
        with Files() as files, tolerant():
            for file, places in self._wanted().items():
                for (k, _, is_kept), page in zip(places, self._pages(file, places, files), strict=True):
                    if not is_kept:
                        copies.append((k, page.array))
                        continue
                    if not len(pages):
                        pages = np.zeros((count, rows, columns), np.int16)
                    if pages.dtype == np.int16 and page.array.dtype != np.int16:
                        pages = pages.astype(np.float32)
                    pages[k] = page.array
                    if page.padding is not None:
                        padded = np.zeros(pages.shape, np.bool_) if padded is None else padded
                        padded[k] = page.padding
        warnings = self._warnings(pages, copies)
        if padded is not None or self.stack.is_inverted:
            pages = self._finished(pages, padded)
        for k in self.stack.missing:
            _fill(pages, k)
        return pages.transpose(2, 1, 0), warnings

    def _wanted(self) -> dict[Path, list[tuple[int, Slice, bool]]]:
        """Return what is needed of each file: place, slice, and whether it is more than a copy to compare."""
        wanted: dict[Path, list[tuple[int, Slice, bool]]] = defaultdict(list)
        for k, one in enumerate(self.stack.slices):
            if one is not None:
                wanted[one.file].append((k, one, True))
        for k, one in self.stack.copies:
            wanted[one.file].append((k, one, False))
        return wanted

    def _finished(self, pages: Pixels, padded: values.Mask | None) -> Pixels:
        held = [k for k, one in enumerate(self.stack.slices) if one is not None]
        part = None if padded is None else padded[held]
        try:
            pages[held] = values.finished(pages[held], part, inverted=self.stack.is_inverted)
        except ValueError as error:
            raise Refusal(
                f"{self.stack.name}: every pixel is marked as padding (PixelPaddingValue), so there is no image"
            ) from error
        return pages

    def _warnings(self, pages: Pixels, copies: list[tuple[int, Pixels]]) -> tuple[Warn, ...]:
        if not copies:
            return self.stack.warnings
        index = sorted({k for k, _ in copies})
        differ = sorted({k for k, page in copies if not np.array_equal(pages[k], page)})
        text = f"{len(copies)} images dropped at positions that had one already (index {_listed(index)})"
        text += (
            f"; at index {_listed(differ)} the pixels differ, the first was kept" if differ else ": identical copies"
        )
        warn = Warn(Code.DUPLICATE_POSITION, text, {"index": index, "differing": differ})
        return tuple(warn if one.code is Code.DUPLICATE_POSITION else one for one in self.stack.warnings)

    def _pages(self, file: Path, places: list[tuple[int, Slice, bool]], files: Files) -> list[_Page]:
        """Decode the wanted frames of one file, rescaled, each (rows, columns)."""
        name = self.identity.safe_path(file)
        try:
            dataset, frames = _read(file, files, {_index(one) for _, one, _ in places}, name)
            cut = [(self._tile(frames[_index(one)], one), _index(one)) for _, one, _ in places]
            return [self._rescaled(page, dataset, index, name) for page, index in cut]
        except _UNDECODABLE as error:
            raise Refusal(f"{name}: its pixels cannot be decoded; the file is damaged or incomplete") from error

    def _tile(self, frame: Pixels, one: Slice) -> Pixels:
        """Return the part of a frame that a slice is: all of it, or a tile of a mosaic."""
        if not one.tile:
            return frame
        assert self.stack.geometry is not None
        columns, rows, _ = self.stack.geometry.shape
        return mosaic.cut(frame, rows, columns, one.tile)

    def _rescaled(self, frame: Pixels, dataset: Dataset, index: int, name: str) -> _Page:
        assert self.stack.geometry is not None
        columns, rows, _ = self.stack.geometry.shape
        if frame.shape != (rows, columns):
            raise Refusal(f"{name}: its pixels make {frame.shape}, not {rows} rows by {columns} columns")
        slope, intercept = values.rescale(dataset, index)
        if slope == 0 or not math.isfinite(slope) or not math.isfinite(intercept):
            raise Refusal(f"{name}: its rescale slope and intercept ({slope:g}, {intercept:g}) leave no image")
        frame = values.signed(frame, dataset)
        padding = values.padding(frame, dataset)
        if (slope, intercept) == (1.0, 0.0) and frame.dtype.kind in "iub" and _fits_int16(frame):
            return _Page(frame.astype(np.int16, copy=False), padding)
        page = frame.astype(np.float32) if (slope, intercept) == (1.0, 0.0) else _scaled(frame, slope, intercept)
        if not np.isfinite(page).all():
            raise Refusal(f"{name}: the image holds values that are no numbers (NaN or infinity)")
        return _Page(page.astype(np.float32), padding)


def _scaled(frame: Pixels, slope: float, intercept: float) -> Pixels:
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as no number
        scaled: Pixels = (frame * slope + intercept).astype(np.float32)
    return scaled


def _index(one: Slice) -> int:
    return max(0, one.frame - 1)


def _read(file: Path, files: Files, indices: set[int], name: str) -> tuple[Dataset, dict[int, Pixels]]:
    """Return the header of a file, and some of its frames; all that a file without frames holds is frame 0."""
    if indices == {0}:
        with _again(), files.open(file) as stream:
            usual = _usual(stream)
        if usual is not None:
            return usual
    dataset = open_dataset(file, files)
    _check_length(dataset, name)
    return dataset, _decoded(dataset, indices)


def _usual(stream: BinaryIO) -> tuple[Dataset, dict[int, Pixels]] | None:
    """Return what is needed of the usual file: one frame of 16 bits, which lies in it as it does in memory.

    None for any other. pydicom makes the same of it, in several times as long.
    """
    found = wanted_image(stream, _NEEDED)
    if found is None:
        return None
    dataset, data = found
    shape = tuple(whole(dataset, keyword) or 0 for keyword in ("Rows", "Columns"))
    layout = [whole(dataset, word) for word in ("BitsAllocated", "SamplesPerPixel", "NumberOfFrames")]
    sign = whole(dataset, "PixelRepresentation")
    if layout not in ([16, 1, None], [16, 1, 1]) or sign not in (0, 1) or len(data) < 2 * math.prod(shape):
        return None
    kind = "<i2" if sign else "<u2"
    return dataset, {0: np.frombuffer(data, kind, count=math.prod(shape)).reshape(shape)}


def _decoded(dataset: Dataset, indices: set[int]) -> dict[int, Pixels]:
    """Decode some frames of a file, each once."""
    if indices == {0}:
        with _no_panic():
            pixels = dataset.pixel_array
        return {0: pixels[0] if pixels.ndim == 3 else pixels}
    order = sorted(indices)
    with _no_panic():
        return dict(zip(order, iter_pixels(dataset, indices=order), strict=True))


def _listed(index: list[int]) -> str:
    return ", ".join(map(str, index[:10])) + (", ..." if len(index) > 10 else "")


def _fits_int16(frame: Pixels) -> bool:
    limits = np.iinfo(np.int16)
    return (
        frame.dtype.itemsize == 1
        or frame.dtype == np.int16
        or bool(frame.min() >= limits.min and frame.max() <= limits.max)
    )


def _fill(pages: Pixels, k: int) -> None:
    middle = (pages[k - 1].astype(np.float32) + pages[k + 1].astype(np.float32)) / 2
    pages[k] = np.rint(middle) if pages.dtype == np.int16 else middle


def _check_length(dataset: Dataset, name: str) -> None:
    """Refuse pixels that end early; what pydicom would make of them depends on its version."""
    keyword = next((word for word in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if word in dataset), None)
    if keyword is None:
        raise Refusal(f"{name}: the file holds no complete pixel data; copy it again")
    syntax = getattr(dataset, "file_meta", Dataset()).get("TransferSyntaxUID")
    if syntax is not None and syntax.is_compressed and syntax.is_encapsulated:
        return
    size = [whole(dataset, word) for word in ("NumberOfFrames", "Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    frames, rows, columns, samples, bits = (
        usual if value is None else value for value, usual in zip(size, (1, 0, 0, 1, 8), strict=True)
    )
    needed = math.ceil((frames or 1) * rows * columns * samples * bits / 8)
    held = len(dataset[keyword].value or b"")
    if held < needed:
        raise Refusal(f"{name}: truncated, {held} of {needed} bytes of pixels; copy the file again")
