"""Time of `attribute` over the bare passes that it is made of."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from statistics import median

from benchmarks.results import Cell, Table
from benchmarks.speed.cases import EVEN, Case, Work, grid, steps_within
from benchmarks.speed.timing import Pairs, in_turn, seconds_of
from captum_pcim.pcim import DEFAULT_STEPS

MOST_REPEATS = 15

NOTE = (
    "The bare passes are one forward of the images and, for each step and reference, forward "
    "and backward of two rows per image, with the gradient of the images only and parameters "
    "detached. No reference is replaced, as is the rule for trained networks. Where the default of "
    f"{DEFAULT_STEPS} steps would take too long here, fewer are made; that overstates the ratio. "
    f"Medians of up to {MOST_REPEATS} repeats, as the time allows."
)
Measured = tuple[Pairs, int]  # and the steps


def overhead(arguments: argparse.Namespace) -> Table:
    """Time of `attribute` over its bare passes, and how both gain from larger batches."""
    sides, batches = grid(arguments.quick)
    rows: list[list[Cell]] = []
    for network in sides:
        for side in sides[network]:
            alone: Measured | None = None
            for batch in batches:
                case = Case(network, batch, side)
                measured = _measured(case, arguments)
                if measured is None:
                    rows.append([str(case), *["too long here"], *["-"] * 4])
                    continue
                alone = alone or measured
                rows.append([str(case), *_cells(measured, alone, batch)])
    header = [
        "case", "steps", "attribute / bare passes", "bare passes, images/s",
        "gain over batch 1, bare", "gain over batch 1, attribute",
    ]  # fmt: skip
    return Table("Time over the bare passes", header, rows, NOTE)


def _measured(case: Case, arguments: argparse.Namespace) -> Measured | None:
    work = Work(case, arguments.device)
    n_steps = steps_within(work, arguments.seconds, arguments.repeats)
    if not n_steps:
        return None
    seconds = 2 * n_steps * seconds_of(lambda: work.bare_passes(1))
    repeats = min(MOST_REPEATS, max(arguments.repeats, int(arguments.seconds / seconds)))
    pairs = in_turn(
        lambda: work.attribute(n_steps), lambda: work.bare_passes(EVEN + n_steps), repeats
    )
    return pairs, n_steps


def _cells(measured: tuple[Pairs, int], alone: tuple[Pairs, int], batch: int) -> list[Cell]:
    pairs, n_steps = measured

    def gain(seconds: Sequence[float], alone_seconds: Sequence[float]) -> float:
        return batch * median(alone_seconds) / alone[1] / (median(seconds) / n_steps)

    return [
        str(n_steps),
        pairs.spread,
        f"{batch / (median(pairs.b) / (EVEN + n_steps)):.1f} a step",
        f"{gain(pairs.b, alone[0].b):.2f}",
        f"{gain(pairs.a, alone[0].a):.2f}",
    ]
