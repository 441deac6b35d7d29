"""The panel of metrics that a comparison scores maps with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from captum_pcim.core.references import Background, Blur
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics import (
    Curve,
    average_precision,
    deletion,
    insertion,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)


@dataclass(frozen=True)
class Case:
    """What a metric is told beside the maps.

    Attributes:
        forward_func: The network.
        inputs: Images of shape (N, C, H, W).
        target: Classes of shape (N,), or None.
        masks: Truth of shape (N, 1, H, W) or (N, H, W), or None.
        score: What the network's scores mean, see :mod:`captum_pcim.core.scores`.
    """

    forward_func: Callable[..., Tensor]
    inputs: Tensor
    target: Tensor | None
    masks: Tensor | None
    score: ScoreKind = "logits"


Metric = Callable[[Case, Tensor], Tensor | Curve]
"""From a case and maps (N, 1, H, W) to one score per image (N,), or a curve whose area it is."""


def fidelity_metrics(
    references: Mapping[str, Callable[[Tensor], Tensor]], n_points: int = 51
) -> dict[str, Metric]:
    """Return insertion and deletion for each reference, under "insertion, <name>" and so on.

    Args:
        references: By name, functions from inputs (N, C, H, W) to one reference image each.
        n_points: Points of each curve.
    """

    def curve(metric: Callable[..., Curve], reference: Callable[[Tensor], Tensor]) -> Metric:
        return lambda case, maps: metric(
            case.forward_func,
            case.inputs,
            maps,
            target=case.target,
            baselines=reference(case.inputs),
            n_points=n_points,
            score=case.score,
        )

    return {
        f"{metric.__name__}, {name}": curve(metric, reference)
        for metric in (insertion, deletion)
        for name, reference in references.items()
    }


def localisation_metrics() -> dict[str, Metric]:
    """Return the metrics that need masks, under their functions' names."""

    def against_masks(metric: Callable[[Tensor, Tensor], Tensor]) -> Metric:
        def score(case: Case, maps: Tensor) -> Tensor:
            if case.masks is None:
                raise ValueError(f"masks: {metric.__name__} needs them, got None")
            return metric(maps, case.masks)

        return score

    metrics = (relevance_mass_accuracy, relevance_rank_accuracy, average_precision, pointing_game)
    return {metric.__name__: against_masks(metric) for metric in metrics}


def default_metrics(with_masks: bool) -> dict[str, Metric]:
    """Return insertion and deletion as in RISE, and with masks also the localisation metrics.

    Insertion starts from the blurred image, deletion ends at a constant one (Petsiuk et al. 2018);
    the constant is the image's background, because zero is not neutral in bright field.

    Args:
        with_masks: Whether masks are given.
    """
    both = fidelity_metrics(
        {"blur": lambda x: Blur()(x)[0], "background": lambda x: Background()(x)[0]}
    )
    metrics = {name: both[name] for name in ("insertion, blur", "deletion, background")}
    return metrics | localisation_metrics() if with_masks else metrics
