"""What the quality benchmark is to reach, and a table of where it does."""

from __future__ import annotations

from typing import Any

from benchmarks.bootstrap import Estimate, estimate
from benchmarks.quality.panels import NOT_OPTIMISED_ON, OPTIMISED_ON, is_lower_better
from benchmarks.quality.tables import leaders
from benchmarks.results import markdown_table
from captum_pcim.comparison.result import Comparison
from captum_pcim.comparison.trivial import trivial_methods

# The goals: metric, and on how many of the six sets PCIM is to lead or share the lead.
GOALS = {
    **{f"insertion, {name}": 5 for name in (*OPTIMISED_ON, *NOT_OPTIMISED_ON)},
    "relevance_mass_accuracy": 5,
    "relevance_rank_accuracy": 5,
    "average_precision": 5,
    **{f"deletion, {name}": 4 for name in (*OPTIMISED_ON, *NOT_OPTIMISED_ON)},
    "ROAD, most relevant first": 4,
}


def goals_table(found: dict[str, dict[str, Any]]) -> str:
    """For each goal the sets on which PCIM is first, or inside the first's interval."""
    rows = []
    for metric, goal in GOALS.items():
        lost = [name for name, one in found.items() if metric not in one["leads"]]
        count = f"{len(found) - len(lost)} of {len(found)}"
        rows.append([metric, count, f"{goal} of 6", "; ".join(lost)])
    return markdown_table(["metric", "PCIM leads", "goal", "not on"], rows)


def checks_table(found: dict[str, dict[str, Any]]) -> str:
    """What each set says of PCIM's masks, and which trivial maps are better in what."""
    rows = [
        [
            name,
            f"{one['leak']:.3f}",
            one["success"],
            "; ".join(f"{metric}: {', '.join(maps)}" for metric, maps in one["trivial"].items()),
        ]
        for name, one in found.items()
    ]
    rows.insert(0, ["goal", "1.050 or less", "below 0.100", "none"])
    header = [
        "set",
        "leak ratio, median",
        "wrong classes succeed, background; blur",
        "trivial maps above PCIM",
    ]
    return markdown_table(header, rows)


def led(comparison: Comparison) -> list[str]:
    """The goals' metrics in which PCIM is first, or inside the first's interval."""
    return [
        metric
        for metric in GOALS
        if "PCIM" in leaders(_estimates(comparison, metric), is_lower_better(metric))
    ]


def trivial_above(comparison: Comparison) -> dict[str, list[str]]:
    """For each of the goals' metrics the trivial maps whose mean is better than PCIM's."""
    above = {}
    for metric in GOALS:
        means = {name: score.mean for name, score in _estimates(comparison, metric).items()}
        sign = -1 if is_lower_better(metric) else 1
        above[metric] = [n for n in trivial_methods() if sign * means[n] > sign * means["PCIM"]]
    return {metric: names for metric, names in above.items() if names}


def _estimates(comparison: Comparison, metric: str) -> dict[str, Estimate]:
    return {name: estimate(run.scores[metric]) for name, run in comparison.runs.items()}
