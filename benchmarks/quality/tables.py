"""A comparison as a table of results."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bootstrap import estimate
from benchmarks.quality.panels import LABELS, is_lower_better
from benchmarks.results import Table
from captum_pcim.comparison.result import Comparison, MethodResult


def comparison_table(
    title: str, note: str, comparison: Comparison, metrics: Sequence[str]
) -> Table:
    """One row per method, means over images with 95 % bootstrap intervals, and passes and seconds.

    Up and down arrows say which way is better.
    """
    rows = [
        [name, *(estimate(run.scores[metric]).spread for metric in metrics), *_costs(run)]
        for name, run in comparison.runs.items()
    ]
    if any(metric in comparison.chance for metric in metrics):
        levels = [_chance(comparison, metric) for metric in metrics]
        rows.append(["chance level", *levels, "", ""])
    columns = ["method", *map(column_of, metrics), "passes forward / back", "seconds"]
    return Table(title, columns, rows, note)


def column_of(metric: str) -> str:
    """The name of a metric's column."""
    return f"{LABELS.get(metric, metric)} {'↓' if is_lower_better(metric) else '↑'}"


def _costs(run: MethodResult) -> list[str]:
    forwards, backwards = run.forwards or 0, run.backwards or 0
    return [f"{forwards:.0f} / {backwards:.0f}", f"{run.seconds:.2f}"]


def _chance(comparison: Comparison, metric: str) -> str:
    if metric not in comparison.chance:
        return ""
    return f"{estimate(comparison.chance[metric]).mean:.3f}"
