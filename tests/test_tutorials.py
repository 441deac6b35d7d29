"""The tutorials run, and the notebooks are what their scripts say.

Notebooks are run in fast mode: less of everything, the same code and the same asserts.
"""

from pathlib import Path

import pytest
from forked_kernel import ForkedKernel

nbformat = pytest.importorskip("nbformat")
jupytext = pytest.importorskip("jupytext")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
execute = pytest.importorskip("tutorials.execute")

TUTORIALS = Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(TUTORIALS.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


NEEDS = {"10_any_model": "transformers"}  # beside what all tutorials need


@pytest.fixture
def fast_mode(monkeypatch):
    monkeypatch.setenv("PCIM_FAST", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("RAY_enable_worker_prestart", "0")
    monkeypatch.setenv("RAY_prestart_worker_first_driver", "0")
    monkeypatch.setenv("PYTHONWARNINGS", "ignore::UserWarning")


@pytest.fixture
def forked_kernel(monkeypatch):
    place = "jupyter_client.provisioning.local_provisioner.launch_kernel"
    monkeypatch.setattr(place, ForkedKernel)


def _client(notebook, folder):
    return execute.client_of(notebook, folder, timeout=300)


@each_notebook
def test_a_tutorial_runs_and_its_figures_hold(path, fast_mode, forked_kernel, tmp_path):
    if path.stem in NEEDS:
        pytest.importorskip(NEEDS[path.stem])
    notebook = nbformat.read(path, as_version=4)
    assert any("assert " in cell.source for cell in notebook.cells[-1:])
    _client(notebook, tmp_path).execute()
    execute.check_outputs(notebook)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert pictures


def test_a_tutorial_whose_assert_fails_is_noticed(fast_mode, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("assert 1 == 2")])
    with pytest.raises(nbclient.exceptions.CellExecutionError):
        _client(notebook, tmp_path).execute()


def test_what_a_cell_cannot_show_is_noticed(fast_mode, tmp_path):
    source = "from IPython.display import Image, display\ndisplay(Image(filename='nothing.png'))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    with pytest.raises(
        (nbclient.exceptions.CellExecutionError, RuntimeError), match=r"nothing\.png"
    ):
        _client(notebook, tmp_path).execute()
        execute.check_outputs(notebook)


@each_notebook
def test_a_notebook_holds_what_its_script_says_and_was_run_in_full(path):
    script = jupytext.read(path.with_suffix(".py"))
    notebook = nbformat.read(path, as_version=4)
    assert [cell.source for cell in notebook.cells] == [cell.source for cell in script.cells]
    execute.check_outputs(notebook)
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


def test_every_script_has_its_notebook():
    assert NOTEBOOKS
    scripts = TUTORIALS.glob("[0-9]*_*.py")
    assert {path.stem for path in NOTEBOOKS} == {path.stem for path in scripts}
