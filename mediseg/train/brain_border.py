"""The brain's border at 1 mm: a small network that moves the border a coarser one found to where the image shows it.

``BrainNet`` looks at the whole head and is right to a millimetre or two; that the border lies between this voxel and
the next can only be seen at the head's own resolution. This network sees 1 mm crops about the border, the image beside
the distance found so far. In training that distance is the truth, moved by smooth random fields, blurred and flattened
as the first network's errors are: no head need be run through it, and a crop costs a hundredth of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import ndimage
from torch import nn

from mediseg.numerics.intensity import stretched
from mediseg.train.brain import CLIP_MM, FoldedUNet, fold
from mediseg.train.brain import METADATA as BRAIN
from mediseg.train.brain_heads import DISTANCE_STEP_MM, Head
from mediseg.train.brain_sampling import Drawn, Rng, draw_posed, smooth_field

FloatArray = npt.NDArray[np.float32]

SPACING_MM = 1.0
SIDE = 56
COUNT = 4
#: Channels at 2, 4 and 8 mm.
FEATURES = (24, 48, 64)
#: Grey values are scaled by what lies within the border found so far, or this far beyond it: never by air or neck.
SEEN_MM = 5.0
NORMALIZE = {"low": 1.0, "high": 99.0, "clip": (-0.5, 2.0)}
#: Voxels near the border that crops are centred on, for each head.
CENTRES = 20_000

RUNTIME = {
    "name": "brain-border",
    "kind": "brain-border",
    "licence": "research use; see data licences in docs/README.md",
    "input": {
        "name": "image",
        "dims": 3,
        "channels": 2,
        "spacing_mm": SPACING_MM,
        "orientation": "RAS",
        "pad_multiple": 8,
        "margin_mm": 10.0,
        "resample": "as the first network's, along the head's own axes (those within 0.1 mm of 1 mm as they are), the "
        "box about the distance found so far and margin_mm beyond",
        "normalize": {"kind": "percentiles within", "within_mm": SEEN_MM, **NORMALIZE},
        "second_channel": "the distance found so far over 8 mm, in -1..1; +1 beyond",
    },
    "output": {
        "name": "distance_mm",
        "kind": "signed_distance",
        "inside": "negative",
        "clip_mm": CLIP_MM,
        "use": "resample linearly to the image's own grid, then below 0, largest part, holes filled",
    },
}
METADATA = {
    **BRAIN,
    "task": "The border of a brain found before, at 1 mm, in a head of any MR contrast",
    "description": "A 3-D U-Net (0.5 M parameters, 1 mm) that moves a brain's border to where the image shows it",
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": 2,
                "spatial_shape": ["8*n", "8*n", "8*n"],
                "dtype": "float32",
                "value_range": list(NORMALIZE["clip"]),
                "is_patch_data": True,
                "channel_def": {"0": "box about the brain, 1 mm, RAS", "1": "distance found so far over 8 mm"},
            }
        },
        "outputs": {
            "distance_mm": {
                "type": "distance",
                "format": "signed distance in mm",
                "num_channels": 1,
                "spatial_shape": ["8*n", "8*n", "8*n"],
                "dtype": "float32",
                "value_range": [-CLIP_MM, CLIP_MM],
                "is_patch_data": True,
                "channel_def": {"0": "distance to the border of the brain with its CSF, negative inside"},
            }
        },
    },
}


class ChannelNorm(nn.Module):
    """Scale the channels of each voxel to a root mean square of 1: no voxel depends on how much is seen around it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, channels, 1, 1, 1))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise (N, C, X, Y, Z) to the same."""
        size = features.square().mean(dim=1, keepdim=True)
        return features * torch.rsqrt(size + 1e-3) * self.scale


class BorderNet(FoldedUNet):
    """U-Net of features at 2, 4 and 8 mm on folded 1 mm crops.

    Input: float32 (N, 2, X, Y, Z), X, Y, Z multiples of 8: the image, and the distance found so far over 8 mm. Output:
    the signed distance in mm, (N, 1, X, Y, Z), negative inside; clipped at +-8 mm but while training.
    """

    def __init__(self, features: tuple[int, ...] = FEATURES) -> None:
        super().__init__(16, features, ChannelNorm)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        """Return the signed distance in mm; see the class."""
        change, _ = self.read(torch.cat([fold(pair[:, :1]), fold(pair[:, 1:])], dim=1))
        distance = CLIP_MM * pair[:, 1:].float() + change
        return distance if self.training else distance.clamp(-CLIP_MM, CLIP_MM)


@dataclass(frozen=True, slots=True)
class BorderSampler:
    """Callable ``step -> (pair, distance_mm)``: float32 (COUNT, 2, S, S, S) and (COUNT, 1, S, S, S), for ``loop.fit``.

    ``painted_share`` of the crops are of painted label maps, the rest of scans.
    """

    heads: Sequence[Head]
    centres: Sequence[npt.NDArray[np.intp]]
    seed: int = 0
    painted_share: float = 0.7

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the crops of this step, all of one head."""
        rng = np.random.default_rng((self.seed, step))
        crops = []
        for _ in range(COUNT):
            wanted = rng.uniform() < self.painted_share
            pool = [i for i, head in enumerate(self.heads) if head.painted == wanted] or list(range(len(self.heads)))
            which = pool[int(rng.integers(len(pool)))]
            crops.append(draw_crop(self.heads[which], self.centres[which], rng))
        seen, distance = (np.stack(parts) for parts in zip(*crops, strict=True))
        return torch.from_numpy(seen), torch.from_numpy(distance[:, None])


