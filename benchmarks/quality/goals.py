"""What the quality benchmark is to reach and where it does, from its result files.

python -m benchmarks.quality.goals --write
"""

from __future__ import annotations

import argparse

from benchmarks.quality.panels import NOT_OPTIMISED_ON, OPTIMISED_ON
from benchmarks.quality.tables import column_of
from benchmarks.results import Spread, Table, add_write_option, leaders, names, publish, read
from benchmarks.sets.classifiers import ARCHITECTURES
from benchmarks.sets.explained import NAMES
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_write_option(parser)
    arguments = parser.parse_args()
    for architecture in ARCHITECTURES:
        sets = [name for name in NAMES if result_name(name, architecture) in names()]
        if sets:
            publish(f"quality/goals_{architecture}", goals(architecture, sets), arguments.write)
            publish(f"quality/checks_{architecture}", checks(architecture, sets), arguments.write)


def result_name(set_name: str, architecture: str) -> str:
    """The name of the result file of a set."""
    return f"quality/{set_name.replace(' ', '_')}_{architecture}"


def goals(architecture: str, sets: list[str]) -> Table:
    """For each goal the sets on which PCIM is first, or inside the first's interval."""
    found = {name: read(result_name(name, architecture)) for name in sets}
    rows = []
    for metric, goal in GOALS.items():
        lost = [name for name, table in found.items() if not leads(table, column_of(metric))]
        count = f"{len(sets) - len(lost)} of {len(sets)}"
        rows.append([column_of(metric), count, f"{goal} of {len(NAMES)}", "; ".join(lost)])
    return Table(
        f"Where PCIM leads, {architecture}",
        ["metric", "PCIM leads", "goal", "not on"],
        rows,
        "Sets on which PCIM has the best mean, or one inside the interval of the best.",
    )


def leads(table: Table, column: str) -> bool:
    cells = table.column(column)
    return [*cells].index("PCIM") in leaders([*cells.values()], column)


def checks(architecture: str, sets: list[str]) -> Table:
    """What each set says of PCIM's masks, and in how many metrics a trivial map is better."""
    wanted = {
        "leak ratio, median": "1.050 or less",
        "as small a mask succeeds for a wrong class, on the background": "below 0.100",
        "as small a mask succeeds for a wrong class, on the blur": "below 0.100",
    }
    rows = [["goal", *wanted.values(), "0"]]
    for name in sets:
        table = read(result_name(name, architecture))
        masks = read(f"{result_name(name, architecture)}_masks").column("share or probability")
        n_beaten = sum(beaten_by_trivial(table, column_of(metric)) for metric in GOALS)
        rows.append([name, *(str(masks[quantity]) for quantity in wanted), str(n_beaten)])
    return Table(
        f"Checks of PCIM's masks, {architecture}",
        ["set", *wanted, f"of {len(GOALS)} metrics, those with a trivial map above PCIM"],
        rows,
    )


def beaten_by_trivial(table: Table, column: str) -> bool:
    """Whether a map that knows nothing of the network has a better mean than PCIM."""
    sign = -1 if column.endswith("↓") else 1
    means = {
        name: sign * float(cell.figure)
        for name, cell in table.column(column).items()
        if isinstance(cell, Spread)
    }
    return any(means[name] > means["PCIM"] for name in trivial_methods() if name in means)


if __name__ == "__main__":
    main()
