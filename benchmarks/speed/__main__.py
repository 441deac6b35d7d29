"""What PCIM costs beyond the passes it makes, in ratios measured side by side.

    python -m benchmarks.speed --parts overhead memory --write

Every part is a module of this folder and writes a result file of its own. Seconds are wall time;
every ratio is the median of repeats in turn (A B A B), with the lowest and the highest in brackets.
`--quick` measures fewer and smaller cases.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch

from benchmarks.results import Table, add_write_option, publish
from benchmarks.speed.cells import cells
from benchmarks.speed.checks import checks
from benchmarks.speed.early_stop import early_stop
from benchmarks.speed.gpu import gpu
from benchmarks.speed.growth import growth
from benchmarks.speed.ideas import ideas
from benchmarks.speed.large_fields import large_fields
from benchmarks.speed.memory import memory
from benchmarks.speed.overhead import overhead
from benchmarks.speed.time_to_quality import time_to_quality


def main() -> None:
    arguments = _arguments()
    for name in arguments.parts:
        started = time.perf_counter()
        table = PARTS[name](arguments)
        publish(f"speed/{_file_of(name, arguments.device)}", table, arguments.write)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


PARTS: dict[str, Callable[[argparse.Namespace], Table]] = {
    "overhead": overhead,
    "memory": memory,
    "growth": growth,
    "time_to_quality": time_to_quality,
    "early_stop": early_stop,
    "large_fields": large_fields,
    "ideas": ideas,
    "checks": checks,
    "cells": cells,
    "gpu": gpu,
}


def _file_of(name: str, device: str) -> str:
    """Figures of a GPU stand beside those of the CPU, not in their place."""
    return name if device == "cpu" or name == "gpu" else f"{name}_gpu"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--parts", nargs="+", choices=[*PARTS])
    parser.add_argument("--repeats", type=int, help="in turn (default: 5, quick 3)")
    parser.add_argument("--seconds", type=float, help="at most per case (default: 60, quick 10)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_write_option(parser)
    arguments = parser.parse_args()
    without = "gpu" if arguments.device == "cpu" else ""
    arguments.parts = arguments.parts or [part for part in PARTS if part != without]
    arguments.repeats = arguments.repeats or (3 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (10 if arguments.quick else 60)
    return arguments


if __name__ == "__main__":
    main()
