"""A reviewer who wants the table: README's commands in a checkout, on one image.

python reviewer.py README.md        (in the checkout that README is of)
"""

import shlex
import subprocess
import sys

from page import README, commands

FEWER = {"benchmarks.quality.development": ["--images", "1", "--points", "3"]}

ran = []
for command in commands("python -m benchmarks."):
    module, *options = shlex.split(command)[2:]
    if module == "benchmarks.fair":  # trains two networks: here only its options are tried
        options = [*options, "--help"]
    arguments = [sys.executable, "-m", module, *options, *FEWER.get(module, [])]
    done = subprocess.run(arguments, cwd=README.resolve().parent, capture_output=True, text=True)
    print(f"$ {command}\n{done.stdout}{done.stderr}", flush=True)
    assert done.returncode == 0, done.returncode
    ran.append(done.stdout)

assert len(ran) == 3
assert "| PCIM |" in ran[1] and "| Occlusion |" in ran[1] and "average precision" in ran[1]
assert not ran[2], "a figure of the pages is not that of its result file"
