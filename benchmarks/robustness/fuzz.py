"""Random calls, wrapped networks and hostile files for the command line, until the time is up.

    python -m benchmarks.robustness.fuzz --seconds 300

Every trial has a seed of its own and is made from nothing else. A trial that ends in anything but
a right answer or a clear error is printed with its seed, and the exit status is 1. One trial again:

    python -m benchmarks.robustness.fuzz --seed 1234 --trials 1

At the end it says of every kind of wrapper how its trials ended; `--write` keeps that.
"""

from __future__ import annotations

import argparse
import collections
import itertools
import logging
import random
import sys
import time
import warnings

import torch

from benchmarks.results import Cell, Table, add_write_option, publish
from benchmarks.robustness import fuzz_calls, fuzz_files, fuzz_wrappers
from benchmarks.robustness.fuzz_wrappers import ENDS, KINDS, Outcome

# An hour is several hundred trials of each kind of wrapper; files take longest.
SHARE_OF_FILES, SHARE_OF_CALLS = 0.05, 0.25


def trial(seed: int) -> Outcome:
    """Do what a seed says."""
    dice = random.Random(seed)
    lot = dice.random()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if lot < SHARE_OF_FILES:
            return Outcome(*fuzz_files.trial(dice))
        if lot < SHARE_OF_FILES + SHARE_OF_CALLS:
            return Outcome(*fuzz_calls.trial(dice))
        return fuzz_wrappers.trial(dice)


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(1)
    logging.getLogger("torch").setLevel(logging.CRITICAL)  # of programs that do not compile
    print(f"seeds from {arguments.seed}", flush=True)
    ends = time.monotonic() + arguments.seconds
    n_findings = n_trials = 0
    tally: collections.Counter[tuple[str, str]] = collections.Counter()
    for seed in itertools.islice(itertools.count(arguments.seed), arguments.trials):
        if time.monotonic() > ends:
            break
        if arguments.verbose:
            print(seed, file=sys.stderr, flush=True)
        n_trials += 1
        outcome = trial(seed)
        tally.update((kind, outcome.end) for kind in outcome.kinds)
        if outcome.wrong:
            n_findings += 1
            print(f"\nseed {seed}: {outcome.wrong}\n  {outcome.tried}", flush=True)
    publish("robustness/fuzz", _table(tally, n_trials, n_findings), arguments.write)
    return min(1, n_findings)


def _table(tally: collections.Counter[tuple[str, str]], n_trials: int, n_findings: int) -> Table:
    """How the trials of every kind of wrapper ended."""
    rows: list[list[Cell]] = [[kind, *(str(tally[kind, end]) for end in ENDS)] for kind in KINDS]
    note = f"{n_trials} trials, {n_findings} findings. A network has one to three wrappers."
    return Table("How the trials of wrapped networks ended", ["wrapper", *ENDS], rows, note)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="at most (default: 60)")
    parser.add_argument("--trials", type=int, help="at most (default: what the time allows)")
    parser.add_argument("--seed", type=int, help="of the first trial (default: the clock's)")
    parser.add_argument("--verbose", action="store_true", help="every seed, should Python crash")
    add_write_option(parser)
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = int(time.time()) % 10**6 * 1000
    return arguments


if __name__ == "__main__":
    sys.exit(main())
