"""Draws the pictures of README and of the gallery, from synthetic images and shipped networks.

python docs/gallery.py
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from captum_pcim import PCIM, visualize
from captum_pcim.comparison.methods import grad_cam, integrated_gradients
from captum_pcim.core.references import Background
from captum_pcim.synthetic import load_cnn, synthetic_brightfield, synthetic_fluorescence

FIGURES = Path(__file__).with_name("figures")
FIELD = 192  # pixels a side: some twenty cells
FLUORESCENCE = synthetic_fluorescence(4, size=FIELD, seed=2)
BRIGHTFIELD = synthetic_brightfield(4, size=FIELD, seed=1)
GRANULES, INCLUSIONS = 2, 1


def cells() -> Figure:
    """Fields of cells; where the truth is; and two maps over the cells."""
    figure = Figure(figsize=(10, 5.4), layout="constrained")
    axes = figure.subplots(2, 4)
    for row, kind, images, at in (
        (axes[0], "fluorescence", FLUORESCENCE, GRANULES),
        (axes[1], "brightfield", BRIGHTFIELD, INCLUSIONS),
    ):
        model = load_cnn(kind)
        inputs, target = images.inputs[at : at + 1], images.labels[at : at + 1]
        windows = visualize.percentile_windows(inputs)
        merge = visualize.composite(inputs[0], windows)
        row[0].imshow(merge, cmap="gray")
        row[1].imshow(merge, cmap="gray")
        row[1].contour(images.masks[at, 0], levels=[0.5], colors=["white"], linewidths=0.8)
        maps = {
            "PCIM": PCIM(model).attribute(inputs, target=target)[0],
            "Grad-CAM": grad_cam(model, model.stages[-1]).maps(inputs, target)[0],
        }
        for axis, (name, own) in zip(row[2:], maps.items(), strict=True):
            visualize.plot_overlay(inputs[0], own, windows, title=name, axes=axis)
        titles = (f"a field of cells\n({kind})", "what tells the class\n(known exactly)")
        for axis, title in zip(row, titles, strict=False):
            axis.set_title(title, fontsize=10)
        for axis in row:
            axis.set_axis_off()
    return figure


def _explained() -> tuple[torch.nn.Module, Tensor, int, Tensor]:
    model = load_cnn("fluorescence")
    inputs, target = FLUORESCENCE.inputs[1:2], int(FLUORESCENCE.labels[1])
    return model, inputs, target, PCIM(model).attribute(inputs, target=target)


def explanation() -> Figure:
    """Image, map, map over the image, and outlines of where most of it lies."""
    _, inputs, _, maps = _explained()
    return visualize.plot_explanation(inputs[0], maps[0])


def stains() -> Figure:
    """Every stain in grey, and their merge."""
    _, inputs, _, _ = _explained()
    return visualize.plot_stains(inputs[0], ["reporter", "nucleus", "mitochondria"])


def blends() -> Figure:
    """What the network was left, and what it lost."""
    _, inputs, _, maps = _explained()
    return visualize.plot_blends(inputs[0], maps[0], Background()(inputs)[0, 0])


def path() -> Figure:
    """The weights step by step, and what each of them keeps."""
    model, inputs, target, _ = _explained()
    return visualize.plot_path(PCIM(model), inputs[0], target)


def side_by_side() -> Figure:
    """Maps of several methods, each as a share of its own maximum."""
    model, inputs, target, maps = _explained()
    label = torch.tensor([target])
    found = {
        "PCIM": maps[0],
        "Integrated Gradients": integrated_gradients(model).maps(inputs, label)[0],
        "Grad-CAM": grad_cam(model, model.stages[-1]).maps(inputs, label)[0],
    }
    # The units differ: each is shown as a share of its own maximum.
    return visualize.plot_maps({name: own / own.max() for name, own in found.items()})


def fidelity() -> Figure:
    """The probability of the class while pixels are put in or taken out, with the pictures."""
    model, inputs, target, maps = _explained()
    baseline = Background()(inputs)[0]
    return visualize.plot_fidelity(model, inputs[0], maps[0], target, baseline)


def objects() -> Figure:
    """The share of the map that lies on each cell; those with the phenotype are orange."""
    _, _, _, maps = _explained()
    labels = FLUORESCENCE.cells[1]
    positive = np.unique(labels[FLUORESCENCE.masks[1, 0].bool()])
    figure = Figure(figsize=(8, 3), layout="constrained")
    marked = [int(n) for n in positive if n]
    return visualize.plot_objects(maps[0], labels, marked, axes=figure.subplots())


DRAWN: dict[str, Callable[[], Figure]] = {
    function.__name__: function
    for function in (
        *(cells, explanation, stains, blends),
        *(path, side_by_side, fidelity, objects),
    )
}


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        figure = draw()
        file = FIGURES / f"{name}.png"
        figure.savefig(file, dpi=100, bbox_inches="tight", pil_kwargs={"optimize": True})
        print(f"{file.name}: {file.stat().st_size / 1000:.0f} kB")
