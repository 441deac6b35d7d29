"""Kinds of wrappers that change what a network computes, or what its scores mean."""

from __future__ import annotations

import random
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.robustness.wrappers import Kinds, Opaque, UnfitError, Wrapped

KINDS = Kinds()


# Parts without a gradient; TorchScript can take all of them


class Rounds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 255).round() / 255


class CastsToIntegers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 255).to(torch.uint8).float() / 255


class Thresholds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


class RoundsScores(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


class Detaches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class BadGradient(nn.Module):
    """Adds nothing, with a gradient that is infinite or NaN where an input is above a limit."""

    def __init__(self, network: nn.Module, limit: float, factor: float) -> None:
        super().__init__()
        self.network = network
        self.limit = limit
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        bad = x > self.limit
        ones = torch.ones_like(x)
        roots = torch.where(bad, x - x.detach(), ones).sqrt() - torch.where(bad, 0 * ones, ones)
        return self.network(x) + (self.factor * roots).sum([1, 2, 3]).unsqueeze(1)


class HidesPart(nn.Module):
    """Has a gradient with respect to a share of each pixel alone."""

    def __init__(self, network: nn.Module, live: Tensor) -> None:
        super().__init__()
        self.network = network
        self.live = live

    def forward(self, x: Tensor) -> Tensor:
        scores: Tensor = self.network(self.live * x + (1 - self.live) * x.detach())
        return scores


class PartsInAList(Opaque):
    """Its parameters and its network are where no module looks for them."""

    def __init__(self, network: nn.Module, gradient: bool) -> None:
        super().__init__()
        self.parts = [network]
        self.factors = [torch.ones(1, requires_grad=True)]
        self.gradient = gradient

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.gradient and torch.is_grad_enabled()):
            scores = self.parts[0](x)
        return scores * self.factors[0]


