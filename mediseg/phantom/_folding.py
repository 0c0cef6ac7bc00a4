"""Sulci: the cortex is folded along the zero surfaces of a smooth, fixed noise made of plane waves."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from mediseg.phantom._distance import Field

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


@lru_cache(maxsize=8)
def _waves(count: int, wavelength_mm: float, start: float) -> npt.NDArray[np.float32]:
    """Return rows (kx, ky, kz, phase) of waves spread evenly over directions; no random numbers, so never changing."""
    n = np.arange(count) + 0.5
    height = 1 - n / count  # half a sphere: a wave and its opposite are the same
    around = _GOLDEN_ANGLE * n
    ring = np.sqrt(1 - height**2)
    directions = np.stack([ring * np.cos(around), ring * np.sin(around), height], axis=1)
    stretch = 1 + 0.22 * np.sin(12.9898 * n + start)  # wavelengths vary by a fifth
    phases = (start + 78.233 * n * (n + 1)) % (2 * np.pi)
    waves = np.concatenate([directions * (2 * np.pi / wavelength_mm * stretch)[:, None], phases[:, None]], axis=1)
    return waves.astype(np.float32)


@dataclass(frozen=True)
class Noise:
    """A smooth scalar field of unit variance with one dominant wavelength."""

    wavelength_mm: float
    start: float
    count: int = 18

    def value(self, x: Field, y: Field, z: Field) -> Field:
        """Value at points."""
        total = np.zeros_like(x)
        for kx, ky, kz, phase in _waves(self.count, self.wavelength_mm, self.start):
            total += np.sin(kx * x + ky * y + kz * z + phase)
        return np.asarray(total * np.float32(np.sqrt(2 / self.count)), np.float32)

    def sheet(self, x: Field, y: Field, z: Field) -> Field:
        """Distance (mm, first order, at least 0) to the surface where the field is 0."""
        total = np.zeros_like(x)
        slope = [np.zeros_like(x) for _ in range(3)]
        for kx, ky, kz, phase in _waves(self.count, self.wavelength_mm, self.start):
            angle = kx * x + ky * y + kz * z + phase
            total += np.sin(angle)
            cosine = np.cos(angle)
            for axis, k in enumerate((kx, ky, kz)):
                slope[axis] += k * cosine
        squared = slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2
        # where the field is flat the sheet would widen without end: a floor under the slope
        floor = self.count / 2 * (2 * np.pi / self.wavelength_mm) ** 2 * 0.12
        return np.asarray(np.abs(total) / np.sqrt(squared + np.float32(floor)), np.float32)
