"""Weights that ship, in few bytes: convolutions in 8 bits, all else in half precision.

Numbers of one kind lie in one tensor, in the order of the network's ``state_dict()``, whose names
and shapes the network knows itself.
"""

from __future__ import annotations

import torch
from torch import Tensor

Packed = dict[str, Tensor]
State = dict[str, Tensor]

LEVELS = 127  # each side of zero


def packed(state: State) -> Packed:
    """Rounds the weights of a network for ``torch.save``, nearly all of which are convolutions.

    A weight changes by half a scale at most, 1/254 of the largest of its output channel. Counts of
    batches, which only training reads, are left out.

    Args:
        state: the network's ``state_dict()``.

    Returns:
        What ``unpacked`` takes: the 8-bit ``integers`` of the convolutions, the ``scales`` of their
        output channels, and the ``rest`` of the numbers. ``torch.load`` reads it with
        ``weights_only=True``.
    """
    rounded = [_rounded(values.float()) for values in state.values() if values.ndim == 4]
    rest = [v.half() for v in state.values() if v.ndim != 4 and v.is_floating_point()]
    integers, scales = zip(*rounded, strict=True)
    return {"integers": _joined(integers), "scales": _joined(scales), "rest": _joined(rest)}


def unpacked(numbers: Packed, state: State) -> State:
    """Restores what ``load_state_dict`` takes from what ``packed`` made.

    Args:
        numbers: what ``packed`` made.
        state: the ``state_dict()`` of a network of the same architecture, for names and shapes.
    """
    at = dict.fromkeys(numbers, 0)

    def taken(kind: str, n: int) -> Tensor:
        at[kind] += n
        return numbers[kind][at[kind] - n : at[kind]]

    restored = dict(state)
    for name, values in state.items():
        if values.ndim == 4:
            scales = taken("scales", len(values)).view(-1, 1, 1, 1)
            restored[name] = taken("integers", values.numel()).view_as(values) * scales
        elif values.is_floating_point():
            restored[name] = taken("rest", values.numel()).view_as(values)
    return restored


def _rounded(values: Tensor) -> tuple[Tensor, Tensor]:
    scales = values.abs().amax((1, 2, 3), keepdim=True) / LEVELS
    scales = scales.clamp(min=torch.finfo(scales.dtype).tiny)  # a channel may be all zeros
    return (values / scales).round().to(torch.int8), scales


def _joined(parts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return torch.cat([part.flatten() for part in parts])
