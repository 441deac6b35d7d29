"""The checked arguments of one call of `attribute`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from captum_pcim._compat import BaselineType, TensorOrTuple
from captum_pcim.core.channels import GroupedChannels, Isolation, PixelChannels
from captum_pcim.core.checks import check_baselines, check_feature_mask, check_positive, is_number
from captum_pcim.core.contrast import Contrast
from captum_pcim.core.gradients import Load
from captum_pcim.core.network import CallArguments, Network
from captum_pcim.core.objective import Term
from captum_pcim.core.problem import Settings
from captum_pcim.core.references import Background, Blur, Reference, reference_images
from captum_pcim.core.scale import Scale
from captum_pcim.core.scores import ScoreKind
from captum_pcim.core.smoothing import Smoothing

Maps = tuple[Tensor, ...]
MakeReferences = Callable[[Maps, Tensor], list[Maps]]
MakeChannels = Callable[[Maps, Tensor], PixelChannels | GroupedChannels]


@dataclass(frozen=True)
class Call:
    """What is explained, and how.

    Args:
        network (Network): The frozen forward function.
        objective (tuple of Term): Terms of the objective.
        score (str): What scores mean.
        inputs (tuple of Tensor): All images, as the caller gave them.
        make_references (Callable): (inputs of a chunk, their rows) to the chunk's references.
        arguments (CallArguments): Targets and additional arguments of all images.
        make_channels (Callable): (inputs of a chunk, their rows) to what one pixel channel is.
        settings (Settings): Of the solver.
        load (Load): What goes through the network at once.
        reference_names (tuple of str): What warnings call the references; the last one stands for
            all that follow.
        replaceable (bool): Whether a reference that shows the class of an image may be replaced:
            the default ones, not the caller's own.
        seed (int): Of the masks of forward passes alone.
        diagnose (bool): Whether diagnostics are wanted; they take two more passes a reference.
        show_progress (bool): Whether a progress bar is shown.
        contrast (Contrast): What targets are told from.
    """

    network: Network
    objective: tuple[Term, ...]
    score: ScoreKind
    inputs: Maps
    make_references: MakeReferences
    arguments: CallArguments
    make_channels: MakeChannels
    settings: Settings
    load: Load
    reference_names: tuple[str, ...]
    replaceable: bool
    seed: int
    diagnose: bool
    show_progress: bool
    contrast: Contrast = None


def make_settings(
    n_steps: int, learning_rate: float, tolerance: float, seed: int | None
) -> Settings:
    """Return how long and how fast to train, if it can be."""
    if not (is_number(learning_rate) and 0 < learning_rate < math.inf):
        raise ValueError(f"learning_rate: expected a number above 0, got {learning_rate!r}")
    if not (is_number(tolerance) and 0 <= tolerance < 1):
        raise ValueError(f"tolerance: expected a mean weight change in [0, 1), got {tolerance!r}")
    n_steps = check_positive("n_steps", n_steps, least=2)  # the first one only sees the start
    return Settings(n_steps, learning_rate, tolerance, seed)


def make_load(n_images: int, internal_batch_size: int | None, perturbations_per_eval: int) -> Load:
    """Return what goes through the network at once, if it can."""
    if internal_batch_size is not None:
        internal_batch_size = check_positive("internal_batch_size", internal_batch_size)
    perturbations = check_positive("perturbations_per_eval", perturbations_per_eval)
    return Load(n_images, internal_batch_size, perturbations)


def references_of(
    references: Sequence[Reference], baselines: BaselineType, inputs: Maps
) -> tuple[MakeReferences, tuple[str, ...]]:
    """Return the maker of references and their names: of the baselines where there are any."""
    if baselines is not None:
        return given_references(baselines, inputs), ("baselines",)
    return made_references(references, inputs), tuple(type(r).__name__ for r in references)


def given_references(baselines: BaselineType, inputs: Maps) -> MakeReferences:
    """Return the maker of references that are the caller's baselines."""
    given = check_baselines(baselines, inputs)

    def make(chunk: Maps, rows: Tensor) -> list[Maps]:
        pairs = zip(given, chunk, strict=True)
        return [tuple((b if len(b) == 1 else b[rows]).to(x) for b, x in pairs)]

    return make


def made_references(references: Sequence[Reference], inputs: Maps) -> MakeReferences:
    """Return the maker of references from the images themselves."""
    own = all(isinstance(r, (Background, Blur)) for r in references)  # never beyond the images
    scales = [] if own else [Scale.of(x) for x in inputs]

    def make(chunk: Maps, rows: Tensor) -> list[Maps]:
        per_input = [reference_images(references, x) for x in chunk]
        for scale, images in zip(scales, per_input, strict=False):
            for image in images:
                scale.tell("references", image)
        # Of several inputs each has references of its own; short lists are repeated.
        n_references = max(map(len, per_input))
        return [tuple(own[i % len(own)] for own in per_input) for i in range(n_references)]

    return make


def made_channels(
    feature_mask: TensorOrTuple | None, inputs: Maps, isolation: Isolation, smoothing: Smoothing
) -> MakeChannels:
    """Return the maker of channels: of the pixels of a chunk, or of the groups of a mask."""
    if feature_mask is None:
        return lambda chunk, rows: PixelChannels(chunk, isolation, smoothing)
    masks = check_feature_mask(feature_mask, inputs)
    groups = GroupedChannels(masks, 1 + max(int(mask.max()) for mask in masks))
    return lambda chunk, rows: groups.take(rows)
