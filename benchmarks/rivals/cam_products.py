r"""Class activation maps of all stages, multiplied: sharp where a single one is coarse.

.. math:: S = \prod_s up(norm(relu(L_s))), \quad
          L_s = \sum_k \frac{\partial y_c}{\partial A^s_k} \odot A^s_k

with the activations A of stage s and the target's score y. The terms of the sum are those of
HiResCAM (Draelos and Carin 2020, arXiv 2011.08891); with the gradients averaged over the image
first they are those of Grad-CAM (Selvaraju et al. 2017). That maps of several layers are combined
into a finer one is the idea of RefineCAM (Domeniconi et al. 2026, arXiv 2605.14641), whose abstract
we follow. Stages are found by resolution: the last activation of each size that the network passes
through. One pass forward and back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def hirescam_product(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    """Multiply HiResCAM of all stages; maps (N, 1, H, W) of images (N, C, H, W)."""
    maps = [gradient * features for features, gradient in _stages(model, inputs, target)]
    return _product(maps, inputs)


def grad_cam_product(model: nn.Module, inputs: Tensor, target: Tensor) -> Tensor:
    """Multiply Grad-CAM of all stages; maps (N, 1, H, W) of images (N, C, H, W)."""
    found = _stages(model, inputs, target)
    maps = [gradient.mean((2, 3), keepdim=True) * features for features, gradient in found]
    return _product(maps, inputs)


def _stages(model: nn.Module, inputs: Tensor, target: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The last activation of each resolution and the gradient of the target's score there."""
    with torch.enable_grad(), _last_of_each_size(model) as activations:
        scores = model(inputs.detach().requires_grad_())
        own = scores.gather(1, target[:, None]).sum()
        features = list(activations.values())
        gradients = torch.autograd.grad(own, features)
    return [(a.detach(), g) for a, g in zip(features, gradients, strict=True)]


@contextmanager
def _last_of_each_size(model: nn.Module) -> Iterator[dict[torch.Size, Tensor]]:
    found: dict[torch.Size, Tensor] = {}

    def note(_module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2:].numel() > 1:
            found[output.shape[2:]] = output

    handles = [module.register_forward_hook(note) for module in model.modules()]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _product(terms: list[Tensor], inputs: Tensor) -> Tensor:
    product = torch.ones_like(inputs[:, :1])
    for term in terms:
        stage = term.sum(1, keepdim=True).relu()
        stage = stage / stage.amax((2, 3), keepdim=True).clamp(min=1e-12)
        size = inputs.shape[2:]
        product = product * F.interpolate(stage, size, mode="bilinear", align_corners=False)
    return product
