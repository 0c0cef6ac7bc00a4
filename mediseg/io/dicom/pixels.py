"""Real numbers as 16-bit DICOM pixels that say honestly how to get them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal
from mediseg.io.dicom.repair import ds_text


@dataclass(frozen=True, eq=False)
class Stored:
    """16-bit pixels of shape (slices, rows, columns): ``value = slope * pixel + intercept``.

    They stay below 32768, so that signed and unsigned look alike, except for whole negative numbers in signed pixels.
    """

    pixels: npt.NDArray[np.int16]
    slope: str
    intercept: str
    shown: tuple[float, float]
    is_signed: bool

    @property
    def is_plain(self) -> bool:
        """True when a pixel is the value itself."""
        return (self.slope, self.intercept) == ("1", "0")

    def window(self, *, is_stored: bool = False) -> tuple[str, str]:
        """Return WindowCenter and WindowWidth in values, or in stored pixels."""
        low, high = self.shown
        if is_stored:
            low, high = ((edge - float(self.intercept)) / float(self.slope) for edge in (low, high))
        digits = 6 if not is_stored else 0
        return ds_text(round((low + high) / 2, digits)), ds_text(max(round(high - low, digits), 1e-6))


def stored(array: npt.NDArray[Any], *, is_signed: bool = True) -> Stored:
    """Return a volume (i, j, k) as pixels: whole numbers that fit stay what they are, others are scaled to 0..32767.

    Zero stays zero where nothing is negative. The window ends at the 99.5th percentile of what is not zero. Raises
    Refusal for NaN or infinity, which DICOM pixels cannot hold.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise Refusal("the image holds NaN or infinite values, which DICOM cannot store; fill them or write NIfTI")
    frames = array.transpose(2, 1, 0)
    low, high = float(frames.min()), float(frames.max())
    slope, intercept = "1", "0"
    if low < (-32768 if is_signed else 0) or high > 32767 or not _is_whole(array):
        start = min(low, 0.0)
        slope, intercept = ds_text((high - start) / 32767 if high > start else 1.0), ds_text(start)
        # one slice at a time keeps memory flat; clipped, as the rounded text of the slope may push the last value over
        pixels = np.stack([
            np.clip(np.rint((frame.astype(np.float64) - float(intercept)) / float(slope)), 0, 32767).astype(np.int16)
            for frame in frames
        ])  # fmt: skip
    else:
        pixels = np.ascontiguousarray(frames.astype(np.int16))
    return Stored(pixels, slope, intercept, _shown(array), is_signed)


def _is_whole(array: npt.NDArray[Any]) -> bool:
    return array.dtype.kind in "iub" or bool((array == np.rint(array)).all())


def _shown(array: npt.NDArray[Any]) -> tuple[float, float]:
    """Return the range of values worth showing: from 0 (or what is below) to the 99.5th percentile of the rest."""
    values = array[array != 0]
    if values.size == 0:
        return 0.0, 1.0
    low, high = np.percentile(values[:: max(1, values.size // 200_000)], [1, 99.5])
    start = min(0.0, float(low))
    return start, max(float(high), start + 1e-6)
