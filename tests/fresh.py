"""Code run as in a Python of its own, which has loaded the large libraries already.

The server that it is forked from has imported nothing of the package and has run nothing.
"""

import multiprocessing
import os
import sys
from pathlib import Path

LIBRARIES = ["torch", "captum.attr", "matplotlib.pyplot", "PIL.Image"]

if "forkserver" in multiprocessing.get_all_start_methods():
    _processes = multiprocessing.get_context("forkserver")
    _processes.set_forkserver_preload(LIBRARIES)
else:
    _processes = multiprocessing.get_context("spawn")


def run(code: str, name: str, folder: Path) -> tuple[int | None, str]:
    """Run code in a process and a folder of its own.

    Args:
        code: Python.
        name: What tracebacks call it.
        folder: The folder.

    Returns:
        Its exit status, and all that it and its children wrote.
    """
    log = folder / "output.log"
    process = _processes.Process(target=_run, args=(code, name, folder, log))
    process.start()
    process.join()
    return process.exitcode, log.read_text(encoding="utf-8")


def _run(code: str, name: str, folder: Path, log: Path) -> None:
    import matplotlib
    import torch

    matplotlib.use("Agg")
    torch.set_num_threads(1)
    os.chdir(folder)
    sys.path.insert(0, "")
    with open(log, "w", encoding="utf-8") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    exec(compile(code, name, "exec"), {"__name__": "__main__"})
