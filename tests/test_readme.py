"""The Python in the README and the documentation runs, block after block, as a reader would."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    *(ROOT / "docs" / f"{name}.md" for name in (
        "quickstart", "choosing_references", "hci", "interoperability", "faq"
    )),
]  # fmt: skip
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PREAMBLE = "import matplotlib, torch\nmatplotlib.use('Agg')\ntorch.set_num_threads(1)\n"


def python_blocks(page):
    """Return the page's Python with every line where it stands in the page."""
    lines = [""] * (page.count("\n") + 1)
    for block in BLOCK.finditer(page):
        first = page[: block.start(1)].count("\n")
        lines[first : first + block[1].count("\n")] = block[1].splitlines()
    return "\n".join(lines)


def test_blocks_keep_their_line_numbers():
    assert (
        python_blocks("text\n```python\na = 1\n```\n```bash\nls\n```\n").splitlines()[2] == "a = 1"
    )
    assert "ls" not in python_blocks("```bash\nls\n```\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_of_a_page_runs(page, tmp_path):
    code = python_blocks(page.read_text(encoding="utf-8"))
    assert code.strip(), "no block of Python left to run"
    # Compiled under the page's name, so that a traceback points into the page.
    script = f"{PREAMBLE}exec(compile(open('page.py').read(), {page.name!r}, 'exec'))"
    (tmp_path / "page.py").write_text(code, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


def test_links_between_pages_and_to_pictures_lead_somewhere():
    pages = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    links = [
        (page, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
        if "://" not in target
    ]
    dead = [
        f"{page.name}: {target}"
        for page, target in links
        if not (page.parent / target).exists()
        and not (target.startswith("tutorials/") and (ROOT / target).exists())
    ]
    assert links and not dead
