"""Errors for bad input: each names the argument, what was expected and what came."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_pcim._compat import BaselineType, as_tuple
from captum_pcim.core.scale import Scale
from captum_pcim.core.warn import listed


def check_inputs(inputs: Any, integers: bool) -> tuple[Tensor, ...]:
    """Return the inputs as a tuple of finite tensors with equally many rows.

    Args:
        inputs: A tensor or a tuple of tensors.
        integers: Whether integers will do, which nothing can be differentiated with respect to.
    """
    tensors = as_tuple(inputs)
    for i, x in enumerate(tensors):
        name = f"inputs[{i}]" if isinstance(inputs, tuple) else "inputs"
        _check_dense(name, x)
        if not (x.is_floating_point() or (integers and _is_integer(x))):
            raise TypeError(
                f"{name}: expected floating-point values, got {x.dtype}; mixing needs fractions: "
                f"pass inputs.float(), scaled as the network was trained"
            )
        if x.ndim < 2 or x.numel() == 0:
            raise ValueError(
                f"{name}: expected at least one image, got shape {tuple(x.shape)}; one image is "
                f"(1, C, *spatial), one row of features (1, F)"
            )
        if len(x) != len(tensors[0]):
            raise ValueError(
                f"{name}: expected {len(tensors[0])} rows as in inputs[0], got {len(x)}"
            )
        if not bool(torch.isfinite(x).all()):
            bad = (~torch.isfinite(x)).flatten(1).any(1)
            raise ValueError(
                f"{name}: expected finite values, got NaN or infinity in images "
                f"{listed(bad.nonzero().flatten().tolist())}; leave them out, or fill the "
                "gaps with torch.nan_to_num"
            )
    if not tensors:
        raise ValueError("inputs: expected at least one tensor, got an empty tuple")
    # Subclasses, as of MONAI, change what operators do with shapes and metadata.
    return tuple(x.as_subclass(Tensor) for x in tensors)


def _check_dense(name: str, x: Any) -> None:
    if not isinstance(x, Tensor):
        advice = "; pass torch.from_numpy(inputs)" if isinstance(x, np.ndarray) else ""
        raise TypeError(
            f"{name}: expected a tensor or a tuple of tensors, got {kind_of(x)}{advice}"
        )
    if x.layout != torch.strided or x.is_meta or x.is_nested:
        kind = "meta" if x.is_meta else "nested" if x.is_nested else "sparse"
        raise TypeError(f"{name}: expected a dense tensor with values, got a {kind} one")


def shape_doubt(inputs: Tensor) -> str:
    """Say what the shape of images suggests was meant, or nothing."""
    shape = tuple(inputs.shape)
    if len(shape) == 3 and shape[0] <= 6 and min(shape[1:]) >= 16:
        return f"{shape} looks like one image without a batch axis; pass inputs.unsqueeze(0)"
    if len(shape) == 4 and shape[3] <= 6 < min(shape[1:3]):
        return f"{shape} looks like channels last; pass inputs.permute(0, 3, 1, 2)"
    return ""


def is_number(value: Any) -> bool:
    """Tell whether something is a real number, NumPy's too."""
    numbers = (int, float, np.integer, np.floating)
    return isinstance(value, numbers) and not isinstance(value, bool)


def check_seed(seed: Any) -> int:
    """Return a seed that all generators take."""
    whole = isinstance(seed, (int, np.integer)) and not isinstance(seed, bool)
    if not whole or not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed: expected a whole number of at most 63 bits, got {seed!r}")
    return int(seed)


def check_dtype(name: str, dtype: Any) -> None:
    """Refuse anything but None and floating-point dtypes."""
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ValueError(f"{name}: expected a floating-point torch.dtype or None, got {dtype!r}")


def check_callables(name: str, values: Any, of: str) -> None:
    """Refuse anything but None and a sequence of at least one callable of one argument.

    Args:
        name (str): The argument.
        values: What was given for it.
        of (str): What each is called with.
    """
    if values is None:
        return
    if not (isinstance(values, Sequence) and all(map(callable, values))):
        raise TypeError(f"{name}: expected a sequence of callables, got {values!r}")
    if not values:
        raise ValueError(f"{name}: expected at least one, or None for the default, got none")
    for value in values:
        if isinstance(value, type):
            raise TypeError(
                f"{name}: expected {value.__name__}(), got the class {value.__name__} itself"
            )
        if not _takes_one_argument(value):
            raise TypeError(
                f"{name}: expected callables of one argument, {of}, got {value!r} with "
                f"{inspect.signature(value)}"
            )


def _takes_one_argument(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None)
    except TypeError:
        return False
    except ValueError:  # of built-in functions there is none to be had
        pass
    return True


def check_forward_func(forward_func: Any) -> None:
    """Refuse what is no classifier, and say which adapter fits it.

    Raises:
        TypeError: If it cannot be called with images.
    """
    if callable(forward_func) and not isinstance(forward_func, type):
        return
    adapter = ""
    if hasattr(forward_func, "predict_proba"):
        adapter = (
            "; for a scikit-learn estimator: PCIM(NumpyForward(estimator.predict_proba), "
            'score="probabilities"), with NumpyForward from captum_pcim.classifiers.adapters'
        )
    raise TypeError(
        f"forward_func: expected a module or a function from images to scores, got "
        f"{kind_of(forward_func)} {forward_func!r:.80}{adapter}"
    )


def check_kind(name: str, value: Any, kind: type) -> None:
    """Refuse anything but None and what is of a class, or has what a protocol asks for."""
    # A class has the methods that a protocol asks for, too.
    if value is not None and (isinstance(value, type) or not isinstance(value, kind)):
        raise TypeError(f"{name}: expected {kind.__name__} or None, got {value!r}")


