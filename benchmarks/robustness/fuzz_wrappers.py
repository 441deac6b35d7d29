"""Wrapped networks: no map may be wrong without a word.

A trial plants evidence in small images, explains a plain network that sees it, puts one or several
of the kinds of `wrappers` around the network, and explains it again. It has to end in an error that
begins with the name of an argument, in a `PCIMWarning` about the image, or in a map that agrees
with the one of the plain network; and the caller's modules stay as they were.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.robustness.fuzz_calls import NAMES_ARGUMENT
from benchmarks.robustness.wrappers import KINDS, UnfitError, Wrapped, unchanged
from captum_pcim import PCIM, PCIMWarning

SIDE, N_STAINS, N_CLASSES, TARGET = 16, 3, 3, 1
SPOT = 5  # pixels along the side of the planted evidence
SHARE_OF_SHORT = 0.3  # of the calls take fewer steps
SHARE_OF_FAST = 0.7  # of the calls let forward passes alone mask many images at once

RANKS_ALIKE = 0.6  # rank correlation with the plain network's map, at least this
TOP_ALIKE = 0.6  # or this share of its highest pixels, as many as the evidence has, in common
HIGHEST_ALIKE = 0.5  # the highest weight is at least this share of the plain map's
AREA_ALIKE = 4.0  # and the mean weight within this factor of it


class Outcome(NamedTuple):
    """How a trial ended.

    Attributes:
        tried: What was done.
        wrong: What is wrong with it; empty if nothing is.
        kinds: The wrappers.
        end: One of `ENDS`.
    """

    tried: str
    wrong: str
    kinds: tuple[str, ...] = ()
    end: str = ""


ENDS = ("refused", "warned", "right", "wrong")


def trial(dice: random.Random, explainer: type[PCIM] = PCIM, kinds: Sequence[str] = ()) -> Outcome:
    """Wrap a network, explain it and judge the end.

    Args:
        dice: Decide everything.
        explainer: What explains the wrapped network.
        kinds: The wrappers, where they are not to be drawn.
    """
    network, inputs = planted(dice)
    wrapped = Wrapped(network, inputs, call={"target": TARGET}, owned=[network])
    kinds = _wrap(dice, wrapped, set(kinds) or _drawn(dice))
    if dice.random() < SHARE_OF_FAST:  # where there is no gradient; else it is warned of
        wrapped.call["perturbations_per_eval"] = 50
    if dice.random() < SHARE_OF_SHORT:
        wrapped.call["n_steps"] = dice.choice((12, 24))
    tried = f"{' > '.join(kinds)}; {_told(wrapped)}"
    plain, doubts = _plain_maps(network, inputs, wrapped)
    with unchanged(wrapped.owned) as changed:
        wrong, end = _judged(explainer, wrapped, plain, doubts)
    if changed:
        wrong += f" changed {changed[:3]} of the caller's"
    return Outcome(tried, wrong, kinds, "wrong" if wrong else end)


def planted(dice: random.Random) -> tuple[nn.Module, Tensor]:
    """A network that sees a bright spot of a place or of a shape, and images that show it."""
    n_images = dice.randint(1, 3)
    generator = torch.Generator().manual_seed(dice.randrange(2**31))
    inputs = 0.15 * torch.rand(n_images, N_STAINS, SIDE, SIDE, generator=generator)
    top, left = (dice.randrange(1, SIDE - SPOT) for _ in range(2))
    inputs[:, :, top : top + SPOT, left : left + SPOT] += 0.8
    spot = torch.zeros(N_STAINS, SIDE, SIDE)
    spot[:, top : top + SPOT, left : left + SPOT] = 1
    network = dice.choice((_linear, _tanh, _cnn))(spot, generator)
    confidence = dice.choice((1, 1, 1, 5))
    with torch.no_grad():
        network[-1].weight.mul_(confidence)
        network[-1].bias.mul_(confidence)
    return network.eval(), inputs


def _linear(spot: Tensor, generator: torch.Generator) -> nn.Sequential:
    """A linear scorer of the brightness in the spot."""
    head = nn.Linear(spot.numel(), N_CLASSES)
    with torch.no_grad():
        head.weight.copy_(0.002 * torch.randn(head.weight.shape, generator=generator))
        head.weight[TARGET] += 20 * spot.flatten() / spot.sum()
        head.bias.copy_(torch.tensor([0.0, -12.0, -1.0]))
    return nn.Sequential(nn.Flatten(), head)


def _tanh(spot: Tensor, generator: torch.Generator) -> nn.Sequential:
    """The same through a hidden layer that saturates."""
    hidden, head = nn.Linear(spot.numel(), 4), nn.Linear(4, N_CLASSES)
    with torch.no_grad():
        hidden.weight.copy_(0.002 * torch.randn(hidden.weight.shape, generator=generator))
        hidden.weight[0] += 3 * spot.flatten() / spot.sum()
        hidden.bias.copy_(torch.tensor([-1.8, 0.0, 0.1, -0.1]))
        head.weight.copy_(0.2 * torch.randn(head.weight.shape, generator=generator))
        head.weight[TARGET] = torch.tensor([8.0, 0.1, -0.1, 0.1])
        head.bias.copy_(torch.tensor([0.0, 0.0, -1.0]))
    return nn.Sequential(nn.Flatten(), hidden, nn.Tanh(), head)


def _cnn(spot: Tensor, generator: torch.Generator) -> nn.Sequential:
    """A convolution that answers to a spot of the size wherever it is."""
    convolution, head = nn.Conv2d(N_STAINS, 4, SPOT, padding=SPOT // 2), nn.Linear(4, N_CLASSES)
    with torch.no_grad():
        shape = convolution.weight.shape
        convolution.weight.copy_(0.01 * torch.randn(shape, generator=generator))
        convolution.weight[0] += 1 / convolution.weight[0].numel()
        convolution.bias.copy_(torch.tensor([-0.5, 0.0, 0.0, 0.0]))
        head.weight.copy_(0.2 * torch.randn(head.weight.shape, generator=generator))
        head.weight[TARGET, 0] = 30.0
        head.bias.copy_(torch.tensor([0.0, -5.0, -1.0]))
    return nn.Sequential(convolution, nn.ReLU(), nn.AdaptiveMaxPool2d(1), nn.Flatten(), head)


def _drawn(dice: random.Random) -> set[str]:
    return {dice.choice(list(KINDS)) for _ in range(dice.choice((1, 1, 2, 2, 3)))}


def _wrap(dice: random.Random, wrapped: Wrapped, drawn: set[str]) -> tuple[str, ...]:
    """Put kinds around the network, in their order; return those that fit."""
    groups: set[str] = set()
    fitting = []
    for name, kind in KINDS.items():
        if name in drawn and kind.group not in groups:
            try:
                kind.wrap(dice, wrapped)
            except UnfitError:
                continue
            groups.add(kind.group)
            fitting.append(name)
    return tuple(fitting)


def _plain_maps(network: nn.Module, inputs: Tensor, wrapped: Wrapped) -> tuple[Tensor, set[int]]:
    """The maps of the plain network, (N, H, W), and the images whose maps it is warned of."""
    plain: Callable[..., Any] = network
    kind = wrapped.meaning
    if kind == "first two":
        plain, kind = (lambda x: network(x)[:, :2]), "logits"
    steps = {name: wrapped.call[name] for name in ("n_steps",) if name in wrapped.call}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        maps = PCIM(plain, score=kind).attribute(inputs, target=TARGET, **steps)  # type: ignore[arg-type]
    return maps[:, 0], _told_of(told, len(inputs))


def _judged(
    explainer: type[PCIM], wrapped: Wrapped, plain: Tensor, doubts: set[int]
) -> tuple[str, str]:
    """What is wrong with how the call ends, and how it ends."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            maps = _called(explainer, wrapped)
        except Exception as error:
            told_so = NAMES_ARGUMENT.match(str(error)) or _fails_by_itself(wrapped)
            return ("" if told_so else f"{type(error).__name__}: {error}"), "refused"
    silent = set(range(len(plain))) - _told_of(told, len(plain))
    if not wrapped.has_truth:
        return ("a map without a word" if silent else ""), "warned"
    wrong = "; ".join(
        f"image {i}: {found}"
        for own in maps
        for i in sorted(silent - doubts)
        for found in [disagreement(own[i, 0], plain[i])]
        if found
    )
    return wrong, "right" if silent else "warned"


