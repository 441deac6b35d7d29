"""Random calls of `attribute`: odd shapes, types, values and networks, right and wrong arguments.

About half of the calls are right. A right one must give weights of the right form; a wrong one an
error whose message begins with the name of the argument. Inputs must be left alone by either.
"""

from __future__ import annotations

import inspect
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from captum_pcim import (
    PCIM,
    Autograd,
    Background,
    Blur,
    Constant,
    ControlImages,
    Factorised,
    ForwardOnly,
    PerStain,
    SharedOverStains,
    Smoothing,
)
from captum_pcim.core.scores import ScoreKind

SHARE_OF_WRONG = 0.05  # of the arguments of a call
NAN, INF = float("nan"), float("inf")
_CALLABLES = (PCIM.__init__, PCIM.attribute, Smoothing, Background, Blur, ForwardOnly)
_NAMES = {name for f in _CALLABLES for name in inspect.signature(f).parameters} - {"self"}
NAMES_ARGUMENT = re.compile(rf"({'|'.join(sorted(_NAMES))})(\[\d+\])?: ")


class NetworkError(Exception):
    """Whatever goes wrong inside the network, which has to come through as it is."""


@dataclass(frozen=True)
class Shapes:
    """What the arguments of a call have to fit.

    Attributes:
        inputs: Of each tensor.
        n_classes: Of the network.
        trailing: Axes of the output after the classes.
    """

    inputs: list[tuple[int, ...]]
    n_classes: int
    trailing: tuple[int, ...]

    @property
    def n_images(self) -> int:
        return self.inputs[0][0] if self.inputs[0] else 1


def trial(dice: random.Random) -> tuple[str, str]:
    """Make one call and judge it."""
    shapes = _shapes(dice)
    tensors = tuple(_tensor(dice, shape) for shape in shapes.inputs)
    inputs: Any = tensors if len(tensors) > 1 or dice.random() < 0.1 else tensors[0]
    network = _network(dice, shapes)
    makers = {name: _drawn(dice, *CONSTRUCTOR[name](shapes)) for name in CONSTRUCTOR}
    call = {name: _drawn(dice, *CALL[name](shapes)) for name in CALL}
    before = [x.detach().clone() for x in tensors]
    tried = _told({"inputs": inputs, **call})
    try:
        arguments = {name: make() for name, make in makers.items()}
        tried = _told({"inputs": inputs, **arguments, **call})
        given = {name: value() if callable(value) else value for name, value in call.items()}
        result = PCIM(network, **arguments).attribute(inputs, **given)
    except NetworkError:
        wrong = ""
    except Exception as error:
        wrong = "" if NAMES_ARGUMENT.match(str(error)) else f"{type(error).__name__}: {error}"
    else:
        maps = result[0] if call["return_diagnostics"] else result
        wrong = _wrong_maps(inputs, maps)
    if not all(map(_same, before, tensors)):
        wrong += " inputs were changed"
    return tried, wrong


def _wrong_maps(inputs: Any, maps: Any) -> str:
    if isinstance(inputs, tuple) != isinstance(maps, tuple):
        return f"{type(maps).__name__} for {type(inputs).__name__}"
    pairs = zip(inputs, maps, strict=True) if isinstance(inputs, tuple) else [(inputs, maps)]
    for x, weights in pairs:
        dtype = x.dtype if x.is_floating_point() else torch.float32
        if weights.shape != x.shape or weights.dtype != dtype:
            return f"{weights.dtype} {tuple(weights.shape)} for {dtype} {tuple(x.shape)}"
        if not bool(((weights >= 0) & (weights <= 1)).all()):
            return f"weights from {weights.min()} to {weights.max()}"
    return ""


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(7.0), other.detach().nan_to_num(7.0))


def _drawn(dice: random.Random, right: Sequence[Any], wrong: Sequence[Any]) -> Any:
    """One of the right values, the first above all, rarely a wrong one."""
    if wrong and dice.random() < SHARE_OF_WRONG:
        return dice.choice(wrong)
    return right[0] if dice.random() < 0.4 else dice.choice(right)


