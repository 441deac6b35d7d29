"""Forward functions from elsewhere: NumPy functions and ONNX files, called with torch tensors.

They have no gradients, so PCIM explains them from forward passes alone, see
:mod:`captum_pcim.core.gradients`. A remote service needs no class of its own: write the request
as a function of an array and hand it to :class:`NumpyForward`.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from captum_pcim._compat import from_array
from captum_pcim._extras import needed

Array = NDArray[Any]

_ONNX_DTYPES = {
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8,
    "tensor(uint16)": np.uint16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
}


class NumpyForward:
    """A function of arrays as a forward function of tensors.

    Args:
        func (Callable): Takes one array (N, C, *spatial) per input, in the dtype of the inputs
            (float32 of bfloat16, which NumPy has not), and any additional forward arguments;
            returns scores, an array (N,) or (N, K).

    Examples:
        >>> forward = NumpyForward(lambda images: forest.predict_proba(images.mean((2, 3))))
        >>> pcim = PCIM(forward, score="probabilities", gradients=ForwardOnly(n_forwards=500))
        >>> attributions = pcim.attribute(inputs, target=1)
    """

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func

    def __call__(self, *inputs: Any) -> Tensor:
        """Return the function's scores as a tensor on the CPU."""
        scores = self.func(*(_as_array(x) if isinstance(x, Tensor) else x for x in inputs))
        return from_array(scores)


class OnnxForward:
    """An ONNX file, run by ONNX Runtime, as a forward function.

    Files with a fixed batch size are called with batches of exactly that size, the last one
    filled up. Floating-point inputs are cast to the file's floating-point type; integers are
    never cast to or from fractions.

    Args:
        path (str or path): The ONNX file.
        output (str, optional): Name of the output with the scores. Default: the first.
        channels_last (bool): The file takes images (N, *spatial, C).
        providers (list, optional): ONNX Runtime's execution providers. Default: all that are
            available, so a GPU where there is one.

    Raises:
        ImportError: If onnxruntime is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file has no output of that name, or takes what no tensor holds.

    Examples:
        >>> attributions = PCIM(OnnxForward("model.onnx")).attribute(inputs, target=1)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        output: str | None = None,
        channels_last: bool = False,
        providers: list[Any] | None = None,
    ) -> None:
        self.name = os.fspath(path)
        self.channels_last = channels_last
        self.session = _open_session(self.name, providers)
        self.inputs = self.session.get_inputs()
        outputs = [o.name for o in self.session.get_outputs()]
        self.output = output or outputs[0]
        if self.output not in outputs:
            raise ValueError(f"output: expected one of {outputs} of {self.name}, got {output!r}")
        for declared in self.inputs:
            if declared.type not in _ONNX_DTYPES:
                raise ValueError(
                    f"path: expected a model of numeric tensors, but input {declared.name!r} of "
                    f"{self.name} is {declared.type}"
                )

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the file's scores (N, K) as a tensor on the CPU.

        Raises:
            TypeError: If a tensor's dtype is not the file's.
            ValueError: If the number of tensors or a shape is not the file's.
        """
        if len(inputs) != len(self.inputs):
            names = [declared.name for declared in self.inputs]
            raise ValueError(
                f"inputs: {self.name} takes {len(names)} inputs {names}, got {len(inputs)}"
            )
        feeds = {d.name: self._feed(d, x) for d, x in zip(self.inputs, inputs, strict=True)}
        batch_size = self.inputs[0].shape[0]
        if not isinstance(batch_size, int):
            return torch.from_numpy(self._run(feeds))
        n_rows = len(inputs[0])
        starts = range(0, n_rows, batch_size)
        parts = [self._run(_filled_up(feeds, start, batch_size)) for start in starts]
        return torch.from_numpy(np.concatenate(parts)[:n_rows])

    def _feed(self, declared: Any, tensor: Tensor) -> Array:
        """Bring one tensor into the layout and dtype of the file, or say what does not fit."""
        array = _as_array(tensor)
        if self.channels_last:
            array = np.moveaxis(array, 1, -1)
        dtype = np.dtype(_ONNX_DTYPES[declared.type])
        both_floating = dtype.kind == "f" and array.dtype.kind == "f"
        if array.dtype != dtype and not both_floating:
            raise TypeError(
                f"inputs: {declared.name!r} of {self.name} takes {dtype}, got {array.dtype}"
            )
        if not _fits(array.shape, declared.shape):
            raise ValueError(
                f"inputs: {declared.name!r} of {self.name} takes shape {declared.shape}, got "
                f"{array.shape}{self._layout_hint(array, declared.shape)}"
            )
        return np.ascontiguousarray(array, dtype=dtype)

    def _layout_hint(self, array: Array, shape: list[Any]) -> str:
        other = np.moveaxis(array, -1, 1) if self.channels_last else np.moveaxis(array, 1, -1)
        if not _fits(other.shape, shape):
            return ""
        return f"; the other layout fits: OnnxForward(..., channels_last={not self.channels_last})"

    def _run(self, feeds: dict[str, Array]) -> Array:
        scores = self.session.run([self.output], feeds)[0]
        if not isinstance(scores, np.ndarray):
            raise TypeError(
                f"output: expected {self.output!r} of {self.name} to be a tensor of scores, got "
                f"{type(scores).__name__}; choose another of its outputs"
            )
        return scores


def available_providers() -> list[str]:
    """Return the execution providers of the ONNX Runtime that is installed.

    Raises:
        ImportError: If onnxruntime is not installed.
    """
    providers: list[str] = _onnxruntime().get_available_providers()
    return providers


def _open_session(name: str, providers: list[Any] | None) -> Any:
    runtime = _onnxruntime()
    if not os.path.isfile(name):
        raise FileNotFoundError(f"path: no such file: {name}")
    return runtime.InferenceSession(name, providers=providers or available_providers())


def _onnxruntime() -> Any:
    return needed("onnxruntime", "running ONNX files needs", "onnx")


def _as_array(tensor: Tensor) -> Array:
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    array: Array = tensor.detach().cpu().numpy()
    return array


def _fits(shape: tuple[int, ...], declared: list[Any]) -> bool:
    """Compare a shape to a declared one, in which only whole numbers bind; any batch size fits."""
    sizes = zip(shape[1:], declared[1:], strict=True)
    return len(shape) == len(declared) and all(
        size == expected for size, expected in sizes if isinstance(expected, int)
    )


def _filled_up(feeds: dict[str, Array], start: int, batch_size: int) -> dict[str, Array]:
    """Take the rows of one batch, the last row repeated where there are too few."""
    n_rows = len(next(iter(feeds.values())))
    rows = np.arange(start, start + batch_size).clip(max=n_rows - 1)
    return {name: array[rows] for name, array in feeds.items()}
