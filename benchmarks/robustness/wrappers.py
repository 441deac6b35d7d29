"""What the kinds of wrappers change: a network with what is around it, and how it is called.

The kinds themselves stand in `wrapped_networks` and `wrapped_calls`.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn


@dataclass
class Wrapped:
    """A network with what is around it, and how it is called.

    Attributes:
        forward_func: The network so far.
        inputs: Images of shape (N, C, H, W).
        constructor: Arguments of `PCIM`.
        call: Arguments of `attribute`.
        meaning: What the plain network's scores mean where its map is to be the same.
        has_truth: Whether the map of the plain network is what a right one shows; where it is
            not, only an error or a warning will do.
        around: Opened around the call, in its thread.
        owned: The caller's modules, which a call may not change.
        n_threads: Calls at the same time.
    """

    forward_func: Callable[..., Any]
    inputs: Tensor
    constructor: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    meaning: str = "logits"
    has_truth: bool = True
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    owned: list[nn.Module] = field(default_factory=list)
    n_threads: int = 1

    def before(self, dice: random.Random, part: nn.Module) -> None:
        """Put a part before the network."""
        self._chain(dice, part, self.forward_func)

    def after(self, dice: random.Random, part: nn.Module) -> None:
        """Put a part behind the network."""
        self._chain(dice, self.forward_func, part)

    def _chain(self, dice: random.Random, first: Callable[..., Any], then: Any) -> None:
        modules = isinstance(first, nn.Module) and isinstance(then, nn.Module)
        if modules and dice.random() < 0.7:
            self.own(nn.Sequential(first, then))
        else:
            self.forward_func = lambda x: then(first(x))

    def module(self) -> nn.Module:
        """The network, if it is a module."""
        if not isinstance(self.forward_func, nn.Module):
            raise UnfitError
        return self.forward_func

    def eager_module(self) -> nn.Module:
        """The network, if it is one that TorchScript, quantisation and export take."""
        unfit = (Opaque, torch.jit.ScriptModule)
        if any(isinstance(part, unfit) or part.training for part in self.module().modules()):
            raise UnfitError
        return self.module()

    def own(self, module: nn.Module) -> None:
        """Take a module in the network's place."""
        self.owned.append(module)
        self.forward_func = module


class Opaque(nn.Module):
    """A module that TorchScript, quantisation and export do not take."""


class UnfitError(Exception):
    """A kind cannot be put around what is there already."""


Wrap = Callable[[random.Random, Wrapped], None]


@dataclass(frozen=True)
class Kind:
    """A kind of wrapper.

    Attributes:
        wrap: Does it.
        group: Of kinds that exclude each other.
    """

    wrap: Wrap
    group: str = ""


class Kinds(dict[str, Kind]):
    """Kinds by name, in the order in which they are applied."""

    def kind(self, name: str, group: str = "") -> Callable[[Wrap], Wrap]:
        """Keep a function as a kind."""

        def keep(wrap: Wrap) -> Wrap:
            self[name] = Kind(wrap, group or name)
            return wrap

        return keep


@contextlib.contextmanager
def unchanged(modules: list[nn.Module]) -> Iterator[list[str]]:
    """Yield a list that afterwards names what has changed of modules: tensors, modes, gradients."""
    before = [_state(module) for module in modules]
    changed: list[str] = []
    yield changed
    for module, was in zip(modules, before, strict=True):
        changed += [
            name for name, value in _state(module).items() if not _same_value(value, was.get(name))
        ]


def _state(module: nn.Module) -> dict[str, Any]:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    values: dict[str, Any] = {name: value.detach().clone() for name, value in tensors.items()}
    for name, parameter in module.named_parameters():
        values[f"{name}.requires_grad"] = parameter.requires_grad
        values[f"{name}.grad"] = parameter.grad is None
    modes = {f"{name}.training": part.training for name, part in module.named_modules()}
    return values | modes


def _same_value(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    return bool(one == other)