class InNoGrad(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scores = self.network(x)
        return self.scale * scores


@KINDS.kind("rounded inputs")
def _rounded(dice: random.Random, to: Wrapped) -> None:
    to.before(dice, Rounds())


@KINDS.kind("inputs cast to integers")
def _cast(dice: random.Random, to: Wrapped) -> None:
    to.before(dice, CastsToIntegers())


@KINDS.kind("a hard threshold")
def _threshold(dice: random.Random, to: Wrapped) -> None:
    to.before(dice, Thresholds())


@KINDS.kind("rounded scores")
def _rounded_scores(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, RoundsScores())


@KINDS.kind("a detached head")
def _detached(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, Detaches())


@KINDS.kind("an inner no_grad")
def _no_grad(dice: random.Random, to: Wrapped) -> None:
    if isinstance(to.forward_func, nn.Module):
        to.own(InNoGrad(to.forward_func))
    else:
        to.forward_func = torch.no_grad()(to.forward_func)


@KINDS.kind("a partly detached network")
def _partly_detached(dice: random.Random, to: Wrapped) -> None:
    live = torch.zeros_like(to.inputs[:1])
    hidden = dice.choice(("a side", "stains", "a share"))
    if hidden == "a side":
        live[..., : live.shape[-1] // 2] = 1
    elif hidden == "stains":
        live[:, :1] = 1
    else:
        live += 0.3
    to.own(HidesPart(to.module(), live))


@KINDS.kind("parts in plain lists")
def _lists(dice: random.Random, to: Wrapped) -> None:
    to.own(PartsInAList(to.module(), gradient=dice.random() < 0.5))


@KINDS.kind("NaN or infinite gradients")
def _nan_gradients(dice: random.Random, to: Wrapped) -> None:
    to.own(BadGradient(to.module(), limit=-1.0, factor=dice.choice((0.0, 1.0))))


@KINDS.kind("NaN or infinite gradients of some pixels")
def _some_nan_gradients(dice: random.Random, to: Wrapped) -> None:
    limit = float(to.inputs[-1].quantile(dice.choice((0.1, 0.5, 0.999))))
    to.own(BadGradient(to.module(), limit, factor=dice.choice((0.0, 1.0))))


# What scores mean


class Percent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 100 * x


class OneLogit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:2] - x[:, :1]


def _declared(dice: random.Random, to: Wrapped, right: str, *others: str) -> None:
    """Declare what scores mean: mostly right, else nothing or something else."""
    lot = dice.random()
    if lot < 0.5:
        to.constructor["score"] = right
    elif lot > 0.8:
        to.constructor["score"] = dice.choice(others)


@KINDS.kind("independent sigmoids", "meaning")
def _sigmoids(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, nn.Sigmoid())
    to.meaning = "binary_logits"
    _declared(dice, to, "binary_probabilities", "probabilities", "binary_logits")


@KINDS.kind("softmax", "meaning")
def _softmax(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, nn.Softmax(1))
    _declared(dice, to, "probabilities", "binary_probabilities", "binary_logits")


@KINDS.kind("percentages", "meaning")
def _percentages(dice: random.Random, to: Wrapped) -> None:
    kind = dice.choice((nn.Softmax(1), nn.Sigmoid()))
    to.meaning = "logits" if isinstance(kind, nn.Softmax) else "binary_logits"
    to.after(dice, nn.Sequential(kind, Percent()))
    if dice.random() < 0.3:
        to.constructor["score"] = dice.choice(("probabilities", "binary_probabilities"))


@KINDS.kind("log-probabilities", "meaning")
def _log_probabilities(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, nn.LogSoftmax(1))
    if dice.random() < 0.3:
        to.constructor["score"] = dice.choice(("probabilities", "binary_probabilities"))


@KINDS.kind("logits declared as probabilities", "meaning")
def _called_probabilities(dice: random.Random, to: Wrapped) -> None:
    to.constructor["score"] = dice.choice(("probabilities", "binary_probabilities"))
    to.has_truth = False


@KINDS.kind("a network of one logit", "meaning")
def _one_logit(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, OneLogit())
    to.meaning = "first two"
    if dice.random() < 0.4:
        to.after(dice, nn.Sigmoid())
        _declared(dice, to, "probabilities", "binary_probabilities", "binary_logits")
    to.call["target"] = dice.choice((None, 0, 1))
    to.has_truth = to.call["target"] != 1


@KINDS.kind("scores that do not move")
def _unmoved(dice: random.Random, to: Wrapped) -> None:
    inner, fixed = to.forward_func, to.inputs[:1].clone()
    to.forward_func = lambda x: inner(fixed.expand_as(x)) + 0 * inner(x)
    to.has_truth = False


# Modes, chance, and what the rest of the batch decides


def _module_in_training(dice: random.Random, to: Wrapped) -> nn.Module:
    part: nn.Module = dice.choice((nn.Dropout(0.5), nn.Dropout2d(0.3), nn.BatchNorm2d(3)))
    if isinstance(to.forward_func, nn.Module):
        module = nn.Sequential(part, to.forward_func)
    else:
        module = nn.Sequential(part)
    module.train()
    return module


@KINDS.kind("training mode", "mode")
def _training(dice: random.Random, to: Wrapped) -> None:
    network = to.forward_func
    module = _module_in_training(dice, to)
    if not isinstance(network, nn.Module):
        to.owned.append(module)
        to.forward_func = lambda x: network(module(x))
        return
    to.own(module)
    if dice.random() < 0.3:
        to.own(nn.Sequential(torch.jit.script(nn.Sequential(module[0])), network))
    to.constructor["eval_mode"] = dice.random() < 0.4


@KINDS.kind("traced in training mode", "mode")
def _traced_in_training(dice: random.Random, to: Wrapped) -> None:
    module = _module_in_training(dice, to)
    rest = (lambda x: x) if isinstance(to.forward_func, nn.Module) else to.forward_func
    try:
        with torch.no_grad():
            traced = torch.jit.trace(module, to.inputs, check_trace=False).eval()
    except RuntimeError as error:  # parts in lists are constants to TorchScript
        raise UnfitError from error
    to.owned.append(traced)
    to.forward_func = lambda x: rest(traced(x))


@KINDS.kind("batch statistics in a function", "mode")
def _batch_statistics(dice: random.Random, to: Wrapped) -> None:
    inner = to.forward_func
    if dice.random() < 0.3:
        norm = nn.BatchNorm2d(to.inputs.shape[1], track_running_stats=False).eval()
        to.owned.append(norm)
        to.forward_func = lambda x: inner(norm(x))
    else:
        to.forward_func = lambda x: inner(F.batch_norm(x, None, None, training=True))


@KINDS.kind("functional dropout")
def _dropout(dice: random.Random, to: Wrapped) -> None:
    inner, share = to.forward_func, dice.choice((0.1, 0.3, 0.5))
    to.forward_func = lambda x: inner(F.dropout(x, share, training=True))


@KINDS.kind("stochastic depth")
def _stochastic_depth(dice: random.Random, to: Wrapped) -> None:
    inner, share = to.forward_func, dice.choice((0.1, 0.3, 0.5))

    def forward(x: Tensor) -> Any:
        scores = inner(x)
        return scores * (torch.rand(len(x), 1) >= share)

    to.forward_func = forward
