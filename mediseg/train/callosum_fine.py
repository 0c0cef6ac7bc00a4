"""Train the second look at the corpus callosum: the window about what the first network found, turned level.

The first network says where the callosum lies. This one sees it at 0.75 mm, level and in the middle, so that it can
spend itself on the border. In training, window and mask are a little off, as the first network's answer may be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.numerics.moments import principal_axis
from mediseg.train.callosum import (
    FINE,
    SOURCE_MM,
    Bytes,
    Floats,
    Generator,
    Shape,
    Slices,
    acquire,
    bend,
    contrast,
    cut,
    field,
    resized,
    sampled,
    surround,
    touch,
)
from mediseg.train.loop import Batch

PIXEL_MM = 0.75
SHAPE: Shape = (96, 160)
BATCH = 16


@dataclass(frozen=True, slots=True)
class Pose:
    """Where a callosum lies: its centroid (column, row in pixels of the frame), its axis (radians, from +x to +y)."""

    centre: npt.NDArray[np.float64]
    angle: float


def pose_of(mask: npt.NDArray[np.number]) -> Pose:
    """Return the pose of a mask or a probability map (rows, columns)."""
    rows, columns = np.nonzero(mask)
    centre, axis = principal_axis(
        np.column_stack([columns, rows]).astype(np.float64), np.asarray(mask[rows, columns], np.float64)
    )
    return Pose(centre, float(np.arctan2(axis[1], axis[0])))


def window_affine(rng: Generator, pose: Pose) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix from fine window pixels to frame pixels: level on the callosum, but for a little.

    Turned by about 3 degrees (one in eight: up to 15), shifted by about 2 mm (one in eight: up to 8), zoomed 0.8-1.25.
    """
    wide = rng.random() < 1 / 8
    turn = rng.uniform(-15, 15) if wide else rng.normal(0, 3)
    shift = rng.uniform(-8, 8, 2) if wide else rng.normal(0, 2, 2)
    zoom = np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    stretch = np.exp(rng.uniform(-0.06, 0.06))
    angle = pose.angle + np.deg2rad(turn)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag([stretch / zoom, 1 / (stretch * zoom)]) * (PIXEL_MM / FINE / SOURCE_MM)
    middle = (np.array(SHAPE[::-1]) * FINE - 1) / 2 + shift * FINE / PIXEL_MM
    return np.column_stack([linear, pose.centre - linear @ middle])


def draw(rng: Generator, image: Bytes, mask: Bytes, pose: Pose, gentle_share: float) -> tuple[Floats, Floats]:
    """Return one augmented window of SHAPE, normalised, and the callosum's area fractions in it."""
    gentle = rng.random() < gentle_share
    if rng.random() < 0.2:
        image = surround(rng, image)
    where = bend(rng, mask, window_affine(rng, pose), SHAPE, share=0.3 if gentle else 0.7)
    target = resized(sampled(mask, where), SHAPE)
    fine = sampled(image, where)
    if gentle:
        seen = touch(rng, fine, SHAPE)
    else:
        seen = acquire(rng, field(rng, contrast(rng, fine)), SHAPE)
        if rng.random() < 0.15:
            seen, target = cut(rng, seen, target)
    return normalize_percentiles(seen), target


def batches(slices: Slices, seed: int = 0, gentle: float = 0.6) -> Batch:
    """Return ``batch(step)``: windows (BATCH, 1, *SHAPE) and area fractions of the same shape, from (seed, step)."""
    poses = [pose_of(mask) for mask in slices.masks]

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((seed, step))
        chosen = rng.integers(len(poses), size=BATCH)
        pairs = [draw(rng, slices.images[i], slices.masks[i], poses[i], gentle) for i in chosen]
        windows, targets = (torch.from_numpy(np.stack(part)[:, None]) for part in zip(*pairs, strict=True))
        return windows, targets

    return batch
