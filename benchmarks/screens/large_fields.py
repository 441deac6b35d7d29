"""Whole fields of a high-resolution camera through a screen: time and memory.

    python -m benchmarks.screens.large_fields --write

Fields of 2160 x 2160 pixels and 5 stains, 16-bit TIFF as a microscope writes them, are explained
whole by the small CNN, which takes any size. Every batch size is a screen in a process of its own.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch
from torch import nn

from benchmarks.results import Table, add_write_option, publish
from benchmarks.speed.networks import build
from captum_pcim.screen import ScreenConfig, run_screen
from captum_pcim.synthetic import synthetic_fluorescence

SIDE = 2160
STAINS = ["reporter", "nucleus", "first", "second", "third"]
TILE = 432  # pixels a side of the synthetic images that a field is put together from
BATCH_SIZES = (1, 2)


def network() -> nn.Module:
    """Return the small CNN for five stains."""
    return build("small CNN", len(STAINS), SIDE, 4, "cpu")


def write_fields(folder: Path, n_fields: int) -> None:
    """Write fields of tiles, one 16-bit TIFF file per stain."""
    images = synthetic_fluorescence(n_fields, size=TILE, stains=len(STAINS)).counts.numpy()
    (folder / "P1").mkdir(parents=True)
    for field, image in enumerate(images, start=1):
        for stain, plane in zip(STAINS, image, strict=True):
            whole = np.tile(plane, (SIDE // TILE, SIDE // TILE))
            tifffile.imwrite(folder / "P1" / f"A01_f{field}_{stain}.tif", whole)


def explain_fields(folder: Path, options: argparse.Namespace) -> None:
    """Run the screen, and print the seconds it took and the most memory it had, in MiB."""
    torch.set_num_threads(1)
    config = ScreenConfig.from_dict(
        {
            "images": {"path": str(folder / "images"), "stains": STAINS},
            "windows": {"fixed": {stain: [200, 10200] for stain in STAINS}},
            "model": {"factory": "benchmarks.screens.large_fields:network"},
            "attribution": {"n_steps": options.steps},
            "output": {"path": str(folder / f"results {options.batch_size}")},
            "run": {"batch_size": options.batch_size, "workers": 0},
        }
    )
    began = time.perf_counter()
    summary = run_screen(config)
    seconds = time.perf_counter() - began
    assert not summary.failures, summary.failures
    print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def measured(options: argparse.Namespace) -> Table:
    """Time and memory of a screen of whole fields."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        write_fields(Path(name) / "images", options.fields)
        for batch_size in BATCH_SIZES:
            command = [sys.executable, "-m", "benchmarks.screens.large_fields", "--folder", name]
            command += ["--steps", str(options.steps), "--batch-size", str(batch_size)]
            printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            seconds, memory = map(float, printed.split()[-2:])
            rows.append(
                [str(options.fields), str(batch_size), f"{seconds / options.fields:.0f}",
                 f"{memory / 1024:.1f}"]
            )  # fmt: skip
    return Table(
        "Whole fields through a screen",
        ["fields", "at once", "seconds a field", "most memory of the process, GiB"],
        rows,
        f"Fields of {SIDE} x {SIDE} pixels and {len(STAINS)} stains, 16-bit TIFF; the small CNN, "
        f"autograd, {options.steps} steps, one process, one thread; reading, previews and writing "
        "included.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fields", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    parser.add_argument("--batch-size", type=int, help=argparse.SUPPRESS)
    add_write_option(parser)
    options = parser.parse_args()
    if options.folder:
        explain_fields(Path(options.folder), options)
    else:
        publish("screens/large_fields", measured(options), options.write)


if __name__ == "__main__":
    main()
