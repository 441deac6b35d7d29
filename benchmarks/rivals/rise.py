r"""RISE, the smallest faithful form (Petsiuk, Das, Saenko, BMVC 2018, arXiv 1806.07421).

.. math:: S_{x,f}(\lambda) = \frac{1}{E[M] \, N} \sum_{i=1}^N f(x \odot M_i) \, M_i(\lambda)

with the probability f of the class and masks :math:`M_i` drawn as in section 3.2 of the paper: a
coarse binary grid, each cell 1 with probability p, enlarged bilinearly by one cell more than the
image needs and cropped at a random offset. The paper masks standardised images, for which zero is
the mean colour; here what is masked takes the value of a reference image.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from captum_pcim.core.blending import blend


@torch.no_grad()
def rise(
    forward_func: Callable[[Tensor], Tensor],
    inputs: Tensor,
    target: Tensor,
    baselines: Tensor | float = 0.0,
    n_masks: int = 1000,
    grid: int = 7,
    keep: float = 0.5,
    rows: int = 128,
    seed: int = 0,
) -> Tensor:
    """Attribute by the scores of randomly masked images.

    Args:
        forward_func: Returns logits (N, K).
        inputs: Images (N, C, H, W).
        target: Classes (N,).
        baselines: What is masked becomes this; broadcasts to the inputs.
        n_masks: N in the formula, 4000 to 8000 in the paper for 224 x 224 pixels.
        grid: Cells along a side of a mask, 7 in the paper.
        keep: p, 0.5 in the paper.
        rows: Masked images that the network sees at once.
        seed: Of the masks, which are the same for all images.

    Returns:
        Maps (N, 1, H, W).
    """
    generator = torch.Generator().manual_seed(seed)
    masks = draw_masks(n_masks, inputs.shape[2:], grid, keep, generator).to(inputs)
    maps = torch.zeros_like(inputs[:, :1])
    references = torch.as_tensor(baselines).to(inputs).expand_as(inputs)
    for i, (image, reference) in enumerate(zip(inputs, references, strict=True)):
        for chunk in masks.split(rows):
            masked = blend(image, reference, chunk)
            scores = forward_func(masked).softmax(1)[:, target[i]]
            maps[i] += (scores.view(-1, 1, 1, 1) * chunk).sum(0)
    return maps / (masks.mean() * n_masks)


def draw_masks(
    n: int, size: torch.Size | tuple[int, int], grid: int, keep: float, generator: torch.Generator
) -> Tensor:
    """Draw smooth random masks.

    Args:
        n: How many.
        size: Height and width.
        grid: Cells along each side.
        keep: Probability that a cell is 1.
        generator: Draws cells and offsets.

    Returns:
        Masks (n, 1, H, W) in [0, 1].
    """
    height, width = size
    cell = math.ceil(height / grid), math.ceil(width / grid)
    cells = (torch.rand(n, 1, grid, grid, generator=generator) < keep).float()
    enlarged_size = ((grid + 1) * cell[0], (grid + 1) * cell[1])
    enlarged = F.interpolate(cells, enlarged_size, mode="bilinear", align_corners=False)
    tops = torch.randint(cell[0], (n,), generator=generator).tolist()
    lefts = torch.randint(cell[1], (n,), generator=generator).tolist()
    crops = zip(enlarged, tops, lefts, strict=True)
    return torch.stack([mask[:, y : y + height, x : x + width] for mask, y, x in crops])
