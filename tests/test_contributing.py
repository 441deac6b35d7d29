"""The recipes of CONTRIBUTING.md work, and its commands are there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
START, *RECIPES = PAGE.partition("## How to add")[2].partition("\n## ")[0].split("\n### ")


def python_of(section):
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL))


def test_there_is_a_recipe_for_everything_that_can_be_added():
    named = [recipe.splitlines()[0] for recipe in RECIPES]
    things = ["An objective term", "A reference", "A kind of channel", "A metric", "A plate source"]
    assert named == things


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.splitlines()[0])
def test_a_recipe_runs_and_its_asserts_hold(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = python_of(START) + python_of(recipe)
    assert "assert " in python_of(recipe)
    exec(compile(code, recipe.splitlines()[0], "exec"), {"__name__": "recipe"})


def test_commands_that_are_named_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    named = {word for line in re.findall(r"\bmake ((?:[\w-]+ ?)+)", PAGE) for word in line.split()}
    assert {"test", "check"} <= named <= targets


def test_files_that_are_named_exist():
    named = re.findall(r"`((?:\w+/)+\w+\.py|tests/\w+\.py)`", PAGE)
    named += [
        f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m (benchmarks[\w.]+)", PAGE)
    ]
    missing = [n for n in named if not ((ROOT / n).exists() or (ROOT / "captum_pcim" / n).exists())]
    assert named and not missing
