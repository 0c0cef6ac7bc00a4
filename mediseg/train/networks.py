"""The 2-D networks by name: each takes (N, 1, H, W) and gives logits (N, classes, H, W) at the same resolution.

``build("unet_small")`` is what a configuration's ``network`` asks for. A new network is a function and a line here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from mediseg.errors import UsageError, did_you_mean
from mediseg.train.bisenetv2 import BiSeNetV2
from mediseg.train.layout import laid_out
from mediseg.train.unet_small import SmallUNet

CALLOSUM_FEATURES = (16, 32, 64, 96, 128, 16)
ATTENTION_WIDTHS = (16, 32, 64, 96, 128)


@dataclass(frozen=True, slots=True)
class Architecture:
    """How to make a network: ``make(widths or None, classes)``; H and W must be multiples of ``multiple``."""

    make: Callable[[Sequence[int] | None, int], nn.Module]
    multiple: int
    summary: str


def build(name: str, widths: Sequence[int] | None = None, classes: int = 1) -> nn.Module:
    """Return a new network with random weights, channels last (a third faster on processors).

    ``widths`` None takes the network's own. Raises UsageError for a name that is not known.
    """
    # torch's stubs do not know memory_format by itself
    return laid_out(architecture(name).make(widths, classes), torch.channels_last)


def architecture(name: str) -> Architecture:
    """Return what is known of a network by its name. Raises UsageError."""
    if name not in NETWORKS:
        raise UsageError(f'there is no network "{name}"{did_you_mean(name, NETWORKS)}')
    return NETWORKS[name]


def _unet(widths: Sequence[int] | None, classes: int) -> nn.Module:
    from monai.networks.nets import BasicUNet  # here, as MONAI takes seconds to load

    network: nn.Module = BasicUNet(2, 1, classes, features=tuple(widths or CALLOSUM_FEATURES), norm="batch")
    return network


def _attention_unet(widths: Sequence[int] | None, classes: int) -> nn.Module:
    """MONAI's, after Oktay et al. 2018: gates weigh each skip by what the coarser level has seen."""
    from monai.networks.nets import AttentionUnet

    channels = tuple(widths or ATTENTION_WIDTHS)
    network: nn.Module = AttentionUnet(2, 1, classes, channels=channels, strides=(2,) * (len(channels) - 1))
    return network


def _unet_small(widths: Sequence[int] | None, classes: int) -> nn.Module:
    return SmallUNet(widths, classes) if widths else SmallUNet(classes=classes)


def _bisenetv2(widths: Sequence[int] | None, classes: int) -> nn.Module:
    """One width: the head's."""
    return BiSeNetV2(1, classes, head_width=widths[0]) if widths else BiSeNetV2(1, classes)


NETWORKS: dict[str, Architecture] = {
    "unet": Architecture(_unet, 16, "U-Net (MONAI BasicUNet), 0.9 M parameters"),
    "attention_unet": Architecture(_attention_unet, 16, "Attention U-Net (MONAI), gated skips"),
    "bisenetv2": Architecture(_bisenetv2, 32, "BiSeNetV2, 3.3 M parameters at the paper's widths"),
    "unet_small": Architecture(_unet_small, 16, "depthwise-separable U-Net for workstations, 0.2 M parameters"),
}
