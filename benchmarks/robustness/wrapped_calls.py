"""Kinds of wrappers that change the form of a network, what holds it, and how it is called."""

from __future__ import annotations

import functools
import random
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.robustness.wrappers import Kinds, Opaque, Wrapped
from captum_pcim import Autograd

KINDS = Kinds()


# Forms that a module comes in


@KINDS.kind("scripted", "form")
def _scripted(dice: random.Random, to: Wrapped) -> None:
    to.own(torch.jit.script(to.eager_module()))


@KINDS.kind("traced", "form")
def _traced(dice: random.Random, to: Wrapped) -> None:
    to.own(torch.jit.trace(to.eager_module(), to.inputs, check_trace=False))


@KINDS.kind("quantised to int8", "form")
def _int8(dice: random.Random, to: Wrapped) -> None:
    to.own(torch.ao.quantization.quantize_dynamic(to.eager_module(), {nn.Linear}))


@KINDS.kind("exported with a static batch", "form")
def _exported(dice: random.Random, to: Wrapped) -> None:
    rows = torch.rand(dice.choice((1, 2, 3, 5)), *to.inputs.shape[1:])
    to.own(torch.export.export(to.eager_module(), (rows,)).module())


@KINDS.kind("compiled", "form")
def _compiled(dice: random.Random, to: Wrapped) -> None:
    torch._dynamo.reset()  # or it gives up compiling after a few of them
    to.own(torch.compile(to.module(), backend="eager"))


class Uncopyable(Opaque):
    """A module that holds a lock and counts its calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.lock = threading.Lock()
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.n_calls += 1
        return self.network(x)


@KINDS.kind("a module that cannot be copied", "form")
def _uncopyable(dice: random.Random, to: Wrapped) -> None:
    to.own(Uncopyable(to.module()).train(to.module().training))


# What holds a network


class Owner:
    def __init__(self, network: Callable[..., Any]) -> None:
        self.parts = {"network": [network]}

    def __call__(self, x: Tensor) -> Any:
        return self.parts["network"][0](x)

    def scores(self, x: Tensor) -> Any:
        return self(x)


HOLDERS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "a closure": lambda f: lambda x: f(x),
    "a default value": lambda f: lambda x, f=f: f(x),
    "a partial function": lambda f: functools.partial(lambda g, x: g(x), f),
    "a keyword of a partial function": lambda f: functools.partial(lambda x, g: g(x), g=f),
    "an object": Owner,
    "a bound method": lambda f: Owner(f).scores,
    "a decorator": lambda f: functools.wraps(f)(lambda x: f(x)) if _named(f) else lambda x: f(x),
}


def _named(f: Any) -> bool:
    return hasattr(f, "__name__")


def _holder(name: str) -> None:
    @KINDS.kind(f"in {name}")
    def wrap(dice: random.Random, to: Wrapped) -> None:
        to.forward_func = HOLDERS[name](to.forward_func)


for _name in HOLDERS:
    _holder(_name)


@KINDS.kind("NumPy inside or returned")
def _numpy(dice: random.Random, to: Wrapped) -> None:
    inner, how = to.forward_func, dice.randrange(3)

    def forward(x: Tensor) -> Any:
        if how == 0:
            return inner(torch.from_numpy(x.numpy()))
        scores = inner(x.detach()).detach().numpy()
        return scores if how == 1 else torch.from_numpy(scores)

    to.forward_func = forward


# How it is called


@KINDS.kind("an outer autocast")
def _autocast(dice: random.Random, to: Wrapped) -> None:
    dtype = dice.choice((torch.bfloat16, torch.float16))
    to.around = functools.partial(torch.autocast, "cpu", dtype=dtype)


@KINDS.kind("threads")
def _threads(dice: random.Random, to: Wrapped) -> None:
    to.n_threads = 2


@KINDS.kind("blank images", "inputs")
def _blank(dice: random.Random, to: Wrapped) -> None:
    to.inputs = torch.full_like(to.inputs, dice.choice((0.0, 0.3, 1.0)))
    to.has_truth = False


@KINDS.kind("baselines that are the inputs", "inputs")
def _same(dice: random.Random, to: Wrapped) -> None:
    to.call["baselines"] = to.inputs.clone()
    to.has_truth = False


class Tagged(Tensor):
    """A tensor whose `new_empty` wants a tuple, as MONAI's."""

    def new_empty(self, size: Any, **options: Any) -> Any:  # type: ignore[override]
        assert isinstance(size, tuple)
        return super().new_empty(size, **options)


@KINDS.kind("a tensor subclass", "inputs")
def _subclass(dice: random.Random, to: Wrapped) -> None:
    to.inputs = to.inputs.as_subclass(Tagged)


@KINDS.kind("one image without a batch axis", "inputs")
def _no_batch(dice: random.Random, to: Wrapped) -> None:
    to.inputs = to.inputs[0]
    to.has_truth = False


@KINDS.kind("channels last", "inputs")
def _channels_last(dice: random.Random, to: Wrapped) -> None:
    to.inputs = to.inputs.permute(0, 2, 3, 1).contiguous()
    to.has_truth = False


@KINDS.kind("gradients insisted on")
def _insisted(dice: random.Random, to: Wrapped) -> None:
    to.constructor["gradients"] = Autograd()


@KINDS.kind("evaluation mode asked for")
def _asked(dice: random.Random, to: Wrapped) -> None:
    to.constructor["eval_mode"] = True


@KINDS.kind("small batches")
def _small_batches(dice: random.Random, to: Wrapped) -> None:
    to.call["internal_batch_size"] = dice.choice((1, 2, 3))
