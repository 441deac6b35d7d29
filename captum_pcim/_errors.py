"""Errors and warnings of other libraries, told in one line."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

_SHOWN: dict[Any, Any] = {}  # where the warnings module keeps what need not be shown again


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


@contextlib.contextmanager
def noting_warnings() -> Iterator[list[str]]:
    """Collect the UserWarnings of this thread, one line each, and show them afterwards.

    They are shown, ignored or raised as the filters outside say. Other threads, which read and
    write images meanwhile, keep theirs.
    """
    noted: list[warnings.WarningMessage] = []
    notes: list[str] = []
    thread = threading.get_ident()
    try:
        with warnings.catch_warnings():
            show = warnings.showwarning

            def note(
                message: Warning | str,
                category: type[Warning],
                filename: str,
                lineno: int,
                file: TextIO | None = None,
                line: str | None = None,
            ) -> None:
                if not issubclass(category, UserWarning) or threading.get_ident() != thread:
                    return show(message, category, filename, lineno, file, line)
                noted.append(warnings.WarningMessage(message, category, filename, lineno))
                notes.append(" ".join(str(message).split()))

            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = note
            yield notes
    finally:
        for each in noted:
            warnings.warn_explicit(
                each.message, each.category, each.filename, each.lineno, registry=_SHOWN
            )
