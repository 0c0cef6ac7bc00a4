"""Draw training pairs as the second look sees a head: level, about its brain, in one size, as bright as its brain is.

A first look tells roughly where the brain lies; the usual brain's outline is laid onto it (``numerics.pose``), and a
box that lies as the outline does is looked at anew. However the head came, the box shows the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from mediseg.numerics.intensity import stretched
from mediseg.numerics.pose import Pose
from mediseg.train.brain_heads import Head
from mediseg.train.brain_outline import pose_of
from mediseg.train.brain_sampling import NORMALIZE, SPACING_MM, FloatArray, Rng, Sampler, cut_view, draw_posed, rotation

#: The box in voxels, and a voxel's width on a usual brain: 168 x 196 x 168 mm about one of 134 x 168 x 140 mm.
SHAPE = (96, 112, 96)
VOXEL_MM = 1.75


@dataclass(frozen=True, slots=True)
class LevelSampler:
    """Callable ``step -> (image, distance_mm)``: level boxes, and every so often a whole head as ``whole`` draws it.

    Distances are as if a voxel were 2 mm wide, which is what the network takes it for.
    """

    whole: Sampler
    level_share: float
    poses: tuple[Pose, ...]

    @classmethod
    def over(cls, whole: Sampler, level_share: float) -> LevelSampler:
        """Find out how every head lies."""
        return cls(whole, level_share, tuple(pose_of(head) for head in whole.heads))

    def __call__(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw the pair of this step."""
        rng = np.random.default_rng((self.whole.seed, step, 1))
        if rng.uniform() >= self.level_share:
            return self.whole(step)
        head = self.whole.draw_head(rng)
        at = next(i for i, each in enumerate(self.whole.heads) if each is head)
        image, distance = draw_level(head, self.poses[at], rng)
        return torch.from_numpy(image[None, None]), torch.from_numpy(distance[None, None])


def draw_level(head: Head, pose: Pose, rng: Rng) -> tuple[FloatArray, FloatArray]:
    """Return the box about a head's brain, and the signed distance in mm, both of SHAPE."""
    turn, shift_mm = jitter(rng)
    matrix = pose.size * VOXEL_MM / SPACING_MM * pose.turn @ turn
    middle = (pose.shift + pose.size * pose.turn @ shift_mm) / head.voxel_mm
    drawn = draw_posed(head, SHAPE, rng, SPACING_MM, (float(middle[0]), float(middle[1]), float(middle[2])), matrix)
    image, distance = cut_view(drawn.image, drawn.distance, rng)
    within = image[distance < rng.normal(0.0, 1.0)]
    low, high, clip = NORMALIZE["low"], NORMALIZE["high"], NORMALIZE["clip"]
    return stretched(image, within, low, high, clip), distance


def jitter(rng: Rng) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return what else the box's axes do (a 3 x 3 matrix) and its middle (mm): a little, one in eight times much."""
    wide = rng.uniform() < 1 / 8
    turn = rotation(np.radians(rng.uniform(-12, 12, 3) if wide else rng.normal(0, 2.5, 3)))
    scale = np.exp(rng.normal(0, 0.08 if wide else 0.03) + rng.normal(0, 0.04, 3))
    shear = np.eye(3) + np.triu(rng.uniform(-0.06, 0.06, (3, 3)), 1)
    flip = np.diag([rng.choice((-1.0, 1.0)), 1.0, 1.0])
    shift_mm = rng.uniform(-8, 8, 3) if wide else rng.normal(0, 2, 3)
    return flip @ turn @ shear @ np.diag(1.0 / scale), shift_mm
