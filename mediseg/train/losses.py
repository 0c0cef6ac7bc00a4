"""Losses by name; each is a function of its weights that returns ``loss(logits, targets)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn

from mediseg.errors import UsageError, did_you_mean
from mediseg.train.loop import Loss
from mediseg.train.settings import take

#: A mask of fewer pixels has no axis to speak of.
_LEAST_PIXELS = 60.0


def bce_dice(*, bce: float = 10.0, dice: float = 1.0, boosters: float = 0.25, axis: float = 0.0) -> Loss:
    """Cross-entropy and 1 - soft Dice with squared denominators, both lowest where the probability is the fraction.

    Logits (N, 1 + b, H, W), targets (N, 1, H, W) in 0..1. Further channels are booster heads, which count ``boosters``.
    ``axis`` is the weight of ``axis_error``: what the ROI is laid by counts beside the border.
    """

    def one(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        found = torch.sigmoid(logits)
        axes = tuple(range(1, logits.ndim))
        common = (found * targets).sum(axes)
        both = (found * found + targets * targets).sum(axes)
        overlap = (1.0 - (2.0 * common + 5.0) / (both + 5.0)).mean()
        border = bce * nn.functional.binary_cross_entropy_with_logits(logits, targets) + dice * overlap
        return border + axis * axis_error(found, targets) if axis else border

    return _with_boosters(one, boosters)


def axis_error(found: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean angle in degrees between the second-moment axes of two maps (N, 1, H, W), plus their distance.

    The distance is that of the centroids, in pixels. Both are Huber's: squared below 1, so that what is good already
    hardly pulls. Pairs of which one is nearly empty do not count. Angles are compared modulo 180 degrees.
    """
    present = (found.sum((1, 2, 3)) > _LEAST_PIXELS) & (targets.sum((1, 2, 3)) > _LEAST_PIXELS)
    if not present.any():
        return found.new_zeros(())
    (centre, double), (true_centre, true_double) = _moments(found[present]), _moments(targets[present])
    cross = double[:, 0] * true_double[:, 1] - double[:, 1] * true_double[:, 0]
    apart = torch.rad2deg(torch.atan2(cross, (double * true_double).sum(1)) / 2)
    away = torch.linalg.vector_norm(centre - true_centre + 1e-6, dim=1)
    return (_huber(apart) + _huber(away)).mean()


def _moments(maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return centroid (N, 2) as x, y, and (cos, sin) of twice the axis's angle, times the moments' difference."""
    rows, columns = maps.shape[2:]
    y = torch.arange(rows, dtype=maps.dtype, device=maps.device)[:, None] - rows / 2
    x = torch.arange(columns, dtype=maps.dtype, device=maps.device)[None] - columns / 2
    weights = maps[:, 0] / maps.sum((1, 2, 3))[:, None, None]

    def mean(values: torch.Tensor) -> torch.Tensor:
        return (weights * values).sum((1, 2))

    centre = torch.stack([mean(x.expand(rows, columns)), mean(y.expand(rows, columns))], 1)
    left, down = x[None] - centre[:, 0, None, None], y[None] - centre[:, 1, None, None]
    return centre, torch.stack([mean(left**2 - down**2), 2 * mean(left * down)], 1)


def _huber(values: torch.Tensor) -> torch.Tensor:
    return nn.functional.smooth_l1_loss(values, torch.zeros_like(values), reduction="none")


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
