"""Do the tests notice? Break the method at random, one place at a time, and run its tests.

    python -m benchmarks.robustness.mutations --n 100 --write

Every mutant is one change of `benchmarks.robustness.mutants` in a copy of the package, drawn at
random over the modules that compute: core, metrics, comparison and pcim. The tests that name the
module run first, for those of the method the rest of its tests after them, until one fails or the
time is up. What no test noticed is listed with the judgement that `judged.csv` holds on it.
"""

from __future__ import annotations

import argparse
import csv
import random
import sys
import time
from collections import Counter
from functools import cache
from itertools import islice
from pathlib import Path

from benchmarks.results import Table, add_write_option, publish
from benchmarks.robustness.mutants import Mutant, mutants
from benchmarks.robustness.notice import NEVER_ENDS, first_failure

ROOT = Path(__file__).parents[2]
JUDGED = Path(__file__).with_name("judged.csv")
MODULES = ("core/**/*.py", "metrics/*.py", "comparison/*.py", "pcim.py")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=100, help="mutants (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing (default: 0)")
    parser.add_argument("--seconds", type=float, default=90, help="CPU time each (default: 90)")
    parser.add_argument("--only", default="", help="of modules whose path holds this")
    add_write_option(parser)
    arguments = parser.parse_args()

    failed = first_failure(ROOT, None, seconds=1800)
    if failed:
        print(f"{failed} fails without any mutant", file=sys.stderr)
        return 1
    everything = [m for m in all_mutants(ROOT) if arguments.only in m.path]
    random.Random(arguments.seed).shuffle(everything)
    drawn = list(islice((m for m in everything if m.compiles()), arguments.n))
    print(f"{len(drawn)} of {len(everything)} mutants, seed {arguments.seed}", flush=True)
    caught_by: dict[Mutant, str] = {}
    started = time.monotonic()
    for mutant in drawn:
        caught_by[mutant] = first_failure(ROOT, mutant, arguments.seconds)
        print(f"{time.monotonic() - started:5.0f} s  {told(mutant, caught_by[mutant])}", flush=True)
    publish("robustness/mutations", summary(caught_by), arguments.write)
    publish("robustness/mutants", listed(caught_by), arguments.write)
    return 0


@cache
def all_mutants(root: Path) -> list[Mutant]:
    """Every mutant of the modules that compute, always in the same order."""
    package = root / "captum_pcim"
    paths = sorted(path for pattern in MODULES for path in package.glob(pattern))
    return [mutant for path in paths for mutant in mutants(path, root)]


def told(mutant: Mutant, failed: str) -> str:
    place = f"{mutant.path.removeprefix('captum_pcim/')}:{mutant.line} {mutant.kind}"
    return f"{failed or 'SURVIVES'}\n    {place}\n    - {mutant.before}\n    + {mutant.after}"


def judgements() -> dict[tuple[str, str, str], str]:
    """What was judged of mutants that no test noticed, by module, line before and line after."""
    with JUDGED.open(newline="", encoding="utf-8") as stream:
        rows = csv.DictReader(stream)
        return {(row["module"], row["before"], row["after"]): row["judgement"] for row in rows}


def summary(caught_by: dict[Mutant, str]) -> Table:
    """How many mutants of each room are caught."""
    judged = judgements()
    counts: Counter[tuple[str, str]] = Counter()
    for mutant, failed in caught_by.items():
        judgement = judged.get(_key(mutant), "")
        outcome = "caught" if failed else "equivalent" if judgement[:10] == "equivalent" else "left"
        for room in (mutant.path.split("/")[1], "all"):
            counts[room, outcome] += 1
            counts[room, "drawn"] += 1
    rooms = sorted({room for room, _ in counts}, key=lambda room: (room == "all", room))
    rows = [
        [room, *(str(counts[room, kind]) for kind in ("drawn", "caught", "equivalent", "left")),
         f"{100 * counts[room, 'caught'] / counts[room, 'drawn']:.0f} %"]
        for room in rooms
    ]  # fmt: skip
    header = ["room", "mutants", "caught", "equivalent, not caught", "others not caught", "share"]
    note = "Equivalent: judged to give the same results. The share counts them as not caught."
    return Table("Mutants drawn at random", header, rows, note)


def listed(caught_by: dict[Mutant, str]) -> Table:
    """Every mutant with the first test that failed or, where none did, what was judged."""
    judged = judgements()
    rows = [
        [mutant.path, str(mutant.line), mutant.kind, mutant.before, mutant.after, failed or "none",
         "" if failed else judged.get(_key(mutant), "not judged")]
        for mutant, failed in sorted(caught_by.items(), key=lambda item: item[1] != "")
    ]  # fmt: skip
    header = ["module", "line", "kind", "before", "after", "first test that fails", "judgement"]
    note = f"Those that no test notices first. {NEVER_ENDS!r}: the tests do not come to an end."
    return Table("Every mutant drawn", header, rows, note)


def _key(mutant: Mutant) -> tuple[str, str, str]:
    return mutant.path, mutant.before, mutant.after


if __name__ == "__main__":
    sys.exit(main())
