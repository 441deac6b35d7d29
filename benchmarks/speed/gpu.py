"""What a GPU makes of it: large batches, steps replayed as CUDA graphs, half precision."""

from __future__ import annotations

import argparse
from statistics import median

import torch

from benchmarks.results import Cell, Table
from benchmarks.speed.cases import EVEN, FEWEST_STEPS, Case, Work, steps_within
from benchmarks.speed.timing import Pairs, all_in_turn, peak_bytes
from captum_pcim import Autograd
from captum_pcim.pcim import DEFAULT_STEPS

SIDES = {"small CNN": 96, "ResNet-50": 224, "ViT-S/16": 224}
BATCHES = (1, 8, 32, 128)
HALF = {"bfloat16": torch.bfloat16, "float16": torch.float16}

NOTE = (
    "Ratios of times, in turn; the bare passes are those of the table of the CPU. Graphs are "
    "captured anew in every call, and in the bare passes that are replayed too. Peaks are of the "
    "memory of tensors beyond network and images. Where the default "
    f"of {DEFAULT_STEPS} steps would take too long, fewer are made, which overstates the ratios to "
    "the bare passes. Convolutions and products of matrices as PyTorch sets them."
)


def gpu(arguments: argparse.Namespace) -> Table:
    """Time of `attribute` on a GPU over its bare passes, with graphs and in half precision."""
    rows: list[list[Cell]] = []
    for network, side in SIDES.items():
        for batch in BATCHES[: 2 if arguments.quick else None]:
            case = Case(network, batch, side)
            row = _row(case, arguments)
            if row is None:
                print(f"{case}: left out, as fewer than {FEWEST_STEPS} steps fit in the time")
            else:
                rows.append(row)
    header = [
        "case", "steps", "images/s", "attribute / bare passes", "with graphs / without",
        "with graphs / bare passes", "with graphs / bare passes as graphs",
        *(f"{name} / float32" for name in HALF), "peak / bare peak", "peak with graphs / without",
    ]  # fmt: skip
    return Table("On a GPU", header, rows, NOTE)


def _row(case: Case, arguments: argparse.Namespace) -> list[Cell] | None:
    work = Work(case, arguments.device)
    n_steps = steps_within(work, arguments.seconds / 3, arguments.repeats)
    if not n_steps:
        return None
    graphs = Autograd(cuda_graphs=True)
    bare, bare_as_graphs, plain, replayed, *halves = all_in_turn(
        [
            lambda: work.bare_passes(EVEN + n_steps),
            lambda: work.replayed_passes(EVEN + n_steps),
            lambda: work.attribute(n_steps),
            lambda: work.attribute(n_steps, gradients=graphs),
            *(lambda t=t: work.attribute(n_steps, autocast_dtype=t) for t in HALF.values()),
        ],
        arguments.repeats,
    )
    peaks = [
        peak_bytes(own, arguments.device)
        for own in (
            lambda: work.bare_passes(4),
            lambda: work.attribute(8),
            lambda: work.attribute(8, gradients=graphs),
        )
    ]
    of_all_steps = DEFAULT_STEPS / n_steps * median(plain)
    return [
        str(case),
        str(n_steps),
        f"{case.batch / of_all_steps:.1f}",
        Pairs(plain, bare).spread,
        Pairs(replayed, plain).spread,
        Pairs(replayed, bare).spread,
        Pairs(replayed, bare_as_graphs).spread,
        *(Pairs(half, plain).spread for half in halves),
        f"{peaks[1] / peaks[0]:.3f}",
        f"{peaks[2] / peaks[1]:.3f}",
    ]
