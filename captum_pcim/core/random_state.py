"""The global random state, borrowed for networks that draw random numbers and given back."""

import contextlib
import threading
from collections.abc import Iterator

import torch
from torch import Generator, Tensor


class _Borrowed:
    """The state to give back, shared by all calls that run at the same time.

    Calls in several threads share one global state. If each gave back what it had found, the
    last one would give back what another had set, so the first one in saves and the last one out
    restores.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.n_borrowers = 0
        self.saved: list[tuple[Generator, Tensor]] = []

    def enter(self) -> None:
        with self.lock:
            if self.n_borrowers == 0:
                self.saved = [(g, g.get_state()) for g in _generators()]
            self.n_borrowers += 1

    def leave(self) -> None:
        with self.lock:
            self.n_borrowers -= 1
            if self.n_borrowers == 0:
                for generator, state in self.saved:
                    generator.set_state(state)


_borrowed = _Borrowed()


@contextlib.contextmanager
def own_random_state(seed: int) -> Iterator[None]:
    """Give networks that draw random numbers the same ones each time, and put the state back.

    Args:
        seed (int): Of torch's global generators, on the CPU and on every GPU in use.
    """
    _borrowed.enter()
    try:
        for generator in _generators():
            generator.manual_seed(seed)
        yield
    finally:
        _borrowed.leave()


class Draws:
    """Tells whether the global generators were drawn from since this was made."""

    def __init__(self) -> None:
        self.before = [g.get_state() for g in _generators()]

    def __bool__(self) -> bool:
        """Return whether any of them was; also where another thread drew."""
        now = [g.get_state() for g in _generators()]
        return len(now) != len(self.before) or not all(map(torch.equal, self.before, now))


def _generators() -> list[Generator]:
    # torch.manual_seed would also leave a seed behind for GPUs that are not in use yet.
    on_gpus = torch.cuda.default_generators if torch.cuda.is_initialized() else ()
    return [torch.default_generator, *on_gpus]
