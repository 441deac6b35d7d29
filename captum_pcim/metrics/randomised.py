"""Networks that have learned nothing: what a map of one shows, the image alone has put there."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from captum_pcim.core.random_state import own_random_state


class EquallyConfident(nn.Module):
    r"""A network with weights drawn anew that is as sure of its classes as the trained one.

    Its scores are s (g(x) - mean g(b)), with the randomised network g, references b and the factor
    s that makes the median log-odds of the predicted class those of the trained network. Without
    it a randomised network sees all images alike, and methods that ask for a class find nothing,
    for whatever reason: then a difference between maps says little.

    Args:
        model: The trained network; it returns logits of shape (N, K), K > 1. It is copied.
        inputs: Images of shape (N, C, H, W) that confidence is measured on.
        baselines: Their references, of the same shape, which show no class.
        seed: Of the weights; the global random state is restored.

    Raises:
        ValueError: If the model has no parameters.
    """

    def __init__(self, model: nn.Module, inputs: Tensor, baselines: Tensor, seed: int = 0) -> None:
        """Draw the weights and measure."""
        super().__init__()
        *_, (_, self.network) = randomised_models(model, seed)
        with torch.no_grad():
            centre = self.network(baselines).mean(0)
            own = _margins(self.network(inputs) - centre).median()
            factor = _margins(model(inputs)).median() / own
        self.register_buffer("centre", centre)
        self.register_buffer("factor", factor)
        self.train(model.training)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (N, K) of images (N, C, H, W)."""
        logits: Tensor = self.factor * (self.network(inputs) - self.centre)
        return logits


def randomised_models(model: nn.Module, seed: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Re-initialise the layers of a copy of the model, from the first to the last.

    A layer is a module with parameters of its own. It is re-initialised by its `reset_parameters`;
    where it has none, the entries of each parameter are shuffled. The order is that in which the
    model registered its layers.

    Args:
        model: Model to copy.
        seed: Seed of the new parameters; the global random state is restored after each layer.

    Yields:
        The layer's name and the copy, in which this layer and all before it are random. It is one
        copy that changes as the loop goes on.

    Raises:
        TypeError: if it is no module, whose layers could be told apart.
        ValueError: if the model has no parameters.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model: expected a module, got {type(model).__name__}")
    randomised = copy.deepcopy(model)
    layers = [
        (name, module)
        for name, module in randomised.named_modules()
        if any(True for _ in module.parameters(recurse=False))
    ]
    if not layers:
        raise ValueError("model: expected parameters to randomise, got none")
    for index, (name, module) in enumerate(layers):
        # Seeded anew for each layer: what is drawn between two layers must not matter.
        with own_random_state(seed + 1 + index):
            _reset(module)
        yield name, randomised


@torch.no_grad()
def _reset(module: nn.Module) -> None:
    reset_parameters = getattr(module, "reset_parameters", None)
    if callable(reset_parameters):
        reset_parameters()
        return
    for parameter in module.parameters(recurse=False):
        shuffle = torch.randperm(parameter.numel(), device=parameter.device)
        parameter.copy_(parameter.flatten()[shuffle].view_as(parameter))


def _margins(logits: Tensor) -> Tensor:
    """How far the predicted class is above the next one, which scales with the logits."""
    first, second = logits.topk(2, dim=1).values.unbind(1)
    return first - second
