"""Random smooth masks, drawn as factors of the blending weights.

Whatever a pixel channel is (a pixel, a pixel of one stain, a group of a feature mask), its weight
is what is drawn. Values on a coarse grid are interpolated linearly between its nodes and the grid
is shifted at random, as in RISE (Petsiuk, Das and Saenko, BMVC 2018, arXiv 1806.07421); factors
without neighbours are drawn one by one.
"""

import torch
from torch import Generator, Tensor

from captum_pcim.core.channels import Factors, per_image

CELLS = 8  # of the noise, per axis
NOISE = 1.0  # its standard deviation, in those of the evidence
SHARES = (0.02, 0.4)  # of the pixels that masks mix in
EDGE = 0.15  # standard deviations of the ranking over which a mask's logit falls by 1


def random_masks(evidence: Factors, generator: Generator) -> Factors:
    """Return one random mask for each image, around what is known of it.

    The known evidence, disturbed by smooth noise, ranks the pixels; the mask is the top of the
    ranking, a share of 2 to 40 % of the pixels, small shares as likely as large ones.

    Args:
        evidence (list of tuple of Tensor): Evidence of every factor, of standard deviation 1 in
            every image; zeros where nothing is known yet.
        generator (Generator): Of the noise, the same for all images.
    """
    low, high = torch.tensor(SHARES, dtype=torch.float32).log()
    share = float(torch.exp(low + (high - low) * _uniform(generator=generator)))
    ranking = [tuple(e + NOISE * _noise(e, generator) for e in own) for own in evidence]
    return top_of(ranking, share)


def top_of(ranking: Factors, share: float) -> Factors:
    """Return factors that are above one half for the top of a ranking, and rank as it does.

    Args:
        ranking (list of tuple of Tensor): The higher, the sooner mixed in.
        share (float): Which share of each image's factors is the top.
    """
    together = torch.cat([r.flatten(1) for own in ranking for r in own], dim=1)
    last = together.shape[1] - 1
    threshold = together.kthvalue(1 + round((1 - share) * last), dim=1).values
    spread = together.std(dim=1).nan_to_num(0.0)  # that of a single factor is not a number
    width = EDGE * spread.clamp_min(torch.finfo(together.dtype).tiny)
    return [
        tuple(((r - per_image(threshold, r)) / per_image(width, r)).to(r).sigmoid() for r in own)
        for own in ranking
    ]


def _noise(like: Tensor, generator: Generator) -> Tensor:
    """Draw smooth noise for factors of shape (N, K, *spatial), of shape (1, K, *spatial)."""
    spatial = like.shape[2:]
    grid = [min(size, CELLS + 2) for size in spatial]
    values = torch.randn(1, like.shape[1], *grid, generator=generator, dtype=torch.float32)
    for axis, size in enumerate(spatial, start=2):
        if size > CELLS + 2:
            matrix = _interpolation(size, CELLS, float(_uniform(generator=generator)))
            values = torch.movedim(torch.movedim(values, axis, -1) @ matrix.T, -1, axis)
    return values.to(like)


def _uniform(*shape: int, generator: Generator) -> Tensor:
    """Draw from [0, 1); the same numbers whatever torch's default dtype is."""
    return torch.rand(shape, generator=generator, dtype=torch.float32)


def _interpolation(size: int, n_cells: int, shift: float) -> Tensor:
    """Return the (size, n_cells + 2) matrix of linear interpolation on a grid that is shifted."""
    positions = torch.arange(size, dtype=torch.float32) * (n_cells / size) + shift
    return (1 - (positions[:, None] - torch.arange(n_cells + 2)).abs()).clamp_min(0)
