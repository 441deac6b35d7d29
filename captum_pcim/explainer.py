"""A classifier and its PCIM: batches of images in, an explanation of every image out.

The command ``explain`` and screens use it, so that both tell the same of an image.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor

from captum_pcim._compat import scores_of
from captum_pcim._errors import noting_warnings
from captum_pcim.core.channels import Factorised, Isolation, PerStain, SharedOverStains
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.scores import ScoreKind, read_scores
from captum_pcim.core.warn import PCIMWarning
from captum_pcim.pcim import DEFAULT_STEPS, PCIM

if TYPE_CHECKING:
    from captum_pcim.images.read import FloatPixels

ISOLATIONS: dict[str, Callable[[], Isolation]] = {
    "shared": SharedOverStains,
    "per_stain": PerStain,
    "factorised": Factorised,
}
SERIES = (  # several numbers an image: not for a table
    "loss_history",
    "stain_weights",
    "reference_probability",
    "preserved_by_reference",
    "removed_by_reference",
)
DIAGNOSTICS = tuple(
    field.name for field in fields(Diagnostics) if field.name not in ("target", *SERIES)
)
"""What tables tell of every image: all that :class:`~captum_pcim.Diagnostics` has one value of,
but the target, which an :class:`Explanation` has itself."""

Cell: TypeAlias = "bool | int | float | str | None"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found for one image.

    Args:
        attributions: Weights in [0, 1], (C, H, W), float32.
        target: The class that was explained.
        predicted: The class of the highest score.
        probabilities: Of all classes, on the image itself; empty for regression.
        diagnostics: Values of :data:`DIAGNOSTICS`, by name.
        notes: The warnings about it. Those about a whole batch go to all its images.
    """

    attributions: FloatPixels
    target: int
    predicted: int
    probabilities: list[float]
    diagnostics: dict[str, Cell]
    notes: str = ""


class Explainer:
    """Explains batches of images of one shape.

    Args:
        network: The classifier: images (N, C, H, W) to scores (N, K) or (N,).
        score: What its scores mean, see :mod:`captum_pcim.core.scores`.
        isolation: "shared" over the stains, "per_stain" or "factorised".
        target: The class to explain. None: each image's own predicted class.
        n_steps: Optimisation steps. None: PCIM's default.
        seed: As :class:`captum_pcim.PCIM` takes it.
        device: Where the images go.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        score: ScoreKind = "logits",
        isolation: str = "shared",
        target: int | None = None,
        n_steps: int | None = None,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.network, self.score, self.target, self.device = network, score, target, device
        self.n_steps = n_steps or DEFAULT_STEPS
        self.pcim = PCIM(network, score=score, isolation=ISOLATIONS[isolation](), seed=seed)

    def each(
        self, images: Sequence[FloatPixels], baselines: Sequence[FloatPixels] = ()
    ) -> Iterator[Explanation | Exception]:
        """Explain a batch; one that fails is tried in halves, down to the image that is to blame.

        This serves memory that is too small for the batch and an image that breaks the network
        alike. An image that fails alone is tried once more, its blend and its complement one by
        one, as networks need that were exported for a single image.

        Args:
            images: Intensities, (C, H, W) each, float32.
            baselines: What each image is blended against. Empty: PCIM's own references.

        Yields:
            For each image, in order, its explanation or why there is none.
        """
        if not images:
            return
        found = self._attempt(images, baselines)
        if isinstance(found, Exception) and len(images) == 1:
            found = self._attempt(images, baselines, internal_batch_size=1)
        if not isinstance(found, Exception):
            yield from found
        elif len(images) == 1:
            yield found
        else:
            middle = len(images) // 2
            yield from self.each(images[:middle], baselines[:middle])
            yield from self.each(images[middle:], baselines[middle:])

    def _attempt(
        self,
        images: Sequence[FloatPixels],
        baselines: Sequence[FloatPixels],
        internal_batch_size: int | None = None,
    ) -> list[Explanation] | Exception:
        try:
            return self._explain(images, baselines, internal_batch_size)
        except Exception as error:  # the network may raise anything
            failure = error.with_traceback(None)  # which would hold the batch's memory
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return failure

    def _explain(
        self,
        images: Sequence[FloatPixels],
        baselines: Sequence[FloatPixels],
        internal_batch_size: int | None,
    ) -> list[Explanation]:
        inputs = self._batch(images)
        scores = self._scores(inputs)
        predicted = scores.argmax(dim=1)
        targets = predicted if self.target is None else torch.full_like(predicted, self.target)
        with noting_warnings(told=PCIMWarning) as warned:
            attributions, diagnostics = self.pcim.attribute(
                inputs,
                baselines=self._batch(baselines) if baselines else None,
                target=targets,
                internal_batch_size=internal_batch_size,
                n_steps=self.n_steps,
                return_diagnostics=True,
            )
        if not bool(torch.isfinite(attributions).all()):
            raise ValueError("the map is not finite, as the network's gradients are not")
        maps = attributions.float().cpu().numpy()
        columns = {name: _values(diagnostics, name, len(images)) for name in DIAGNOSTICS}
        probabilities = self._probabilities(scores).tolist()
        return [
            Explanation(
                attributions=maps[i],
                target=int(targets[i]),
                predicted=int(predicted[i]),
                probabilities=probabilities[i],
                diagnostics={name: column[i] for name, column in columns.items()},
                notes=_notes(warned, i),
            )
            for i in range(len(images))
        ]

    def _batch(self, images: Sequence[FloatPixels]) -> Tensor:
        return torch.stack([torch.from_numpy(image) for image in images]).to(self.device)

    def _scores(self, inputs: Tensor) -> Tensor:
        """The network's scores of the images, (N, K)."""
        with torch.no_grad():
            scores = scores_of(self.network(inputs))
        per_image = isinstance(scores, Tensor) and scores.shape[:1] == inputs.shape[:1]
        if not per_image or scores.ndim > 2:
            raise ValueError("the network must return a tensor of scores, (N, classes)")
        if not bool(torch.isfinite(scores).all()):
            raise ValueError("the network's scores are not finite: NaN or infinity")
        per_class: Tensor = scores.reshape(len(inputs), -1)
        return per_class

    def _probabilities(self, scores: Tensor) -> Tensor:
        if self.score == "regression":
            return scores[:, :0]
        if self.score == "binary_logits":
            return scores.float().sigmoid()
        if self.score == "binary_probabilities":
            return scores.float()
        first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        return read_scores(scores, first, self.score).log_probabilities.exp()


def _notes(warned: Sequence[Warning], image: int) -> str:
    """What warnings say of one image of the batch, in one line."""
    notes = []
    for warning in warned:
        about: tuple[int, ...] = ()
        text = str(warning)
        if isinstance(warning, PCIMWarning):
            about, text = warning.images, warning.note
        if not about or image in about:
            notes.append(" ".join(text.split()))
    return "; ".join(dict.fromkeys(notes))


def _values(diagnostics: Diagnostics, name: str, n_images: int) -> list[Cell]:
    """One value per image, as Python has it."""
    values = getattr(diagnostics, name)
    if values is None:
        return [None] * n_images
    return list(values.tolist() if isinstance(values, Tensor) else values)
