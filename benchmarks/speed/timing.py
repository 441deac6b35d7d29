"""Measuring ratios: two pieces of work in turn, memory by the allocator's own account.

On a busy machine seconds mean little, but two pieces of work that run one right after the other
see the same machine. So they go A B A B, every pair gives a ratio, and the median of the ratios
and their range are reported.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.results import Spread

MEBIBYTE = 2**20

Work = Callable[[], object]
Clock = Callable[[], float]


@dataclass(frozen=True)
class Pairs:
    """Seconds of two pieces of work that ran in turn.

    Attributes:
        a: Seconds of the first, one number per repeat.
        b: Seconds of the second.
    """

    a: Sequence[float]
    b: Sequence[float]

    @property
    def ratios(self) -> list[float]:
        """A over B, repeat by repeat."""
        return [a / b for a, b in zip(self.a, self.b, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return statistics.median(self.ratios)

    @property
    def spread(self) -> Spread:
        """The median, and the range that says how far to trust it."""
        return Spread.of(self.ratio, min(self.ratios), max(self.ratios))


def in_turn(a: Work, b: Work, repeats: int, clock: Clock = time.perf_counter) -> Pairs:
    """Time two pieces of work in turn, after one run of each that does not count."""
    return Pairs(*all_in_turn([a, b], repeats, clock))


def all_in_turn(
    works: Sequence[Work], repeats: int, clock: Clock = time.perf_counter
) -> list[list[float]]:
    """Time pieces of work in turn, after one run of each; return the seconds of each of them."""
    for work in works:
        work()
    rounds = [[seconds_of(work, clock) for work in works] for _ in range(repeats)]
    return [list(own) for own in zip(*rounds, strict=True)]


def seconds_of(work: Work, clock: Clock = time.perf_counter) -> float:
    """Wall time of a piece of work, or time by another clock, until the device has done it."""
    synchronise()
    started = clock()
    work()
    synchronise()
    return clock() - started


def synchronise() -> None:
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """The k of seconds ~ sizes ** k: the slope of the straight line through the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def peak_bytes(work: Work, device: str) -> int:
    """Most bytes of tensors that a piece of work holds at once, beyond what was there before."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        work()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text())["traceEvents"]
    return running_peak(
        (event["ts"], event["args"]["Bytes"]) for event in events if event["name"] == "[memory]"
    )


def running_peak(changes: Iterable[tuple[float, int]]) -> int:
    """The highest running sum of (time, bytes taken or given back), in the order of time."""
    held = np.cumsum([0, *(n_bytes for _, n_bytes in sorted(changes, key=lambda c: c[0]))])
    return int(held.max())
