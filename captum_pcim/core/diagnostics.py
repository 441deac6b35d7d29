"""What can be told of each map once it is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True)
class Diagnostics:
    """One row per image, on the CPU. Probabilities are those of the target.

    Args:
        full_probability (Tensor): On the image itself, of shape (N,).
        preserved_probability (Tensor): On the blend with the trained weights, averaged over the
            references, of shape (N,).
        removed_probability (Tensor): On the complement, averaged over the references, (N,).
        area (Tensor): Mean weight over all pixels, in [0, 1], of shape (N,).
        leak_ratio (Tensor): `preserved_probability / full_probability`, of shape (N,). Clearly
            above 1, the mask does not show the evidence, it makes it up.
        n_steps (Tensor): Steps taken before the image was finished, of shape (N,), int64.
        n_forwards (Tensor): Forward passes spent on the image, all told, of shape (N,), int64.
        loss_history (Tensor): The objective at each step, of shape (N, n_steps); NaN after the
            image was finished.
        stain_weights (tuple of Tensor or None): Weight of each stain, (N, C) per input, where
            isolation is factorised.
    """

    full_probability: Tensor
    preserved_probability: Tensor
    removed_probability: Tensor
    area: Tensor
    leak_ratio: Tensor
    n_steps: Tensor
    n_forwards: Tensor
    loss_history: Tensor
    stain_weights: tuple[Tensor, ...] | None = None

    @staticmethod
    def concatenate(parts: Sequence["Diagnostics"]) -> "Diagnostics":
        """Join the diagnostics of several chunks of one call."""
        names = [field.name for field in fields(Diagnostics) if field.name != "stain_weights"]
        joined = {name: torch.cat([getattr(part, name) for part in parts]) for name in names}
        stains = [part.stain_weights for part in parts if part.stain_weights is not None]
        stain_weights = tuple(torch.cat(s) for s in zip(*stains, strict=True)) if stains else None
        return Diagnostics(**joined, stain_weights=stain_weights)
