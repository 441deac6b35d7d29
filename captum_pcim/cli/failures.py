"""Failures of many images, told in few lines: the same reason once, with how many it is of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

MOST_REASONS = 20


def in_few_lines(failures: Iterable[tuple[str, str]]) -> Iterator[str]:
    """A line for each reason, with the first image that it is of.

    Args:
        failures: What failed, and its reason.
    """
    named: dict[str, list[str]] = {}
    for name, reason in failures:
        named.setdefault(reason, []).append(name)
    for reason, names in list(named.items())[:MOST_REASONS]:
        others = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield f"{names[0]}{others}: {reason}"
    if len(named) > MOST_REASONS:
        yield f"and {len(named) - MOST_REASONS} more reasons"
