"""Stored pixels into image values: sign, rescale, padding, and what is shown white.

The values are those of the Modality LUT (PS3.3 C.11.1: stored * RescaleSlope + RescaleIntercept), which every viewer
shows. Philips' private Scale Slope (2005,100E) would make "precise" values of them, smaller by the constant factor
RescaleSlope * ScaleSlope; nothing here depends on a constant factor, so it is kept as a fact and not applied.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from mediseg.io.dicom.attributes import items, number, texts, whole

Pixels = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def signed(frame: Pixels, dataset: Dataset) -> Pixels:
    """Return a frame whose negative values are negative, where a writer left out the bits above the stored ones.

    Bits above BitsStored are not specified (PS3.5 8.1.1): a signed -1 of 12 bits may stand there as 4095.
    """
    bits = whole(dataset, "BitsStored")
    if frame.dtype.kind != "i" or bits is None or not 1 < bits < 8 * frame.dtype.itemsize:
        return frame
    if frame.min() < 0 or not 1 << (bits - 1) <= frame.max() < 1 << bits:
        return frame
    return np.where(frame >= 1 << (bits - 1), frame - (1 << bits), frame).astype(frame.dtype)


def padding(frame: Pixels, dataset: Dataset) -> Mask | None:
    """Return which stored pixels are no image but padding (PixelPaddingValue to PixelPaddingRangeLimit), or None.

    A padding of 0 is left as it is: it is the background of a magnitude image, and in a signed one a value like others.
    """
    first, last = (_stored(dataset, f"PixelPadding{name}", frame.dtype) for name in ("Value", "RangeLimit"))
    if frame.dtype.kind not in "iu" or first is None or (first == 0 and last in (None, 0)):
        return None
    low, high = sorted((first, first if last is None else last))
    found: Mask = (frame >= low) & (frame <= high)
    return found if found.any() else None


def _stored(dataset: Dataset, keyword: str, dtype: np.dtype[Any]) -> int | None:
    """Return an attribute as a stored value; written with the wrong sign (63536 for -2000), it is wrapped around."""
    value = whole(dataset, keyword) if dtype.kind in "iu" else None
    if value is None:
        return None
    limits, size = np.iinfo(dtype), 1 << 8 * dtype.itemsize
    wrapped = (value - int(limits.min)) % size + int(limits.min)
    return value if limits.min <= value <= limits.max else wrapped if abs(value) < size else None


def finished(pages: Pixels, padded: Mask | None, *, inverted: bool) -> Pixels:
    """Turn pages (count, rows, columns) that are to be shown inverted, then set padding to the background.

    ``lo + hi - value`` keeps the range of values; padding becomes the lowest value, or 0 where that is above 0. Raises
    ValueError when everything is padding.
    """
    real = pages if padded is None else pages[~padded]
    if real.size == 0:
        raise ValueError("every pixel is padding")
    if inverted:
        ends = real.min().item() + real.max().item()
        wide = pages.astype(np.int32) if pages.dtype.kind == "i" else pages
        pages = np.clip(ends - wide, real.min(), real.max()).astype(pages.dtype)
    if padded is not None:
        pages[padded] = min(0, pages[~padded].min())
    return pages


def rescale(dataset: Dataset, index: int) -> tuple[float, float]:
    """RescaleSlope and RescaleIntercept of a frame: its own, else the shared ones, else the file's, else 1 and 0.

    Raises ValueError where one is stated but is no number.
    """
    groups = items(dataset, "PerFrameFunctionalGroupsSequence")[index : index + 1]
    groups += items(dataset, "SharedFunctionalGroupsSequence")[:1]
    stated = [item for group in groups for item in items(group, "PixelValueTransformationSequence")[:1]]
    place = stated[0] if stated else dataset
    return _stated(place, "RescaleSlope", 1.0), _stated(place, "RescaleIntercept", 0.0)


def _stated(dataset: Dataset, keyword: str, otherwise: float) -> float:
    if not texts(dataset, keyword):
        return otherwise
    found = number([dataset], keyword)
    if found is None:
        msg = f"{keyword} is no number"
        raise ValueError(msg)
    return found
