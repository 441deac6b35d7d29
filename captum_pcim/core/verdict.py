"""What a map is worth, in words: the first doubt of each image, or none."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from captum_pcim.core.warn import listed, warn

EMPTY_SHARE = 0.002  # of the pixels above one half, below which a map is all but empty

EXPLAINED = "explained"
_DOUBTS = {
    "no_evidence": "nothing can be evidence: the image scores as its references do",
    "no_gradient": "no gradient reached the weights",
    "not_finite": "scores of blends were not finite",
    "reference_shows": "a reference already shows the class",
    "empty": "empty: next to no weight above one half",
    "not_preserved": "the blend does not hold the class",
    "not_removed": "the complement still shows the class",
}


@dataclass(frozen=True)
class Doubts:
    """What speaks against the map of each image, True where it does, each of shape (N,).

    Args:
        no_evidence (Tensor): The image scores as its references do.
        no_gradient (Tensor): The weights never moved.
        not_finite (Tensor): The objective was NaN or infinite at a step.
        reference_shows (Tensor): A reference has half of the class's probability or more.
        empty (Tensor): Less than 0.2 % of the weights are above one half.
        not_preserved (Tensor): A blend has less than half of the class's probability.
        not_removed (Tensor): A complement has half of it or more.
    """

    no_evidence: Tensor
    no_gradient: Tensor
    not_finite: Tensor
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
        found = {name: getattr(self, name).tolist() for name in _DOUBTS}
        n_images = len(self.empty)
        return tuple(
            next((text for name, text in _DOUBTS.items() if found[name][i]), EXPLAINED)
            for i in range(n_images)
        )

    def warn(self) -> None:
        """Warn of maps that mean little whatever the method, unless it was said before."""
        told = self.no_evidence
        texts = {
            "no_gradient": "forward_func: no gradient reached the weights of images {rows} on any "
            "step; their maps show nothing (pass gradients=ForwardOnly(...) to do without)",
            "not_finite": "forward_func: scores of blends of images {rows} were NaN or infinite; "
            "those steps are lost, and the maps are less certain",
            "empty": "attributions: the maps of images {rows} are all but empty: no small part of "
            "the image holds the class (a lower price, as in objective=(Preservation(0.5), "
            "Removal(), Area(2, 20)), gives larger ones)",
        }
        for name, text in texts.items():
            rows = (getattr(self, name) & ~told).nonzero().flatten().tolist()
            if rows:
                warn(text.format(rows=listed(rows)))
            told = told | getattr(self, name)


def is_empty(weights: tuple[Tensor, ...]) -> Tensor:
    """Tell which images have next to no weight above one half, of shape (N,)."""
    above = torch.cat([(w > 0.5).flatten(1) for w in weights], dim=1)
    return above.float().mean(1) < EMPTY_SHARE
