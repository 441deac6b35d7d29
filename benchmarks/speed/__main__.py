"""What PCIM costs beyond the passes it makes, in ratios measured side by side.

    python -m benchmarks.speed --parts overhead memory --write

Every part writes a section of its own. Seconds are wall time; every ratio is the median of repeats
in turn (A B A B), with the lowest and the highest in brackets. `--quick` measures fewer and smaller
cases.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from statistics import median

import torch

from benchmarks.results import add_write_option, markdown_table, publish
from benchmarks.speed.cases import Case, Work, steps_within
from benchmarks.speed.fields import fields
from benchmarks.speed.ideas import ideas
from benchmarks.speed.quality import early_stop, time_to_quality
from benchmarks.speed.timing import MEBIBYTE, Pairs, exponent, in_turn, peak_bytes
from captum_pcim.pcim import DEFAULT_STEPS

BATCHES = (1, 8, 32)
SIDES = {"small CNN": (96, 512), "ResNet-50": (224,), "ViT-S/16": (224,)}
QUICK_BATCHES = (1, 8)
QUICK_SIDES = {"small CNN": (96,), "ResNet-50": (224,), "ViT-S/16": (224,)}


def main() -> None:
    arguments = _arguments()
    for name in arguments.parts:
        started = time.perf_counter()
        publish(f"speed {name}", PARTS[name](arguments), arguments.write)
        print(f"{name}: {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)


def overhead(arguments: argparse.Namespace) -> str:
    """Time of `attribute` over its bare passes, and how both gain from larger batches."""
    sides, batches = _grid(arguments.quick)
    rows = []
    for network in sides:
        for side in sides[network]:
            alone: tuple[Pairs, int] | None = None
            for batch in batches:
                case = Case(network, batch, side)
                measured = _overhead(case, arguments)
                if measured is None:
                    rows.append([str(case), *["too long here"], *["-"] * 4])
                    continue
                alone = alone or measured
                rows.append([str(case), *_overhead_cells(measured, alone, batch)])
    header = [
        "", "steps", "attribute / bare passes", "bare passes, images/s",
        "gain over batch 1, bare", "gain over batch 1, attribute",
    ]  # fmt: skip
    return _section(
        "Time over the bare passes",
        "The bare passes are one forward of the images and, per step, forward and backward of two "
        "rows per image, with the gradient of the images only and parameters detached. Where "
        f"the default of {DEFAULT_STEPS} steps would take too long here, fewer are made; that "
        "overstates the ratio.",
        header,
        rows,
    )


def _overhead(case: Case, arguments: argparse.Namespace) -> tuple[Pairs, int] | None:
    work = Work(case, arguments.device)
    n_steps = steps_within(work, arguments.seconds, arguments.repeats)
    if not n_steps:
        return None
    pairs = in_turn(
        lambda: work.attribute(n_steps), lambda: work.bare_passes(n_steps), arguments.repeats
    )
    return pairs, n_steps


def _overhead_cells(measured: tuple[Pairs, int], alone: tuple[Pairs, int], batch: int) -> list[str]:
    pairs, n_steps = measured

    def gain(seconds: Sequence[float], alone_seconds: Sequence[float]) -> float:
        return batch * median(alone_seconds) / alone[1] / (median(seconds) / n_steps)

    return [
        str(n_steps),
        str(pairs),
        f"{batch / (median(pairs.b) / n_steps):.1f} a step",
        f"{gain(pairs.b, alone[0].b):.2f}",
        f"{gain(pairs.a, alone[0].a):.2f}",
    ]


def memory(arguments: argparse.Namespace) -> str:
    """Peak of tensor memory: `attribute`, bare passes, training step of as many rows."""
    sides, batches = _grid(arguments.quick)
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
    header = ["", "attribute, MiB", "bare", "training step", "/ bare", "/ training step"]
    return _section(
        "Peak memory",
        "The most memory that tensors take at once beyond network and images, by the allocator's "
        "own account. It does not depend on how busy the machine is.",
        header,
        rows,
    )


def growth(arguments: argparse.Namespace) -> str:
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
    return _section(
        "Growth",
        "Exponents k of seconds ~ size^k, small CNN at 96 pixels and batch 1 but for what grows. "
        "An exponent of 1 is linear; the number of pixels grows with the square of the side.",
        ["", "attribute", "bare passes"],
        rows,
    )


def _timed(case: Case, n_steps: int, arguments: argparse.Namespace) -> Pairs:
    work = Work(case, arguments.device)
    return in_turn(
        lambda: work.attribute(n_steps), lambda: work.bare_passes(n_steps), arguments.repeats
    )


def _grid(quick: bool) -> tuple[dict[str, tuple[int, ...]], tuple[int, ...]]:
    return (QUICK_SIDES, QUICK_BATCHES) if quick else (SIDES, BATCHES)


def _section(title: str, text: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return f"### {title}\n\n{text}\n\n{markdown_table(header, rows)}"


PARTS: dict[str, Callable[[argparse.Namespace], str]] = {
    "overhead": overhead,
    "memory": memory,
    "growth": growth,
    "quality": time_to_quality,
    "early-stop": early_stop,
    "fields": fields,
    "ideas": ideas,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer and smaller cases")
    parser.add_argument("--parts", nargs="+", default=[*PARTS], choices=[*PARTS])
    parser.add_argument("--repeats", type=int, help="in turn (default: 5, quick 3)")
    parser.add_argument("--seconds", type=float, help="at most per case (default: 60, quick 10)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_write_option(parser)
    arguments = parser.parse_args()
    arguments.repeats = arguments.repeats or (3 if arguments.quick else 5)
    arguments.seconds = arguments.seconds or (10 if arguments.quick else 60)
    return arguments


if __name__ == "__main__":
    main()
