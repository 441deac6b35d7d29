"""How often work was begun by processes that did not live to end it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from captum_pcim._errors import describe
from captum_pcim.classifiers.files import ModelError
from captum_pcim.screen.store import StoreError

ATTEMPTS = 3  # at one image whose process dies: once among others, then alone


class WorkerError(RuntimeError):
    """The processes that are to do the work cannot: they die before they begin, or break."""


def sendable(error: Exception) -> Exception:
    """The error itself, or one that says the same: not every library's errors can be pickled."""
    if isinstance(error, (StoreError, ModelError, ImportError, WorkerError)):
        return error
    return WorkerError(f"a worker broke: {describe(error)}")


class Attempts:
    """Counts attempts in files, which outlive the process that makes them.

    Args:
        folder: An empty folder that all processes of a run see.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, work: str) -> int:
        """Counts one more attempt and returns how many before it were not ended."""
        with open(self._file(work), "ab") as file:
            before = file.tell()
            file.write(b".")
        return before

    def end(self, work: str) -> None:
        """Forgets the attempts: whatever came of this one, its process lived."""
        self._file(work).unlink(missing_ok=True)

    def _file(self, work: str) -> Path:
        return self.folder / hashlib.sha256(work.encode()).hexdigest()
