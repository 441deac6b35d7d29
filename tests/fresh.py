"""Code run as in a Python of its own, which has loaded the large libraries already.

The server that it is forked from has imported nothing of the package and has run nothing.
"""

import multiprocessing
import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

LIBRARIES = [
    "torch", "torch.fx.experimental.symbolic_shapes", "captum.attr", "matplotlib.pyplot",
    "PIL.Image",
]  # fmt: skip

if "forkserver" in multiprocessing.get_all_start_methods():
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(LIBRARIES)
else:
    processes = multiprocessing.get_context("spawn")


class Ended(NamedTuple):
    """How a process ended: its exit status, and what it and its children wrote."""

    status: int | None
    stdout: str
    stderr: str


def run(code: str, folder: Path, name: str = "<code>") -> Ended:
    """Run code in a process of its own, in a folder.

    Args:
        code: Python.
        folder: The folder.
        name: What tracebacks call it.

    Returns:
        How it ended.
    """
    with tempfile.TemporaryDirectory() as logs:
        streams = Path(logs) / "stdout", Path(logs) / "stderr"
        process = processes.Process(target=_run, args=(code, folder, name, streams))
        process.start()
        process.join()
        return Ended(process.exitcode, *(path.read_text(encoding="utf-8") for path in streams))


def _run(code: str, folder: Path, name: str, streams: tuple[Path, Path]) -> None:
    import matplotlib
    import torch

    matplotlib.use("Agg")
    torch.set_num_threads(1)
    os.chdir(folder)
    sys.path.insert(0, "")
    for stream, path in enumerate(streams, start=1):
        with open(path, "w", encoding="utf-8") as output:
            os.dup2(output.fileno(), stream)
    exec(compile(code, name, "exec"), {"__name__": "__main__"})
