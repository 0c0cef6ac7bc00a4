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
    NOTHING_MADE,
    SOURCE_MM,
    Bytes,
    Floats,
    Generator,
    Made,
    Shape,
    Slices,
    acquire,
    bend,
    coarser,
    contrast,
    cut,
    field,
    resized,
    sampled,
    stacked,
    surround,
    touch,
)
from mediseg.train.callosum import (
    METADATA as CALLOSUM,
)
from mediseg.train.loop import Batch
from mediseg.train.negatives import draw_negative
from mediseg.train.painted_slices import draw_painted

PIXEL_MM = 0.75
SHAPE: Shape = (96, 160)
BATCH = 16

RUNTIME = {
    "name": "callosum-fine",
    "kind": "callosum-fine",
    "licence": "CC-BY-NC-SA-3.0 (weights trained on ABIDE I)",
    "input": {
        "name": "image",
        "dims": 2,
        "spacing_mm": PIXEL_MM,
        "shape": list(SHAPE),
        "orientation": "rows superior to inferior, columns anterior to posterior (face left), turned so that the long "
        "axis of the callosum found by the first network is level, centred on its centroid",
        "pad_multiple": 16,
        "pad": "zeros at the ends, after normalize",
        "resample": "linear at twice the resolution, then the mean of 2 x 2",
        "normalize": {"kind": "percentiles", "low": 1.0, "high": 99.0, "clip": [-0.5, 1.5]},
    },
    "output": {
        "name": "probability",
        "kind": "probability",
        "threshold": 0.5,
        "looks": [[0.0, 0.0, 0.0], [0.375, 0.0, 2.0], [0.0, 0.375, -2.0], [0.375, 0.375, 0.0]],
        "use": "run once a look (the window moved to the right and down by so many mm, turned by so many degrees), "
        "resample each probability linearly to the image's own grid (0 beyond the window) and average; do it twice, "
        "the second time level on what the first time found",
    },
}
METADATA = {
    **CALLOSUM,
    "description": "A 2-D U-Net (0.9 M parameters, 0.75 mm) that draws the callosum's border in a level window",
}


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


def window_affine(rng: Generator, angle: float) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix from window pixels to mm (columns, rows) from the centroid: level, but for a little.

    ``angle``: of the callosum's axis, radians. Turned by about 3 degrees more (one in eight: up to 15), shifted by
    about 2 mm (one in eight: up to 8), zoomed 0.8-1.25.
    """
    wide = rng.random() < 1 / 8
    turn = rng.uniform(-15, 15) if wide else rng.normal(0, 3)
    shift = rng.uniform(-8, 8, 2) if wide else rng.normal(0, 2, 2)
    zoom = np.exp(rng.uniform(np.log(0.8), np.log(1.25)))
    stretch = np.exp(rng.uniform(-0.06, 0.06))
    return level_affine(angle + np.deg2rad(turn), (stretch / zoom, 1 / (stretch * zoom)), (shift[0], shift[1]))


def level_affine(
    angle: float, zoom: tuple[float, float] = (1.0, 1.0), shift_mm: tuple[float, float] = (0.0, 0.0)
) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix from window pixels to mm from the centroid, which lies ``shift_mm`` off the middle."""
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag(zoom) * PIXEL_MM
    middle = (np.array(SHAPE[::-1]) - 1) / 2 + np.array(shift_mm) / PIXEL_MM
    return np.column_stack([linear, -linear @ middle])


def frame_affine(window: npt.NDArray[np.float64], pose: Pose) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix from fine window pixels (FINE to a pixel) to pixels of a frame of 0.5 mm."""
    pixel_of_fine = np.array(
        [[1 / FINE, 0, (1 - FINE) / (2 * FINE)], [0, 1 / FINE, (1 - FINE) / (2 * FINE)], [0, 0, 1]]
    )
    matrix = window @ pixel_of_fine / SOURCE_MM
    matrix[:, 2] += pose.centre
    return np.asarray(matrix)


def draw(
    rng: Generator, image: Bytes, mask: Bytes, pose: Pose, gentle_share: float, coarse: float = 0.0
) -> tuple[Floats, Floats]:
    """Return one augmented window of SHAPE, normalised, and the callosum's area fractions in it."""
    gentle = rng.random() < gentle_share
    if rng.random() < 0.2:
        image = surround(rng, image)
    matrix = frame_affine(window_affine(rng, pose.angle), pose)
    where = bend(rng, mask, matrix, SHAPE, share=0.3 if gentle else 0.7)
    target = resized(sampled(mask, where), SHAPE)
    fine = sampled(image, where)
    if gentle:
        seen = touch(rng, coarser(rng, fine) if coarse and rng.random() < coarse else fine, SHAPE)
    else:
        seen = acquire(rng, field(rng, contrast(rng, fine)), SHAPE)
        if rng.random() < 0.15:
            seen, target = cut(rng, seen, target)
    return normalize_percentiles(seen), target


def batches(
    slices: Slices,
    seed: int = 0,
    gentle: float = 0.6,
    *,
    coarse: float = 0.0,
    painted: float = 0.0,
    plain: float = 0.0,
    made: Made = NOTHING_MADE,
) -> Batch:
    """Return ``batch(step)``: windows (BATCH, 1, *SHAPE) and area fractions of the same shape, from (seed, step).

    Shares as in ``callosum.batches``; ``coarse`` is that of the gentle windows that show a coarser matrix.
    """
    poses = [pose_of(mask) for mask in slices.masks]
    slab_angles = [pose_of(slab.mask).angle for slab in made.slabs]

    def window(rng: Generator) -> tuple[Floats, Floats]:
        kind = rng.random()
        if kind < painted:
            i = int(rng.integers(len(made.slabs)))
            return draw_painted(rng, made.slabs[i], window_affine(rng, slab_angles[i]), SHAPE, edges=0.1)
        if kind < painted + plain:
            return draw_negative(rng, made.plain, SHAPE, PIXEL_MM), np.zeros(SHAPE, np.float32)
        i = int(rng.integers(len(poses)))
        return draw(rng, slices.images[i], slices.masks[i], poses[i], gentle, coarse)

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((seed, step))
        return stacked([window(rng) for _ in range(BATCH)])

    return batch
