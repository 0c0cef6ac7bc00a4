"""Losses by name; each is a function of its weights that returns ``loss(logits, targets)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from mediseg.errors import UsageError, did_you_mean
from mediseg.train.loop import Loss
from mediseg.train.settings import take


def bce_dice(*, bce: float = 10.0, dice: float = 1.0, boosters: float = 0.25) -> Loss:
    """Cross-entropy and 1 - soft Dice with squared denominators, both lowest where the probability is the fraction.

    Logits (N, 1 + b, H, W), targets (N, 1, H, W) in 0..1. Further channels are booster heads, which count ``boosters``.
    """

    def one(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        found = torch.sigmoid(logits)
        axes = tuple(range(1, logits.ndim))
        common = (found * targets).sum(axes)
        both = (found * found + targets * targets).sum(axes)
        overlap = (1.0 - (2.0 * common + 5.0) / (both + 5.0)).mean()
        return bce * nn.functional.binary_cross_entropy_with_logits(logits, targets) + dice * overlap

    return _with_boosters(one, boosters)


def focal(*, gamma: float = 2.0, boosters: float = 0.25) -> Loss:
    """Cross-entropy weighted by how far the probability is off (Lin et al. 2017), for soft targets."""

    def one(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        off = (torch.sigmoid(logits) - targets).abs()
        return (off**gamma * nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")).mean()

    return _with_boosters(one, boosters)


def _with_boosters(one: Loss, weight: float) -> Loss:
    """Return the loss of the first channel, and ``weight`` times that of every further one."""

    def loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        total = one(logits[:, :1], targets)
        for booster in range(1, logits.shape[1]):
            total = total + weight * one(logits[:, booster : booster + 1], targets)
        return total

    return loss


LOSSES: dict[str, Callable[..., Loss]] = {"bce_dice": bce_dice, "focal": focal}


def build_loss(name: str, settings: Mapping[str, object]) -> Loss:
    """Return a loss by its name. Raises UsageError for a name or a setting that is not known."""
    if name not in LOSSES:
        raise UsageError(f'there is no loss "{name}"{did_you_mean(name, LOSSES)}')
    return LOSSES[name](**take(LOSSES[name], settings, f"loss {name}"))
