"""Errors and warnings of other libraries, told in one line."""

from __future__ import annotations

import contextlib
import logging
import re
import threading
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

LONGEST, ENOUGH = 1500, 200  # letters of a text, and of its part that tells what it is about
ERROR_LINE = re.compile(r"^[A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Warning)\b.*$", re.MULTILINE)

_SHOWN: dict[Any, Any] = {}  # where the warnings module keeps what need not be shown again


def describe(error: BaseException) -> str:
    """Say in one line what went wrong, the first cause in full.

    Where a text ends with a traceback, as those of TorchScript and of other processes do, the cause
    stands after its last frame. An error that was raised from others tells the first of them too.
    """
    first = error
    while first.__cause__ is not None:
        first = first.__cause__
    told, cause = _told(error), _told(first)
    text = cause.partition(": ")[2]  # an error of the same kind that only says where is no cause
    repeated = cause in told or (type(first) is type(error) and text and text in told)
    return told if repeated else f"{told} (first cause: {cause})"


def _told(error: BaseException) -> str:
    text = str(error)
    cause = _after_traceback(text)
    if cause and len(text) > LONGEST:
        text = f"{text[:ENOUGH]} ... {cause}"
    elif len(text) > LONGEST:
        text = f"{text[: LONGEST - ENOUGH]} ... {text[-ENOUGH:]}"
    return f"{type(error).__name__}: {' '.join(text.split())}"


def _after_traceback(text: str) -> str:
    """What a text tells after the last frame of its last traceback; empty if it has none."""
    if "Traceback" not in text:
        return ""
    named = list(ERROR_LINE.finditer(text))
    return text[named[-1].start() :] if named else ""


@contextlib.contextmanager
def silenced(logger: str) -> Iterator[None]:
    """Keep a library from logging what the error that is raised, or checked for, says anyway.

    Only in this thread: what others log meanwhile is theirs.
    """
    log, thread = logging.getLogger(logger), threading.get_ident()

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != thread

    log.addFilter(of_others)
    try:
        yield
    finally:
        log.removeFilter(of_others)


@contextlib.contextmanager
def noting_warnings(told: type[Warning] | tuple[()] = ()) -> Iterator[list[Warning]]:
    """Collect the UserWarnings of this thread, and show them afterwards.

    They are shown, ignored or raised as the filters outside say. Other threads, which read and
    write images meanwhile, keep theirs.

    Args:
        told: A category that is not shown, because the caller tells what was collected. Default:
            all are shown.
    """
    noted: list[warnings.WarningMessage] = []
    notes: list[Warning] = []
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
                notes.append(message if isinstance(message, Warning) else category(message))
                if not issubclass(category, told):
                    noted.append(warnings.WarningMessage(message, category, filename, lineno))

            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = note
            yield notes
    finally:
        for each in noted:
            warnings.warn_explicit(
                each.message, each.category, each.filename, each.lineno, registry=_SHOWN
            )
