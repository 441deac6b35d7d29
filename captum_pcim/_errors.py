"""Errors of other libraries, told in one line."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator


def describe(error: BaseException) -> str:
    """Say in one line of at most a few hundred characters what went wrong."""
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message[:500]}"


@contextlib.contextmanager
def silenced(logger: str) -> Iterator[None]:
    """Keep a library from logging what the error that is raised, or checked for, says anyway."""
    log = logging.getLogger(logger)
    disabled, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = disabled
