"""Global random states, borrowed for networks that draw random numbers and given back."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import torch


class _Borrowed:
    """The states to give back, shared by all calls that run at the same time.

    Calls in several threads share the global states. If each gave back what it had found, the
    last one would give back what another had set, so the first one in saves and the last one out
    restores.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_borrowers = 0
        self.give_back: list[Callable[[], object]] = []

    def enter(self) -> None:
        with self.lock:
            if self.n_borrowers == 0:
                self.give_back = [partial(restore, state()) for state, restore in _states()]
            self.n_borrowers += 1

    def leave(self) -> None:
        with self.lock:
            self.n_borrowers -= 1
            if self.n_borrowers == 0:
                for restore in self.give_back:
                    restore()


_borrowed = _Borrowed()


@contextlib.contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Give networks that draw random numbers the same ones each time, and put the states back.

    Args:
        seed (int): Of torch's global generators, on the CPU and on every GPU in use, and of those
            of NumPy and of Python.
    """
    _borrowed.enter()
    try:
        for generator in _generators():
            generator.manual_seed(seed)
        np.random.seed(seed % 2**32)
        random.seed(seed)
        yield
    finally:
        _borrowed.leave()


class Draws:
    """Tells whether the global generators were drawn from since this was made."""

    def __init__(self) -> None:
        self.before, self.elsewhere = [g.get_state() for g in _generators()], _outside_torch()

    def __bool__(self) -> bool:
        """Return whether any of them was; also where another thread drew."""
        now = [g.get_state() for g in _generators()]
        same = len(now) == len(self.before) and all(map(torch.equal, self.before, now))
        return not same or _outside_torch() != self.elsewhere


def _outside_torch() -> tuple[object, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return kind, np.asarray(keys).tobytes(), *rest, random.getstate()


def _states() -> list[tuple[Callable[[], Any], Callable[[Any], object]]]:
    """Return how each global state is read and how it is set."""
    return [
        *((generator.get_state, generator.set_state) for generator in _generators()),
        (np.random.get_state, np.random.set_state),
        (random.getstate, random.setstate),
    ]


def _generators() -> list[torch.Generator]:
    # torch.manual_seed would also leave a seed behind for GPUs that are not in use yet.
    on_gpus = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    return [torch.default_generator, *on_gpus]
