"""A stand-in for a GPU: a device on which only that lies which was moved there or made there.

On a machine without a GPU everything is on the CPU, and a tensor that was made in the wrong place
is not noticed. Here the tensors from outside say that they lie on `cpu:0`, and what is made without
a device lies on the host, `cpu`. What a GPU refuses is refused: host tensors and others in one
operation, unless one is a single number; and so is what a GPU allows but waits for, a host tensor
as an index.
"""

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._device import _device_constructors
from torch.utils._pytree import tree_leaves, tree_map

DEVICE = torch.device("cpu", 0)
FACTORIES = _device_constructors() | {Tensor.to, torch.from_numpy}
ACROSS = {Tensor.copy_, Tensor.set_, Tensor.__setitem__}
READING = {Tensor.numpy, Tensor.__array__}


class Host(Tensor):
    """A tensor that lies on the host."""


class Elsewhere(TorchFunctionMode):
    """While it is open, tensors of today lie on the device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func == Tensor.device.__get__:
            return torch.device("cpu") if isinstance(args[0], Host) else DEVICE
        if func in READING and not isinstance(given[0], Host):
            raise TypeError("an array is made of a tensor on the device; copy it with cpu() before")
        on_host = _on_host(func, given, args, kwargs)
        with torch._C.DisableTorchFunctionSubclass():
            result = func(*args, **kwargs)
        if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            return result
        return tree_map(_on_host_now if on_host else _on_device_now, result)


def on_host(tensor: Tensor) -> Tensor:
    """Return the same tensor as one that lies on the host."""
    return tensor.as_subclass(Host)


def _on_host(func: Any, given: list[Tensor], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether the result is on the host; an error where the tensors do not go together."""
    places = [isinstance(each, Host) for each in given]
    if func is Tensor.cpu:
        return True
    if func in FACTORIES:
        named = _named_place(args[1:], kwargs)
        return (places[0] if places else True) if named is None else named
    if func in ACROSS:
        return places[0]
    large = {place for place, each in zip(places, given, strict=True) if each.ndim}
    if len(large) > 1:
        raise RuntimeError(f"{getattr(func, '__name__', func)}: tensors on two devices")
    return (large or {all(places)}) == {True} and bool(places)


def _named_place(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool | None:
    """Whether a call asks for the host; None where it names no place."""
    for each in (*args, kwargs.get("device"), kwargs.get("other")):
        if isinstance(each, Tensor):
            return isinstance(each, Host)
        if isinstance(each, (str, torch.device)):
            return torch.device(each) != DEVICE
    return None


def _on_host_now(result: Any) -> Any:
    plain = isinstance(result, Tensor) and not isinstance(result, Host)
    return result.as_subclass(Host) if plain else result


def _on_device_now(result: Any) -> Any:
    return result.as_subclass(Tensor) if isinstance(result, Host) else result
