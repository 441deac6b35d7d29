"""What stopping early saves, and what it costs."""

from __future__ import annotations

import argparse

from torch import Tensor

from benchmarks.results import Table
from benchmarks.sets.synthetic import recognised_positives
from benchmarks.speed.timing import in_turn
from captum_pcim import PCIM
from captum_pcim.metrics import average_precision, relevance_mass_accuracy
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.synthetic import DEVELOPMENT_SEED, load_cnn

TOLERANCES = (0.0, 0.001, 0.003, 0.01, 0.02)


def early_stop(arguments: argparse.Namespace) -> Table:
    """Passes saved and quality left at rising tolerances."""
    model = load_cnn("fluorescence")
    n_images = 8 if arguments.quick else 32
    images = recognised_positives(model, "fluorescence", n_images, DEVELOPMENT_SEED)
    pcim = PCIM(model.to(arguments.device))
    inputs, labels = images.inputs.to(arguments.device), images.labels.to(arguments.device)

    def attribute(tolerance: float) -> Tensor:
        return pcim.attribute(inputs, target=labels, tolerance=tolerance)

    rows = []
    for tolerance in TOLERANCES:
        maps, diagnostics = pcim.attribute(
            inputs, target=labels, tolerance=tolerance, return_diagnostics=True
        )
        saved = 1 - float(diagnostics.n_steps.double().mean()) / DEFAULT_STEPS
        quality = (
            float(measure(maps.cpu(), images.masks).mean())
            for measure in (average_precision, relevance_mass_accuracy)
        )
        time = in_turn(lambda t=tolerance: attribute(t), lambda: attribute(0.0), arguments.repeats)
        shown = [f"{value:.3f}" for value in quality]
        rows.append([f"{tolerance:g}", f"{100 * saved:.0f} %", *shown, time.spread])
    return Table(
        "Early stop",
        ["tolerance", "passes saved", "average precision", "mass accuracy", "time / time at 0"],
        rows,
        f"{n_images} synthetic fluorescence images of the development seed in one batch, "
        f"{DEFAULT_STEPS} steps at most. Tolerance 0, the default, is off.",
    )
