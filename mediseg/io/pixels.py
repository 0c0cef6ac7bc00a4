"""What every reader does with pixels before they become a Volume."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mediseg.errors import Refusal

Pixels = npt.NDArray[Any]


def fit_for_use(array: Pixels, name: str) -> Pixels:
    """Return int16 where every value is one, else float32. Raises Refusal for NaN, infinity, or no voxel at all."""
    if array.size == 0:
        raise Refusal(f"{name} holds no voxels")
    if array.dtype.kind in "iub" and _is_int16(array):
        return array.astype(np.int16, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused below
        pixels = array.astype(np.float32, copy=False)
    if not np.isfinite(pixels).all():
        raise Refusal(f"{name} holds values that are no numbers (NaN or infinity); mend it with the tool that made it")
    return pixels


def _is_int16(array: Pixels) -> bool:
    limits = np.iinfo(np.int16)
    if array.dtype.itemsize == 1 or array.dtype == np.int16:
        return True
    return bool(array.min() >= limits.min and array.max() <= limits.max)
