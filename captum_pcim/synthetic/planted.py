"""A network whose weights are set by hand, so that its evidence is known pixel by pixel.

Images made for a network do not say what the network uses (Zhang et al., *AttributionLab*,
arXiv 2310.06514); here the weights do. The network matches one fixed pattern per class in one fixed
stain and averages its best matches, so a logit depends on the pixels of those matches and on
nothing else: not on the other stains, not on the rest of the image.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Positions = NDArray[np.int64]  # (row, column) pairs
Rows = tuple[str, ...]  # of a pattern, # where it is bright

_PLUS: Rows = ("..#..", "..#..", "#####", "..#..", "..#..")
_RING: Rows = ("#####", "#...#", "#...#", "#...#", "#####")
_PATTERNS = (_PLUS, _RING)  # of classes 1 and 2, in stains 0 and 1
_TILE = 8  # pixels; each tile holds at most one pattern, wholly inside
_MATCHES = 3  # patterns in every positive image, and matches that a logit averages
_BACKGROUND = 0.1  # pixels outside patterns lie in [0, _BACKGROUND]
_BRIGHT = (0.9, 1.0)  # and those of patterns in this range


class PlantedNetwork(nn.Module):
    """Fixed filters, the best matches averaged, no training; three classes, three stains.

    ==========  ===========================  =====
    class       evidence                     stain
    ==========  ===========================  =====
    0 *none*    no pattern of its own        any
    1 *plus*    three plus signs, 5 pixels   0
    2 *ring*    three rings, 5 pixels        1
    ==========  ===========================  =====

    The logit of a pattern's class is ``scale * (m - 0.75)``, where m is the mean of its three best
    matches, a match being the mean brightness of the pattern's pixels at one position. The logit
    of class 0 is 0. Stain 2 has no weight at all.

    In images from :meth:`sample` the three best matches are the planted patterns, by a margin: any
    other position matches at most 0.7. So for a positive image the gradient of the
    target's logit is zero outside the mask, in its stain, and the same for every pixel inside; and
    the logit stays the same, exactly, whatever happens to pixels outside as long as no new match
    surpasses a planted one.

    Args:
        scale: slope of the logits.

    Examples:
        >>> network = PlantedNetwork()
        >>> inputs, targets, masks = network.sample(6)
        >>> bool((network(inputs).argmax(1) == targets).all())
        True
    """

    n_classes = 3
    n_stains = 3
    stain_of_class = (None, 0, 1)
    class_names = ("none", "plus", "ring")
    filters: Tensor

    def __init__(self, scale: float = 20.0) -> None:
        """Sets the weights."""
        super().__init__()
        self.scale = scale
        filters = torch.zeros(self.n_classes - 1, self.n_stains, 5, 5)
        filters[0, 0] = _pattern(_PLUS) / _pattern(_PLUS).sum()
        filters[1, 1] = _pattern(_RING) / _pattern(_RING).sum()
        self.register_buffer("filters", filters)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, 3) of inputs (N, 3, H, W) in [0, 1]."""
        matches = nn.functional.conv2d(inputs, self.filters.to(inputs.dtype)).flatten(2)
        best = matches.topk(_MATCHES, dim=2).values.mean(dim=2)
        logits = self.scale * (best - 0.75)
        return torch.cat([torch.zeros_like(logits[:, :1]), logits], dim=1)

    def sample(self, n: int, size: int = 32, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
        """Draws images with exact truth.

        Every image holds patterns that say nothing: the ring in the stain of the plus, the plus in
        the stain of the ring, and both in the stain without weight.

        Args:
            n: number of images; targets cycle through the three classes.
            size: pixels a side, at least 32.
            seed: of the set; image i is the same whatever ``n``.

        Returns:
            Inputs (n, 3, size, size) float32 in [0, 1]; targets (n,) int64; masks
            (n, 1, size, size) bool, the pixels that the target's logit depends on: empty for
            class 0.

        Raises:
            ValueError: if ``size`` is below 32.
        """
        if size < 4 * _TILE:
            raise ValueError(f"size: expected at least {4 * _TILE} pixels, got {size}")
        inputs = np.empty((n, self.n_stains, size, size), np.float32)
        masks = np.zeros((n, 1, size, size), bool)
        targets = np.arange(n) % self.n_classes
        for i, target in enumerate(targets):
            rng = np.random.default_rng([seed, i])
            positions = _draw_positions(rng, size)
            inputs[i] = rng.uniform(0, _BACKGROUND, inputs[i].shape)
            for stain, pattern, places in _layout(int(target), positions):
                _plant(rng, inputs[i, stain], pattern, places)
            if target:
                masks[i, 0][_pixels(_PATTERNS[target - 1], positions[:_MATCHES])] = True
        return torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(masks)


def _pattern(rows: Rows) -> Tensor:
    return torch.tensor([[float(pixel == "#") for pixel in row] for row in rows])


def _draw_positions(rng: np.random.Generator, size: int) -> Positions:
    """Top left pixels of patterns in random order, at least two pixels between any two."""
    tiles = rng.permutation((size // _TILE) ** 2)
    corners = np.stack(np.divmod(tiles, size // _TILE), axis=1) * _TILE
    positions: Positions = corners + rng.integers(0, 2, corners.shape)
    return positions


def _layout(target: int, positions: Positions) -> list[tuple[int, Rows, Positions]]:
    """The stain and positions of every pattern; the same decoys whatever the target."""
    evidence, first, second, third = np.split(positions[: 4 * _MATCHES], 4)
    decoys = [(0, _RING, first), (1, _PLUS, second), (2, _RING, third), (2, _PLUS, first)]
    own = [(target - 1, _PATTERNS[target - 1], evidence)] if target else []
    return decoys + own


def _plant(
    rng: np.random.Generator,
    image: NDArray[np.float32],
    pattern: Rows,
    positions: Positions,
) -> None:
    """Sets the pixels of a pattern, at each position, to drawn bright values."""
    rows, columns = _pixels(pattern, positions)
    image[rows, columns] = rng.uniform(*_BRIGHT, len(rows))


def _pixels(pattern: Rows, positions: Positions) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the pixels that a pattern has at each position."""
    rows, columns = (positions[:, None] + np.argwhere(_pattern(pattern).numpy())).reshape(-1, 2).T
    return rows, columns
