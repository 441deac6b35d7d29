"""Calling the network: a view of it that keeps no parameter gradients, rows, and precision."""

import contextlib
import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from captum_pcim._compat import run_forward

Target = int | tuple[int, ...] | Tensor | list[tuple[int, ...]] | None


def frozen_view(forward_func: Callable[..., Any]) -> Callable[..., Any]:
    """Return a module that computes the same from the same memory, with parameters detached.

    Autograd then neither computes nor keeps anything for parameter gradients, and the caller's
    module is never touched: its flags, buffers, `.grad` and training mode are its own whatever
    happens here. Parameters and buffers are shared, not copied. Callables that are not plain
    modules (functions, TorchScript, compiled modules), and modules that cannot be copied, are
    used as they are.
    """
    scripted = isinstance(forward_func, torch.jit.ScriptModule)
    compiled = hasattr(forward_func, "_orig_mod")
    if not isinstance(forward_func, nn.Module) or scripted or compiled:
        return forward_func
    shared: dict[int, Any] = {id(b): b for b in forward_func.buffers()}
    for parameter in forward_func.parameters():
        shared[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    try:
        return copy.deepcopy(forward_func, shared)
    except (TypeError, RuntimeError, AttributeError, NotImplementedError):
        return forward_func


@dataclass(frozen=True)
class CallArguments:
    """What goes with each image: its target and its additional forward arguments.

    Args:
        target: In the checked form of :func:`captum_pcim.checks.check_target`.
        additional (tuple): Additional forward arguments. Tensors whose first axis has one row
            per image follow their image; everything else is passed on as it is.
        n_images (int): Number of images that these belong to.
    """

    target: Target
    additional: tuple[Any, ...]
    n_images: int

    def take(self, rows: Tensor) -> "CallArguments":
        """Return what belongs to some of the images."""
        target = self.target
        if isinstance(target, Tensor):
            target = target[rows.to(target.device)]
        elif isinstance(target, list):
            target = [target[i] for i in rows.tolist()]
        additional = tuple(
            a[rows.to(a.device)] if self._per_image(a) else a for a in self.additional
        )
        return CallArguments(target, additional, len(rows))

    def repeat(self, times: int) -> "CallArguments":
        """Return what belongs to a batch in which the images stand several times over."""
        target = self.target
        if isinstance(target, Tensor):
            target = target.repeat(times)
        elif isinstance(target, list):
            target = target * times
        additional = tuple(
            torch.cat([a] * times) if self._per_image(a) else a for a in self.additional
        )
        return CallArguments(target, additional, self.n_images * times)

    def _per_image(self, argument: Any) -> bool:
        is_rows = isinstance(argument, Tensor) and argument.ndim > 0
        return is_rows and len(argument) == self.n_images


class Network:
    """The forward function as the solver calls it.

    Args:
        forward_func (Callable): As in Captum; a view from :func:`frozen_view`.
        dtypes (tuple of torch.dtype): What the network takes, per input tensor.
        autocast_dtype (torch.dtype, optional): Run the network under autocast in this dtype.
        one_row (bool): The network takes a single row at a time.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        dtypes: tuple[torch.dtype, ...],
        autocast_dtype: torch.dtype | None = None,
        one_row: bool = False,
    ) -> None:
        self.forward_func = forward_func
        self.dtypes = dtypes
        self.autocast_dtype = autocast_dtype
        self.one_row = one_row

    def __call__(self, inputs: tuple[Tensor, ...], arguments: CallArguments) -> Tensor:
        """Return the network's scores of a batch, one row per row of the inputs."""
        if not self.one_row or len(inputs[0]) == 1:
            return self._run(inputs, arguments)
        rows = torch.arange(len(inputs[0]), device=inputs[0].device).split(1)
        return torch.cat([self._run(tuple(x[r] for x in inputs), arguments.take(r)) for r in rows])

    def _run(self, inputs: tuple[Tensor, ...], arguments: CallArguments) -> Tensor:
        cast = tuple(x.to(dtype) for x, dtype in zip(inputs, self.dtypes, strict=True))
        with self._precision(inputs[0].device):
            output = run_forward(self.forward_func, cast, None, arguments.additional or None)
        return self._checked(output, len(inputs[0]))

    def _precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, dtype=self.autocast_dtype)

    @staticmethod
    def _checked(output: Any, n_rows: int) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(
                f"forward_func: expected it to return a tensor of scores, got "
                f"{type(output).__name__}; wrap it in a function that picks the scores"
            )
        if output.ndim == 0 or len(output) != n_rows:
            raise ValueError(
                f"forward_func: expected one row of scores per image, {n_rows} rows, got shape "
                f"{tuple(output.shape)}"
            )
        return output
