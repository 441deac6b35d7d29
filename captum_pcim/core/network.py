"""Calling the network: a view of it that keeps no parameter gradients, rows, and precision."""

import contextlib
import copy
import functools
import math
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from captum_pcim._compat import scores_of
from captum_pcim.core.copies import Copies
from captum_pcim.core.reachable import reachable_modules

PREDICTED = "predicted"
Target = int | tuple[int, ...] | Tensor | None
"""The same class for all images, or one for each: a tensor of shape (N,), or (N, k) for tuples."""
Choice = Literal["predicted"] | Callable[[Tensor], Any]


def frozen_view(
    forward_func: Callable[..., Any], eval_mode: bool = False, copies: Copies | None = None
) -> Callable[..., Any]:
    """Return a callable that computes the same from the same memory, with parameters detached.

    Autograd then neither computes nor keeps anything for parameter gradients, and the caller's
    module is never touched: its flags, buffers, `.grad` and training mode are its own whatever
    happens here. Parameters are shared; buffers are copied, because networks may write into them.
    TorchScript is copied whole. Methods and partial functions of modules get a view of theirs;
    other functions, and modules that cannot be copied, are used as they are.

    Args:
        forward_func (Callable): The caller's classifier.
        eval_mode (bool): Put the view, never the caller's module, into evaluation mode. A compiled
            module is then explained as it was before it was compiled.
        copies (Copies, optional): Those of an earlier view, used again where they equal the
            originals.
    """
    if isinstance(forward_func, functools.partial):
        function = frozen_view(forward_func.func, eval_mode, copies)
        return functools.partial(function, *forward_func.args, **forward_func.keywords)
    if isinstance(forward_func, types.MethodType) and isinstance(forward_func.__self__, nn.Module):
        return types.MethodType(
            forward_func.__func__, frozen_view(forward_func.__self__, eval_mode, copies)
        )
    if eval_mode and hasattr(forward_func, "_orig_mod"):
        forward_func = forward_func._orig_mod
    if not isinstance(forward_func, nn.Module) or hasattr(forward_func, "_orig_mod"):
        return forward_func
    parameters = list(forward_func.parameters())  # kept, as the copy goes by where they are
    _check_initialised(parameters)
    copies = copies or Copies()
    shared = copies.unchanged() | {
        id(parameter): nn.Parameter(usable(parameter), requires_grad=False)
        for parameter in parameters
    }
    try:
        with torch.no_grad():  # or parameters of TorchScript would be copied with a history
            view = copy.deepcopy(forward_func, shared)
    except (TypeError, RuntimeError, AttributeError, NotImplementedError):
        return forward_func
    copies.keep(shared)
    for parameter in view.parameters():  # those of TorchScript are copies
        parameter.requires_grad_(False)
    if eval_mode:
        view.eval()
    _let_cudnn_go_backward(view)
    return view


def _check_initialised(parameters: Sequence[nn.Parameter]) -> None:
    if any(map(is_lazy, parameters)):
        raise ValueError(
            "forward_func: expected parameters with values, but some modules are lazy and have "
            "seen no images yet; call the network once, model(inputs), before it is explained"
        )


def _let_cudnn_go_backward(view: nn.Module) -> None:
    """Turn recurrent layers to training mode without dropout, which computes the same.

    cuDNN refuses their backward pass in evaluation mode.
    """
    for module in view.modules():
        if isinstance(module, nn.RNNBase) and not module.training:
            module.dropout = 0.0
            module.training = True


