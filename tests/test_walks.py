"""What README says is enough for three new users: each is a script that types what it says.

Here they walk in this environment; `nox --session walks` makes an empty one for each.
"""

from pathlib import Path

import fresh
import pytest

ROOT = Path(__file__).parents[1]
WALKS = ROOT / "tests" / "walks"
WALK = """
import os, runpy, sys
os.environ |= {{"PYTHONPATH": {root!r}, "MPLBACKEND": "Agg"}}
sys.argv[1:] = [{root!r} + "/README.md"]
sys.path.insert(0, {walks!r})
runpy.run_path({walks!r} + "/{walk}.py", run_name="__main__")
"""
NEEDS = {"captum_user": "torchvision", "biologist": "tifffile", "reviewer": "sklearn"}


@pytest.mark.parametrize("walk", NEEDS)
def test_a_new_user_gets_there_with_what_readme_says(walk, tmp_path):
    pytest.importorskip(NEEDS[walk])
    ended = fresh.run(WALK.format(root=str(ROOT), walks=str(WALKS), walk=walk), tmp_path)
    assert ended.status == 0, ended.stdout + ended.stderr


def test_every_walk_is_one_of_these():
    found = {path.stem for path in WALKS.glob("*.py")} - {"page"}
    assert found == set(NEEDS)
