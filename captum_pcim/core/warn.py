"""Warnings that arrive: of one category, and at the line of the caller."""

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import captum
import torch


class PCIMWarning(UserWarning):
    """A map can be made, but means less than it seems. The text begins with an argument's name.

    Examples:
        >>> warnings.simplefilter("error", PCIMWarning)  # no map that is in doubt
    """


_LIBRARIES = tuple(
    str(Path(file).parent) for file in (captum.__file__, torch.__file__, Path(__file__).parent)
)


def warn(message: str) -> None:
    """Give a warning at the line that called the package, or a method of Captum around it."""
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, PCIMWarning, stacklevel=level)


def listed(rows: Sequence[int]) -> str:
    """Return the numbers of some images as text, the first five of many."""
    shown = ", ".join(map(str, rows[:5]))
    return f"[{shown}{', ...' if len(rows) > 5 else ''}]"
