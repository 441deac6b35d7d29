"""The grid of wells: does a map tell images of different classes apart?

Needs no masks. Four images, one of the target's class and three of others, stand in a 2 x 2 grid
that the network sees as one image; a map for the class belongs into its cell. Source: the grid
pointing game of Boehle, Fritz, Schiele (CVPR 2021, arXiv 2104.00032). The network must take images
of twice the side, as those with global pooling do.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from captum_pcim.metrics.localisation import relevance_mass_accuracy


@dataclass(frozen=True)
class ImageGrids:
    """2 x 2 grids of images.

    Attributes:
        inputs: Grids of shape (M, C, 2 H, 2 W).
        target: The class that each map is made for, shape (M,).
        cells: Where the image of that class stands, bool of shape (M, 1, 2 H, 2 W).
    """

    inputs: Tensor
    target: Tensor
    cells: Tensor


def image_grids(inputs: Tensor, target: Tensor, others: Tensor, seed: int = 0) -> ImageGrids:
    """Put each image into a grid with three others, in a random cell.

    Args:
        inputs: Images of shape (N, C, H, W) whose class is looked for.
        target: Their classes, shape (N,).
        others: For each image three of other classes, shape (N, 3, C, H, W).
        seed: Of the cells.

    Returns:
        One grid per image.

    Raises:
        ValueError: If `others` are not three per image, of the same size.

    Examples:
        >>> # Of each image three of other classes, (N, 3, C, H, W)
        >>> grids = image_grids(inputs, labels, others)
        >>> maps = PCIM(model).attribute(grids.inputs, target=grids.target)
        >>> grid_pointing_game(maps, grids)
    """
    if others.shape != (len(inputs), 3, *inputs.shape[1:]):
        raise ValueError(
            f"others: expected three images per input, {(len(inputs), 3, *inputs.shape[1:])}, got "
            f"{tuple(others.shape)}"
        )
    generator = torch.Generator().manual_seed(seed)
    places = torch.randint(4, (len(inputs),), generator=generator).to(inputs.device)
    # The image and the others in their order, turned until the image comes to its place.
    order = (torch.arange(4, device=inputs.device) - places[:, None]) % 4
    rows = torch.arange(len(inputs), device=inputs.device)[:, None]
    dealt = torch.cat([inputs[:, None], others], 1)[rows, order]
    shown = (order == 0)[:, :, None, None, None].expand(-1, -1, 1, *inputs.shape[2:])
    return ImageGrids(_tiled(dealt), target, _tiled(shown))


def grid_pointing_game(attributions: Tensor, grids: ImageGrids) -> Tensor:
    """Share of the positive relevance that lies in the cell of the target's image.

    Range [0, 1], **higher is better**, chance 1/4.

    Args:
        attributions: Attributions of the grids for their targets, shape (M, C, 2 H, 2 W).
        grids: From :func:`image_grids`.

    Returns:
        Shares of shape (M,).
    """
    return relevance_mass_accuracy(attributions, grids.cells)


def _tiled(four: Tensor) -> Tensor:
    """(M, 4, C, H, W) to (M, C, 2 H, 2 W), row by row."""
    upper, lower = (torch.cat([*pair.unbind(1)], 3) for pair in four.chunk(2, 1))
    return torch.cat([upper, lower], 2)
