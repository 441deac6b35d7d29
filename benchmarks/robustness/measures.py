"""Every metric and every part of a comparison on small random maps, to compare states with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from captum.attr import InputXGradient, Saliency
from torch import Tensor, nn

from benchmarks.robustness.modes import images, network
from captum_pcim import metrics
from captum_pcim.comparison import FORMS, Method, captum_methods, compare, trivial_methods
from captum_pcim.comparison.methods import LogOdds, reduced, superpixels

Panel = Iterator[tuple[str, Callable[[], Any]]]

SCORES = ("logits", "binary_logits", "probabilities", "binary_probabilities", "regression")
SURROGATES = ("Lime", "KernelShap")  # seconds each: what they are called with has to do
BOXES = torch.tensor([[1, 0, 5, 4], [3, 2, 20, 7]]), torch.tensor([[0, 8, 2, 9]]), torch.zeros(0, 4)


def panel() -> Panel:
    """Yield the name of each measure and a call of it; `tensors_in` finds what it returns."""
    yield from _of_localisation()
    yield from _of_fidelity()
    yield from _of_sanity()
    yield from _of_comparison()


def tensors_in(found: Any) -> list[Tensor]:
    """Return the tensors and numbers of a result, whatever they are held in."""
    if isinstance(found, Tensor):
        return [found]
    if isinstance(found, float):
        return [torch.tensor(found, dtype=torch.float64)]
    if hasattr(found, "__dataclass_fields__"):
        found = vars(found)
    parts = found.values() if isinstance(found, dict) else found
    held = parts if not isinstance(parts, (str, int, type(None))) else ()
    return [tensor for part in held for tensor in tensors_in(part)]


def attributions(*shape: int, seed: int = 0) -> Tensor:
    """Return random maps of both signs, whose values repeat."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator).mul(3).round() / 4


def by_gradient(model: nn.Module, inputs: Tensor, target: Any) -> Tensor:
    """Return inputs times gradient, which depend on the model and on the image."""
    return InputXGradient(model).attribute(inputs.clone().requires_grad_(), target=target)


def by_chance(model: nn.Module, inputs: Tensor, target: Any) -> Tensor:
    """Return a map that depends on the global seed alone."""
    generator = torch.Generator().manual_seed(torch.initial_seed())
    return torch.rand(inputs.shape, generator=generator, dtype=torch.float32).to(inputs)


def in_unit(model: nn.Module, inputs: Tensor, target: Any) -> Tensor:
    """Return weights in [0, 1]."""
    return by_gradient(model, inputs, target).sigmoid()


def _of_localisation() -> Panel:
    maps, rows = attributions(4, 2, 9, 10), torch.arange(90).view(9, 10) // 13
    maps[1] = 0.5
    labels = torch.stack([rows, rows.flip(0), 0 * rows, 0 * rows + 2])[:, None]
    few = (labels == 2) & (torch.arange(10) < 4)
    for measure in (
        metrics.relevance_mass_accuracy, metrics.relevance_rank_accuracy, metrics.auroc,
        metrics.average_precision, metrics.pointing_game, metrics.object_shares,
    ):  # fmt: skip
        yield measure.__name__, partial(measure, maps, labels)
        yield f"{measure.__name__}, few", partial(measure, maps, few)
    yield "chance_levels", partial(metrics.chance_levels, labels)
    yield "boxes_to_masks", partial(metrics.boxes_to_masks, BOXES, (9, 10))
    yield "gini", partial(metrics.gini, maps)
    yield "entropy", partial(metrics.entropy, maps)
    dealt = maps, torch.arange(4), attributions(4, 3, 2, 9, 10, seed=1)
    grids = metrics.image_grids(*dealt)
    yield "image_grids", partial(metrics.image_grids, *dealt, seed=2)
    yield "grid_pointing_game", partial(metrics.grid_pointing_game, grids.inputs, grids)


