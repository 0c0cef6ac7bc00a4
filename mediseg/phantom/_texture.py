"""Band-limited random textures, known at every point of space."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mediseg.geometry import Array

_CELLS = 32  # the texture repeats after this many cells


@dataclass(frozen=True)
class Texture:
    """Smooth noise with blobs of about ``size_mm``, mean 0, about -1 to 1, without a period shorter than 32 blobs."""

    random: np.random.Generator
    size_mm: float
    _cells: npt.NDArray[np.float32] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_cells", self.random.standard_normal((_CELLS,) * 3, np.float32))

    def __call__(self, points: Array) -> npt.NDArray[np.float32]:
        """Return the texture at points (..., 3) in mm."""
        from scipy import ndimage

        where = np.moveaxis(np.asarray(points, np.float32) / np.float32(self.size_mm), -1, 0)
        found = ndimage.map_coordinates(self._cells, where, order=1, mode="grid-wrap", prefilter=False)
        return np.asarray(np.clip(found, -1.5, 1.5), np.float32)