def _called(explainer: type[PCIM], wrapped: Wrapped) -> Sequence[Tensor]:
    pcim = explainer(wrapped.forward_func, **wrapped.constructor)

    def call(_: int = 0) -> Tensor:
        with wrapped.around():
            maps: Tensor = pcim.attribute(wrapped.inputs, **wrapped.call)
            return maps.as_subclass(Tensor)

    if wrapped.n_threads == 1:
        return [call()]
    with ThreadPoolExecutor(wrapped.n_threads) as pool:
        return list(pool.map(call, range(wrapped.n_threads)))


def _fails_by_itself(wrapped: Wrapped) -> bool:
    """Whether the network raises where it is called by hand; that error comes through as it is."""
    try:
        with wrapped.around():
            wrapped.forward_func(wrapped.inputs)
    except Exception:
        return True
    return False


def _told_of(told: Sequence[warnings.WarningMessage], n_images: int) -> set[int]:
    """The images that warnings are about."""
    ours = [w.message for w in told if isinstance(w.message, PCIMWarning)]
    return {
        i
        for message in ours
        if not message.note.startswith("perturbations_per_eval")  # says nothing of the maps
        for i in (message.images or range(n_images))
    }


def disagreement(found: Tensor, plain: Tensor) -> str:
    """What tells a map (H, W) from the one of the plain network; empty if they agree.

    Ranks or the highest pixels have to agree, and so has the scale: the bounds stand above.
    """
    if not bool(((found >= 0) & (found <= 1)).all()):
        return f"weights from {float(found.min()):.3g} to {float(found.max()):.3g}"
    ranks, top = _rank_correlation(found, plain), _common_top(found, plain)
    if ranks < RANKS_ALIKE and top < TOP_ALIKE:
        return f"rank correlation {ranks:.2f}, {top:.0%} of the highest pixels in common"
    highest, area = float(found.max() / plain.max()), float(found.mean() / plain.mean())
    if highest < HIGHEST_ALIKE or not 1 / AREA_ALIKE <= area <= AREA_ALIKE:
        return f"highest weight {highest:.2f} times, mean weight {area:.2f} times the plain one"
    return ""


def _rank_correlation(one: Tensor, other: Tensor) -> float:
    ranks = torch.stack([x.flatten().argsort().argsort().double() for x in (one, other)])
    return float(torch.corrcoef(ranks)[0, 1])


def _common_top(one: Tensor, other: Tensor) -> float:
    tops = [set(x.flatten().topk(SPOT**2).indices.tolist()) for x in (one, other)]
    return len(tops[0] & tops[1]) / SPOT**2


def _told(wrapped: Wrapped) -> str:
    values = {**wrapped.constructor, **wrapped.call}
    shown = (
        f"{name}={'a tensor' if isinstance(value, Tensor) else repr(value)}"
        for name, value in values.items()
    )
    return ", ".join([f"{tuple(wrapped.inputs.shape)}", *shown])
