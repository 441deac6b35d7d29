"""A classifier from a file, or from code that the caller names."""

from __future__ import annotations

import hashlib
import importlib
import io
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from captum_pcim._errors import describe, silenced
from captum_pcim.classifiers.archives import (
    ArchiveError,
    checked_export,
    checked_script,
    is_export,
    is_script,
)

if TYPE_CHECKING:
    from torch.nn import Module

_FACTORY = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


class ModelError(ValueError):
    """A model cannot be loaded; the message says why."""


def load_model(model: str, state_dict: str | None = None, device: str = "cpu") -> Module:
    """Load a classifier in evaluation mode.

    Model files are data, not code: TorchScript and exported programs are loaded from a checked
    copy (:mod:`captum_pcim.classifiers.archives`), weights with ``weights_only=True``, pickled
    models are refused. Only ``module:factory`` runs Python code, which is the caller's own.

    Args:
        model: A TorchScript file (``torch.jit.save``), an exported program (``torch.export.save``
            of torch 2.8 or later), or ``module:factory``, a callable without arguments that gives
            a ``torch.nn.Module``. The module is looked for in the working directory too.
        state_dict: A file of weights for the factory's module, as ``torch.save(
            model.state_dict(), file)`` writes it. All of the module's keys must be in it.
        device: Where the model goes, such as ``"cpu"`` or ``"cuda"``.

    Returns:
        The module.

    Raises:
        ModelError: If the model or its weights cannot be loaded, or may not be.

    Examples:
        >>> load_model("classifier.pt")                                # doctest: +SKIP
        >>> load_model("networks:small_cnn", state_dict="weights.pt")  # doctest: +SKIP
    """
    if os.path.isfile(model):
        if state_dict is not None:
            raise ModelError("state_dict: only with module:factory; a model file holds its weights")
        module = _load_archive(model)
    elif _FACTORY.fullmatch(model):
        module = _build(model)
        if state_dict is not None:
            _load_weights(module, state_dict)
    else:
        raise ModelError(f"model: neither a file nor module:factory: {model!r}")
    return _ready(module, device)


def fingerprint(model: str, state_dict: str | None = None) -> str:
    """The SHA-256 of what :func:`load_model` would load: the file, or the name and the weights.

    The code behind ``module:factory`` is not part of it.
    """
    digest = hashlib.sha256()
    for part in (model, state_dict):
        if part is not None:
            digest.update(_file_bytes(part) if os.path.isfile(part) else part.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def _load_archive(path: str) -> Module:
    data = _file_bytes(path)
    try:
        if is_script(data):
            return _load_script(checked_script(data))
        if is_export(data):
            return _load_export(checked_export(data))
    except ArchiveError as error:
        raise ModelError(f"model: {path!r} is refused: {error}") from error
    except Exception as error:  # torch raises many types on damaged archives
        raise ModelError(f"model: {path!r} cannot be loaded: {describe(error)}") from error
    raise ModelError(
        f"model: {path!r} is neither TorchScript (torch.jit.save) nor an exported program "
        "(torch.export.save, torch 2.8 or later). Pickled models run code when they are loaded "
        "and are refused: give the class as module:factory and its weights as a state dict"
    )


def _load_script(archive: io.BytesIO) -> Module:
    import torch

    module: Module = torch.jit.load(archive, map_location="cpu")
    return module


def _load_export(archive: io.BytesIO) -> Module:
    import torch

    with silenced("torch.export"):
        module: Module = torch.export.load(archive).module()
    return module


def _build(name: str) -> Module:
    import torch

    module_name, _, factory_name = name.partition(":")
    if os.getcwd() not in sys.path:  # console scripts do not look where they are started
        sys.path.insert(0, os.getcwd())
    try:
        factory = getattr(importlib.import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise ModelError(f"model: {name!r} cannot be imported: {error}") from error
    module = factory()
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"model: {name!r} must give a torch.nn.Module, got {type(module)}")
    return module


def _load_weights(module: Module, path: str) -> None:
    import torch

    data = _file_bytes(path)
    try:
        weights = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types on damaged or refused files
        raise ModelError(
            f"state_dict: {path!r} is not a file of weights alone (torch.save(model.state_dict(), "
            "file)); pickles of other objects could run code and are refused"
        ) from error
    named = isinstance(weights, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in weights.items()
    )
    if not named:
        raise ModelError(f"state_dict: {path!r} must hold names and tensors, got {type(weights)}")
    try:
        module.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        raise ModelError(f"state_dict: {path!r} does not fit the model: {error}") from error


def _ready(module: Module, device: str) -> Module:
    try:
        module = module.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device: {device!r} cannot be used: {describe(error)}") from error
    try:
        return module.eval()
    except NotImplementedError:  # an exported program keeps the mode that it was exported in
        for part in module.modules():
            part.training = False
        return module


def _file_bytes(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ModelError(f"{path!r} cannot be read: {error.strerror}") from error
