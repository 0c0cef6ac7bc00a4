"""Begin with what was trained before."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from mediseg.errors import UsageError

N = TypeVar("N", bound=nn.Module)


def started(make: Callable[[], N], checkpoints: Sequence[str]) -> N:
    """Return a new network, with the mean of the checkpoints' averaged weights if there are any.

    Raises UsageError for a checkpoint that is missing or of another network.
    """
    network = make()
    if not checkpoints:
        return network
    states = [weights(Path(one)) for one in checkpoints]
    try:
        network.load_state_dict(mean(states))
    except (RuntimeError, KeyError) as error:
        raise UsageError(f"{checkpoints[0]} holds another network than the configuration names") from error
    return network


def weights(checkpoint: Path) -> Mapping[str, torch.Tensor]:
    """Return the averaged weights of a checkpoint. Raises UsageError."""
    if not checkpoint.is_file():
        raise UsageError(f"there is no checkpoint {checkpoint}: train first, with mediseg train")
    state: Mapping[str, torch.Tensor] = torch.load(checkpoint, map_location="cpu", weights_only=True)["ema"]
    return state


def mean(states: Sequence[Mapping[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """Return the mean of several states of one network; counters are the first's."""
    first = states[0]
    return {
        name: torch.stack([state[name] for state in states]).mean(dim=0) if value.is_floating_point() else value
        for name, value in first.items()
    }
