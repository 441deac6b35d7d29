"""Which class is explained: given in any of Captum's forms, or chosen by what was scored."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from captum_pcim._compat import TargetType, perturbed_by_captum
from captum_pcim.core.checks import check_count, from_numpy, kind_of
from captum_pcim.core.network import PREDICTED, Choice, Target
from captum_pcim.core.scores import ScoreKind


def asked_target(target: TargetType | Choice, n_images: int) -> Target | Choice:
    """Return a target in its checked form, or what chooses one once there are scores."""
    if isinstance(target, str) and target != PREDICTED:
        raise ValueError(f"target: expected a class or {PREDICTED!r}, got {target!r}")
    if not is_choice(target):
        return check_target(target, n_images)
    if perturbed_by_captum():
        raise ValueError(
            "target: expected classes inside NoiseTunnel and captum.metrics, whose noisy copies of "
            f"an image may be predicted to be of several, got {target!r}; pass "
            "model(inputs).argmax(1)"
        )
    return target


def is_choice(target: Any) -> bool:
    """Tell whether a target has to be chosen from scores."""
    return isinstance(target, str) or callable(target)


def chosen_target(target: Target | Choice, output: Tensor, score: ScoreKind) -> Target:
    """Return the target itself, or the one that is chosen for what the network returned.

    Args:
        target: From :func:`asked_target`.
        output (Tensor): What the network returned for the images, one row each.
        score (str): What its scores mean.

    Raises:
        ValueError: If no class is predicted: of quantities, or of more axes than one of classes.
    """
    if callable(target):
        return check_target(target(output), len(output))
    return _predicted(output, score) if isinstance(target, str) else target


def _predicted(output: Tensor, score: ScoreKind) -> Target:
    if output[0].numel() == 1:
        return None
    if score == "regression" or output.ndim != 2:
        raise ValueError(
            f"target: {PREDICTED!r} needs one score per class, (N, classes), got {score} of shape "
            f"{tuple(output.shape)}; pass a target, (class, y, x) for a map of classes, or a "
            "function of the scores that returns one"
        )
    return output.argmax(1)


def check_target(target: TargetType, n_images: int) -> Target:
    """Return the target as None, int, tuple of int, or int64 tensor with one row per image.

    Takes what Captum takes, and NumPy integers and arrays, and (N, 1) tensors. A list of tuples of
    k elements becomes a tensor of shape (N, k). Negative targets are refused: in Captum -1 silently
    means the last class.
    """
    if isinstance(target, (np.ndarray, np.generic)):
        target = from_numpy("target", target)
    if isinstance(target, list) and target and not isinstance(target[0], tuple):
        target = torch.tensor([_check_tuple((_number(element),))[0] for element in target])
    if isinstance(target, Tensor):
        return _check_tensor_target(target, n_images)
    if isinstance(target, list):
        check_count("target", len(target), n_images)
        return _tensor_of([_check_tuple(element) for element in target])
    if isinstance(target, tuple):
        return _check_tuple(target)
    if isinstance(target, bool) or not isinstance(target, (int, type(None))):
        raise TypeError(
            f"target: expected None, an int, a tuple, a tensor or a list of them, got "
            f"{kind_of(target)}"
        )
    return None if target is None else _check_tuple((target,))[0]


def _check_tensor_target(target: Tensor, n_images: int) -> Target:
    if target.is_floating_point() or target.dtype == torch.bool:
        raise TypeError(f"target: expected integer classes, got a tensor of {target.dtype}")
    target = target.long()  # torch compares no unsigned 16 bits
    if target.ndim == 2 and target.shape[1] == 1:
        target = target.squeeze(1)
    if target.ndim > 1:
        raise ValueError(f"target: expected shape (N,) or (N, 1), got {tuple(target.shape)}")
    if bool((target < 0).any()):
        raise IndexError(f"target: expected classes from 0, got {int(target.min())}")
    if target.numel() == 1:
        return int(target)
    check_count("target", len(target), n_images)
    return target


def _tensor_of(tuples: list[tuple[int, ...]]) -> Tensor:
    lengths = {len(element) for element in tuples}
    if len(lengths) > 1:
        raise ValueError(f"target: expected tuples of one length, got {sorted(lengths)}")
    return torch.tensor(tuples)


def _number(element: Any) -> Any:
    return element.item() if isinstance(element, Tensor) and element.numel() == 1 else element


def _check_tuple(target: Any) -> tuple[int, ...]:
    if not isinstance(target, tuple):
        raise TypeError(f"target: expected a tuple for every image, got {kind_of(target)}")
    if not target:
        raise ValueError("target: expected at least one number in a tuple, got ()")
    for element in target:
        if isinstance(element, bool) or not isinstance(element, (int, np.integer)):
            raise TypeError(f"target: expected whole numbers, got {kind_of(element)} in {target!r}")
        if not 0 <= element < 2**63:
            raise IndexError(f"target: expected classes from 0, got {element}")
    return tuple(int(element) for element in target)


def check_trailing_range(target: Target, output: Tensor) -> None:
    """Raise IndexError where a target of several numbers per image is outside the output.

    On a GPU the selection itself would abort the process.
    """
    if isinstance(target, tuple) and 1 < len(target) < output.ndim:  # of others Captum's error
        target = torch.tensor([target], device=output.device)
    if not isinstance(target, Tensor) or target.ndim == 1:
        return
    n_axes = min(target.shape[1], output.ndim - 1)
    sizes = output.shape[1 : 1 + n_axes]
    outside = (target[:, :n_axes] >= target.new_tensor(sizes)).any(1)
    if bool(outside.any()):
        raise IndexError(
            f"target: expected numbers below {tuple(sizes)}, got "
            f"{tuple(target[outside][0].tolist())}"
        )


def check_class_range(classes: Tensor, n_classes: int) -> None:
    """Raise IndexError where a target is not a class of the network."""
    if bool((classes >= n_classes).any()):
        raise IndexError(
            f"target: expected classes from 0 to {n_classes - 1}, got {int(classes.max())}"
        )


def select_classes(output: Tensor, target: Target) -> tuple[Tensor, Tensor]:
    """Bring outputs and targets of every form Captum knows into class scores and class numbers.

    Args:
        output (Tensor): What the forward function returned: (N,), (N, K) or (N, K, ...).
        target (int, tuple, Tensor or None): In the checked form of :func:`check_target`. On
            the output's device nothing is waited for.

    Returns:
        tuple: The scores (N, K) and the target's place among them (N,), int64.

    Raises:
        AssertionError: If a tuple has more elements than the output has axes, as in Captum.
        ValueError: If the target leaves more than one class axis, or none is given where the
            output has several classes.
        IndexError: If a target is outside the output.
    """
    output = output.unsqueeze(1) if output.ndim == 1 else output
    if target is None:
        target = _only_class(output)
    trailing: Sequence[int | Tensor]
    if isinstance(target, Tensor):
        per_image = target.to(output.device).view(len(output), -1)
        classes, trailing = per_image[:, 0], per_image[:, 1:].unbind(1)
    else:
        same = target if isinstance(target, tuple) else (target,)
        classes = torch.full((len(output),), same[0], device=output.device)
        trailing = same[1:]
    if len(trailing) > output.ndim - 2:
        shown = tuple(target[0].tolist()) if isinstance(target, Tensor) else target
        raise AssertionError(
            f"target: {shown} has more elements than forward_func's output "
            f"{tuple(output.shape)} has axes after the batch"
        )
    return _checked(_select(output, trailing), classes, target)


def _only_class(output: Tensor) -> int:
    if output[0].numel() != 1:
        raise ValueError(
            f"target: forward_func returns {tuple(output.shape)}, several scores per image; "
            f"expected a target that selects one, got None; pass a class or one per image "
            "(PCIM.attribute also takes 'predicted')"
        )
    return 0


def _select(output: Tensor, trailing: Sequence[int | Tensor]) -> Tensor:
    """Select the trailing axes, leave the class axis standing."""
    if not trailing:
        return output
    per_image = isinstance(trailing[0], Tensor)
    rows = torch.arange(len(output), device=output.device) if per_image else slice(None)
    place: tuple[Any, ...] = (rows, slice(None), *trailing)
    return output[place]


def _checked(scores: Tensor, classes: Tensor, target: object) -> tuple[Tensor, Tensor]:
    if scores.ndim != 2:
        raise ValueError(
            f"target: expected one score per image, but {target!r} leaves shape "
            f"{tuple(scores.shape[:1] + scores.shape[2:])} of forward_func's output; name "
            "the place too, as in (class, y, x), or average over a region in a function"
        )
    return scores, classes
