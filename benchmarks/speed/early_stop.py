"""What stopping early saves, and what it costs."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from benchmarks.results import Table
from benchmarks.sets.synthetic import recognised_positives
from benchmarks.speed.timing import in_turn
from captum_pcim import PCIM
from captum_pcim.metrics import average_precision, relevance_mass_accuracy
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.synthetic import DEVELOPMENT_SEED, load_cnn

SETTINGS: tuple[dict[str, Any], ...] = (
    *({"tolerance": tolerance} for tolerance in (0.0, 0.002, 0.02)),
    *({"n_steps": n_steps} for n_steps in (24, 12)),  # the other way to make fewer passes
)


def early_stop(arguments: argparse.Namespace) -> Table:
    """Passes saved and quality left at rising tolerances, and with fewer steps."""
    model = load_cnn("fluorescence")
    n_images = 8 if arguments.quick else 32
    images = recognised_positives(model, "fluorescence", n_images, DEVELOPMENT_SEED)
    pcim = PCIM(model.to(arguments.device))
    inputs, labels = images.inputs.to(arguments.device), images.labels.to(arguments.device)

    def attribute(**setting: Any) -> Any:
        return pcim.attribute(inputs, target=labels, **setting)

    rows = []
    for setting in SETTINGS:
        maps, diagnostics = attribute(return_diagnostics=True, **setting)
        saved = 1 - float(diagnostics.n_steps.double().mean()) / DEFAULT_STEPS
        quality = [
            f"{float(measure(maps.cpu(), images.masks).mean()):.3f}"
            for measure in (average_precision, relevance_mass_accuracy)
        ]
        time = in_turn(partial(attribute, **setting), attribute, arguments.repeats)
        ((name, value),) = setting.items()
        rows.append([f"{name} = {value:g}", f"{100 * saved:.0f} %", *quality, time.spread])
    return Table(
        "Early stop",
        ["setting", "passes saved", "average precision", "mass accuracy", "time / time of default"],
        rows,
        f"{n_images} synthetic fluorescence images of the development seed in one batch, "
        f"{DEFAULT_STEPS} steps at most. Tolerance 0, the default, is off.",
    )