def _told(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={_short(value)}" for name, value in values.items())


def _short(value: Any) -> str:
    if isinstance(value, tuple) and any(isinstance(v, Tensor) for v in value):
        return f"({', '.join(map(_short, value))})"
    if isinstance(value, Tensor):
        return f"{value.dtype} {tuple(value.shape)}"
    return repr(value)


# Inputs


def _shapes(dice: random.Random) -> Shapes:
    n_images = dice.randint(1, 4)
    shapes: list[tuple[int, ...]] = []
    for _ in range(dice.choice((1, 1, 1, 1, 2, 3))):
        spatial = [dice.choice((1, 2, 5, 8, 15, 16, 17, 24)) for _ in range(dice.randint(0, 2))]
        volume = [dice.randint(1, 5)] if len(spatial) == 2 and dice.random() < 0.2 else []
        shapes.append((n_images, dice.randint(1, 4), *volume, *spatial))
    if dice.random() < SHARE_OF_WRONG:
        shapes[-1] = dice.choice([(), (0, 3, 8, 8), (n_images,), (n_images + 1, 1, 4, 4)])
    return Shapes(shapes, dice.randint(1, 4), dice.choice(((), (), (), (2,))))


def _tensor(dice: random.Random, shape: tuple[int, ...]) -> Tensor:
    generator = torch.Generator().manual_seed(dice.randrange(2**31))
    uniform = torch.rand(shape, generator=generator, dtype=torch.float64)
    values = dice.choice(VALUES)(uniform)
    dtype = torch.float32 if dice.random() < 0.6 else dice.choice(DTYPES)
    if dtype.is_floating_point:
        values = values.clamp(torch.finfo(dtype).min, torch.finfo(dtype).max)
    tensor = values.to(dtype)
    if dice.random() < SHARE_OF_WRONG and tensor.numel() and tensor.is_floating_point():
        tensor.view(-1)[dice.randrange(tensor.numel())] = dice.choice((NAN, INF, -INF))
    return dice.choice(LAYOUTS)(tensor)


DTYPES = (
    torch.float64, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64,
    torch.bool, torch.complex64,
)  # fmt: skip
VALUES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda u: u,
    lambda u: u,
    lambda u: u,
    lambda u: 20 * u - 10,
    lambda u: 65535 * u,
    lambda u: 1e30 * u,
    lambda u: 1e-30 * u,
    lambda u: 1e-42 * u,
    lambda u: 0 * u,
    lambda u: 0 * u + 0.7,
    lambda u: (u > 0.5).double(),
    lambda u: 3e38 * (2 * u - 1),
)
LAYOUTS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda x: x,
    lambda x: x,
    lambda x: x,
    lambda x: x.flip(-1) if x.ndim else x,
    lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2) if x.ndim > 1 else x,
    lambda x: x.contiguous(memory_format=torch.channels_last) if x.ndim == 4 else x,
    lambda x: x[:1].expand_as(x).clone() if x.ndim else x,
    lambda x: x.requires_grad_() if x.is_floating_point() else x,
)


# Networks, all of them functions of any number of tensors


