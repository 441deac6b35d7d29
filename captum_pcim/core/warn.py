"""Warnings that arrive: of one category, and at the line of the caller."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import captum
import torch


class PCIMWarning(UserWarning):
    """A map can be made, but means less than it seems. The text begins with an argument's name.

    Args:
        message (str): What is told.
        images (sequence of int): The images it is about, by their place in the call; empty: all.
        note (str): What is told of one of them, for a table that has a row for each.

    Examples:
        >>> warnings.simplefilter("error", PCIMWarning)  # no map that is in doubt
    """

    def __init__(self, message: str, images: Sequence[int] = (), note: str = "") -> None:
        super().__init__(message)
        self.images = tuple(images)
        self.note = note or message


_LIBRARIES = tuple(
    str(Path(file).parent) for file in (captum.__file__, torch.__file__, Path(__file__).parent)
)


def warn(message: str, images: Sequence[int] = (), note: str = "") -> None:
    """Give a warning at the line that called the package, or a method of Captum around it.

    Args:
        message (str): As in :class:`PCIMWarning`; ``{images}`` in it stands for their numbers.
        images (sequence of int): As in :class:`PCIMWarning`.
        note (str): As in :class:`PCIMWarning`.
    """
    message = message.replace("{images}", f"images {listed(images)}")
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        level, frame = level + 1, frame.f_back
    warnings.warn(PCIMWarning(message, images, note), stacklevel=level)


def listed(rows: Sequence[int]) -> str:
    """Name the first of some images."""
    shown = ", ".join(map(str, rows[:5]))
    return f"[{shown}{', ...' if len(rows) > 5 else ''}]"
