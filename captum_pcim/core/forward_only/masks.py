"""Random smooth masks, drawn as factors of the blending weights.

Whatever a pixel channel is (a pixel, a pixel of one stain, a group of a feature mask), its weight
is what is drawn. Values on a coarse grid are interpolated linearly between its nodes and the grid
is shifted at random, as in RISE (Petsiuk, Das and Saenko, BMVC 2018, arXiv 1806.07421); factors
without neighbours are drawn one by one.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Generator, Tensor

from captum_pcim.core.channels import Factors, per_image

COARSE_CELLS = 8  # of the first masks, per axis
COARSE_SHARE = 0.3  # of their nodes that are mixed in
FINE_CELLS = 16  # of the noise around an estimate, per axis
NOISE = 1.0  # standard deviation of that noise, in those of the estimate
SHARES = (0.02, 0.4)  # of the pixels that masks around an estimate mix in
EDGE = 0.15  # width of their edges, in standard deviations
FAINTEST = 0.02  # smallest weight of a mask

Draw = Callable[[Sequence[int]], Tensor]


def coarse_masks(like: Factors, generator: Generator) -> Factors:
    """Return one random mask that knows nothing, for all images, of one row each."""

    def weights(shape: Sequence[int]) -> Tensor:
        return (_uniform(*shape, generator=generator) < COARSE_SHARE).float()

    fields = [[_field(f, COARSE_CELLS, weights, generator) for f in own] for own in like]
    return [tuple(f.clamp(FAINTEST, 1 - FAINTEST) for f in own) for own in fields]


def masks_around(evidence: Factors, generator: Generator) -> Factors:
    """Return one random mask for each image, around what is known of it.

    The known evidence, disturbed by smooth noise, ranks the pixels; the mask is the top of the
    ranking, a share of 2 to 40 % of the pixels, small shares as likely as large ones.

    Args:
        evidence (list of tuple of Tensor): Evidence of every factor, of standard deviation 1
            in every image.
        generator (Generator): Of the noise, the same for all images.
    """

    def noise(shape: Sequence[int]) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float32)

    low, high = torch.tensor(SHARES, dtype=torch.float32).log()
    share = float(torch.exp(low + (high - low) * _uniform(generator=generator)))
    ranking = [
        tuple(e + NOISE * _field(e, FINE_CELLS, noise, generator).to(e) for e in own)
        for own in evidence
    ]
    shares = ranking[0][0].new_full((len(ranking[0][0]),), share)
    return top_of(ranking, shares, EDGE)


def top_of(ranking: Factors, shares: Tensor, edge: float) -> Factors:
    """Return factors that are above one half for the top of a ranking, and rank as it does.

    Args:
        ranking (list of tuple of Tensor): The higher, the sooner mixed in.
        shares (Tensor): Which share of each image's factors is the top, of shape (N,).
        edge (float): Where the ranking falls by this many standard deviations, a factor's logit
            falls by 1.
    """
    together = torch.cat([r.flatten(1) for own in ranking for r in own], dim=1)
    ordered = together.sort(dim=1).values
    last = together.shape[1] - 1
    places = ((1 - shares) * last).round().long().clamp(0, last)
    threshold = ordered.gather(1, places.unsqueeze(1)).squeeze(1)
    spread = together.std(dim=1).nan_to_num(0.0)  # that of a single factor is not a number
    width = edge * spread.clamp_min(torch.finfo(together.dtype).tiny)
    return [
        tuple(((r - per_image(threshold, r)) / per_image(width, r)).to(r).sigmoid() for r in own)
        for own in ranking
    ]


def _field(like: Tensor, n_cells: int, draw: Draw, generator: Generator) -> Tensor:
    """Draw a smooth field for factors of shape (N, K, *spatial), of shape (1, K, *spatial)."""
    spatial = like.shape[2:]
    grid = [min(size, n_cells + 2) for size in spatial]
    values = draw((1, like.shape[1], *grid))
    for axis, size in enumerate(spatial, start=2):
        if size > n_cells + 2:
            matrix = _interpolation(size, n_cells, float(_uniform(generator=generator)))
            values = torch.movedim(torch.movedim(values, axis, -1) @ matrix.T, -1, axis)
    return values.to(like)


def _uniform(*shape: int, generator: Generator) -> Tensor:
    """Draw from [0, 1); the same numbers whatever torch's default dtype is."""
    return torch.rand(shape, generator=generator, dtype=torch.float32)


def _interpolation(size: int, n_cells: int, shift: float) -> Tensor:
    """Return the (size, n_cells + 2) matrix of linear interpolation on a grid that is shifted."""
    positions = torch.arange(size, dtype=torch.float32) * (n_cells / size) + shift
    return (1 - (positions[:, None] - torch.arange(n_cells + 2)).abs()).clamp_min(0)
