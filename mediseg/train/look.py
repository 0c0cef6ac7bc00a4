"""Judge a network on a few windows, and look at the worst of them: one picture with found and true outlines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mediseg.train.loop import Pair, Validate

Floats = npt.NDArray[np.float32]
Tensors = Callable[[torch.Tensor], torch.Tensor]

WORST = 12
COLUMNS = 4
SIDE = 320  # pixels of a panel
FOUND, TRUE = (60, 60, 255), (80, 220, 80)  # blue, green, red: red is found, green is true


@dataclass(frozen=True, slots=True)
class Reading:
    """What an output and a target say: the probability of the structure at each pixel, (N, 1, ...) in 0..1."""

    output: Tensors
    target: Tensors


@dataclass(frozen=True, slots=True)
class Panel:
    """One window (rows, columns), the two probabilities on it, and its Dice."""

    image: Floats
    found: Floats
    true: Floats
    dice: float


def judge(network: nn.Module, pairs: Sequence[Pair], reading: Reading) -> list[Panel]:
    """Run the network (in eval mode) on every pair; return a panel a window. Volumes are shown by three planes."""
    device = next(network.parameters()).device
    panels = []
    with torch.no_grad():
        for inputs, targets in pairs:
            found = reading.output(network(inputs.to(device)).float()).cpu().numpy()
            for image, one, true in zip(inputs.numpy(), found, reading.target(targets).numpy(), strict=True):
                score = dice(one[0], true[0])
                panels.append(Panel(*(_flat(part[0]) for part in (image, one, true)), dice=score))
    return panels


def dice(found: Floats, true: Floats) -> float:
    """Return the Dice coefficient of two probabilities at one half; 1 where both are empty."""
    one, other = found >= 0.5, true >= 0.5
    total = int(one.sum()) + int(other.sum())
    return 2.0 * int((one & other).sum()) / total if total else 1.0


def validation(pairs: Sequence[Pair], reading: Reading, folder: Path) -> Validate:
    """Return a validation for ``loop.Watch``: mean and worst Dice of the windows, and a picture of the worst ones."""

    def validate(network: nn.Module, step: int) -> dict[str, float]:
        panels = judge(network, pairs, reading)
        scores = [panel.dice for panel in panels]
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"step_{step:07d}.png"
        if not cv2.imwrite(str(path), sheet(panels)):
            raise OSError(f"cannot write {path}")
        return {"score": float(np.mean(scores)), "worst": float(np.min(scores))}

    return validate


def sheet(panels: Sequence[Panel]) -> npt.NDArray[np.uint8]:
    """Return the worst windows as one picture (rows, columns, 3), worst first: found in red over true in green."""
    worst = sorted(panels, key=lambda panel: panel.dice)[:WORST]
    drawn = [_drawn(panel) for panel in worst]
    drawn += [np.zeros_like(drawn[0])] * (-len(drawn) % COLUMNS)
    rows = [np.hstack(drawn[at : at + COLUMNS]) for at in range(0, len(drawn), COLUMNS)]
    picture: npt.NDArray[np.uint8] = np.vstack(rows)
    return picture


def _drawn(panel: Panel) -> npt.NDArray[np.uint8]:
    zoom = SIDE / max(panel.image.shape)
    size = (round(panel.image.shape[1] * zoom), round(panel.image.shape[0] * zoom))
    low, high = np.percentile(panel.image, (1, 99.5))
    grey = np.clip((panel.image - low) / max(float(high - low), 1e-6), 0, 1) * 255
    canvas = np.zeros((SIDE, SIDE, 3), np.uint8)
    canvas[: size[1], : size[0]] = cv2.resize(grey.astype(np.uint8), size, interpolation=cv2.INTER_LINEAR)[..., None]
    for part, colour in ((panel.true, TRUE), (panel.found, FOUND)):
        mask = (cv2.resize(part, size, interpolation=cv2.INTER_LINEAR) >= 0.5).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, colour, 1)
    cv2.putText(
        canvas, f"{panel.dice:.3f}", (6, SIDE - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 220, 255), 1, cv2.LINE_AA
    )
    return canvas


def _flat(part: Floats) -> Floats:
    """Return a slice as it is, and of a volume (x, y, z) its three middle planes side by side, vertex up."""
    if part.ndim == 2:
        return part
    middle = [n // 2 for n in part.shape]
    planes = [part[middle[0]].T[::-1], part[:, middle[1]].T[::-1], part[:, :, middle[2]].T[::-1]]
    tall = max(plane.shape[0] for plane in planes)
    return np.hstack([np.pad(plane, ((0, tall - plane.shape[0]), (0, 0))) for plane in planes]).astype(np.float32)