def _of_fidelity() -> Panel:
    two, x, y = network(2), images(3, 2, 12, 10), torch.tensor([0, 2, 1])
    maps, half = attributions(3, 2, 12, 10), 0.4 * x.flip(0)
    case, seed = (two, x, maps, y), 3
    for curve in (metrics.insertion, metrics.deletion, metrics.pixel_flipping):
        yield curve.__name__, partial(curve, *case, seed=seed)
        options = {"patch_size": 5} if curve is metrics.pixel_flipping else {"normalize": True}
        options |= {"baselines": half, "n_points": 7, "perturbations_per_eval": 3, "seed": seed}
        yield f"{curve.__name__}, options", partial(curve, *case, **options)
    for kind in SCORES:
        given = _giving(two, kind)
        yield f"deletion, {kind}", partial(metrics.deletion, given, *case[1:], half, 5, score=kind)
    yield "road", partial(metrics.road, *case, seed=seed)
    options = {"percentages": (3, 50, 99.9), "noise": 0.3, "perturbations_per_eval": 2}
    yield "road, options", partial(metrics.road, *case, "lerf", **options, seed=seed)
    yield "saco", partial(metrics.saco, *case, seed=seed)
    options = {"n_groups": 7, "perturbations_per_eval": 3}
    yield "saco, options", partial(metrics.saco, *case, 0.1, **options, seed=seed)
    yield "image_infidelity", partial(metrics.image_infidelity, *case, patch_size=3, seed=seed)
    explain = Saliency(two).attribute
    yield "image_sensitivity_max", partial(metrics.image_sensitivity_max, explain, x, target=y)
    second = partial(metrics.second_classifier_agreement, two, x, maps.clamp(0, 1), y, half)
    yield "second_classifier_agreement", second
    yield "second_classifier_agreement, share", partial(second, 0.3, seed=seed)
    each = torch.tensor([0.1, 0.5, 0.9])
    yield "second_classifier_agreement, share of each", partial(second, each, seed=seed)
    wrong = (y + 1) % 3
    yield "wrong_class_success", partial(metrics.wrong_class_success, two, in_unit, x, y, wrong)


def _giving(logits: nn.Module, kind: str) -> Callable[[Tensor], Tensor]:
    """Return a function whose scores are of that kind."""
    if kind == "probabilities":
        return lambda x: logits(x).softmax(1)
    return (lambda x: logits(x).sigmoid()) if kind == "binary_probabilities" else logits


def _of_sanity() -> Panel:
    two, x, y = network(2), images(3, 2, 12, 10), torch.tensor([0, 2, 1])
    one = attributions(3, 2, 12, 10)
    other = one + attributions(3, 2, 12, 10, seed=1)
    case = (two, by_gradient, x, y)
    yield "smooth_mprt", partial(metrics.smooth_mprt, *case, n_samples=3)
    yield "efficient_mprt", partial(metrics.efficient_mprt, *case)
    yield "efficient_mprt, bins", partial(metrics.efficient_mprt, *case, 7, seed=2)
    yield "seed_agreement", partial(metrics.seed_agreement, two, by_chance, x, y)
    yield "rank_correlation", partial(metrics.rank_correlation, one, other)
    yield "structural_similarity", partial(metrics.structural_similarity, one, other)
    yield "EquallyConfident", lambda: metrics.EquallyConfident(two, x, 0 * x, 1)(x).detach()


def _of_comparison() -> Panel:
    two, x, y = network(2), images(3, 2, 26, 25), torch.tensor([0, 2, 1])
    for name, function in trivial_methods().items():
        yield name, partial(_seeded, function, x)
    maps = attributions(2, 3, 40, 36)
    for form in ("signed", *FORMS):
        yield f"reduced, {form}", partial(reduced, maps, form)
    yield "superpixels", partial(superpixels, x)
    yield "LogOdds", lambda: LogOdds(two)(x).detach()
    for name, method in captum_methods(two, two[0]).items():
        call = partial(_seeded, method.maps, x, y)
        yield name, partial(method.arguments, x) if name in SURROGATES else call
    methods = {"Saliency": Saliency(two), "positive": Method(Saliency(two), reduce="positive")}
    masks = x[:, :1] > x[:, :1].mean()
    yield "compare", lambda: _told(compare(methods, x, [0, 2, 1], masks, batch_size=2))


def _seeded(call: Callable[..., Tensor], *arguments: Any) -> Tensor:
    """Call a method that may draw from the global generators of torch and of NumPy."""
    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)
        maps = call(*arguments)
    np.random.set_state(state)
    return maps.detach()


def _told(comparison: Any) -> list[Any]:
    """Return what a comparison tells, but for the seconds."""
    table = [{k: v for k, v in row.items() if k != "seconds"} for row in comparison.table()]
    return [*table, *comparison.curves().values(), *comparison.chance.values()]
