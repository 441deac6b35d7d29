"""What an explainer will do, as the call that makes it: an argument a line."""

import inspect
from dataclasses import fields, is_dataclass
from typing import Any

from torch import Tensor


def summary(explainer: Any) -> str:
    """Return the constructor's call with all that is set, the defaults included.

    Args:
        explainer: Keeps its constructor's arguments under their names.
    """
    first, *names = inspect.signature(type(explainer)).parameters
    lines = [_network_name(getattr(explainer, first))]
    lines += [f"{name}={_text(getattr(explainer, name))}" for name in names]
    return "\n".join([f"{type(explainer).__name__}(", *(f"    {line}," for line in lines), ")"])


def _network_name(forward_func: Any) -> str:
    # The repr of a module lists all its layers.
    return getattr(forward_func, "__name__", type(forward_func).__name__)


def _text(value: Any) -> str:
    """Write a tuple a part a line."""
    if not isinstance(value, tuple):
        return _part(value)
    return "\n".join(["(", *(f"        {_part(part)}," for part in value), "    )"])


def _part(value: Any) -> str:
    """Write a setting without the values of tensors in it, such as control images."""
    if isinstance(value, Tensor):
        return f"tensor of shape {tuple(value.shape)}"
    if not is_dataclass(value) or isinstance(value, type):
        return repr(value)
    settings = (f"{field.name}={_part(getattr(value, field.name))}" for field in fields(value))
    return f"{type(value).__name__}({', '.join(settings)})"
