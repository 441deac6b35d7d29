"""Time of `explain_cells` over that of `attribute` on the same crops, stacked beforehand."""

from __future__ import annotations

import argparse
import time
import warnings

import torch

from benchmarks.results import Cell, Table
from benchmarks.speed.networks import build
from benchmarks.speed.timing import in_turn
from captum_pcim import PCIM, PCIMWarning, crop_cells, explain_cells
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.synthetic import synthetic_fluorescence

FIELDS, SIDE, SIZE, SCALE, BATCH = 2, 128, 32, 64, 32
NOTE = (
    f"{FIELDS} synthetic fields of {SIDE} pixels, crops of {SIZE} resized to {SCALE}, "
    f"{DEFAULT_STEPS} steps, batches of {BATCH}. `attribute` gets the crops ready, and tells "
    "diagnostics; `explain_cells` crops, resizes, explains, measures every cell and stitches. "
    "CPU time where there is no GPU, to which other work on the machine does not add."
)


def cells(arguments: argparse.Namespace) -> Table:
    """What cropping, measuring and stitching add to explaining the crops."""
    found = synthetic_fluorescence(1 if arguments.quick else FIELDS, size=SIDE)
    inputs, labels = found.inputs.to(arguments.device), found.cells.to(arguments.device)
    model = build("small CNN", inputs.shape[1], SCALE, 10, arguments.device)
    pcim = PCIM(model)
    crops = crop_cells(inputs, labels, size=SIZE, scale=SCALE)

    warnings.simplefilter("ignore", PCIMWarning)  # the network is untrained

    def cell_by_cell() -> None:
        explain_cells(pcim, inputs, labels, size=SIZE, scale=SCALE, target=1, batch_size=BATCH)

    def stacked() -> None:
        for batch in torch.split(crops, BATCH):
            pcim.attribute(batch, target=1, return_diagnostics=True)

    on_cpu = torch.device(arguments.device).type == "cpu"
    clock = time.process_time if on_cpu else time.perf_counter
    pairs = in_turn(cell_by_cell, stacked, arguments.repeats, clock)
    rows: list[list[Cell]] = [[f"small CNN, {len(crops)} cells", pairs.spread]]
    return Table(
        "Single cells beside their stacked crops",
        ["case", "explain_cells / attribute"],
        rows,
        NOTE,
    )
