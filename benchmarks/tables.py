"""A comparison as a markdown table with intervals; what leads, or could, is bold."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.bootstrap import Estimate, estimate
from benchmarks.panels import LABELS, is_lower_better
from benchmarks.report import markdown_table
from captum_pcim.comparison.result import Comparison, MethodResult


def comparison_table(comparison: Comparison, metrics: Sequence[str]) -> str:
    """One row per method, means over images with 95 % bootstrap intervals, and passes and seconds.

    Bold are the best mean of a column and those inside its interval. Up and down arrows say which
    way is better.
    """
    columns = {
        metric: {name: estimate(run.scores[metric]) for name, run in comparison.runs.items()}
        for metric in metrics
    }
    header = ["method", *map(_title, metrics), "passes forward / back", "seconds"]
    rows = [
        [name, *(_cell(columns[m], name, is_lower_better(m)) for m in metrics), *_costs(run)]
        for name, run in comparison.runs.items()
    ]
    if any(metric in comparison.chance for metric in metrics):
        levels = [_chance(comparison, metric) for metric in metrics]
        rows.append(["chance level", *levels, "", ""])
    return markdown_table(header, rows)


def leaders(scores: dict[str, Estimate], lower_is_better: bool) -> set[str]:
    """The methods with the best mean, or a mean inside the interval of the best."""
    known = {name: score for name, score in scores.items() if score.n}
    sign = 1 if lower_is_better else -1
    best = min(known.values(), key=lambda score: sign * score.mean)
    edge = best.high if lower_is_better else best.low
    return {name for name, score in known.items() if sign * score.mean <= sign * edge}


def _title(metric: str) -> str:
    arrow = "↓" if is_lower_better(metric) else "↑"
    return f"{LABELS.get(metric, metric)} {arrow}"


def _cell(scores: dict[str, Estimate], name: str, lower_is_better: bool) -> str:
    text = str(scores[name])
    return f"**{text}**" if name in leaders(scores, lower_is_better) else text


def _costs(run: MethodResult) -> list[str]:
    forwards, backwards = run.forwards or 0, run.backwards or 0
    return [f"{forwards:.0f} / {backwards:.0f}", f"{run.seconds:.2f}"]


def _chance(comparison: Comparison, metric: str) -> str:
    if metric not in comparison.chance:
        return ""
    return f"{estimate(comparison.chance[metric]).mean:.3f}"
