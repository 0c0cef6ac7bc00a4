"""BiSeNetV2: a wide shallow branch for detail, a narrow deep one for meaning, and layers that let each guide the other.

Written after Yu C. et al., "BiSeNet V2: Bilateral network with guided aggregation for real-time semantic segmentation",
International Journal of Computer Vision 129:3051-3068, 2021 (table 1, figures 3 to 6). The booster heads are used in
training only. Two things are settings here because a callosum is millimetres thick: how many input channels there are,
and whether the head paints each pixel of an 8 x 8 block (``subpixel``) or stretches one value over it, as in the paper.
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

#: Channels of the semantic branch at 1/4, 1/8, 1/16 and 1/32; each is the input of a booster head.
SEMANTIC = (16, 32, 64, 128)
DETAIL = (64, 64, 128)
EXPANSION = 6
BOOSTER_WIDTH = 128
SCALE = 8  # the head's input is an eighth of the image


class BiSeNetV2(nn.Module):
    """(N, C, H, W) to logits (N, classes, H, W); H and W multiples of 32.

    In training mode the answer has 1 + 4 times as many channels: the head's, then those of the boosters at 1/4, 1/8,
    1/16 and 1/32, all brought to the full size. ``head_width`` is 1024 in the paper.
    """

    def __init__(self, channels: int = 1, classes: int = 1, *, head_width: int = 1024, subpixel: bool = True) -> None:
        super().__init__()
        self.detail = DetailBranch(channels)
        self.semantic = SemanticBranch(channels)
        self.aggregation = GuidedAggregation(DETAIL[-1])
        self.head = Head(DETAIL[-1], head_width, classes, subpixel=subpixel)
        self.boosters = nn.ModuleList(
            Booster(width, BOOSTER_WIDTH, classes, scale=4 * 2**level) for level, width in enumerate(SEMANTIC)
        )
        self.apply(_initialise)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits at full size; in training also the boosters'."""
        levels, context = self.semantic(image)
        logits: torch.Tensor = self.head(self.aggregation(self.detail(image), context))
        if not self.training:
            return logits
        return torch.cat([logits, *(booster(level) for booster, level in zip(self.boosters, levels, strict=True))], 1)


class DetailBranch(nn.Sequential):
    """Eight 3 x 3 convolutions down to 1/8: (N, C, H, W) to (N, 128, H/8, W/8)."""

    def __init__(self, channels: int) -> None:
        first, second, third = DETAIL
        super().__init__(
            _conv(channels, first, stride=2),
            _conv(first, first),
            _conv(first, second, stride=2),
            _conv(second, second),
            _conv(second, second),
            _conv(second, third, stride=2),
            _conv(third, third),
            _conv(third, third),
        )


