"""Train the AC-PC network: a window level on the callosum in, the AC-PC frame's place and turn in it out.

The slices are level with the AC-PC line and centred on its midpoint, so every turn and shift of a window is a labelled
example. Windows follow the callosum's own axis and centroid, give or take, so the frame's place in them cannot be
guessed from the middle of the image.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mediseg.numerics.intensity import normalize_percentiles
from mediseg.train.callosum import (
    FINE,
    SOURCE_MM,
    Bytes,
    Floats,
    Generator,
    Shape,
    Slices,
    acquire,
    contrast,
    cut,
    field,
    resized,
    sampled,
    surround,
    touch,
)
from mediseg.train.callosum import METADATA as CALLOSUM
from mediseg.train.callosum_fine import Pose, pose_of
from mediseg.train.loop import Batch

PIXEL_MM = 1.0
SHAPE: Shape = (112, 128)
#: The window's middle lies this far below the callosum's centroid (mm), so that it shows what lies round both.
BELOW_MM = 12.0
BATCH = 32
#: Outputs of 1 stand for these: mm to posterior, mm to inferior (both from the window's middle), degrees.
UNITS = (10.0, 10.0, 10.0)

RUNTIME = {
    "name": "acpc-frame",
    "kind": "acpc",
    "licence": "CC-BY-NC-SA-3.0 (weights trained on ABIDE I)",
    "input": {
        "name": "image",
        "dims": 2,
        "spacing_mm": PIXEL_MM,
        "shape": list(SHAPE),
        "fixed_size": True,
        "orientation": "rows superior to inferior, columns anterior to posterior (face left), turned so that the long "
        f"axis of the callosum is level, the middle {BELOW_MM:g} mm below the callosum's centroid",
        "below_mm": BELOW_MM,
        "pad_multiple": 16,
        "pad": "none: the size is fixed",
        "resample": "linear at twice the resolution, then the mean of 2 x 2",
        "normalize": {"kind": "percentiles", "low": 1.0, "high": 99.0, "clip": [-0.5, 1.5]},
    },
    "output": {
        "name": "frame",
        "kind": "frame",
        "units": "mm to the right of the window's middle, mm below it, degrees from the window's rows (positive: the "
        "posterior end lies lower)",
        "looks": [[0.0, 0.0, 0.0], [2.0, 0.0, 4.0], [-2.0, 0.0, -4.0], [0.0, 2.0, 2.0], [0.0, -2.0, -2.0]],
        "use": "run once a look (the window moved to the right and down by so many mm, turned by so many degrees) and "
        "take the mean of midpoints and of directions",
    },
}
METADATA = {
    **CALLOSUM,
    "task": "The AC-PC frame on the mid-sagittal slice",
    "description": "A 2-D convolutional network that gives the AC-PC midpoint and direction in a window",
    "network_data_format": {
        "inputs": {
            "image": {
                **CALLOSUM["network_data_format"]["inputs"]["image"],  # type: ignore[index]  # METADATA is nested
                "spatial_shape": list(SHAPE),
            }
        },
        "outputs": {
            "frame": {
                "type": "series",
                "format": "vector",
                "num_channels": 3,
                "spatial_shape": [1],
                "dtype": "float32",
                "value_range": [-90, 90],
                "is_patch_data": False,
                "channel_def": {"0": "mm to posterior", "1": "mm to inferior", "2": "degrees"},
            }
        },
    },
}


class AcpcNet(nn.Module):
    """(N, 1, 112, 128) to (N, 3): mm, mm, degrees (see UNITS). 0.9 M parameters."""

    def __init__(self, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        inside = 1
        for width in widths:
            layers += [_conv(inside, width), _conv(width, width, stride=2)]
            inside = width
        self.features = nn.Sequential(*layers, _conv(inside, inside), _conv(inside, 48, size=1))
        places = (SHAPE[0] // 2 ** len(widths)) * (SHAPE[1] // 2 ** len(widths))
        self.answer = nn.Sequential(
            nn.Flatten(), nn.Dropout(0.2), nn.Linear(48 * places, 128), nn.ReLU(), nn.Linear(128, 3)
        )
        self.register_buffer("units", torch.tensor(UNITS))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the frame."""
        units: torch.Tensor = self.units  # type: ignore[assignment]  # a buffer
        answer: torch.Tensor = self.answer(self.features(image)) * units
        return answer


