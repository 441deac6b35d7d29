"""One worker's network and its attribution: samples in, explanations out."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from captum_pcim.classifiers.files import load_model
from captum_pcim.core.channels import Factorised, Isolation, PerStain, SharedOverStains
from captum_pcim.core.scores import read_scores
from captum_pcim.pcim import DEFAULT_STEPS, PCIM
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.reading import Sample

if TYPE_CHECKING:
    from captum_pcim.images.read import FloatPixels

ISOLATIONS: dict[str, Callable[[], Isolation]] = {
    "shared": SharedOverStains,
    "per_stain": PerStain,
    "factorised": Factorised,
}
DIAGNOSTICS = (
    "full_probability",
    "preserved_probability",
    "removed_probability",
    "area",
    "leak_ratio",
    "n_steps",
    "n_forwards",
)


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found for one image.

    Args:
        attributions: Weights in [0, 1], (C, H, W), float32.
        target: The class that was explained.
        probabilities: Of all classes, on the image itself.
        diagnostics: Numbers of :class:`captum_pcim.core.diagnostics.Diagnostics`, by name.
    """

    attributions: FloatPixels
    target: int
    probabilities: list[float]
    diagnostics: dict[str, float]


class Explainer:
    """Loads the network once and explains batches of images with PCIM.

    Args:
        config: The screen.
    """

    def __init__(self, config: ScreenConfig) -> None:
        torch.set_num_threads(config.run.threads)
        path, factory = config.model.path, config.model.factory
        self.device = config.run.device
        self.network = (
            load_model(factory, path or None, self.device)
            if factory
            else load_model(path, device=self.device, trust=config.model.trust)
        )
        settings = config.attribution
        self.pcim = PCIM(
            self.network,
            score=config.model.score,  # type: ignore[arg-type]
            isolation=ISOLATIONS[settings.isolation](),
            seed=settings.seed,
        )
        self.score = config.model.score
        self.target = config.model.target
        self.n_steps = settings.n_steps or DEFAULT_STEPS

    def __call__(self, samples: Sequence[Sample]) -> list[Explanation]:
        """Explains a batch.

        Raises:
            ValueError: The network's answer is not finite, or the images cannot be a batch.
        """
        inputs = torch.stack([torch.from_numpy(s.inputs) for s in samples]).to(self.device)
        references = [torch.from_numpy(s.reference) for s in samples if s.reference is not None]
        baselines = torch.stack(references).to(self.device) if references else None
        probabilities = self._probabilities(inputs)
        targets = self._targets(probabilities)
        attributions, diagnostics = self.pcim.attribute(
            inputs,
            baselines=baselines,
            target=targets,
            n_steps=self.n_steps,
            return_diagnostics=True,
        )
        if not bool(torch.isfinite(attributions).all()):
            raise ValueError("the network's gradients are not finite for this image")
        return [
            Explanation(
                attributions=attributions[i].float().cpu().numpy(),
                target=int(targets[i]),
                probabilities=probabilities[i].tolist(),
                diagnostics={name: getattr(diagnostics, name)[i].item() for name in DIAGNOSTICS},
            )
            for i in range(len(samples))
        ]

    def _probabilities(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            scores: Tensor = self.network(inputs)
        if not bool(torch.isfinite(scores).all()):
            raise ValueError("the network returned NaN or infinity for this image")
        first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        if self.score == "binary_logits":
            return torch.sigmoid(scores.float())
        return read_scores(scores, first, self.score).log_probabilities.exp()  # type: ignore[arg-type]

    def _targets(self, probabilities: Tensor) -> Tensor:
        if self.target < 0:
            return probabilities.argmax(dim=1)
        return torch.full((len(probabilities),), self.target, device=probabilities.device)


def release_memory() -> None:
    """Gives back what a failed batch held, before a smaller one is tried."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
