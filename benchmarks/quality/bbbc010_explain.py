"""Real images end to end: train on bbbc010 fluorescence, export, run `captum-pcim explain`.

    python -m benchmarks.quality.bbbc010_explain --data ../shared/data --write

A small classifier of treated (mostly alive) against untreated (mostly dead) worms is trained on
half of the wells and exported with torch.export; quarters of the other wells are written as 16-bit
PNG files and explained by the command line in a process of its own. Its maps are scored against the
worms, beside Captum's methods on the same images. The evidence for "untreated" is the fluorescence
of dead worms; "treated" is mostly the absence of it, which has no place.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.bootstrap import estimate
from benchmarks.results import Cell, Table, add_write_option, publish
from benchmarks.sets.classifiers import classifier, probabilities
from benchmarks.sets.real_data import DEFAULT_DATA, LabelledImages, load_bbbc010
from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.methods import Method, grad_cam, integrated_gradients, occlusion
from captum_pcim.comparison.result import MethodResult
from captum_pcim.metrics import relevance_mass_accuracy

CLASSES = ("treated", "untreated")
COLUMNS = ("method", "worms", "fluorescent worms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    parser.add_argument("--images", type=int, default=60, help="of the held-out ones (default: 60)")
    add_write_option(parser)
    arguments = parser.parse_args()
    if not (arguments.data / "bbbc010").is_dir():
        parser.error(f"no folder bbbc010 in {arguments.data}")

    model = classifier("bbbc010 fluorescence", "SmallResNet", arguments.data)
    held_out = load_bbbc010(arguments.data, "reporting", "fluorescence")
    right = probabilities(model, held_out.inputs).argmax(1) == held_out.labels
    spread = torch.linspace(0, len(right) - 1, min(arguments.images, len(right))).round().long()
    images = held_out[spread]
    with tempfile.TemporaryDirectory() as folder:
        maps, predicted = explain(model, images.inputs, Path(folder))
    runs = compare_maps(model, images, maps, predicted)
    note = (
        f"{__doc__.split(2 * chr(10), 2)[2]} Accuracy {estimate(right.double())} on {len(right)} "
        f"held-out quarters of wells; {len(images.inputs)} of them, evenly spread, explained with "
        "the predicted class."
    )
    for label, name in enumerate(CLASSES):
        chosen = predicted == label
        title = f"Worms through the command line, predicted {name}, {int(chosen.sum())} images"
        table = Table(title, COLUMNS, mass_rows(runs, images, chosen), note)
        publish(f"quality/bbbc010_explain_{name}", table, arguments.write)


def explain(model: nn.Module, inputs: Tensor, folder: Path) -> tuple[Tensor, Tensor]:
    """Run `captum-pcim explain` on image files; its maps (N, 1, H, W) and predicted classes."""
    export(model, folder / "model.pt2", inputs)
    names = [f"{index:04d}.png" for index in range(len(inputs))]
    (folder / "images").mkdir()
    for name, image in zip(names, inputs[:, 0], strict=True):
        counts = (image * 65535).round().to(torch.int32).numpy().astype(np.uint16)
        Image.fromarray(counts).save(folder / "images" / name)
    command = Path(sys.executable).with_name("captum-pcim")
    subprocess.run(
        [command, "explain", "--model", folder / "model.pt2", "--trust",
         "--images", folder / "images", "--out", folder / "out"],
        check=True,
    )  # fmt: skip
    with open(folder / "out" / "diagnostics.csv", newline="") as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    maps = np.stack([np.load(folder / "out" / "maps" / f"{name}.npy") for name in names])
    return torch.from_numpy(maps)[:, None], torch.tensor([int(rows[n]["predicted"]) for n in names])


def export(model: nn.Module, path: Path, inputs: Tensor) -> None:
    """Save a network as an exported program that takes any number of images of this size."""
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(model, (inputs[:2],), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)


def compare_maps(
    model: nn.Module, images: LabelledImages, maps: Tensor, predicted: Tensor
) -> dict[str, MethodResult]:
    methods = {
        "IntegratedGradients": integrated_gradients(model),
        "Occlusion": occlusion(model),
        "Grad-CAM": grad_cam(model, model.stages[-1]),
    }
    others = compare(methods, images.inputs, predicted, metrics={})
    # The maps are there already, so they are given in one piece.
    given = {"PCIM (captum-pcim explain)": Method(lambda inputs, target: maps)}
    mine = compare(
        given, images.inputs, predicted, metrics={}, forward_func=model, trivial=False,
        batch_size=len(maps),
    )  # fmt: skip
    return mine.runs | others.runs


def mass_rows(
    runs: dict[str, MethodResult], images: LabelledImages, chosen: Tensor
) -> list[list[Cell]]:
    """Share of the relevance on worms, and on the fluorescent ones, for some of the images."""
    truths = (images.masks[chosen], images.finer_masks[chosen])
    rows: list[list[Cell]] = [
        [name, *(estimate(relevance_mass_accuracy(run.maps[chosen], t)).spread for t in truths)]
        for name, run in runs.items()
    ]
    covered = (estimate(t.float().mean((1, 2, 3))).spread for t in truths)
    return [*rows, ["area covered (chance)", *covered]]


if __name__ == "__main__":
    main()
