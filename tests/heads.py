"""Small image files for tests of the whole way through: cheap, and of known content."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np


def shaded_ball(size: int = 32, spacing_mm: float = 6.0, seed: int = 0) -> np.ndarray:
    """A bright ball with a smooth shading from side to side, a little noise, and dark air about it."""
    x, y, z = (np.indices((size, size, size)) - (size - 1) / 2) * spacing_mm
    ball = np.hypot(np.hypot(x, y), z) < size * spacing_mm * 0.4
    image = np.where(ball, 800.0, 10.0) * (1 + 0.003 * x)
    return (image + np.random.default_rng(seed).normal(0, 5, image.shape)).clip(0).astype(np.float32)


def write_nifti(path: Path, array: np.ndarray, spacing_mm: float = 6.0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(array, np.diag([spacing_mm] * 3 + [1.0])), path)
    return path
