"""Weights that ship, in few bytes: convolutions in 8 bits, all else in half precision."""

from __future__ import annotations

import torch
from torch import Tensor

# A tensor, or the 8-bit integers of a convolution and the scale of each of its output channels.
Packed = dict[str, Tensor | tuple[Tensor, Tensor]]

LEVELS = 127  # each side of zero


def packed(state: dict[str, Tensor]) -> Packed:
    """Rounds the weights of a network for ``torch.save``, nearly all of which are convolutions.

    A weight changes by half a scale at most, 1/254 of the largest of its output channel.

    Args:
        state: the network's ``state_dict()``.

    Returns:
        What ``unpacked`` takes; ``torch.load`` reads it with ``weights_only=True``.
    """
    return {name: _rounded(values) for name, values in state.items()}


def unpacked(state: Packed) -> dict[str, Tensor]:
    """Restores what ``load_state_dict`` takes from what ``packed`` made."""
    return {
        name: values if isinstance(values, Tensor) else values[0] * values[1]
        for name, values in state.items()
    }


def _rounded(values: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    if values.ndim == 4:
        values = values.float()
        scales = values.abs().amax((1, 2, 3), keepdim=True) / LEVELS
        scales = scales.clamp(min=torch.finfo(scales.dtype).tiny)  # a channel may be all zeros
        return (values / scales).round().to(torch.int8), scales
    return values.half() if values.is_floating_point() else values
