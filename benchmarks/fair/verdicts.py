"""First, tied or behind: paired bootstrap of one method against the best of its rivals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from benchmarks.fair.instruments import HEADLINES, Scores

Word = Literal["first", "tied", "behind"]
WORDS: tuple[Word, ...] = get_args(Word)


@dataclass(frozen=True)
class Verdict:
    """What a method is in one metric of one cell.

    Attributes:
        word: "first" or "behind" where the 95 % interval of the paired difference leaves out 0.
        own: Mean of the method.
        best: Mean of the best rival.
        rival: Its name.
    """

    word: Word
    own: float
    best: float
    rival: str

    def __str__(self) -> str:
        return f"{self.word} {self.own:.3f}: {self.rival} {self.best:.3f}"

    @classmethod
    def read(cls, text: str) -> Verdict:
        """Read what was published."""
        own, _, other = text.partition(": ")
        word, _, mean = own.partition(" ")
        rival, _, best = other.rpartition(" ")
        if word not in WORDS:
            raise ValueError(f"expected a verdict such as 'tied 0.925: Lime 0.942', got {text!r}")
        return cls(word, float(mean), float(best), rival)  # type: ignore[arg-type]


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
    word: Word = "first" if low > 0 else "behind" if high < 0 else "tied"
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