def frame_loss(found: torch.Tensor, frame: torch.Tensor) -> torch.Tensor:
    """Return the mean Huber loss of mm, mm and degrees: squares below half a unit, then linear."""
    return nn.functional.smooth_l1_loss(found, frame, beta=0.5)


def window_affine(rng: Generator, pose: Pose) -> npt.NDArray[np.float64]:
    """Return the 2 x 3 matrix from fine window pixels to frame pixels.

    Turned by about 5 degrees off the callosum's axis (one in eight: up to 20), shifted by about 3 mm (one in eight: up
    to 10), zoomed 0.8-1.25 with up to 3 % more along one axis.
    """
    wide = rng.random() < 1 / 8
    turn = np.deg2rad(rng.uniform(-20, 20) if wide else rng.normal(0, 5))
    shift = rng.uniform(-10, 10, 2) if wide else rng.normal(0, 3, 2)
    zoom, stretch = np.exp(rng.uniform(np.log(0.8), np.log(1.25))), np.exp(rng.uniform(-0.03, 0.03))
    return placed(pose, turn, (stretch / zoom, 1 / (stretch * zoom)), shift)


def placed(
    pose: Pose, turn: float, zoom: tuple[float, float], shift_mm: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Return the matrix of a window turned by ``turn`` off a pose, zoomed and shifted."""
    angle = pose.angle + turn
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag(zoom) * (PIXEL_MM / FINE / SOURCE_MM)
    middle = (np.array(SHAPE[::-1]) * FINE - 1) / 2 + (shift_mm - np.array([0.0, BELOW_MM])) * FINE / PIXEL_MM
    return np.column_stack([linear, pose.centre - linear @ middle])


def frame_in(matrix: npt.NDArray[np.float64], frame: int) -> Floats:
    """Return the AC-PC frame (mm, mm, degrees) in a window: the slice's middle, and its rows' direction."""
    back = np.linalg.inv(matrix[:, :2])
    there = back @ (np.full(2, (frame - 1) / 2) - matrix[:, 2]) - (np.array(SHAPE[::-1]) * FINE - 1) / 2
    across = back @ np.array([1.0, 0.0])
    return np.array([*(there * PIXEL_MM / FINE), np.rad2deg(np.arctan2(across[1], across[0]))], np.float32)


def draw(rng: Generator, image: Bytes, pose: Pose, gentle_share: float) -> tuple[Floats, Floats]:
    """Return one augmented window of SHAPE, normalised, and the AC-PC frame in it."""
    matrix = window_affine(rng, pose)
    if rng.random() < 0.4:
        image = surround(rng, image)
    fine = sampled(image, places(matrix))
    if rng.random() < gentle_share:
        seen = touch(rng, fine, SHAPE)
    else:
        seen = acquire(rng, field(rng, contrast(rng, fine)), SHAPE)
        if rng.random() < 0.15:
            seen, _ = cut(rng, seen, np.zeros(SHAPE, np.float32))
    return normalize_percentiles(seen), frame_in(matrix, image.shape[0])


def plain_window(image: Bytes, pose: Pose) -> Floats:
    """Return the level window of a slice as it was scanned, normalised."""
    matrix = placed(pose, 0.0, (1.0, 1.0), np.zeros(2))
    return normalize_percentiles(resized(sampled(image, places(matrix)), SHAPE))


def places(matrix: npt.NDArray[np.float64]) -> Floats:
    """Return the frame position (column, row) of every fine window pixel."""
    rows, columns = (np.arange(FINE * n, dtype=np.float32) for n in SHAPE)
    grid = np.stack(np.meshgrid(columns, rows), axis=-1)
    return (grid @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def batches(slices: Slices, seed: int = 0, gentle: float = 0.4) -> Batch:
    """Return ``batch(step)``: windows (BATCH, 1, *SHAPE) and frames (BATCH, 3), drawn from (seed, step)."""
    poses = [pose_of(mask) for mask in slices.masks]

    def batch(step: int) -> tuple[torch.Tensor, torch.Tensor]:
        rng = np.random.default_rng((seed, step))
        chosen = rng.integers(len(poses), size=BATCH)
        pairs = [draw(rng, slices.images[i], poses[i], gentle) for i in chosen]
        windows, frames = zip(*pairs, strict=True)
        return torch.from_numpy(np.stack(windows)[:, None]), torch.from_numpy(np.stack(frames))

    return batch


def _conv(inside: int, outside: int, *, size: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inside, outside, size, stride, size // 2, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
    )
