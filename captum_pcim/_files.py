"""Files that are either complete or not there, whenever the process is stopped."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_PREFIX = ".tmp-"


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, replacing what is there in one step.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and only then
    take the final name: a reader sees the old file or the new one, never a part.

    Args:
        path: Where to write. Its folder must exist.
        data: The whole content.

    Raises:
        OSError: If the folder cannot be written to. Nothing is left behind.
    """
    temporary = path.parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left anywhere below ``folder``."""
    for leftover in folder.rglob(f"{_PREFIX}*"):
        leftover.unlink(missing_ok=True)
