"""One method to compare: what computes it, with which arguments, and how it becomes a map."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch.nn.functional as F
from captum.attr import Attribution
from torch import Tensor

Reduction = Literal["signed", "positive", "abs"]
_PARTS: dict[str, Callable[[Tensor], Tensor]] = {
    "signed": lambda attributions: attributions,
    "positive": lambda attributions: attributions.clamp(min=0),
    "abs": lambda attributions: attributions.abs(),
}


@dataclass(frozen=True)
class Method:
    """A method to compare, with its arguments and how its attributions become one map per image.

    Args:
        attribution: An object with Captum's `attribute(inputs, target=..., ...)`, or a function
            of (inputs, target=...). Attributions of a lower resolution than the inputs, as those
            of LayerGradCam, are enlarged bilinearly.
        arguments: Further keyword arguments, or a function that makes them from a batch of
            inputs, for arguments that have one row per image.
        reduce: What is averaged over the stains: "signed" attributions; "positive" ones, which
            speak for the target; or their magnitude, "abs", as is usual for gradients, which
            counts evidence against the target as evidence.
    """

    attribution: Attribution | Callable[..., Tensor]
    arguments: Mapping[str, Any] | Callable[[Tensor], Mapping[str, Any]] = field(
        default_factory=dict
    )
    reduce: Reduction = "signed"

    def __post_init__(self) -> None:
        """Check what can be checked before any method runs."""
        if self.reduce not in _PARTS:
            raise ValueError(f"reduce: expected one of {list(_PARTS)}, got {self.reduce!r}")
        if not callable(getattr(self.attribution, "attribute", self.attribution)):
            raise TypeError(
                "methods: expected objects with attribute(inputs, target=...) or functions, got "
                f"{type(self.attribution).__name__}"
            )

    def maps(self, inputs: Tensor, target: Tensor | None) -> Tensor:
        """Run the method on a batch.

        Args:
            inputs: Images of shape (N, C, H, W).
            target: Classes of shape (N,), or None for a network with a single output.

        Returns:
            Maps of shape (N, 1, H, W).
        """
        arguments = self.arguments(inputs) if callable(self.arguments) else self.arguments
        attribute = getattr(self.attribution, "attribute", self.attribution)
        attributions = attribute(inputs, target=target, **arguments).detach()
        maps = _PARTS[self.reduce](attributions).mean(1, keepdim=True)
        if maps.shape[2:] == inputs.shape[2:]:
            return maps
        return F.interpolate(maps, size=inputs.shape[2:], mode="bilinear", align_corners=False)


def as_method(value: Any) -> Method:
    """Return a method from any of the forms that :func:`compare` takes.

    Raises:
        TypeError: If it is none of them.
    """
    if isinstance(value, Method):
        return value
    if isinstance(value, tuple) and len(value) == 2:
        return Method(*value)
    return Method(value)
