"""Python, commands and configuration in README and documentation work, as a reader tries them."""

import configparser
import os
import re
import shlex
from pathlib import Path

import fresh
import pytest
import torch
from networks import small_cnn
from PIL import Image

from captum_pcim.cli.main import main
from captum_pcim.screen import ScreenConfig
from captum_pcim.synthetic import synthetic_fluorescence

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}


def blocks(page, language):
    """Return the matches of a page's blocks of code; group 1 is the code."""
    return re.finditer(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


# Recipes are run one by one, by tests/test_recipes.py: each needs a package of its own.
PAGES_WITH_PYTHON = [
    page for page in PAGES if any(blocks(TEXTS[page], "python")) and page.name != "recipes.md"
]


def python_blocks(page):
    """Return the page's Python with every line where it stands in the page."""
    lines = [""] * (page.count("\n") + 1)
    for block in blocks(page, "python"):
        first = page[: block.start(1)].count("\n")
        lines[first : first + block[1].count("\n")] = block[1].splitlines()
    return "\n".join(lines)


def test_blocks_keep_their_line_numbers():
    assert (
        python_blocks("text\n```python\na = 1\n```\n```bash\nls\n```\n").splitlines()[2] == "a = 1"
    )
    assert "ls" not in python_blocks("```bash\nls\n```\n")


def test_pages_with_python_are_found():
    assert {"README.md", "quickstart.md"} <= {page.name for page in PAGES_WITH_PYTHON}


@pytest.mark.parametrize("page", PAGES_WITH_PYTHON, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, tmp_path):
    # Under the page's name, so that a traceback points into the page.
    ended = fresh.run(python_blocks(TEXTS[page]), tmp_path, page.name)
    assert ended.status == 0, ended.stdout + ended.stderr


def commands(page):
    """Return the page's calls of captum-pcim that are complete: in blocks and within lines."""
    shell = "\n".join(block[1] for block in blocks(page, "bash"))
    in_blocks = re.findall(r"^captum-pcim .*$", shell, re.MULTILINE)
    return in_blocks + re.findall(r"`(captum-pcim [^`]* --[^`]*)`", page)


# The demo has a test module of its own.
COMMANDS = sorted(
    {command for text in TEXTS.values() for command in commands(text) if " demo " not in command}
)
SCREEN = r"""
[images]
path = "plate"
stains = ["reporter", "nucleus", "mitochondria"]
pattern = '(?P<well>\w\d\d)_(?P<field>\d)\.png'
[model]
path = "model.pt"
trust = true
[output]
path = "results"
[attribution]
n_steps = 2
[run]
workers = 0
"""


@pytest.fixture
def readers_folder(tmp_path, monkeypatch):
    """The files that the pages' commands speak of: a classifier, its images and a screen."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    inputs = synthetic_fluorescence(2, size=64).inputs[..., :32, :32]
    torch.jit.trace(small_cnn(), inputs).save("model.pt")
    Path("plate").mkdir()
    for i, image in enumerate(inputs):
        pixels = (255 * image).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(f"plate/A01_{i}.png")
    Path("screen.toml").write_text(SCREEN, encoding="utf-8")
    Path("plate_map.csv").write_text("well,compound\nA01,DMSO\n", encoding="utf-8")


def test_commands_are_found():
    assert {command.split()[1] for command in COMMANDS} == {
        "compare",
        "explain",
        "profiles",
        "screen",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_pages_succeeds(command, readers_folder):
    if command.split()[1] == "profiles":  # of a screen that was explained
        assert main(["screen", "--config", "screen.toml"]) == 0
    assert main(shlex.split(os.path.expandvars(command))[1:]) == 0


def test_the_example_of_a_screen_is_a_configuration(tmp_path):
    (example,) = blocks(TEXTS[ROOT / "docs" / "scaling.md"], "toml")
    (tmp_path / "screen.toml").write_text(example[1], encoding="utf-8")
    config = ScreenConfig.from_toml(tmp_path / "screen.toml")
    assert config.images.stains == ["DNA", "ER", "AGP"]


def test_extras_and_targets_that_pages_name_exist():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    everything = "\n".join(TEXTS.values())
    extras = set(",".join(re.findall(r"captum-pcim\[([\w,]+)\]", everything)).split(","))
    assert extras and extras <= set(setup["options.extras_require"])
    targets = set(re.findall(r"`make ([\w-]+)`|^make ([\w-]+)", everything, re.MULTILINE))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    known = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    assert targets and {one or other for one, other in targets} <= known


def test_links_between_pages_and_to_pictures_lead_somewhere():
    links = [
        (page, target)
        for page, text in TEXTS.items()
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text)
        if "://" not in target
    ]
    dead = [
        f"{page.name}: {target}"
        for page, target in links
        if not (page.parent / target).exists()
        and target != "all_results.md"  # which docs/conf.py writes
        and not (target.startswith("tutorials/") and (ROOT / target).exists())
    ]
    assert links and not dead
