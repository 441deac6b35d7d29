"""Every recipe runs on the package it names and ends with maps of its inputs."""

import ast
import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pandas
import pytest
import torch

from captum_pcim import PCIM, Diagnostics
from captum_pcim.pcim import DEFAULT_STEPS

PAGE = (Path(__file__).parents[1] / "docs" / "recipes.md").read_text(encoding="utf-8")
PREAMBLE, *SECTIONS = re.split(r"^## ", PAGE, flags=re.MULTILINE)
RECIPES = {section.splitlines()[0]: section for section in SECTIONS}


def python(text):
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))


def packages(code):
    """Return the packages that a recipe imports."""
    nodes = list(ast.walk(ast.parse(code)))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return sorted({name.partition(".")[0] for name in names} - sys.stdlib_module_names)


@pytest.fixture
def follow(tmp_path, monkeypatch):
    """Run a recipe with few steps in an empty folder; return what it leaves behind."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")

    def run(name, n_steps=4):
        monkeypatch.setitem(PCIM.attribute.__wrapped__.__kwdefaults__, "n_steps", n_steps)
        code = python(PREAMBLE) + python(RECIPES[name])
        for package in packages(code):
            pytest.importorskip(package, exc_type=ImportError)
        found = {"__name__": "recipe"}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            exec(compile(code, f"recipes.md, {name}", "exec"), found)
        return found

    return run


def as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.filterwarnings("ignore")  # of random networks there is much to doubt
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_ends_with_maps_of_its_inputs(name, follow):
    found = follow(name)
    for attributions in (found["attributions"], *found.get("by_network", {}).values()):
        for image, own in zip(as_tuple(found["inputs"]), as_tuple(attributions), strict=True):
            assert type(own) is torch.Tensor and own.shape == image.shape
            assert own.min() >= 0 and own.max() <= 1
            assert own.flatten(1).std(1).min() > 0  # every image has one


@pytest.mark.filterwarnings("ignore")
def test_what_was_saved_is_what_is_loaded(follow):
    found = follow("Saving and loading")
    assert torch.equal(found["loaded"]["maps"], found["attributions"])
    assert isinstance(found["loaded"]["diagnostics"], Diagnostics)
    assert np.array_equal(np.load("maps.npy"), found["attributions"].numpy())
    table = pandas.read_csv("diagnostics.csv", index_col="image")
    assert list(table["verdict"]) == list(found["diagnostics"].verdict)
    image = found["tifffile"].imread("maps.tif")
    assert np.array_equal(image, found["pixel_maps"](found["attributions"]).numpy())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name, evidence", [("scikit-learn", slice(0, 8)), ("A service over HTTP", slice(8, 16))]
)
def test_forward_passes_find_where_the_evidence_was_put(name, evidence, follow):
    weights = follow(name, n_steps=DEFAULT_STEPS)["attributions"][:, 0]
    inside = weights[:, evidence, evidence].mean((1, 2))
    assert (inside > 2 * weights.mean((1, 2))).all()


@pytest.mark.filterwarnings("ignore")
def test_quantus_measures_our_maps_and_makes_its_own(follow):
    found = follow("Quantus")
    assert np.isfinite(found["sparseness"]).all() and len(found["sparseness"]) == 2
    assert np.isfinite(found["robustness"]).all() and len(found["robustness"]) == 2


@pytest.mark.filterwarnings("ignore")
def test_napari_holds_the_stains_and_the_map(follow):
    viewer = follow("napari")["viewer"]
    assert [layer.name for layer in viewer.layers] == ["DNA", "actin", "attribution"]