def check_baselines(baselines: BaselineType, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return one baseline per input, in its shape or with one row for all images."""
    given = as_tuple(baselines)
    check_count("baselines", len(given), len(inputs), what="tensors or numbers, one per input")
    return tuple(_check_baseline(b, x) for b, x in zip(given, inputs, strict=True))


def _check_baseline(baseline: Any, inputs: Tensor) -> Tensor:
    if is_number(baseline) or isinstance(baseline, bool):
        # In double precision first: half precision cannot be made from numbers beyond its range.
        baseline = torch.full_like(inputs[:1], float(baseline), dtype=torch.float64).to(inputs)
    if not isinstance(baseline, Tensor) or baseline.is_complex():
        raise TypeError(f"baselines: expected a tensor or a number, got {kind_of(baseline)}")
    _check_dense("baselines", baseline)
    _check_broadcastable("baselines", baseline, inputs)
    baseline = baseline.as_subclass(Tensor).expand(-1, *inputs.shape[1:])
    own: Tensor = baseline.to(inputs)
    if not bool(baseline.isfinite().all()) or not bool(own.isfinite().all()):
        raise ValueError(
            f"baselines: expected finite values within {inputs.dtype}, got NaN, infinity or more"
        )
    Scale.of(inputs).tell("baselines", own)
    return own


def check_feature_mask(feature_mask: Any, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Return one integer mask per input, broadcastable to it, its groups numbered without gaps."""
    masks = as_tuple(feature_mask)
    check_count("feature_mask", len(masks), len(inputs), what="tensors, one per input")
    masks = tuple(
        mask.reshape([1] * x.ndim) if isinstance(mask, Tensor) and mask.ndim == 0 else mask
        for mask, x in zip(masks, inputs, strict=True)
    )
    for mask, x in zip(masks, inputs, strict=True):
        if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.is_complex():
            raise TypeError(f"feature_mask: expected an integer tensor, got {kind_of(mask)}")
        _check_dense("feature_mask", mask)
        _check_broadcastable("feature_mask", mask, x)
        lowest = int(mask.long().min())  # torch finds none of unsigned 16 bits
        if lowest < 0:
            raise ValueError(f"feature_mask: expected groups from 0, got {lowest}")
    device = inputs[0].device
    return _without_gaps(tuple(mask.as_subclass(Tensor).long().to(device) for mask in masks))


def _without_gaps(masks: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Number the groups of all masks anew: every number up to the highest costs memory."""
    _, groups = torch.cat([mask.flatten() for mask in masks]).unique(return_inverse=True)
    parts = groups.split([mask.numel() for mask in masks])
    return tuple(part.view(mask.shape) for part, mask in zip(parts, masks, strict=True))


def check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    """Refuse anything but one of the given strings."""
    if value not in choices:
        expected = " or ".join(f'"{choice}"' for choice in choices)
        raise ValueError(f"{name}: expected {expected}, got {value!r}")


def check_positive(name: str, value: Any, least: int = 1) -> int:
    """Return a whole number of at least 1, or so many."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}: expected a whole number >= {least}, got {value!r}")
    return int(value)


def check_scores(scores: Tensor) -> None:
    """Refuse non-finite scores of the full images."""
    bad = ~torch.isfinite(scores).flatten(1).all(1)
    if not bool(bad.any()):
        return
    advice = "are they scaled as the network was trained, and is its precision wide enough?"
    if bool((scores.isfinite() | scores.isneginf()).all()):
        advice = "of classes that are masked out leave the scores finite, scores.clamp(min=-1e4)"
    raise ValueError(
        f"forward_func: expected finite scores, got NaN or infinity for images "
        f"{listed(bad.nonzero().flatten().tolist())}; {advice}"
    )


def check_differentiable(output: Tensor) -> None:
    """Refuse scores that autograd cannot follow back to the inputs."""
    if not output.requires_grad:
        raise ValueError(
            "forward_func: expected scores that are differentiable with respect to the inputs, "
            "got a tensor without gradient history (torch.no_grad, detach, NumPy or a "
            "non-differentiable operation inside?)"
        )


def from_numpy(name: str, classes: "np.ndarray[Any, Any] | np.generic") -> Tensor:
    """Return classes of any type of whole numbers and order of bytes, or a mask, as a tensor."""
    if classes.dtype.kind not in "iub":
        raise TypeError(f"{name}: expected integer classes, got an array of {classes.dtype}")
    return torch.as_tensor(classes if classes.dtype.kind == "b" else classes.astype(np.int64))


def check_count(name: str, came: int, expected: int, what: str = "rows, one per image") -> None:
    """Refuse another number than was expected."""
    if came != expected:
        raise ValueError(f"{name}: expected {expected} {what}, got {came}")


def check_distinct(name: str, values: Sequence[str]) -> None:
    """Refuse names of which one stands for several: their columns would be one."""
    if len(set(values)) < len(values):
        raise ValueError(f"{name}: expected no name twice, got {list(values)}")


def _is_integer(tensor: Tensor) -> bool:
    return tensor.dtype != torch.bool and not tensor.is_complex()


def kind_of(value: object) -> str:
    """Return what something is, in an error's words."""
    return f"a tensor of {value.dtype}" if isinstance(value, Tensor) else type(value).__name__


def _check_broadcastable(name: str, own: Tensor, inputs: Tensor) -> None:
    fits = own.ndim == inputs.ndim and all(
        size in (1, needed) for size, needed in zip(own.shape, inputs.shape, strict=True)
    )
    if not fits:
        raise ValueError(
            f"{name}: expected a shape broadcastable to {tuple(inputs.shape)} with as many axes, "
            f"got {tuple(own.shape)}"
        )
