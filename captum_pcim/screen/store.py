"""The results folder: each result appears whole or not at all.

::

    results/
      done/ab/ab12.../      one folder per finished image: manifest.json and what it lists
      failed/ab12....json   why an image could not be done; gone once it is done
      shared/12....npz      windows and control images of a plate; configurations
      tmp/                  what is being written

A result's folder is filled under ``tmp``, its manifest last, flushed to the disk and renamed into
place in one step. Whoever finds the folder finds all of it, and of two runs that finish the same
image the first keeps its place.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from captum_pcim._errors import describe
from captum_pcim._files import write_bytes

try:
    import fcntl
except ImportError as error:
    raise ImportError(
        "screens need POSIX, whose file locks and renames keep results whole: Linux, macOS or "
        "Windows' WSL"
    ) from error

MANIFEST = "manifest.json"
FULL_MAP = "map.zarr"


class StoreError(OSError):
    """The results folder cannot be written (a full disk, a permission), or holds damaged files."""


@contextlib.contextmanager
def intact(path: Path) -> Iterator[None]:
    """Tell which file of the results is damaged, as after an incomplete copy, and what to do.

    Raises:
        StoreError: What reads the file fails.
    """
    try:
        yield
    except (OSError, EOFError, ValueError, TypeError, zipfile.BadZipFile) as error:
        place = path.parent if path.parent.parent.parent.name == "done" else path
        raise StoreError(
            f"{path.name} is damaged ({describe(error)}): remove {place}, and it is made anew"
        ) from error


class Store:
    """A folder of results, each under its key.

    Args:
        path: The folder; made if missing.

    Raises:
        StoreError: Nothing can be written there.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        with self._guarded():
            for name in ("done", "failed", "shared", "tmp"):
                (self.path / name).mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path / "tmp") as probe:
                probe.write(b"can this folder be written?")

    def folder(self, key: str) -> Path:
        """Where the result of a key is, or will be."""
        return self.path / "done" / key[:2] / key

    def done(self, key: str, wanted: Sequence[str] = ()) -> bool:
        """Whether a key's result is complete, and has the files that are wanted beside."""
        folder = self.folder(key)
        return (folder / MANIFEST).is_file() and all((folder / name).exists() for name in wanted)

    def manifest(self, key: str) -> dict[str, Any]:
        """What is known about a finished image."""
        path = self.folder(key) / MANIFEST
        with intact(path):
            return dict(json.loads(path.read_bytes()))

    @contextlib.contextmanager
    def publish(self, key: str, manifest: dict[str, Any]) -> Iterator[Path]:
        """Gives a temporary folder to fill; on leaving, it becomes the key's result.

        Raises:
            StoreError: The result could not be written. Nothing of it is left.
        """
        with self._guarded(), self.temporary() as folder:
            yield folder
            with open(folder / MANIFEST, "w", encoding="utf-8") as file:
                json.dump(manifest, file, indent=1)
            _flush(folder)
            place = self.folder(key)
            place.parent.mkdir(exist_ok=True)
            try:
                os.rename(folder, place)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self._settle(folder, place)
            _flush_entry(place.parent)
        (self.path / "failed" / f"{key}.json").unlink(missing_ok=True)

    def _settle(self, folder: Path, place: Path) -> None:
        """Keep the result that was first, as good as this one unless it lacks a file of it."""
        if set(os.listdir(folder)) <= set(os.listdir(place)):
            return
        with self.temporary() as old:
            os.rename(place, old / place.name)
            os.rename(folder, place)

    def remove(self, path: Path) -> None:
        """Removes a result or a file of the folder, if another run has not; nobody finds half."""
        gone = contextlib.suppress(FileNotFoundError)
        with self._guarded(), self.temporary() as old, gone:
            os.rename(path, old / path.name)

    def fail(self, key: str, record: dict[str, Any]) -> None:
        """Writes down why a key could not be done."""
        with self._guarded():
            write_bytes(self.path / "failed" / f"{key}.json", json.dumps(record).encode())

    def failure(self, key: str) -> dict[str, Any] | None:
        """Why a key could not be done, or None."""
        path = self.path / "failed" / f"{key}.json"
        if not path.exists():
            return None
        with intact(path):
            return dict(json.loads(path.read_bytes()))

    def keep(self, name: str, content: bytes) -> None:
        """Writes a shared file."""
        with self._guarded():
            write_bytes(self.path / "shared" / name, content)

    def kept(self, name: str) -> Path | None:
        """A shared file, or None."""
        path = self.path / "shared" / name
        return path if path.is_file() else None

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Gives a temporary path to write; on leaving, it becomes the named file of the folder."""
        with self._guarded(), self.temporary() as folder:
            path = folder / Path(name).name
            yield path
            _flush_entry(path)
            place = self.path / name
            place.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, place)

    def sweep(self) -> None:
        """Removes what writers that are gone left half-written, and nothing of the living."""
        for left in (self.path / "tmp").glob("*"):
            with contextlib.suppress(OSError):  # it is locked, or its writer has just finished
                lock = os.open(left, os.O_RDONLY)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(left, ignore_errors=True)
                finally:
                    os.close(lock)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """Gives a folder that is removed on leaving or, if the process dies, by a sweep."""
        folder, lock = self._locked_folder()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)

    def _locked_folder(self) -> tuple[Path, int]:
        """A new folder under a lock, which tells sweepers that its writer lives.

        The lock goes with the process, however that ends.
        """
        while True:
            folder = Path(tempfile.mkdtemp(dir=self.path / "tmp"))
            with contextlib.suppress(FileNotFoundError):  # swept between the two lines
                lock = os.open(folder, os.O_RDONLY)
                with contextlib.suppress(OSError):  # no locks here: then nothing is swept either
                    fcntl.flock(lock, fcntl.LOCK_EX)
                if folder.exists():
                    return folder, lock
                os.close(lock)

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except StoreError:
            raise
        except OSError as error:
            raise StoreError(
                error.errno, f"cannot write to the results folder: {error.strerror}", str(self.path)
            ) from error


def _flush(folder: Path) -> None:
    """Brings a folder and all that is in it to the disk, the innermost first."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            _flush_entry(Path(path) / name)
        _flush_entry(Path(path))


def _flush_entry(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
