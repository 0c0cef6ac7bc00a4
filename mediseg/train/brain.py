"""Brain extraction: a network that tells how far each voxel of a whole head lies from the brain's border.

It works on a 2 mm grid, RAS, in two parts: a coarse one finds the brain in the whole head at 4 mm, cheaply, so that it
can see many heads; a fine one moves the border. Features are half as fine as the image, yet nothing is lost: eight
neighbouring voxels enter as eight channels and leave as eight distances. A signed distance rather than a mask: it is
smooth, so it can be interpolated to the head's own grid and the border comes out finer than the grid it was found on.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from mediseg.train.brain_level import SHAPE as LEVEL_SHAPE
from mediseg.train.brain_level import VOXEL_MM as LEVEL_VOXEL_MM
from mediseg.train.brain_outline import outline
from mediseg.train.brain_sampling import NORMALIZE, SPACING_MM

CLIP_MM = 8.0
PAD_MULTIPLE = 16
#: Channels of the coarse part at 8, 16 and 32 mm, and of the refinement at 4 mm.
FEATURES = (32, 64, 96)
FINE_FEATURES = 32

RUNTIME = {
    "name": "brain-unet",
    "kind": "brain",
    "licence": "research use; see data licences in docs/README.md",
    "input": {
        "name": "image",
        "dims": 3,
        "spacing_mm": SPACING_MM,
        "orientation": "RAS",
        "pad_multiple": PAD_MULTIPLE,
        "pad": "zeros at the ends, after normalize",
        "resample": "Gaussian blur of axes finer than 2 mm (sigma 0.425 sqrt(2^2 - step^2) mm), then linear; 0 beyond",
        "normalize": {"kind": "percentiles", **NORMALIZE},
        "level": {
            "use": "a second look: lay outline_mm (mm to right, anterior, superior) onto the border found first, by a "
            "similarity; sample a box that lies and is sized as the outline does, voxels voxel_mm times its size wide; "
            "percentiles are those of the brain found first; distances come out as if a voxel were spacing_mm wide",
            "shape": list(LEVEL_SHAPE),
            "voxel_mm": LEVEL_VOXEL_MM,
            "normalize": {"kind": "percentiles of the brain", **NORMALIZE},
            "outline_mm": outline().tolist(),
        },
    },
    "output": {
        "name": "distance_mm",
        "kind": "signed_distance",
        "inside": "negative",
        "clip_mm": CLIP_MM,
        "use": "resample linearly to the image's own grid, then below 0, largest part, holes filled",
    },
}
COARSE_RUNTIME = {
    **RUNTIME,
    "name": "brain-unet-coarse",
    "kind": "brain-coarse",
    "input": {
        "name": "image",
        "dims": 3,
        "spacing_mm": 2 * SPACING_MM,
        "orientation": "RAS",
        "pad_multiple": PAD_MULTIPLE // 2,
        "pad": "zeros at the ends, after normalize",
        "resample": "to 2 mm as the whole network says, then the mean of 2 x 2 x 2",
        "normalize": {"kind": "percentiles", **NORMALIZE},
    },
}
METADATA = {
    "version": "0.1.0",
    "changelog": {"0.1.0": "first version"},
    "task": "Brain extraction from a whole head of any MR contrast",
    "description": "A 3-D U-Net (1.2 M parameters, 2 mm) that gives the signed distance to the brain's border",
    "authors": "mediseg",
    "copyright": "The mediseg authors",
    "intended_use": "Research. Not a medical device; not for diagnosis. Heads of adults, any MR contrast",
    "data_source": "Painted label maps (BBillot/SynthSeg) and T1 and FLAIR scans of elders (CBICA/NiChart_Project)",
    "data_type": "label maps at 1 mm; scans with DLMUSE masks at 2 mm",
    "references": [
        "Billot B. et al. SynthSeg: Segmentation of brain MRI scans of any contrast and resolution without retraining. "
        "Med Image Anal 86:102789, 2023",
        "Hoopes A. et al. SynthStrip: skull-stripping for any brain image. NeuroImage 260:119474, 2022",
    ],
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image",
                "format": "magnitude",
                "modality": "MR",
                "num_channels": 1,
                "spatial_shape": ["16*n", "16*n", "16*n"],
                "dtype": "float32",
                "value_range": list(NORMALIZE["clip"]),
                "is_patch_data": False,
                "channel_def": {"0": "head, 2 mm, RAS"},
            }
        },
        "outputs": {
            "distance_mm": {
                "type": "distance",
                "format": "signed distance in mm",
                "num_channels": 1,
                "spatial_shape": ["16*n", "16*n", "16*n"],
                "dtype": "float32",
                "value_range": [-CLIP_MM, CLIP_MM],
                "is_patch_data": False,
                "channel_def": {"0": "distance to the border of the brain with its CSF, negative inside"},
            }
        },
    },
}


class FoldedUNet(nn.Module):
    """U-Net on folded voxels (``fold``): ``folded`` channels in, ``levels`` of features, eight channels out.

    The last convolution sees the folded voxels beside the finest features. Sizes must be multiples of 2 to the number
    of levels, in voxels.
    """

    def __init__(self, folded: int, levels: tuple[int, ...], norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.down = nn.ModuleList([block(folded, levels[0], norm)])
        self.up = nn.ModuleList()
        self.merge = nn.ModuleList()
        for fine, coarse in pairwise(levels):
            self.down.append(block(fine, coarse, norm))
            self.up.append(nn.ConvTranspose3d(coarse, fine, 2, stride=2))
            self.merge.append(block(fine, fine, norm))
        self.head = nn.Conv3d(levels[0] + folded, 8, 3, padding=1)

    def read(self, folded: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what the head says of each voxel (N, 1, X, Y, Z), and the finest features it was read from."""
        level = folded
        skips = []
        for depth, part in enumerate(self.down):
            level = part(functional.max_pool3d(level, 2) if depth else level)
            skips.append(level)
        for depth in range(len(self.up) - 1, -1, -1):
            level = self.merge[depth](self.up[depth](level) + skips[depth])
        return unfold(self.head(torch.cat([level, folded], dim=1)).float()), level


