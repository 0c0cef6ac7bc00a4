"""Callosum-like shapes with known truth, face left, for tests of several steps."""

from __future__ import annotations

import numpy as np

from mediseg import Geometry, Segment, Segmentation, Volume
from mediseg.results import Callosum

FACE_LEFT = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])  # columns to P, rows to I, slices to R


def face_left_volume(rows_by_columns: np.ndarray, spacing_mm: float, frame: str | None = None) -> Volume:
    """Put a face-left picture (rows, columns) into patient space, its middle at the origin."""
    rows, columns = rows_by_columns.shape
    geometry = Geometry.from_axes(
        (columns, rows, 1), FACE_LEFT, (spacing_mm, spacing_mm, 1.0), center_lps_mm=(0, 0, 0), frame_of_reference=frame
    )
    return Volume(rows_by_columns.T[:, :, None].astype(np.float32), geometry)


def callosum_of(probability: np.ndarray, spacing_mm: float, **marks: float) -> Callosum:
    """Wrap a face-left probability map as the segmentation step would."""
    volume = face_left_volume(probability, spacing_mm)
    mask = Segmentation((volume.array >= 0.5).astype(np.uint8), volume.geometry, (Segment(1, "corpus callosum"),))
    return Callosum(mask, volume, **marks)


def soft_bar(
    shape: tuple[int, int], spacing_mm: float, length_mm: float, width_mm: float, angle_deg: float,
    center_mm: tuple[float, float] = (0.0, 0.0),
) -> np.ndarray:  # fmt: skip
    """A soft rectangle; centre (x to posterior, y to inferior) in mm from the middle; positive: posterior end lower."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    x = (x - (shape[1] - 1) / 2) * spacing_mm - center_mm[0]
    y = (y - (shape[0] - 1) / 2) * spacing_mm - center_mm[1]
    a = np.radians(angle_deg)
    along, across = np.cos(a) * x + np.sin(a) * y, -np.sin(a) * x + np.cos(a) * y
    soft = np.minimum(length_mm / 2 - np.abs(along), width_mm / 2 - np.abs(across)) / spacing_mm
    return np.clip(0.5 + soft, 0, 1)


def arch(spacing_mm: float = 0.5, radius_mm: float = 32.0, thickness_mm: float = 8.0) -> np.ndarray:
    """Half a ring, open below."""
    size = round(200 / spacing_mm)
    y, x = np.mgrid[:size, :size].astype(float)
    x, y = (x - size / 2) * spacing_mm, (y - size / 2) * spacing_mm
    ring = np.clip(0.5 + (thickness_mm / 2 - np.abs(np.hypot(x, y) - radius_mm)) / spacing_mm, 0, 1)
    return ring * np.clip(0.5 - y / spacing_mm, 0, 1)


def covered(inside, spacing_mm: float, size_mm: float = 100.0, pieces: int = 8) -> np.ndarray:
    """How much of each pixel a shape covers; ``inside(x, y)`` tells which points (mm from the middle) it holds."""
    count = round(size_mm / spacing_mm)
    at = ((np.arange(count * pieces) + 0.5) / pieces - count / 2) * spacing_mm
    y, x = np.meshgrid(at, at, indexing="ij")
    return inside(x, y).reshape(count, pieces, count, pieces).mean(axis=(1, 3))


def turned(inside, angle_deg: float, shift_mm: tuple[float, float] = (0.0, 0.0)):
    """The same shape turned (positive: the posterior end lower) and shifted."""
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))

    def moved(x, y):
        x, y = x - shift_mm[0], y - shift_mm[1]
        return inside(cosine * x + sine * y, -sine * x + cosine * y)

    return moved


def ellipse(a_mm: float, b_mm: float):
    return lambda x, y: (x / a_mm) ** 2 + (y / b_mm) ** 2 < 1


def ring(inner_mm: float, outer_mm: float, open_below: bool = False):
    return lambda x, y: (np.hypot(x, y) < outer_mm) & (np.hypot(x, y) > inner_mm) & ((y < 0) | (not open_below))
