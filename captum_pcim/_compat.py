"""The one place that touches Captum's private names.

Everything here is either public in Captum or guarded by ``tests/test_compat.py``, which names what
breaks when Captum changes.
"""

from typing import Any

from captum._utils.common import _run_forward as run_forward
from captum._utils.progress import progress
from captum._utils.typing import BaselineType, TargetType
from captum.attr import PerturbationAttribution
from captum.log import log_usage
from torch import Tensor

__all__ = [
    "BaselineType",
    "PerturbationAttribution",
    "TargetType",
    "TensorOrTuple",
    "as_tuple",
    "like_inputs",
    "log_usage",
    "progress",
    "run_forward",
]

TensorOrTuple = Tensor | tuple[Tensor, ...]


def as_tuple(value: Any) -> tuple[Any, ...]:
    """Wrap anything but a tuple into a tuple of one, as Captum does with inputs and arguments."""
    return value if isinstance(value, tuple) else (value,)


def like_inputs(outputs: tuple[Tensor, ...], inputs: TensorOrTuple) -> TensorOrTuple:
    """Give back a tuple where the inputs were a tuple, a tensor where they were a tensor."""
    return outputs if isinstance(inputs, tuple) else outputs[0]