def _network(dice: random.Random, shapes: Shapes) -> Callable[..., Any]:
    n_scores = shapes.n_classes * int(np.prod(shapes.trailing))
    form = (-1, shapes.n_classes, *shapes.trailing)

    def smooth(*tensors: Any) -> Tensor:
        rows = [_row(x) for x in tensors if isinstance(x, Tensor) and x.ndim]
        pixels = torch.cat(rows, 1)
        places = torch.arange(n_scores * pixels.shape[1], dtype=pixels.dtype)
        filters = (7 * places + 1).cos().view(n_scores, -1)
        return 3 * (pixels @ filters.T / pixels.shape[1] ** 0.5).tanh().reshape(form)

    class Module(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(n_scores)

        def forward(self, *tensors: Any) -> Tensor:
            flat = smooth(*tensors).float().reshape(-1, n_scores)
            return self.norm(flat).reshape(form)

    if dice.random() < 0.2:
        return Module().train(dice.random() < 0.2)
    change = NETWORKS[0] if dice.random() < 0.4 else dice.choice(NETWORKS)

    def network(*tensors: Any) -> Any:
        try:
            return change(smooth, tensors)
        except Exception as error:
            raise NetworkError(str(error)) from error

    return network


def _row(x: Tensor) -> Tensor:
    return x.to(torch.float64 if x.dtype == torch.float64 else torch.float32).reshape(len(x), -1)


def _in_place(smooth: Callable[..., Tensor], tensors: tuple[Any, ...]) -> Tensor:
    for x in tensors:
        if isinstance(x, Tensor) and x.is_floating_point():
            x.mul_(0.5)
    return smooth(*tensors)


NETWORKS: tuple[Callable[[Callable[..., Tensor], tuple[Any, ...]], Any], ...] = (
    lambda f, x: f(*x),
    lambda f, x: 1e4 * f(*x),
    lambda f, x: 1e36 * f(*x),
    lambda f, x: 1e-30 * f(*x),
    lambda f, x: f(*x).softmax(1),
    lambda f, x: (1e4 * f(*x)).softmax(1),
    lambda f, x: f(*x).log_softmax(1),
    lambda f, x: 0 * f(*x),
    lambda f, x: f(*x).relu() * 0 + 2,
    lambda f, x: f(*x).sign(),
    lambda f, x: f(*x).detach(),
    lambda f, x: f(*x).round().long(),
    lambda f, x: f(*x).argmax(1),
    lambda f, x: f(*x).half(),
    lambda f, x: f(*x).double(),
    lambda f, x: f(*x).sqrt(),
    lambda f, x: 1 / f(*x),
    lambda f, x: (f(*x) - f(*x)).sqrt(),
    lambda f, x: f(*x) / 0,
    lambda f, x: f(*x) + torch.randn(()),
    lambda f, x: f(*x).detach().numpy(),
    lambda f, x: (f(*x), None),
    lambda f, x: None,
    lambda f, x: f(*x).mean(0),
    lambda f, x: f(*x).sum(),
    lambda f, x: f(*x)[:1],
    lambda f, x: f(*x)[:, :0],
    lambda f, x: f(*x).flatten(1)[:, 0],
    _in_place,
    lambda f, x: f(),
)


# Arguments: (right values, wrong ones); functions are called when the call is made


def _fixed(right: Sequence[Any], wrong: Sequence[Any]) -> Callable[[Shapes], Any]:
    return lambda shapes: (right, wrong)


def _made(right: Sequence[Any], wrong: Sequence[Any]) -> Callable[[Shapes], Any]:
    def constant(value: Any) -> Callable[[], Any]:
        return lambda: value

    return lambda shapes: tuple(
        [v if callable(v) else constant(v) for v in values] for values in (right, wrong)
    )


def _references(shapes: Shapes) -> Any:
    image = shapes.inputs[0][1:]
    right = [
        lambda: None,
        lambda: [Constant(0.5)],
        lambda: [Background(0.5), Blur(0.0), Constant(0.0)],
        lambda: [Background(0.0), Background(1.0)],
        lambda: [ControlImages(torch.ones(2, *image))],
        lambda: [Blur(1000.0)],
    ]
    wrong = [
        lambda: [Constant(NAN)],
        lambda: [Constant([1.0] * 7)],
        lambda: [Background(2.0)],
        lambda: [Blur(-1.0)],
        lambda: [ControlImages(torch.ones(2, 9))],
        lambda: [3],
        lambda: 3,
    ]
    return right, wrong


CONSTRUCTOR: dict[str, Callable[[Shapes], Any]] = {
    "score": _made(list(get_args(ScoreKind)), ["odds", None, 3]),
    "references": _references,
    "isolation": _made([None, SharedOverStains, PerStain, Factorised], ["per stain", 3]),
    "smoothing": _made(
        [None, lambda: Smoothing(0), lambda: Smoothing(0.3), lambda: Smoothing(2.0, spacing=0.5)],
        [lambda: Smoothing(-1), lambda: Smoothing(NAN), lambda: Smoothing(400.0), 2.0, "wide"],
    ),
    "order": _made(["cycle", "sample"], ["random", None]),
    "autocast_dtype": _made([None, None, torch.bfloat16], ["bfloat16", 16]),
    "eval_mode": _made([False, True], []),
    "gradients": _made(
        ["auto", Autograd, lambda: ForwardOnly(30), lambda: ForwardOnly(5, on_error="return")],
        ["none", lambda: ForwardOnly(0), lambda: ForwardOnly(20, on_error="stop"), None],
    ),
    "seed": _made([0, 1, 2**40], [-1, "seed", None, 1.5, 2**70]),
}


def _baselines(shapes: Shapes) -> Any:
    many = len(shapes.inputs) > 1

    def each(make: Callable[[tuple[int, ...]], Any]) -> Any:
        made = tuple(make(shape) for shape in shapes.inputs)
        return made if many else made[0]

    right = [
        None,
        each(lambda s: 0),
        each(lambda s: 0.25),
        each(torch.zeros),
        each(lambda s: torch.ones(1, *s[1:])),
        each(lambda s: torch.zeros(s, dtype=torch.float64)),
    ]
    wrong = [
        each(lambda s: NAN),
        each(lambda s: torch.full(s, INF)),
        each(lambda s: torch.zeros(*s, 2)),
        each(lambda s: "black"),
        (0,) * 5,
        (),
        1e300,
    ]
    return right, wrong


def _target(shapes: Shapes) -> Any:
    n, last = shapes.n_images, shapes.n_classes - 1
    one: Any = (last, *[0] * len(shapes.trailing))
    single = not shapes.trailing
    right = [last, torch.full((n,), last), [last] * n, np.full(n, last)] if single else [one]
    wrong = [
        None, -1, 99, True, 1.0, "1", (), (0, 0, 0, 0), [], [last] * (n + 1), [(0,)] * (n + 2),
        torch.zeros(n), torch.zeros(n, 2).long(), torch.zeros(0).long(), [None] * n, {0},
        np.zeros(n), [(0, 1.5)] * n, [NAN] * n, 2**70, [2**70] * n, (2**70,),
    ]  # fmt: skip
    return [*right, one, [one] * n], wrong


def _feature_mask(shapes: Shapes) -> Any:
    many = len(shapes.inputs) > 1

    def each(make: Callable[[tuple[int, ...]], Any]) -> Any:
        made = tuple(make(shape) for shape in shapes.inputs)
        return made if many else made[0]

    def numbered(shape: tuple[int, ...]) -> Tensor:
        return torch.arange(int(np.prod(shape))).reshape(shape) % 5

    right = [
        None,
        None,
        each(numbered),
        each(lambda s: numbered((1, *s[1:]))),
        each(lambda s: torch.ones([1] * len(s), dtype=torch.int32)),
        each(lambda s: 2**40 * numbered(s)),
    ]
    wrong = [
        each(lambda s: numbered(s) - 2),
        each(lambda s: numbered(s) / 2),
        each(lambda s: numbered((*s, 2))),
        each(lambda s: numbered(s) > 1),
        each(lambda s: numbered(s) * 1j),
        each(lambda s: torch.zeros(0, dtype=torch.int64)),
        (),
        3,
        "cells",
    ]
    return right, wrong


def _additional(shapes: Shapes) -> Any:
    n = shapes.n_images
    return [None, torch.ones(n, 2), (torch.ones(n, 1), 3), ("text",), 5], []


_COUNTS = [0, -1, 1.5, "2", True, None]
CALL: dict[str, Callable[[Shapes], Any]] = {
    "baselines": _baselines,
    "target": _target,
    "additional_forward_args": _additional,
    "feature_mask": _feature_mask,
    "internal_batch_size": _fixed([None, 1, 2, 3, 9, np.int64(4)], _COUNTS),
    "n_steps": _fixed([3, 1, 6, np.int32(2)], _COUNTS),
    "learning_rate": _fixed([0.5, 1e-30, 50, 1e30], [0, -1, NAN, INF, "fast", None, 1j]),
    "tolerance": _fixed([0.0, 0.01, 0.99], [-0.1, 1, NAN, "no", None]),
    "perturbations_per_eval": _fixed([1, 3, 64], _COUNTS),
    "return_diagnostics": _fixed([False, True], []),
}
