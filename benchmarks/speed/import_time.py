"""How long `import captum_pcim` takes, against `import captum.attr`.

    python -m benchmarks.speed.import_time --write

Each import runs in a fresh interpreter, the two in turn (A B A B), after one of each that warms the
file cache. Times are processor time of the whole process, so interpreter and torch are in both.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from statistics import median

from benchmarks.results import Table, add_write_option, publish

CAPTUM, OURS = "captum.attr", "captum_pcim"
ALLOWED = 1.10  # of Captum's own time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--repeats", type=int, default=15)
    add_write_option(parser)
    arguments = parser.parse_args()
    times = in_turn((CAPTUM, OURS), arguments.repeats)
    publish("speed/import_time", table(times), arguments.write)


def in_turn(modules: tuple[str, ...], repeats: int) -> dict[str, list[float]]:
    """Seconds of each import, `repeats` times."""
    times: dict[str, list[float]] = {module: [] for module in modules}
    for repeat in range(repeats + 1):
        for module in modules:
            seconds = cpu_seconds(module)
            if repeat:
                times[module].append(seconds)
    return times


def cpu_seconds(module: str) -> float:
    """Processor time of a fresh interpreter that imports a module and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)


def table(times: dict[str, list[float]]) -> Table:
    rows = [
        [f"`import {module}`", f"{median(own):.2f}", f"{min(own):.2f}", f"{max(own):.2f}"]
        for module, own in times.items()
    ]
    ratios = [ours / captum for captum, ours in zip(times[CAPTUM], times[OURS], strict=True)]
    spread = (f"{f(ratios):.3f}" for f in (median, min, max))
    rows.append([f"ratio, at most {ALLOWED:.2f} allowed", *spread])
    return Table(
        "Import time",
        ["", "median", "lowest", "highest"],
        rows,
        f"Processor seconds of a fresh interpreter, the two imports in turn, {len(ratios)} times.",
    )


if __name__ == "__main__":
    main()
