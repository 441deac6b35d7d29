"""What each part of PCIM buys, one changed at a time, on the synthetic development images.

    python -m benchmarks.quality.ablation --write

Leak ratio is the probability of the class on the blend over that on the image, median over images;
the other figures are means with 95 % bootstrap intervals.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.bootstrap import estimate
from benchmarks.quality.panels import LABELS, OPTIMISED_ON
from benchmarks.results import Table, add_write_option, publish
from benchmarks.sets.synthetic import GENERATORS, recognised_positives
from captum_pcim import (
    PCIM,
    Area,
    Background,
    Blur,
    DistributionPreservation,
    LogArea,
    Preservation,
    Smoothing,
    Smoothness,
)
from captum_pcim.comparison.metrics import Case, fidelity_metrics, localisation_metrics
from captum_pcim.core.adam import Adam
from captum_pcim.core.objective import default_objective
from captum_pcim.synthetic import DEVELOPMENT_SEED, load_cnn

PRESERVATION, REMOVAL, AREA = default_objective()
CONSTRUCTOR: dict[str, dict] = {
    "default": {},
    "distribution preserved instead of class": {
        "objective": (DistributionPreservation(0.5), REMOVAL, AREA)
    },
    "preservation of weight 0.5": {"objective": (Preservation(0.5), REMOVAL, AREA)},
    "no removal": {"objective": (PRESERVATION, AREA)},
    "no preservation": {"objective": (REMOVAL, AREA)},
    "price per pixel, 10 to 150": {"objective": (Preservation(0.5), REMOVAL, Area())},
    "price 2 of the logarithm": {"objective": (PRESERVATION, REMOVAL, LogArea(2.0))},
    "price 4.5 of the logarithm": {"objective": (PRESERVATION, REMOVAL, LogArea(4.5))},
    "total variation 1 added": {"objective": (PRESERVATION, REMOVAL, AREA, Smoothness())},
    "only the background": {"references": (Background(),)},
    "only the blur": {"references": (Blur(),)},
    "references that show the class kept": {"references": (Background(), Blur())},
    "no smoothing": {"smoothing": Smoothing(0)},
    "half the smoothing": {"smoothing": Smoothing(1.5)},
    "twice the smoothing": {"smoothing": Smoothing(6)},
    "one grid in space": {"smoothing": Smoothing(scales=[(1, 1)])},
    "no grid in intensity": {"smoothing": Smoothing(n_bins=0)},
}
ARGUMENTS: dict[str, dict] = {
    "6 steps": {"n_steps": 6},
    "12 steps": {"n_steps": 12},
    "24 steps": {"n_steps": 24},
    "100 steps": {"n_steps": 100},
    "learning rate 0.8": {"learning_rate": 0.8},
}

# What is no argument: parts of the solver, replaced while a variant runs.
PATCHES: dict[str, tuple[str, Any]] = {
    "steps sized by each logit alone (Adam)": (
        "adam.Adam._over_image", lambda adam, correction: _root(adam).mul_(correction),
    ),
    "steps sized by the image alone": (
        "adam.Adam._over_image", lambda *given: _image_alone(*given),
    ),
    "the map is the last weights that held the class": (
        "readout.in_order_of", lambda ranking, values: values,
    ),
    "the map is the average": ("readout.in_order_of", lambda ranking, values: ranking),
    "values of the last step, whatever it holds": ("solver.SETTLING", 2.0),
    "average over a fifth of the steps": ("readout.MEMORY", 0.2),
    "average of all steps": ("readout.MEMORY", 1e9),
    "ranks of the average alone": ("effects.IN_ORDER", 0.0),
    "neither order nor values know even blends": (
        "effects._measured", lambda problem, images, like, *others: [*map(torch.zeros_like, like)],
    ),
    "values not lifted": ("readout.MOST_LIFT", 0.0),
    "values below one half left as they are": ("readout.settled", lambda weights: weights),
    "log-odds as they are, whatever the reference shows": (
        "stakes.Stakes.read", lambda stakes, scores, reference: scores,
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=48, help="of each kind (default: 48)")
    parser.add_argument("--points", type=int, default=26, help="of each curve (default: 26)")
    add_write_option(parser)
    arguments = parser.parse_args()
    for modality in GENERATORS:
        found = table(modality, arguments.images, arguments.points)
        publish(f"quality/ablation_{modality}", found, arguments.write)


def table(modality: str, n_images: int, n_points: int) -> Table:
    model = load_cnn(modality)
    images = recognised_positives(model, modality, n_images, DEVELOPMENT_SEED)
    case = Case(model, images.inputs, images.labels, images.masks)
    metrics = fidelity_metrics(OPTIMISED_ON, n_points) | localisation_metrics()
    metrics.pop("pointing_game")
    rows = []
    for name, (maps, leak) in explained(case).items():
        scores = (metric(case, maps) for metric in metrics.values())
        values = [getattr(score, "auc", score) for score in scores]
        rows.append([name, *(estimate(value).spread for value in values), f"{leak:.3f}"])
    return Table(
        f"What each part buys, synthetic {modality}, {n_images} images",
        ["variant", *(LABELS.get(metric, metric) for metric in metrics), "leak ratio"],
        rows,
        f"One part changed at a time. {__doc__.split(2 * chr(10))[-1]}",
    )


def explained(case: Case) -> Mapping[str, tuple[Tensor, float]]:
    """The maps and the median leak ratio of every variant."""
    runs = {name: (PCIM(case.forward_func, **given), {}) for name, given in CONSTRUCTOR.items()}
    runs |= {name: (PCIM(case.forward_func), given) for name, given in ARGUMENTS.items()}
    same_price = PCIM(case.forward_func, objective=(PRESERVATION, REMOVAL, LogArea(steps=1)))
    runs["12 steps, at the price of 46"] = same_price, {"n_steps": 12}
    found = {name: explain(case, *run) for name, run in runs.items()}
    for name, (part, value) in PATCHES.items():
        with mock.patch(f"captum_pcim.core.{part}", value):
            found[name] = explain(case, *runs["default"])
    return found


_over_image = Adam._over_image


def _root(adam: Adam) -> Tensor:
    """The root of each logit's own size, which the solver multiplies by that over the image."""
    return adam.second.sqrt().sqrt_()


def _image_alone(adam: Adam, correction: Tensor) -> Tensor:
    tiny = torch.finfo(correction.dtype).tiny
    return _over_image(adam, correction).square() / correction / _root(adam).clamp_min(tiny)


def explain(case: Case, method: PCIM, arguments: dict) -> tuple[Tensor, float]:
    maps, diagnostics = method.attribute(
        case.inputs,
        target=case.target,
        internal_batch_size=16,
        return_diagnostics=True,
        **arguments,
    )
    return maps[:, :1], float(diagnostics.leak_ratio.median())


if __name__ == "__main__":
    main()