def border_voxels(head: Head, rng: Rng) -> npt.NDArray[np.intp]:
    """Return up to CENTRES voxels (n, 3): three in four within 3 mm of the border, the others anywhere."""
    near = np.flatnonzero(np.abs(head.distance) < 3.0 / DISTANCE_STEP_MM)
    chosen = rng.choice(near, CENTRES * 3 // 4) if near.size else near
    anywhere = rng.integers(head.distance.size, size=CENTRES - chosen.size)
    return np.stack(np.unravel_index(np.concatenate([chosen, anywhere]), head.distance.shape), axis=1)


def draw_crop(head: Head, centres: npt.NDArray[np.intp], rng: Rng) -> tuple[FloatArray, FloatArray]:
    """Return image and guess, (2, S, S, S) as the network takes them, and the signed distance in mm, (S, S, S)."""
    centre = centres[int(rng.integers(len(centres)))]
    drawn: Drawn = draw_posed(head, (SIDE, SIDE, SIDE), rng, SPACING_MM, tuple(float(c) for c in centre))
    guess = draw_guess(drawn.distance, rng)
    return np.stack([_jitter(scaled(drawn.image, guess), rng), guess / np.float32(CLIP_MM)]), drawn.distance


def draw_guess(distance: FloatArray, rng: Rng) -> FloatArray:
    """Return what a coarser network may have found in place of ``distance``, in mm: moved, blurred, flattened."""
    wide, narrow = rng.uniform(0.0, 3.2), rng.uniform(0.0, 1.8)
    error = smooth_field(distance.shape, int(rng.integers(2, 5)), wide, rng)
    error += smooth_field(distance.shape, int(rng.integers(6, 11)), narrow, rng)
    guess = ndimage.gaussian_filter(distance + error, rng.uniform(0.7, 2.5), truncate=2.5)
    guess *= np.float32(rng.uniform(0.7, 1.1))
    return np.asarray(np.clip(guess, -CLIP_MM, CLIP_MM), np.float32)


def scaled(image: FloatArray, guess_mm: FloatArray) -> FloatArray:
    """Scale grey values by the 1st and 99th percentile of what lies within the guess or up to SEEN_MM beyond it."""
    near = image[guess_mm < SEEN_MM]
    return stretched(image, near if near.size > 512 else image, **NORMALIZE)


def _jitter(image: FloatArray, rng: Rng) -> FloatArray:
    """A crop's percentiles are not the brain's: move the scale a little."""
    gain, offset = np.exp(rng.normal(0.0, 0.12)), rng.normal(0.0, 0.05)
    low, high = NORMALIZE["clip"]
    return np.asarray(np.clip(image * np.float32(gain) + np.float32(offset), low, high), np.float32)
