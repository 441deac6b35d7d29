"""First, tied or behind: paired bootstrap of one method against the best of its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchmarks.fair.instruments import HEADLINES, Scores


@dataclass(frozen=True)
class Verdict:
    """What a method is in one metric of one cell.

    Attributes:
        word: "first" or "behind" where the 95 % interval of the paired difference leaves out 0.
        own: Mean of the method.
        best: Mean of the best rival.
        rival: Its name.
    """

    word: Literal["first", "tied", "behind"]
    own: float
    best: float
    rival: str


def verdict(own: Tensor, rivals: Mapping[str, Tensor], sign: int) -> Verdict:
    """Compare with the rival of the best mean.

    Args:
        own: Scores (N,).
        rivals: By name, scores of the same images.
        sign: 1 where higher is better, -1 where lower is.
    """
    means = {name: float(scores.nanmean()) for name, scores in rivals.items()}
    rival = max(means, key=lambda name: sign * means[name])
    low, high = paired_interval(sign * (own - rivals[rival]))
    word: Literal["first", "tied", "behind"] = (
        "first" if low > 0 else "behind" if high < 0 else "tied"
    )
    return Verdict(word, float(own.nanmean()), means[rival], rival)


def paired_interval(differences: Tensor, n_resamples: int = 2000) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of the mean of resampled differences; NaN is left out."""
    known = differences[~differences.isnan()].double()
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randint(len(known), (n_resamples, len(known)), generator=generator)
    low, high = known[chosen].mean(1).quantile(torch.tensor([0.025, 0.975]).double()).tolist()
    return low, high


def verdicts(own: Scores, rivals: Mapping[str, Scores]) -> dict[str, Verdict]:
    """By headline metric."""
    return {
        metric: verdict(own[metric], {name: one[metric] for name, one in rivals.items()}, sign)
        for metric, sign in HEADLINES.items()
    }
