"""Executes the tutorials in full and writes their notebooks.

python tutorials/execute.py [1_first_map ...]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbclient
import nbformat

TUTORIALS = Path(__file__).parent


def execute(script: Path) -> None:
    """Run a script as a notebook, in a folder of its own, and keep its outputs."""
    notebook = jupytext.read(script)
    notebook.metadata["language_info"] = {"name": "python"}
    with tempfile.TemporaryDirectory() as folder:
        client_of(notebook, folder).execute()
    check_outputs(notebook)
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # the same every time
        cell.metadata.pop("execution", None)  # when each cell ran
        if cell.cell_type == "code":  # libraries' warnings name folders of this machine
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    nbformat.write(notebook, script.with_suffix(".ipynb"))


def check_outputs(notebook: nbformat.NotebookNode) -> None:
    """Raise for what a cell could not show, which does not end a notebook."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output["output_type"] == "error":
                raise RuntimeError(f"{output['ename']}: {output['evalue']} in:\n{cell.source}")


def client_of(
    notebook: nbformat.NotebookNode, folder: str | Path, timeout: int | None = None
) -> nbclient.NotebookClient:
    """A client that runs a notebook in a folder, with seconds for each cell."""
    client = nbclient.NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
    )
    client.create_kernel_manager()
    # This interpreter, whatever kernels are installed.
    client.km.kernel_spec.argv[0] = sys.executable
    return client


def main() -> None:
    os.environ["PYTHONWARNINGS"] = "ignore::UserWarning"
    names = sys.argv[1:] or [path.stem for path in sorted(TUTORIALS.glob("[0-9]*_*.py"))]
    for name in names:
        started = time.perf_counter()
        execute(TUTORIALS / f"{name}.py")
        print(f"{name}: {time.perf_counter() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
