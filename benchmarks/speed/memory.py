"""Peak memory of `attribute`, beside its bare passes and a training step."""

from __future__ import annotations

import argparse

from benchmarks.results import Table
from benchmarks.speed.cases import Case, Work, grid
from benchmarks.speed.timing import MEBIBYTE, peak_bytes

NOTE = (
    "The most memory that tensors take at once beyond network and images, by the allocator's own "
    "account. It does not depend on how busy the machine is."
)


def memory(arguments: argparse.Namespace) -> Table:
    """Peak of tensor memory: `attribute`, bare passes, training step of as many rows."""
    sides, batches = grid(arguments.quick)
    if arguments.device == "cpu":
        batches = batches[:2]
    rows = []
    for case in (Case(n, b, s) for n in sides for s in sides[n] for b in batches):
        work = Work(case, arguments.device)
        work.bare_passes(1)
        attribute = peak_bytes(lambda w=work: w.attribute(3), arguments.device)
        bare = peak_bytes(lambda w=work: w.bare_passes(2), arguments.device)
        training = peak_bytes(work.training_step, arguments.device)
        rows.append(
            [
                str(case),
                *(f"{n / MEBIBYTE:.0f}" for n in (attribute, bare, training)),
                f"{attribute / bare:.3f}",
                f"{attribute / training:.3f}",
            ]
        )
    header = ["case", "attribute, MiB", "bare", "training step", "/ bare", "/ training step"]
    return Table("Peak memory", header, rows, NOTE)
