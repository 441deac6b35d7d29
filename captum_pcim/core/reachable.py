"""Modules that a forward function can reach: their mode, and their buffers kept as they were."""

import contextlib
import functools
import re
import types
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

_BatchNorm = nn.modules.batchnorm._BatchNorm
_InstanceNorm = nn.modules.instancenorm._InstanceNorm
_COUPLING_OR_RANDOM = (_BatchNorm, nn.modules.dropout._DropoutNd, nn.RReLU)
_WITH_DROPOUT = (nn.RNNBase, nn.MultiheadAttention)
# By name too: TorchScript keeps it, and torchvision and timm have modules of their own.
_NAMES = re.compile(r"BatchNorm|Dropout|DropPath|StochasticDepth|DropBlock|RReLU")
_LEAVES = (Tensor, str, bytes, int, float, type, types.ModuleType, types.BuiltinFunctionType)
_LIBRARIES = ("torch", "captum", "numpy", "builtins")
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
DEEPEST = 12  # a module in a list in a dictionary of each of three objects, one in the other


def reachable_modules(forward_func: Any) -> dict[str, nn.Module]:
    """Return the modules that a callable can reach, by where they were found.

    Looked through are partial functions and bound methods, closures, default values, the global
    names that a function uses and what it calls by an attribute of other objects, attributes of
    callable objects and of those that methods are bound to, and lists and dictionaries; also
    modules that another module keeps in a plain list, which its `eval()` does not reach, and a
    `forward` that was put in the place of a module's own.
    """
    found: dict[str, nn.Module] = {}
    _look(forward_func, "", DEEPEST, found, set())
    return found


def _look(value: Any, name: str, depth: int, found: dict[str, nn.Module], seen: set[int]) -> None:
    if depth < 0 or id(value) in seen or isinstance(value, _LEAVES):
        return
    seen.add(id(value))
    if isinstance(value, nn.Module):
        found[name] = value
        for path, module in value.named_modules():
            seen.add(id(module))
            for key, part in vars(module).items():
                held = isinstance(part, (list, tuple, dict, *_FUNCTIONS))  # such as another forward
                if held and not key.startswith("_"):
                    _look(part, f"{name}.{path}.{key}".strip("."), depth - 1, found, seen)
        return
    for part_name, part in _parts(value):
        _look(part, f"{name}.{part_name}".strip("."), depth - 1, found, seen)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a callable or a container holds, by name."""
    if isinstance(value, functools.partial):
        yield "func", value.func
        yield from ((str(i), part) for i, part in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, types.MethodType):
        yield from (("__self__", value.__self__), ("__func__", value.__func__))
        if not callable(value.__self__):
            held = getattr(value.__self__, "__dict__", {})
            yield from ((f"__self__.{name}", part) for name, part in held.items())
    elif isinstance(value, types.FunctionType):
        yield from _of_function(value)
    elif isinstance(value, dict):
        yield from ((str(key), part) for key, part in list(value.items())[:1000])
    elif isinstance(value, (list, tuple)):
        yield from ((str(i), part) for i, part in enumerate(value[:1000]))
    elif hasattr(value, "__dict__") and callable(value):
        yield from vars(value).items()


def _of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    if (function.__module__ or "").split(".")[0] in _LIBRARIES:
        return
    names = set(_global_names(function.__code__))
    for name, value in _seen_by(function, names):
        yield name, value
        yield from _used(name, value, names)


def _seen_by(function: types.FunctionType, names: set[str]) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # a cell that is still empty
            yield name, cell.cell_contents
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    yield from ((f"default {i}", part) for i, part in enumerate(defaults))
    if hasattr(function, "__wrapped__"):
        yield "__wrapped__", function.__wrapped__
    yield from ((name, function.__globals__[name]) for name in names & function.__globals__.keys())


def _used(name: str, value: Any, names: set[str]) -> Iterator[tuple[str, Any]]:
    """Yield the attributes of an object, and of those in it, whose names a function uses.

    Not all of them: an object may hold networks that have nothing to do with the function.
    """
    if callable(value) or isinstance(value, (*_LEAVES, dict, list, tuple)):
        return
    held = getattr(value, "__dict__", {})
    for own in names:
        part = held.get(own, getattr(type(value), own, None))
        part = part.__get__(value) if isinstance(part, types.FunctionType) else part
        if part is not None and part is not value:
            yield f"{name}.{own}", part
            if own in held:
                yield from _used(f"{name}.{own}", part, names - {own})


def _global_names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _global_names(constant)


def check_mode(forward_func: Callable[..., Any], eval_mode: bool) -> None:
    """Refuse networks whose training mode makes images depend on each other or on chance.

    Args:
        forward_func (Callable): The caller's, or a view of it.
        eval_mode (bool): Whether evaluation mode was asked for.

    Raises:
        ValueError: If a module that can be reached is in such a mode, or cannot leave it.
    """
    own = isinstance(forward_func, nn.Module)
    for place, root in reachable_modules(forward_func).items():
        for name, module in root.named_modules():
            where = ".".join(part for part in (place, name) if part) or "(the model)"
            _check_statistics(module, where)
            if _acts(module) and module.training:
                raise ValueError(_training_mode(module, where, own and not place, eval_mode))


def _check_statistics(module: nn.Module, where: str) -> None:
    if isinstance(module, _BatchNorm) and module.running_mean is None:
        raise ValueError(
            f"forward_func: expected running statistics, but {type(module).__name__} {where!r} "
            f"has none (track_running_stats=False) and normalises by the rest of the batch"
        )


def _acts(module: nn.Module) -> bool:
    """Tell whether a module's training mode couples images or draws random numbers."""
    if isinstance(module, _WITH_DROPOUT):
        return module.dropout > 0
    if isinstance(module, _InstanceNorm):  # with statistics it has learned it does not use them
        return module.running_mean is not None
    named = isinstance(module, torch.jit.ScriptModule) or not isinstance(module, nn.Sequential)
    kind = str(getattr(module, "original_name", type(module).__name__))
    return isinstance(module, _COUPLING_OR_RANDOM) or (named and bool(_NAMES.search(kind)))


def _training_mode(module: nn.Module, where: str, own: bool, eval_mode: bool) -> str:
    kind = getattr(module, "original_name", type(module).__name__)
    advice = "call .eval() on the module that the forward function calls"
    if own and not eval_mode:
        advice = "call model.eval(), or use PCIM(model, eval_mode=True) to leave the model as it is"
    elif eval_mode:
        advice = (
            "eval_mode=True cannot reach it, as what calls it is no module that can be copied: "
            "call .eval() on it"
        )
    return (
        f"forward_func: expected evaluation mode, but {kind} {where!r} is in training mode, where "
        "results are random, depend on the rest of the batch or leave learned statistics aside; "
        f"{advice}"
    )
