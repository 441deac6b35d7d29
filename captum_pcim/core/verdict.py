"""What a map is worth, in words: the first doubt of each image, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from captum_pcim.core.warn import warn

EMPTY_SHARE = 0.002  # of the pixels above one half, below which a map is all but empty

EXPLAINED = "explained"
_VERDICTS = {
    "no_evidence": "nothing can be evidence: the image scores as its references do",
    "no_gradient": "no gradient reached the weights",
    "not_finite": "scores of blends were not finite",
    "rounded_up": "the probability is 1 to its last digits, which leaves no gradient",
    "not_differentiable": "gradients of some pixels were not finite",
    "reference_shows": "a reference already shows the class",
    "empty": "empty: next to no weight above one half",
    "not_preserved": "the blend does not hold the class",
    "not_removed": "the complement still shows the class",
    "little_evidence": "the image scores much as its references do",
}
_WARNINGS = {
    "no_evidence": "inputs: {images} score exactly as their references do; nothing in them can be "
    "evidence, and their maps are zero",
    "no_gradient": "forward_func: no gradient reached the weights of {images} on any step; their "
    "maps show nothing (pass gradients=ForwardOnly(...) to do without)",
    "not_finite": "forward_func: scores of blends of {images}, or terms of the objective, were NaN "
    "or infinite; those steps are lost, and the maps are less certain",
    "rounded_up": "score: the probabilities of {images} are 1 to their last digits; what they "
    "lack, and its gradient, is lost, and the maps may miss what the class needs (let forward_func "
    'return logits and pass score="logits" or "binary_logits", or pass double precision)',
    "not_differentiable": "forward_func: gradients of {images} were NaN or infinite for some "
    "pixels; they count as zero there, and the maps may miss what these pixels show",
    "little_evidence": "inputs: the log-odds of {images} differ by less than 0.5 between the image "
    "and all references; there is little to explain, and their maps mean little",
    "empty": "attributions: the maps of {images} are all but empty: no small part of the image "
    "holds the class (a lower price, as in objective=(Preservation(), Removal(), LogArea(1)), "
    "gives larger ones)",
}


@dataclass(frozen=True)
class Doubts:
    """What speaks against the map of each image, True where it does, each of shape (N,).

    Args:
        no_evidence (Tensor): The image scores as its references do.
        little_evidence (Tensor): Its log-odds differ by less than half a nat from all of theirs.
        rounded_up (Tensor): The probability is 1 to its last digits.
        no_gradient (Tensor): No gradient of the network reached the weights on any step.
        not_finite (Tensor): The objective was NaN or infinite at a step, or weights were.
        not_differentiable (Tensor): The gradient of a pixel was NaN or infinite at a step.
        reference_shows (Tensor): A reference has half of the class's probability or more, of
            shape (N, R).
        empty (Tensor): Less than 0.2 % of the weights are above one half.
        not_preserved (Tensor): A blend has less than half of the class's probability.
        not_removed (Tensor): A complement has half of it or more.
    """

    no_evidence: Tensor
    little_evidence: Tensor
    rounded_up: Tensor
    no_gradient: Tensor
    not_finite: Tensor
    not_differentiable: Tensor
    reference_shows: Tensor
    empty: Tensor
    not_preserved: Tensor
    not_removed: Tensor

    @staticmethod
    def concatenate(parts: Sequence["Doubts"]) -> "Doubts":
        """Join the doubts of several chunks of one call."""
        names = [field.name for field in fields(Doubts)]
        return Doubts(**{n: torch.cat([getattr(part, n) for part in parts]) for n in names})

    def verdicts(self) -> tuple[str, ...]:
        """Return the first doubt of each image in words."""
        flags = {n: getattr(self, n).reshape(len(self.empty), -1).any(1) for n in _VERDICTS}
        found = {name: flag.tolist() for name, flag in flags.items()}
        return tuple(
            next((text for name, text in _VERDICTS.items() if found[name][i]), EXPLAINED)
            for i in range(len(self.empty))
        )

    def warn(self, reference_names: Sequence[str]) -> None:
        """Warn of maps that mean little, each image of its first cause that needs a warning.

        Args:
            reference_names: What the references are called; the last name stands for all that
                follow.
        """
        told = torch.zeros_like(self.empty)
        for name, text in _WARNINGS.items():
            rows = (getattr(self, name) & ~told).nonzero().flatten().tolist()
            if rows:
                warn(text, rows, f"{text.partition(':')[0]}: {_VERDICTS[name]}")
            told = told | getattr(self, name)
        self._warn_of_references(reference_names)

    def _warn_of_references(self, names: Sequence[str]) -> None:
        shows = self.reference_shows & ~self.no_evidence.unsqueeze(1)
        for i, column in enumerate(shows.T):
            rows = column.nonzero().flatten().tolist()
            name = names[min(i, len(names) - 1)]
            if rows:
                warn(
                    f"references: {name} already shows the class of {{images}} (at least half of "
                    "its probability), so their maps tell only what the image has beyond it; pass "
                    "references or baselines that do not show it, for example ControlImages of "
                    "another class",
                    rows,
                    f"references: {name} already shows the class",
                )


def is_empty(weights: tuple[Tensor, ...]) -> Tensor:
    """Tell which images have next to no weight above one half, of shape (N,)."""
    above = torch.cat([(w > 0.5).flatten(1) for w in weights], dim=1)
    return above.float().mean(1) < EMPTY_SHARE
