"""Buffers of the caller's modules, given back as they were, also where threads share a module."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from captum_pcim.core.reachable import reachable_modules


@dataclass
class _Kept:
    """A buffer as it was before the first of the calls that run now.

    Args:
        buffer (Tensor): The caller's.
        version (int): Its version then.
        value (Tensor): A copy of what it held.
        n_calls (int): Calls that have not ended yet.
    """

    buffer: Tensor
    version: int
    value: Tensor
    n_calls: int = 0

    def give_back(self) -> None:
        """Write the buffer back if it was written to."""
        if self.buffer._version != self.version or self._differs():
            self.buffer.copy_(self.value)

    def _differs(self) -> bool:
        """Tell whether it was written without a new version number, as through `.data`."""
        strided = self.buffer.layout == torch.strided
        return strided and not torch.equal(self.buffer, self.value)


def _has_values(buffer: Tensor) -> bool:
    """Tell whether there is anything to give back, and it may be written."""
    return not (buffer.is_meta or buffer.is_inference())


_lock = threading.Lock()
_kept: dict[int, _Kept] = {}


@contextlib.contextmanager
def buffers_kept(forward_func: Callable[..., Any], view: Callable[..., Any]) -> Iterator[None]:
    """Give the buffers of all of the caller's modules that a view can reach back as they were.

    The copy of a module has buffers of its own. A function calls the caller's module itself, and
    so do what cannot be copied and a copy whose `forward` was replaced by such a function. Of calls
    that run at the same time the last one gives back what the first one found.

    Args:
        forward_func (Callable): The caller's.
        view (Callable): What is called in its place.
    """
    copied = isinstance(view, nn.Module) and view is not forward_func
    modules = [m for m in reachable_modules(view).values() if not (copied and m is view)]
    # A buffer that several names lead to is one.
    buffers = {id(b): b for m in modules for b in m.buffers() if _has_values(b)}
    with _lock:
        for key, buffer in buffers.items():
            if key not in _kept:
                _kept[key] = _Kept(buffer, buffer._version, buffer.detach().clone())
            _kept[key].n_calls += 1
    try:
        yield
    finally:
        with _lock, torch.no_grad():
            for key in buffers:
                _kept[key].n_calls -= 1
                if _kept[key].n_calls == 0:
                    _kept.pop(key).give_back()
