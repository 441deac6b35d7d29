"""What README says is enough for three new users: each is a script that types what it says.

Here they walk in this environment; `nox --session walks` makes an empty one for each.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDS = {"captum_user": "torchvision", "biologist": "tifffile", "reviewer": "sklearn"}


@pytest.mark.parametrize("walk", NEEDS)
def test_a_new_user_gets_there_with_what_readme_says(walk, tmp_path):
    pytest.importorskip(NEEDS[walk])
    script = ROOT / "tests" / "walks" / f"{walk}.py"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, str(script), str(ROOT / "README.md")]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_walk_is_one_of_these():
    found = {path.stem for path in (ROOT / "tests" / "walks").glob("*.py")} - {"page"}
    assert found == set(NEEDS)
