"""A depthwise-separable U-Net for workstations: under a megabyte, a few milliseconds a slice on a processor.

Depthwise convolutions move more memory than they multiply, so nothing is computed at full resolution: a 6 x 6 stem of
stride 2 sees every pixel, and a sub-pixel head gives four logits for each 2 x 2 block. Borders stay as fine as the
image. Skips are added, not joined, and what is coarse is narrowed before it is enlarged: ONNX Runtime then keeps one
blocked layout from the stem to the head.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

WIDTHS = (32, 64, 128, 160)
#: Side of the depthwise kernels at strides 2, 4, 8 and 16; the coarse ones are wide, for sight at little cost.
KERNELS = (3, 3, 5, 5)
DOWN_BLOCKS = (1, 2, 2, 3)
UP_BLOCKS = 2


class Separable(nn.Module):
    """Depthwise, then pointwise convolution, each normalised; the input is added where shapes allow."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels_in, channels_in, kernel, stride, kernel // 2, groups=channels_in, bias=False),
            nn.BatchNorm2d(channels_in),
            nn.Conv2d(channels_in, channels_out, 1, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(),
        )
        self.residual = channels_in == channels_out and stride == 1

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return (N, channels_out, H / stride, W / stride)."""
        changed: torch.Tensor = self.body(features)
        return features + changed if self.residual else changed


class SmallUNet(nn.Module):
    """(N, 1, H, W) to logits (N, classes, H, W); H and W multiples of 16. 0.21 million parameters at these widths.

    ``widths`` are the channels at strides 2, 4, 8 and 16; multiples of 16 suit ONNX Runtime on processors.
    """

    def __init__(self, widths: Sequence[int] = WIDTHS, classes: int = 1) -> None:
        super().__init__()
        if len(widths) != len(KERNELS):
            raise ValueError(f"unet_small has {len(KERNELS)} levels: give {len(KERNELS)} widths, not {len(widths)}")
        first = widths[0]
        self.stem = nn.Sequential(nn.Conv2d(1, first, 6, 2, 2, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.down = nn.ModuleList([_level(first, first, KERNELS[0], DOWN_BLOCKS[0], stride=1)])
        self.narrow, self.up = nn.ModuleList(), nn.ModuleList()
        for level, (fine, coarse) in enumerate(pairwise(widths)):
            self.down.append(_level(fine, coarse, KERNELS[level + 1], DOWN_BLOCKS[level + 1], stride=2))
            self.narrow.append(nn.Sequential(nn.Conv2d(coarse, fine, 1, bias=False), nn.BatchNorm2d(fine)))
            self.up.append(_level(fine, fine, KERNELS[level], UP_BLOCKS, stride=1))
        self.head = nn.Conv2d(first, 4 * classes, 3, padding=1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        features = self.stem(image)
        skips = []
        for block in self.down:
            features = block(features)
            skips.append(features)
        for level in range(len(self.up) - 1, -1, -1):
            enlarged = functional.interpolate(self.narrow[level](features), scale_factor=2.0, mode="nearest")
            features = self.up[level](enlarged + skips[level])
        return functional.pixel_shuffle(self.head(features), 2)


def _level(channels_in: int, channels_out: int, kernel: int, blocks: int, *, stride: int) -> nn.Sequential:
    first = Separable(channels_in, channels_out, kernel, stride)
    return nn.Sequential(first, *(Separable(channels_out, channels_out, kernel) for _ in range(blocks - 1)))
