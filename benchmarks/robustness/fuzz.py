"""Random calls of `attribute` and hostile files for the command line, until the time is up.

    python -m benchmarks.robustness.fuzz --seconds 300

Every trial has a seed of its own and is made from nothing else. A trial that ends in anything but
a right answer or a clear error is printed with its seed, and the exit status is 1. One trial again:

    python -m benchmarks.robustness.fuzz --seed 1234 --trials 1
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
import warnings

import torch

from benchmarks.robustness import fuzz_calls, fuzz_files

SHARE_OF_FILES = 0.1  # they take longer than calls


def trial(seed: int) -> tuple[str, str]:
    """Do what a seed says.

    Returns:
        tuple: What was tried, and what is wrong with how it ended, empty if nothing is.
    """
    dice = random.Random(seed)
    kind = fuzz_files if dice.random() < SHARE_OF_FILES else fuzz_calls
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind.trial(dice)


def main() -> int:
    arguments = _arguments()
    torch.set_num_threads(1)
    print(f"seeds from {arguments.seed}", flush=True)
    ends = time.monotonic() + arguments.seconds
    n_findings, seed = 0, arguments.seed
    for seed in itertools.islice(itertools.count(arguments.seed), arguments.trials):
        if time.monotonic() > ends:
            break
        if arguments.verbose:
            print(seed, file=sys.stderr, flush=True)
        tried, wrong = trial(seed)
        if wrong:
            n_findings += 1
            print(f"\nseed {seed}: {wrong}\n  {tried}", flush=True)
    print(f"{n_findings} findings up to seed {seed}")
    return min(1, n_findings)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="at most (default: 60)")
    parser.add_argument("--trials", type=int, help="at most (default: what the time allows)")
    parser.add_argument("--seed", type=int, help="of the first trial (default: the clock's)")
    parser.add_argument("--verbose", action="store_true", help="every seed, should Python crash")
    arguments = parser.parse_args()
    if arguments.seed is None:
        arguments.seed = int(time.time()) % 10**6 * 1000
    return arguments


if __name__ == "__main__":
    sys.exit(main())
