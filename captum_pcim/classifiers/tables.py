"""What tables tell of an image's classes, in the same words in all commands."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from captum_pcim.classifiers.files import ModelError

ABOUT_NETWORK = ("forward_func: ", "score: ")  # what its warnings begin with
NO_CLASS = -1  # of what has none, as a field without cells
NEXT_NOTE = r"; (?=\w+: )"


def class_name(names: Sequence[str], number: int) -> str:
    """The name of a class, its number where classes have no names; none of :data:`NO_CLASS`."""
    if number == NO_CLASS:
        return ""
    return names[number] if number < len(names) else str(number)


def class_columns(
    names: Sequence[str],
    target: int,
    predicted: int,
    scores: Sequence[float],
    probabilities: Sequence[float],
) -> dict[str, str | float]:
    """The columns of an image: ``target``, ``predicted`` and ``Probability_<class>`` of all.

    A quantity has no probability: there it is ``Score_<name>``, the quantity itself.

    Args:
        names: Names of the classes, or empty.
        target: The class that was explained.
        predicted: The class of the highest score.
        scores: What the network returned, one a class.
        probabilities: Of all classes; empty for regression.

    Raises:
        ModelError: The names are not as many as the classes, or two are the same.
    """
    if names and scores and not len(set(names)) == len(names) == len(scores):
        raise ModelError(
            f"classes: expected {len(scores)} different names, as many as the network's classes, "
            f"got {list(names)}"
        )
    kind, values = ("Probability", probabilities) if probabilities else ("Score", scores)
    return {
        "target": class_name(names, target),
        "predicted": class_name(names, predicted),
        **{f"{kind}_{class_name(names, i)}": value for i, value in enumerate(values)},
    }


def notes_of_network(notes: Iterable[str]) -> Iterator[str]:
    """What notes say of the network, not of an image, each once with the number of its images.

    Args:
        notes: Those of each image, ``"; "`` between two and each beginning with what it is about.
    """
    each = (dict.fromkeys(re.split(NEXT_NOTE, text)) for text in notes)
    about = (note for own in each for note in own if note.startswith(ABOUT_NETWORK))
    for note, count in Counter(about).items():
        yield f"{count} images: {note}"
