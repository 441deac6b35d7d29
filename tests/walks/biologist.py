"""A biologist with a folder of 16-bit TIFF and a TorchScript file: README's command.

python biologist.py README.md        (in an empty folder)
"""

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import tifffile
import torch
from page import commands

from captum_pcim.synthetic import load_cnn, synthetic_fluorescence

CAMERA = 4095  # 12 bits in files of 16

images = synthetic_fluorescence(2, size=64, seed=2)
torch.jit.trace(load_cnn("fluorescence"), images.inputs).save("model.pt")
Path("plate").mkdir()
for number, image in enumerate(images.inputs):
    pixels = (CAMERA * image).round().numpy().astype(np.uint16)
    tifffile.imwrite(f"plate/B02_f{number}.tif", pixels)


def run(command: str) -> str:
    """Type a command, without a shell; what it printed, both streams."""
    arguments = [Path(sys.executable).with_name("captum-pcim"), *command.split()[1:]]
    done = subprocess.run(arguments, capture_output=True, text=True)
    print(f"$ {command}\n{done.stdout}{done.stderr}", flush=True)
    assert done.returncode == 0, done.returncode
    return done.stdout + done.stderr


def rows(folder: str) -> list[dict[str, str]]:
    with open(f"{folder}/diagnostics.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


(command,) = commands("captum-pcim explain")
assert "2 images explained, 0 failed" in run(command)
assert [int(row["predicted"]) for row in rows("maps")] == images.labels.tolist()
assert "2 images explained" in run(command)  # again: nothing is left to do

forgotten = command.partition(" --scale")[0].replace("maps/", "dark/")
brightest = max(tifffile.imread(path).max() for path in Path("plate").iterdir())
assert f"--scale fixed --window 0 {brightest}" in run(forgotten)
