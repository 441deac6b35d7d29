"""Which classes the outputs of a network stand for, and what they are called.

A network has one output a class, or, for two classes, one output alone: the logit or the
probability of the second one, of shape (N, 1) or (N,). All commands read such a network as one of
two classes, so that either can be explained and both have a probability.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from captum_pcim._compat import scores_of
from captum_pcim.classifiers.files import ModelError
from captum_pcim.core.network import PREDICTED
from captum_pcim.core.scores import ScoreKind, kind_of_scores, read_scores

PROBABILITIES = ("probabilities", "binary_probabilities")


@dataclass(frozen=True)
class Classes:
    """A network that has one output a class, and how these are read.

    Args:
        network: The network, images (N, C, H, W) to scores (N, K).
        score: What its scores mean, see :mod:`captum_pcim.core.scores`.
        count: Number of classes K.
        names: Their names, or empty.
    """

    network: Callable[..., Any]
    score: ScoreKind
    count: int
    names: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        network: Callable[..., Any],
        inputs: Tensor,
        score: ScoreKind = "logits",
        names: Sequence[str] = (),
    ) -> Classes:
        """See on a first batch how many classes a network has.

        Args:
            network: Images (N, C, H, W) to scores (N, K), (N, 1) or (N,).
            inputs: Images.
            score: What its scores mean.
            names: Names of the classes, one each; empty where they have none.

        Raises:
            ModelError: If the outputs are no scores, or not as many as there are names, or if two
                classes have one name or one has none.
        """
        if len(set(names)) < len(names) or "" in names:
            expected = "no empty name" if "" in names else "no name twice"
            raise ModelError(f"classes: expected {expected}, got {list(names)}")
        score = kind_of_scores(network, score)
        with torch.no_grad():
            outputs = scores_of(network(inputs))
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        if not isinstance(shape, tuple) or len(shape) not in (1, 2) or shape[0] != len(inputs):
            raise ModelError(
                "model: the network must return a tensor of scores, (N, classes) or (N,), got "
                f"{shape} for {len(inputs)} images"
            )
        count = shape[1] if len(shape) == 2 else 1
        if count == 1 and _tells_two(score, names):
            probabilities = score in PROBABILITIES
            network = with_two_classes(network, probabilities)
            score, count = "probabilities" if probabilities else "logits", 2
        if names and len(names) != count:
            raise ModelError(
                f"classes: expected {count} names, as the network returns scores of shape {shape}, "
                f"got {list(names)}"
            )
        return cls(network, score, count, tuple(names))

    def scores(self, inputs: Tensor) -> Tensor:
        """The network's scores of images (N, C, H, W), of shape (N, K).

        Raises:
            ValueError: If they are not finite.
        """
        with torch.no_grad():
            scores: Tensor = scores_of(self.network(inputs))
        if not bool(torch.isfinite(scores).all()):
            raise ValueError("the network's scores are not finite: NaN or infinity")
        return scores.reshape(len(inputs), self.count)

    def targets(self, scores: Tensor, target: int | str | None) -> Tensor:
        """The class to explain of each image, of shape (N,).

        Args:
            scores: Those of the images, of shape (N, K).
            target: As :func:`target_number` takes it.

        Raises:
            ModelError: If no class has that name, or of several quantities none was chosen.
        """
        number = target_number(target, self.names)
        if number is None and self.score == "regression" and self.count > 1:
            raise ModelError(f"target: expected one of the {self.count} quantities, got none")
        predicted = scores.argmax(dim=1)
        return predicted if number is None else torch.full_like(predicted, number)

    def contrasts(self, targets: Tensor, contrast: Sequence[int | str]) -> Tensor | None:
        """The classes that each image's target is told from, a mask of shape (N, K).

        Args:
            targets: The class to explain of each image, of shape (N,).
            contrast: Names or numbers of classes; empty: all others, and None is returned. An image
                whose own target is among them is told from all other classes.

        Raises:
            ModelError: If there is no such class, or the network's classes do not compete.
        """
        numbers = contrast_numbers(contrast, self.names)
        if not numbers:
            return None
        if self.score not in ("logits", "probabilities") or self.count == 1:
            raise ModelError(
                "contrast: expected a network whose classes exclude each other, got "
                f"{self.count} of score {self.score!r}"
            )
        if max(numbers) >= self.count:
            raise ModelError(
                f"contrast: expected classes from 0 to {self.count - 1}, got {max(numbers)}"
            )
        told = torch.zeros(len(targets), self.count, dtype=torch.bool, device=targets.device)
        told[:, numbers] = True
        own = targets.unsqueeze(1)
        return (told | told.gather(1, own)).scatter(1, own, False)

    def probabilities(self, scores: Tensor) -> Tensor:
        """Of all classes, of shape (N, K); of quantities there are none, so (N, 0)."""
        if self.score == "regression":
            return scores[:, :0]
        if self.score == "binary_logits":
            return scores.float().sigmoid()
        if self.score == "binary_probabilities":
            return scores.float()
        first = torch.zeros(len(scores), dtype=torch.long, device=scores.device)
        return read_scores(scores, first, self.score).log_probabilities.exp()


def target_number(target: int | str | None, names: Sequence[str]) -> int | None:
    """The number of the class to explain; None for each image's own predicted class.

    Args:
        target: A class's name or number, ``"predicted"`` or None.
        names: Names of the classes.

    Raises:
        ModelError: If no class has that name or, where they have names, that number.
    """
    if isinstance(target, str) and target in names:
        return list(names).index(target)
    if target is None or target == PREDICTED:
        return None
    if isinstance(target, str) and target.isascii() and target.isdecimal():
        target = int(target)
    if isinstance(target, str):
        known = f"one of the classes {list(names)}" if names else "the name of a class in `classes`"
        raise ModelError(
            f"target: expected {known}, a class's number from 0 or {PREDICTED!r}, got {target!r}"
        )
    _require_named(target, names, "target")
    return target


def _require_named(number: int, names: Sequence[str], argument: str) -> None:
    """Refuse a number beyond the named classes; a network of one output has two of them."""
    if names and number >= len(names):
        raise ModelError(
            f"{argument}: expected a number below {len(names)}, as the classes are {list(names)}, "
            f"got {number}"
        )


def contrast_numbers(
    contrast: Sequence[int | str], names: Sequence[str], target: int | None = None
) -> list[int]:
    """The numbers of the classes to tell the target from.

    Args:
        contrast: Their names or numbers.
        names: Names of the classes.
        target: The number of the class to explain, where it is the same for all images.

    Raises:
        ModelError: If no class has that name or number, or it is the one that is explained.
    """
    numbers = []
    for one in contrast:
        if isinstance(one, str) and one in names:
            numbers.append(list(names).index(one))
        elif str(one).isascii() and str(one).isdecimal():
            numbers.append(int(one))
            _require_named(numbers[-1], names, "contrast")
        else:
            raise ModelError(
                f"contrast: expected some of the classes {list(names)} or their numbers from 0, "
                f"got {one!r}"
            )
    if target in numbers:
        raise ModelError(
            f"contrast: expected other classes than the target, got {list(contrast)} for target "
            f"{target}"
        )
    return sorted(set(numbers))


class TwoClasses(nn.Module):
    """A network of one output as one of two classes.

    Args:
        network: Returns (N, 1) or (N,): the logit or probability of the second class.
        probabilities: Whether it returns probabilities.
    """

    def __init__(self, network: nn.Module, probabilities: bool) -> None:
        super().__init__()
        self.network, self.probabilities = network, probabilities
        self.training = network.training

    def forward(self, *inputs: Any) -> Tensor:
        """Return the scores of both classes, of shape (N, 2)."""
        return _of_both(self.network(*inputs), self.probabilities)


def with_two_classes(network: Callable[..., Any], probabilities: bool) -> Callable[..., Any]:
    """A network of one output as one of two: logits 0 and l, or probabilities 1 - p and p."""
    if isinstance(network, nn.Module):
        return TwoClasses(network, probabilities)
    return partial(_call_for_both, network, probabilities)


def _call_for_both(network: Callable[..., Any], probabilities: bool, *inputs: Any) -> Tensor:
    return _of_both(network(*inputs), probabilities)


def _of_both(output: Any, probabilities: bool) -> Tensor:
    second = scores_of(output)
    second = second.reshape(len(second), 1)
    first = 1 - second if probabilities else torch.zeros_like(second)
    return torch.cat([first, second], dim=1)


def _tells_two(score: ScoreKind, names: Sequence[str]) -> bool:
    """Whether one output tells two classes: unless it is a quantity, or the only label."""
    only_label = score.startswith("binary") and len(names) == 1
    return score != "regression" and not only_label
