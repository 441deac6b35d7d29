"""Means over images with bootstrap intervals."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.results import Spread


@dataclass(frozen=True)
class Estimate:
    """A mean over images and its 95 % interval; `n` images had an answer."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def spread(self) -> Spread:
        """Mean and interval as they are published, empty where no image had an answer."""
        return Spread.of(self.mean, self.low, self.high) if self.n else Spread("", "", "")

    def __str__(self) -> str:
        return str(self.spread)


def estimate(scores: Tensor, n_resamples: int = 2000, seed: int = 0) -> Estimate:
    """The mean and the 2.5 and 97.5 % quantiles of the means of resampled images.

    Args:
        scores: One per image, shape (N,); NaN is left out.
        n_resamples: Resamples, each of as many images, drawn with replacement.
        seed: Of the resampling. Equal for all methods, so the same images are drawn for each.
    """
    known = scores[~scores.isnan()].double().cpu()
    if not len(known):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(len(known), (n_resamples, len(known)), generator=generator)
    low, high = known[chosen].mean(1).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return Estimate(float(known.mean()), low, high, len(known))
