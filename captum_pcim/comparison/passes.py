"""Counting the rows that go through a network, forward and backward."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass
class Passes:
    """Rows (images, however they were batched) that went through a network.

    Attributes:
        forwards: Rows that were scored.
        backwards: Rows that a gradient was propagated back from.
    """

    forwards: int = 0
    backwards: int = 0


@contextlib.contextmanager
def count_passes(module: nn.Module) -> Iterator[Passes]:
    """Count what goes through a module while the context is open.

    A forward hook looks at the scores and a tensor hook at their gradient; neither changes
    anything, so methods that use hooks themselves work as without it. Copies of the module made
    inside the context are counted too.

    Args:
        module: The network; it must return a tensor with one row per image.

    Yields:
        The counts so far.
    """
    passes = Passes()
    # A function rather than a method of Passes: copy.deepcopy(module) would copy the counts.
    handle = module.register_forward_hook(lambda _module, _inputs, scores: _note(passes, scores))
    try:
        yield passes
    finally:
        handle.remove()


def counted(function: Callable[..., Any], passes: Passes) -> Callable[..., Any]:
    """Return a function that does the same as a forward function and counts its rows.

    Args:
        function: Returns a tensor with one row per image.
        passes: Where to count.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        scores = function(*args, **kwargs)
        _note(passes, scores)
        return scores

    return forward


def _note(passes: Passes, scores: Tensor) -> None:
    passes.forwards += len(scores)
    if scores.requires_grad:
        scores.register_hook(lambda gradient: _note_gradient(passes, gradient))


def _note_gradient(passes: Passes, gradient: Tensor) -> None:
    passes.backwards += len(gradient)