class SemanticBranch(nn.Module):
    """A stem, gather-and-expansion layers down to 1/32 and a context embedding; gives every level and the last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        quarter, eighth, sixteenth, last = SEMANTIC
        self.stem = Stem(channels, quarter)
        self.stages = nn.ModuleList(
            [
                nn.Sequential(GatherExpand(quarter, eighth, stride=2), GatherExpand(eighth, eighth)),
                nn.Sequential(GatherExpand(eighth, sixteenth, stride=2), GatherExpand(sixteenth, sixteenth)),
                nn.Sequential(GatherExpand(sixteenth, last, stride=2), *(GatherExpand(last, last) for _ in range(3))),
            ]
        )
        self.context = ContextEmbedding(last)

    def forward(self, image: torch.Tensor) -> tuple[list[torch.Tensor], torch.Tensor]:
        """Return every level and the embedded last one."""
        levels = [self.stem(image)]
        for stage in self.stages:
            levels.append(stage(levels[-1]))
        return levels, self.context(levels[-1])


class Stem(nn.Module):
    """Two ways to shrink, joined: strided convolutions and a maximum (1/4)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = _conv(channels, width, stride=2)
        self.left = nn.Sequential(_conv(width, width // 2, size=1), _conv(width // 2, width, stride=2))
        self.right = nn.MaxPool2d(3, 2, 1)
        self.join = _conv(2 * width, width)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (N, width, H/4, W/4)."""
        half = self.first(image)
        joined: torch.Tensor = self.join(torch.cat([self.left(half), self.right(half)], 1))
        return joined


class GatherExpand(nn.Module):
    """A 3 x 3 convolution gathers, a depthwise one expands sixfold, a 1 x 1 one projects back; with a shortcut."""

    def __init__(self, inside: int, outside: int, *, stride: int = 1) -> None:
        super().__init__()
        wide = inside * EXPANSION
        if stride == 1:
            expand: list[nn.Module] = [_conv(inside, wide, groups=inside)]
            self.shortcut: nn.Module = nn.Identity()
        else:
            expand = [
                _conv(inside, wide, stride=stride, groups=inside, relu=False),
                _conv(wide, wide, groups=wide),
            ]
            self.shortcut = nn.Sequential(
                _conv(inside, inside, stride=stride, groups=inside, relu=False),
                _conv(inside, outside, size=1, relu=False),
            )
        self.body = nn.Sequential(_conv(inside, inside), *expand, _conv(wide, outside, size=1, relu=False))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return (N, outside, H/stride, W/stride)."""
        return functional.relu(self.body(image) + self.shortcut(image))


class ContextEmbedding(nn.Module):
    """Add what the whole image says (its mean) to every place."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.normalise = nn.BatchNorm2d(width)
        self.embed = _conv(width, width, size=1)
        self.last = _conv(width, width)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return the image's shape."""
        whole = self.embed(self.normalise(image.mean((2, 3), keepdim=True)))
        answer: torch.Tensor = self.last(whole + image)
        return answer


class GuidedAggregation(nn.Module):
    """Each branch weights the other at its own scale; detail (1/8) and semantics (1/32) come out at 1/8."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.detail_keep = nn.Sequential(
            _conv(width, width, groups=width, relu=False), nn.Conv2d(width, width, 1, bias=False)
        )
        self.detail_down = nn.Sequential(
            _conv(width, width, stride=2, relu=False), nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        )
        self.semantic_up = _conv(width, width, relu=False)
        self.semantic_keep = nn.Sequential(
            _conv(width, width, groups=width, relu=False), nn.Conv2d(width, width, 1, bias=False)
        )
        self.join = _conv(width, width, relu=False)

    def forward(self, detail: torch.Tensor, semantic: torch.Tensor) -> torch.Tensor:
        """Return the detail's shape."""
        fine = self.detail_keep(detail) * torch.sigmoid(_stretch(self.semantic_up(semantic), 4))
        coarse = self.detail_down(detail) * torch.sigmoid(self.semantic_keep(semantic))
        joined: torch.Tensor = self.join(fine + _stretch(coarse, 4))
        return joined


class Head(nn.Module):
    """A 3 x 3 convolution, a 1 x 1 one, and from 1/8 up to the full size."""

    def __init__(self, inside: int, width: int, classes: int, *, subpixel: bool) -> None:
        super().__init__()
        self.body = _conv(inside, width)
        self.drop = nn.Dropout(0.1)
        self.last = nn.Conv2d(width, classes * SCALE**2 if subpixel else classes, 1)
        self.subpixel = subpixel

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits at full size."""
        answer = self.last(self.drop(self.body(image)))
        return functional.pixel_shuffle(answer, SCALE) if self.subpixel else _stretch(answer, SCALE)


class Booster(nn.Sequential):
    """A head that is thrown away after training: twice the size, scale^2 channels, and up to the full size."""

    def __init__(self, inside: int, width: int, classes: int, *, scale: int) -> None:
        super().__init__(
            _conv(inside, width),
            nn.Dropout(0.1),
            nn.Upsample(scale_factor=2, mode="nearest"),
            _conv(width, scale**2),
            nn.Conv2d(scale**2, classes, 1),
            nn.Upsample(scale_factor=scale // 2, mode="bilinear", align_corners=False),
        )


def _conv(
    inside: int, outside: int, *, size: int = 3, stride: int = 1, groups: int = 1, relu: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inside, outside, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outside),
    ]
    return nn.Sequential(*layers, *([nn.ReLU()] if relu else []))


def _stretch(image: torch.Tensor, scale: int) -> torch.Tensor:
    return functional.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
