"""A classifier and its PCIM: batches of images in, an explanation of every image out.

The command ``explain`` and screens use it, so that both tell the same of an image.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, TypeAlias

import torch
from torch import Tensor

from captum_pcim._errors import noting_warnings
from captum_pcim.classifiers.classes import Classes, contrast_numbers
from captum_pcim.classifiers.files import ModelError
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.diagnostics_table import columns
from captum_pcim.core.network import frozen_view
from captum_pcim.core.reachable import check_mode
from captum_pcim.core.scores import ScoreKind
from captum_pcim.core.warn import PCIMWarning
from captum_pcim.images.read import FloatPixels
from captum_pcim.pcim import DEFAULT_STEPS, PCIM

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

OWN_CONTRAST = "contrast: the class is among those to tell it from; told from all others"

Cell: TypeAlias = "bool | int | float | str"


@dataclass(frozen=True, eq=False)
class Explanation:
    """What was found for one image.

    Args:
        attributions: Weights in [0, 1], (C, H, W), float32.
        target: The class that was explained.
        predicted: The class of the highest score.
        probabilities: Of all classes, on the image itself; empty for regression.
        scores: What the network returned for the image, one a class.
        diagnostics: Values of :data:`DIAGNOSTICS`, by name.
        notes: The warnings about it. Those about a whole batch go to all its images.
        stain_weights: One a stain where the isolation is factorised; else empty.
    """

    attributions: FloatPixels
    target: int
    predicted: int
    probabilities: list[float]
    scores: list[float]
    diagnostics: dict[str, Cell]
    notes: str = ""
    stain_weights: Sequence[float] = ()

    @property
    def classes(self) -> dict[str, Any]:
        """What it tells of classes, as manifests keep it."""
        return {
            "target": self.target,
            "predicted": self.predicted,
            "scores": self.scores,
            "probabilities": self.probabilities,
        }


class Explainer:
    """Explains batches of images of one shape.

    Args:
        network: The classifier: images (N, C, H, W) to scores (N, K), or (N, 1) or (N,) for two
            classes, see :mod:`captum_pcim.classifiers.classes`.
        score: What its scores mean, see :mod:`captum_pcim.core.scores`.
        target: The class to explain, its number or name. None: each image's own predicted class.
        n_steps: Optimisation steps.
        seed: As :class:`captum_pcim.PCIM` takes it.
        device: Where the images go.
        classes: Names of the classes.
        contrast: Names or numbers of the classes to tell the target from; empty: all others. An
            image whose target is among them is told from all others, with a note.
        options: Further arguments of :class:`captum_pcim.PCIM`.
        arguments: Further arguments of its `attribute`.
    """

    def __init__(
        self,
        network: Callable[..., Any],
        score: ScoreKind = "logits",
        target: int | str | None = None,
        n_steps: int = DEFAULT_STEPS,
        seed: int = 0,
        device: str = "cpu",
        classes: Sequence[str] = (),
        contrast: Sequence[int | str] = (),
        options: Mapping[str, Any] | None = None,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        self.network, self.score, self.names = network, score, classes
        self.target, self.contrast, self.device = target, contrast, device
        self.options: dict[str, Any] = {"seed": seed, **(options or {})}
        self.arguments: dict[str, Any] = {"n_steps": n_steps, **(arguments or {})}
        self._started: tuple[Classes, PCIM] | None = None

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

        Raises:
            ModelError: If the network does not fit the names of the classes or the target.
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
        except ModelError:  # of no image, but of all
            raise
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
        classes, pcim = self._start(inputs)
        scores = classes.scores(inputs)
        targets = classes.targets(scores, self.target)
        told_from = classes.contrasts(targets, self.contrast)
        with noting_warnings(told=PCIMWarning) as warned:
            attributions, diagnostics = pcim.attribute(
                inputs,
                baselines=self._batch(baselines) if baselines else None,
                target=targets,
                contrast=told_from,
                internal_batch_size=internal_batch_size,
                return_diagnostics=True,
                **self.arguments,
            )
        if not bool(torch.isfinite(attributions).all()):
            raise ValueError("the map is not finite, as the network's gradients are not")
        maps = attributions.float().cpu().numpy()
        told = columns(diagnostics)
        probabilities = classes.probabilities(scores).tolist()
        numbers = contrast_numbers(self.contrast, classes.names)
        stain_weights = (diagnostics.stain_weights or [scores[:, :0]])[0].tolist()
        return [
            Explanation(
                attributions=maps[i],
                target=int(targets[i]),
                predicted=int(scores[i].argmax()),
                probabilities=probabilities[i],
                scores=scores[i].tolist(),
                diagnostics={name: told[name][i] for name in DIAGNOSTICS},
                notes=_notes(warned, i, own_contrast=int(targets[i]) in numbers),
                stain_weights=stain_weights[i],
            )
            for i in range(len(images))
        ]

    def _start(self, inputs: Tensor) -> tuple[Classes, PCIM]:
        """Look at the network's outputs, which the first batch shows."""
        if self._started is None:
            eval_mode = bool(self.options.get("eval_mode"))
            network = frozen_view(self.network, eval_mode)
            check_mode(network, eval_mode)
            classes = Classes.of(network, inputs, self.score, self.names)
            self._started = classes, PCIM(classes.network, score=classes.score, **self.options)
        return self._started

    def _batch(self, images: Sequence[FloatPixels]) -> Tensor:
        return torch.stack([torch.from_numpy(image) for image in images]).to(self.device)


def _notes(warned: Sequence[Warning], image: int, own_contrast: bool) -> str:
    """What warnings say of one image of the batch, in one line."""
    notes = [OWN_CONTRAST] if own_contrast else []
    for warning in warned:
        about: tuple[int, ...] = ()
        text = str(warning)
        if isinstance(warning, PCIMWarning):
            about, text = warning.images, warning.note
        if not about or image in about:
            notes.append(" ".join(text.split()))
    return "; ".join(dict.fromkeys(notes))
