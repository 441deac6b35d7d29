"""A classifier from a file, or from code that the caller names."""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
import traceback
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import Module

from captum_pcim._errors import describe
from captum_pcim._extras import needed
from captum_pcim.classifiers.adapters import OnnxForward, available_providers
from captum_pcim.classifiers.trusted import load_trusted
from captum_pcim.core.warn import warn

Classifier: TypeAlias = Module | OnnxForward

_PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ModelError(ValueError):
    """A model cannot be loaded; the message says why."""


def load_model(
    model: str, state_dict: str | None = None, device: str = "cpu", trust: bool = False
) -> Classifier:
    """Load a classifier in evaluation mode.

    What is loaded without `trust` is data: an ONNX file, and the weights of a network whose code
    the caller names. All other formats hold code or pickles, which can do whatever the caller can.

    Args:
        model: ``module:factory``, a callable without arguments that gives a ``torch.nn.Module``
            (the module is looked for in the working directory too); or a file: ONNX (``.onnx``),
            and with `trust` TorchScript, an exported program or a pickled module.
        state_dict: Weights for the factory's module, all of them: a file of safetensors
            (``.safetensors``), or as ``torch.save(model.state_dict(), file)`` writes it.
        device: Where the model goes, such as ``"cpu"`` or ``"cuda"``.
        trust: Load a file that may run code. Only for files whose origin you know.

    Returns:
        The module, or for an ONNX file :class:`~captum_pcim.classifiers.adapters.OnnxForward`,
        which is explained from forward passes alone.

    Raises:
        ModelError: If the model or its weights cannot be loaded, or may not be.
        ImportError: If a file needs a package that is not installed.

    Examples:
        >>> load_model("networks:small_cnn", state_dict="weights.safetensors")  # doctest: +SKIP
        >>> load_model("classifier.pt", trust=True)                             # doctest: +SKIP
    """
    if not os.path.isfile(model):
        return _ready(_build(model, state_dict), device)
    if state_dict is not None:
        raise ModelError("state_dict: only with module:factory; a model file holds its weights")
    if model.endswith(".onnx"):
        return _open_onnx(model, device)
    if not trust:
        raise ModelError(
            f"model: {model!r} may run code when it is loaded, as TorchScript, exported programs "
            "and pickled modules can. If you know where it is from, add --trust (trust=True in "
            "Python, trust = true under [model] of a screen). Without trust: module:factory with "
            "a file of weights, or ONNX"
        )
    return _ready(_open_trusted(model), device)


def fingerprint(model: str, state_dict: str | None = None) -> str:
    """The SHA-256 of what :func:`load_model` would load: the file, or the name and the weights.

    The code behind ``module:factory`` is not part of it. Weights that an ONNX file keeps beside
    itself are, where their file is named after it (``net.onnx.data``, ``net.onnx_data``).
    """
    digest = hashlib.sha256()
    for part in (model, state_dict):
        if part is not None and os.path.isfile(part):
            for file in _with_external_data(part):
                digest.update(_file_bytes(file))
        elif part is not None:
            digest.update(part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _with_external_data(path: str) -> list[Path]:
    file = Path(path)
    beside = [Path(path + end) for end in (".data", "_data") if path.endswith(".onnx")]
    return [file, *(extra for extra in beside if extra.is_file())]


def _open_onnx(path: str, device: str) -> Classifier:
    provider = _PROVIDERS.get(device)
    if provider not in available_providers():
        raise ModelError(
            f"device: {device!r} cannot be used for {path!r}: ONNX Runtime offers "
            f"{available_providers()}"
        )
    try:
        network = OnnxForward(path, providers=[provider])
    except Exception as error:  # the runtime raises types of its own
        raise ModelError(f"model: {path!r} cannot be loaded: {describe(error)}") from error
    outputs = [output.name for output in network.session.get_outputs()]
    if len(outputs) > 1:
        warn(
            f"model: {path!r} has the outputs {outputs}, of which the first is taken for the "
            "scores; if another is meant, export it alone"
        )
    return network


def _open_trusted(path: str) -> Module:
    try:
        module = load_trusted(path)
    except Exception as error:  # torch raises many types on damaged files
        raise ModelError(f"model: {path!r} cannot be loaded: {describe(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(
            f"model: {path!r} must hold a torch.nn.Module, got {type(module)}; weights alone go "
            "with module:factory as its state dict"
        )
    return module


def _build(name: str, state_dict: str | None) -> Module:
    if not _FACTORY.fullmatch(name):
        raise ModelError(f"model: neither a file nor module:factory: {name!r}")
    module_name, _, factory_name = name.partition(":")
    if os.getcwd() not in sys.path:  # console scripts do not look where they are started
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except Exception as error:  # the caller's code raises whatever it likes
        raise ModelError(f"model: {name!r} cannot be imported: {_told(error)}") from error
    try:
        module = factory()
    except Exception as error:
        raise ModelError(f"model: {name!r} gives no network: {_told(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"model: {name!r} must give a torch.nn.Module, got {type(module)}")
    if state_dict is not None:
        _load_weights(module, state_dict)
    return module


def _told(error: Exception) -> str:
    """An error of the caller's code, and where in it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = Path(last.filename)
    return f"{describe(error)} ({where.name}, line {last.lineno})"


def _load_weights(module: Module, path: str) -> None:
    weights = _read_weights(path)
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ModelError(f"state_dict: {path!r} does not fit the model: {error}") from error


def _read_weights(path: str) -> dict[str, Tensor]:
    if not os.path.isfile(path):
        raise ModelError(f"state_dict: there is no file {path!r}")
    try:
        if path.endswith(".safetensors"):
            weights = _read_safetensors(path)
        else:
            weights = torch.load(path, map_location="cpu", weights_only=True)
    except ImportError:
        raise
    except Exception as error:  # torch raises many types on damaged or refused files
        raise ModelError(
            f"state_dict: {path!r} is not a file of weights alone (safetensors, or torch.save("
            "model.state_dict(), file)); pickles of other objects could run code and are refused"
        ) from error
    named = isinstance(weights, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in weights.items()
    )
    if not named:
        parts = list(weights)[:9] if isinstance(weights, dict) else type(weights)
        raise ModelError(
            f"state_dict: {path!r} must hold names and tensors, got {parts}; of a checkpoint save "
            "the weights alone, torch.save(checkpoint['state_dict'], file)"
        )
    return weights


def _read_safetensors(path: str) -> dict[str, Tensor]:
    safetensors = needed("safetensors.torch", "reading such weights needs", "safetensors")
    weights: dict[str, Tensor] = safetensors.load_file(path)
    return weights


def _ready(module: Module, device: str) -> Module:
    try:
        torch.empty(0, device=device)  # a network without weights would go anywhere
        module = module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device: {device!r} cannot be used: {describe(error)}") from error
    try:
        return module.eval()
    except NotImplementedError:  # an exported program keeps the mode that it was exported in
        for part in module.modules():
            part.training = False
        return module


def _file_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"{str(path)!r} cannot be read: {error.strerror}") from error
