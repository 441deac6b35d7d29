"""The one place that touches Captum's private names.

Everything here is either public in Captum or guarded by ``tests/test_compat.py``, which names what
breaks when Captum changes.
"""

import sys
from typing import Any

import numpy as np
import torch
from captum._utils.common import _run_forward
from captum._utils.progress import progress
from captum._utils.typing import BaselineType, TargetType
from captum.attr import NoiseTunnel, PerturbationAttribution
from captum.log import log_usage
from torch import Tensor

__all__ = [
    "BaselineType",
    "PerturbationAttribution",
    "TargetType",
    "TensorOrTuple",
    "as_tuple",
    "from_array",
    "like_inputs",
    "log_usage",
    "perturbed_by_captum",
    "progress",
    "run_forward",
    "scores_of",
]


def run_forward(forward_func: Any, inputs: Any, additional_forward_args: Any = None) -> Any:
    """Call a forward function as Captum does, and take the scores out of what it returns."""
    return scores_of(_run_forward(forward_func, inputs, None, additional_forward_args))


def perturbed_by_captum() -> bool:
    """Tell whether the caller is Captum, with noisy copies of what it was given."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        module = str(frame.f_globals.get("__name__"))
        if module == NoiseTunnel.__module__ or module.startswith("captum.metrics."):
            return True
    return False


def scores_of(output: Any) -> Any:
    """Take the tensor of scores out of what a forward function returned.

    Args:
        output: A tensor, an array, or anything that has `logits`, as the outputs of Hugging Face's
            models; what is neither is returned as it is.
    """
    output = getattr(output, "logits", output)
    return from_array(output) if isinstance(output, np.ndarray) else output


def from_array(scores: Any) -> Tensor:
    """Return an array of numbers of any type, order of bytes and layout as a tensor, copied.

    Raises:
        TypeError: If it is no array of numbers.
    """
    array = np.asarray(scores)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"forward_func: expected numbers as scores, got an array of {array.dtype}")
    wide = array.dtype == np.longdouble  # which torch has not
    dtype = np.dtype(np.float64) if wide else array.dtype.newbyteorder("=")
    return torch.from_numpy(np.array(array, dtype=dtype, order="C"))


TensorOrTuple = Tensor | tuple[Tensor, ...]


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Wrap anything but a tuple into a tuple of one, as Captum does with inputs and arguments."""
    return value if isinstance(value, tuple) else (value,)


def like_inputs(outputs: tuple[Tensor, ...], inputs: TensorOrTuple) -> TensorOrTuple:
    """Give back a tuple where the inputs were a tuple, a tensor where they were a tensor."""
    return outputs if isinstance(inputs, tuple) else outputs[0]