def usable(tensor: Tensor) -> Tensor:
    """Return a tensor of the same memory, or a copy where autograd could not work with it."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


@dataclass(frozen=True)
class CallArguments:
    """What goes with each image: its target and its additional forward arguments.

    Args:
        target: From :func:`captum_pcim.core.targets.asked_target`, on the device of the images.
        additional (tuple): Additional forward arguments.
        per_image (tuple of bool): Which of them have one row per image and follow their image;
            everything else is passed on as it is.
        competing (Tensor, optional): Which classes share an image's probability, (N, K), from
            :func:`captum_pcim.core.contrast.competing`. None: all.
    """

    target: Target | Choice
    additional: tuple[Any, ...]
    per_image: tuple[bool, ...]
    competing: Tensor | None = None

    @classmethod
    def of(
        cls,
        target: Target | Choice,
        additional: tuple[Any, ...],
        n_images: int,
        device: torch.device,
    ) -> "CallArguments":
        """Move the targets to the images, and tell which arguments have one row per image.

        Both are for the whole call: targets that were moved pass by pass would have the device
        waited for, and a part of the images could not tell, as a tensor of two rows is not per
        image just because two images are left.
        """
        target = target.to(device) if isinstance(target, Tensor) else target
        per_image = (isinstance(a, Tensor) and a.shape[:1] == (n_images,) for a in additional)
        kept = tuple(usable(a) if isinstance(a, Tensor) else a for a in additional)
        return cls(target, kept, tuple(per_image))

    @property
    def chosen(self) -> Target:
        """The target, where it was given or has been chosen."""
        return cast(Target, self.target)

    def take(self, rows: Tensor | slice) -> "CallArguments":
        """Return what belongs to some of the images."""
        return self._changed(lambda a: a[rows.to(a.device) if isinstance(rows, Tensor) else rows])

    def repeat(self, times: int) -> "CallArguments":
        """Return what belongs to a batch in which the images stand several times over."""
        return self._changed(lambda a: torch.cat([a] * times))

    @cached_property
    def twice(self) -> "CallArguments":
        """What belongs to a batch of blends and complements, made once for all steps."""
        return self.repeat(2)

    def _changed(self, change: Callable[[Tensor], Tensor]) -> "CallArguments":
        """Change whatever has one row per image."""
        target = change(self.target) if isinstance(self.target, Tensor) else self.target
        competing = None if self.competing is None else change(self.competing)
        pairs = zip(self.additional, self.per_image, strict=True)
        additional = tuple(change(a) if per_image else a for a, per_image in pairs)
        return CallArguments(target, additional, self.per_image, competing)


RunNetwork = Callable[[tuple[Tensor, ...], CallArguments], Tensor]


class Network:
    """The forward function as the solver calls it.

    Args:
        forward_func (Callable): As in Captum; a view from :func:`frozen_view`.
        dtypes (tuple of torch.dtype): What the network takes, per input tensor.
        autocast_dtype (torch.dtype, optional): Run the network under autocast in this dtype.
        most_rows (int, optional): Most rows the network takes at once. None: any number.
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        dtypes: tuple[torch.dtype, ...],
        autocast_dtype: torch.dtype | None = None,
        most_rows: int | None = None,
    ) -> None:
        self.forward_func = forward_func
        self.dtypes = dtypes
        self.autocast_dtype = autocast_dtype
        self.most_rows = most_rows
        self.static_rows = static_rows(forward_func)

    @property
    def rounding(self) -> float:
        """By how much two calls may differ in log-odds, as a share of their size."""
        half = self.autocast_dtype is not None or any(d.itemsize < 4 for d in self.dtypes)
        return 0.05 if half else 0.01

    def taking(self, most_rows: int | None) -> "Network":
        """Return the same network, called with at most so many rows at once."""
        taking = copy.copy(self)
        taking.most_rows = most_rows
        return taking

    def outside_autocast(self) -> "Network":
        """Return the same network in the precision of its inputs and parameters."""
        outside = copy.copy(self)
        outside.autocast_dtype = None
        return outside

    def __call__(self, inputs: tuple[Tensor, ...], arguments: CallArguments) -> Tensor:
        """Return the network's scores of a batch, one row per row of the inputs."""
        if self.static_rows is not None:
            return self._in_static_batches(inputs, arguments, self.static_rows)
        n_rows, most = len(inputs[0]), self.most_rows
        if most is None or n_rows <= most:
            return self._run(inputs, arguments)
        parts = [slice(start, start + most) for start in range(0, n_rows, most)]
        # Clones, because a network may work in place on what it is given.
        return torch.cat(
            [self._run(tuple(x[p].clone() for x in inputs), arguments.take(p)) for p in parts]
        )

    def _in_static_batches(
        self, inputs: tuple[Tensor, ...], arguments: CallArguments, size: int
    ) -> Tensor:
        """Fill up every batch with its last row, for programs exported for so many rows."""
        parts = [
            self._run(tuple(x[rows] for x in inputs), arguments.take(rows))
            for rows in filled_up(len(inputs[0]), size, inputs[0].device)
        ]
        return torch.cat(parts)[: len(inputs[0])]

    def _run(self, inputs: tuple[Tensor, ...], arguments: CallArguments) -> Tensor:
        cast = tuple(_as_dtype(x, dtype) for x, dtype in zip(inputs, self.dtypes, strict=True))
        with self._precision(inputs[0].device):
            output = scores_of(self.forward_func(*cast, *arguments.additional))
        scores = checked_scores(output, len(inputs[0])).to(inputs[0].device)
        # An engine may write its next answer where this one lies.
        return scores if scores.requires_grad else scores.clone()

    def _precision(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        # Without the cache: it would keep a cast of the blend as if it were a parameter.
        return torch.autocast(device.type, dtype=self.autocast_dtype, cache_enabled=False)


def filled_up(n_rows: int, size: int, device: torch.device) -> tuple[Tensor, ...]:
    """Return the rows of batches of one size that hold so many, the last row as often as needed."""
    rows = torch.arange(math.ceil(n_rows / size) * size, device=device).clamp_max(n_rows - 1)
    batches: tuple[Tensor, ...] = rows.split(size)
    return batches


def checked_scores(output: Any, n_rows: int) -> Tensor:
    """Return what a forward function returned, if it is scores of so many images.

    Raises:
        TypeError: If it is no tensor of real numbers.
        ValueError: If it has not one row per image.
    """
    if not isinstance(output, Tensor):
        raise TypeError(
            f"forward_func: expected it to return a tensor of scores, got "
            f"{type(output).__name__}; wrap it in a function that picks the scores, as in "
            "PCIM(lambda images: model(images)[0])"
        )
    if output.is_complex() or output.layout != torch.strided:
        kind = "sparse" if output.layout != torch.strided else str(output.dtype)
        raise TypeError(f"forward_func: expected real, dense scores, got a {kind} tensor")
    if output.ndim == 0 or len(output) != n_rows:
        raise ValueError(
            f"forward_func: expected one row of scores per image, {n_rows} rows, got shape "
            f"{tuple(output.shape)}; keep the batch axis first, as in scores.unsqueeze(0) for "
            "one image"
        )
    return output


def static_rows(forward_func: Callable[..., Any]) -> int | None:
    """Return the rows that a program of torch.export takes, if they are fixed and it is called."""
    for root in reachable_modules(forward_func).values():
        for module in root.modules():
            rows = _placeholder_rows(module) if isinstance(module, torch.fx.GraphModule) else None
            if rows is not None:
                return rows
    return None


def _placeholder_rows(program: torch.fx.GraphModule) -> int | None:
    for node in program.graph.nodes:
        value = node.meta.get("val") if node.op == "placeholder" else None
        if isinstance(value, Tensor) and value.ndim > 1:
            rows = value.shape[0]
            return rows if isinstance(rows, int) else None
    return None


def _as_dtype(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast to what the network takes; to integers by rounding, not by cutting off."""
    if dtype.is_floating_point:
        return tensor.to(dtype)
    limits = torch.iinfo(dtype)
    return tensor.round().clamp(limits.min, limits.max).to(dtype)


def outer_autocast(device: torch.device) -> torch.dtype | None:
    """Return the dtype of the autocast that the caller has open, if any."""
    if not hasattr(torch, "get_autocast_dtype"):  # torch 2.3
        open_on_cpu = device.type == "cpu" and torch.is_autocast_cpu_enabled()
        on_gpu = torch.get_autocast_gpu_dtype() if torch.is_autocast_enabled() else None
        return torch.get_autocast_cpu_dtype() if open_on_cpu else on_gpu
    if not torch.is_autocast_enabled(device.type):
        return None
    return torch.get_autocast_dtype(device.type)