class CoarseNet(FoldedUNet):
    """U-Net of features at 8, 16 and 32 mm on a 4 mm image of the whole field of view: it finds the brain.

    Input: float32 (N, 1, x, y, z), sizes multiples of 8. Output: the signed distance in mm, same shape.
    """

    def __init__(self, features: tuple[int, ...] = FEATURES) -> None:
        super().__init__(8, features, _group_norm)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the signed distance in mm."""
        return self.find(image)[0]

    def find(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the signed distance in mm and the features at 8 mm it was read from."""
        said, features = self.read(fold(image))
        return CLIP_MM * said, features


class BrainNet(nn.Module):
    """A ``CoarseNet`` on the 2 mm image averaged to 4 mm, then a refinement of its border with features at 4 mm.

    Input: float32 (N, 1, X, Y, Z), X, Y, Z multiples of 16. Output: the signed distance in mm, same shape, negative
    inside; it is not clipped while training, so that the gradient never dies, and clipped at +-8 mm otherwise. The
    coarse part is trained by itself, beforehand, and stays as it is.
    """

    def __init__(self, coarse: CoarseNet | None = None) -> None:
        super().__init__()
        self.coarse = (coarse or CoarseNet()).requires_grad_(requires_grad=False)
        self.context = nn.ConvTranspose3d(FEATURES[0], FINE_FEATURES - 9, 2, stride=2)
        self.refine = nn.Sequential(
            block(FINE_FEATURES, FINE_FEATURES, _voxel_norm), block(FINE_FEATURES, FINE_FEATURES, _voxel_norm)
        )
        self.head = nn.Conv3d(FINE_FEATURES + 8, 8, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the signed distance in mm; see the class."""
        with torch.no_grad():
            rough, features = self.coarse.find(functional.avg_pool3d(image, 2))
        distance = self.refined(image, rough, features)
        return distance if self.training else distance.clamp(-CLIP_MM, CLIP_MM)

    def refined(self, image: torch.Tensor, rough: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Return the distance in mm at 2 mm, from the image, and distance and features of the coarse part."""
        folded = fold(image)
        guess = rough.clamp(-10.0, 10.0) / CLIP_MM
        level = self.refine(torch.cat([folded, guess, self.context(features)], dim=1))
        change = unfold(self.head(torch.cat([level, folded], dim=1)).float())
        smooth = functional.interpolate(guess.float(), scale_factor=2.0, mode="trilinear", align_corners=False)
        return CLIP_MM * (smooth + change)


class JointNet(BrainNet):
    """A ``BrainNet`` whose coarse part goes on learning; the weights are a ``BrainNet``'s.

    While training it returns both distances in mm: (N, 2, X, Y, Z), the coarse part's, interpolated, second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(requires_grad=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the signed distance in mm, or both; see the class."""
        rough, features = self.coarse.find(functional.avg_pool3d(image, 2))
        if not self.training:
            return self.refined(image, rough, features).clamp(-CLIP_MM, CLIP_MM)
        # the refinement learns from what the coarse part found, and does not teach it to be easily refined
        distance = self.refined(image, rough.detach(), features)
        smooth = functional.interpolate(rough, scale_factor=2.0, mode="trilinear", align_corners=False)
        return torch.cat([distance, smooth], dim=1)


def fold(image: torch.Tensor) -> torch.Tensor:
    """Turn (N, 1, X, Y, Z) into (N, 8, X/2, Y/2, Z/2): each 2x2x2 block of voxels becomes eight channels."""
    parts = [image[:, :, i::2, j::2, k::2] for i, j, k in product((0, 1), repeat=3)]
    return torch.cat(parts, dim=1)


def unfold(channels: torch.Tensor) -> torch.Tensor:
    """Undo ``fold``: (N, 8, x, y, z) becomes (N, 1, 2x, 2y, 2z)."""
    n, _, x, y, z = channels.shape
    parts = channels.reshape(n, 2, 2, 2, x, y, z).permute(0, 4, 1, 5, 2, 6, 3)
    return parts.reshape(n, 1, 2 * x, 2 * y, 2 * z)


class VoxelNorm(nn.LayerNorm):
    """Normalise the channels of each voxel by themselves: (N, C, X, Y, Z) to the same.

    Unlike group normalisation it does not look at the rest of the image, so that a crop trains it as well as a whole.
    """

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Normalise; cheap where memory is channels last."""
        last = super().forward(features.permute(0, 2, 3, 4, 1))
        return last.permute(0, 4, 1, 2, 3)


def _voxel_norm(channels: int) -> nn.Module:
    return VoxelNorm(channels, eps=1e-3)


def _group_norm(channels: int) -> nn.Module:
    """Groups of eight channels are normalised together over the image, so that a small batch is as good as any."""
    return nn.GroupNorm(channels // 8, channels)


def block(channels_in: int, channels_out: int, norm: Callable[[int], nn.Module]) -> nn.Sequential:
    """Return two convolutions, each normalised; their bias tells air from tissue where single voxels are normalised."""
    layers: list[nn.Module] = []
    for source in (channels_in, channels_out):
        layers += [nn.Conv3d(source, channels_out, 3, padding=1), norm(channels_out), nn.LeakyReLU(0.1)]
    return nn.Sequential(*layers)


def distance_loss(found_mm: torch.Tensor, wanted_mm: torch.Tensor) -> torch.Tensor:
    """Return smooth L1 of the distances, heaviest at the border, plus 1 - soft Dice of what the distances enclose.

    Both arguments are (N, 1, X, Y, Z) in mm; ``wanted_mm`` is clipped here at +-8 mm. A voxel's share of brain is
    taken as the sigmoid of its distance in mm, in the truth as well: there is no hard mask anywhere.
    """
    wanted = wanted_mm.clamp(-CLIP_MM, CLIP_MM)
    weight = 0.5 + 3.0 * torch.exp(-((wanted / 3.0) ** 2))
    gap = functional.smooth_l1_loss(found_mm, wanted, reduction="none", beta=0.5)
    absolute = (weight * gap).sum() / weight.sum()
    share, truth = torch.sigmoid(-found_mm), torch.sigmoid(-wanted)
    overlap = 2.0 * (share * truth).sum() + 100.0
    dice = overlap / ((share**2).sum() + (truth**2).sum() + 100.0)
    return 0.5 * absolute + (1.0 - dice)


def joint_loss(found_mm: torch.Tensor, wanted_mm: torch.Tensor) -> torch.Tensor:
    """Return the loss of both of ``JointNet``'s distances; the coarse part's counts a third."""
    return distance_loss(found_mm[:, :1], wanted_mm) + 0.33 * distance_loss(found_mm[:, 1:], wanted_mm)


def graft(checkpoint: Path, coarse: CoarseNet) -> None:
    """Put the coarse part into a checkpoint of the whole network, if there is one: it may have gone on meanwhile."""
    if not checkpoint.is_file():
        return
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    for weights in (state["model"], state["ema"]):
        weights.update({f"coarse.{name}": value for name, value in coarse.state_dict().items()})
    partial = checkpoint.with_suffix(".tmp")
    torch.save(state, partial)
    partial.replace(checkpoint)
