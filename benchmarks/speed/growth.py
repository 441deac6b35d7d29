"""How time grows with the side, the batch, the steps and the classes."""

from __future__ import annotations

import argparse
from statistics import median

from benchmarks.results import Table
from benchmarks.speed.cases import EVEN, Case, Work
from benchmarks.speed.timing import Pairs, exponent, in_turn


def growth(arguments: argparse.Namespace) -> Table:
    """Exponents of the growth with side, batch, steps and classes, small CNN."""
    sides = (64, 96, 128) if arguments.quick else (64, 128, 256, 512)
    batches = (1, 4) if arguments.quick else (1, 4, 16, 32)
    series = {
        "side": [(side, Case("small CNN", 1, side), 5) for side in sides],
        "batch": [(batch, Case("small CNN", batch, 96), 5) for batch in batches],
        "steps": [(steps, Case("small CNN", 1, 96), steps) for steps in (10, 20, 40, 80)],
        "classes": [
            (n, Case("small CNN", 1, 96, n_classes=n), 10) for n in (2, 10, 100, 1000, 5000)
        ],
    }
    rows = []
    for name, points in series.items():
        timed = [_timed(case, n_steps, arguments) for _, case, n_steps in points]
        sizes = [size for size, _, _ in points]
        exponents = (
            exponent(sizes, [median(pairs.a) for pairs in timed]),
            exponent(sizes, [median(pairs.b) for pairs in timed]),
        )
        values = ", ".join(str(size) for size in sizes)
        rows.append([f"{name}: {values}", *(f"{value:.2f}" for value in exponents)])
    return Table(
        "Growth",
        ["what grows", "attribute", "bare passes"],
        rows,
        "Exponents k of seconds ~ size^k, small CNN at 96 pixels and batch 1 but for what grows. "
        "An exponent of 1 is linear; the number of pixels grows with the square of the side.",
    )


def _timed(case: Case, n_steps: int, arguments: argparse.Namespace) -> Pairs:
    work = Work(case, arguments.device)
    return in_turn(
        lambda: work.attribute(n_steps), lambda: work.bare_passes(EVEN + n_steps), arguments.repeats
    )
