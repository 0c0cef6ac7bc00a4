"""How a network's weights lie in memory: channels last is what a processor multiplies quickest."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

_Network = TypeVar("_Network", bound=nn.Module)


def laid_out(network: _Network, layout: torch.memory_format) -> _Network:
    """Return the same network with its weights in a memory format."""
    return network.to(memory_format=layout)  # type: ignore[call-overload,no-any-return]  # torch's stub leaves it out
