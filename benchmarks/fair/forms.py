"""The form of each rival that is compared: the best one of the tuning parts of a family of sets.

    python -m benchmarks.fair.forms --data ../shared/data

scores all forms on the tuning parts and writes forms.json, which the comparison reads. Per set,
network and metric the forms are ranked by their means over images; the form with the best mean rank
of the family is taken. Integrated gradients through a NoiseTunnel take the form of those without.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.fair.cells import FAMILIES, Cell, cells
from benchmarks.fair.instruments import HEADLINES, UNLIKE, Scores, quick_panel
from benchmarks.fair.rivals import maps_of, rivals
from benchmarks.fair.store import Store
from benchmarks.sets.classifiers import ARCHITECTURES
from benchmarks.sets.real_data import DEFAULT_DATA

CHOSEN = Path(__file__).with_name("forms.json")
N_POINTS = 11
AS = {"NoiseTunnel, IntegratedGradients": "IntegratedGradients"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the real sets")
    parser.add_argument("--sets", nargs="+", default=[*FAMILIES], choices=[*FAMILIES])
    parser.add_argument(
        "--architectures", nargs="+", default=[*ARCHITECTURES], choices=[*ARCHITECTURES]
    )
    parser.add_argument("--images", type=int, default=8, help="per set and network")
    arguments = parser.parse_args()
    ranks: dict[str, dict[str, list[dict[str, float]]]] = defaultdict(lambda: defaultdict(list))
    store = Store("tuning", arguments.images, N_POINTS)
    for cell in cells(
        arguments.sets, arguments.architectures, "tuning", arguments.images, arguments.data
    ):
        started = time.perf_counter()
        for name, forms in scored_forms(cell, store).items():
            ranks[FAMILIES[cell.name]][name] += [mean_ranks(forms)]
        seconds = time.perf_counter() - started
        print(f"{cell.name}, {cell.architecture}: {seconds:.0f} s", flush=True)
    chosen = {
        family: {name: _best(per_cell) for name, per_cell in methods.items()}
        for family, methods in ranks.items()
    }
    for forms in chosen.values():
        forms |= {name: forms[other] for name, other in AS.items()}
    if set(arguments.sets) == set(FAMILIES):
        CHOSEN.write_text(json.dumps(chosen, indent=2) + "\n")
    print(json.dumps(chosen, indent=2))


def scored_forms(cell: Cell, store: Store) -> dict[str, dict[str, Scores]]:
    """By method and form, the quick panel of methods that have several forms."""
    found: dict[str, dict[str, Scores]] = {}
    grids = cell.grids
    for name, forms in rivals(cell.model).items():
        if len(forms) == 1 or name in AS:
            continue
        known = {form: store.read(cell, f"{name}, {form}") for form in forms}
        if None in known.values():
            maps = maps_of(forms, cell.inputs, cell.target)
            grid_maps = maps_of(forms, grids.inputs, grids.target)
            for form in forms:
                scores = quick_panel(cell, maps[form], grid_maps[form], N_POINTS, UNLIKE)
                store.write(cell, f"{name}, {form}", scores)
                known[form] = scores
        found[name] = {form: scores for form, scores in known.items() if scores is not None}
    return found


def mean_ranks(forms: dict[str, Scores]) -> dict[str, float]:
    """Rank of each form, 0 the best, averaged over the headline metrics that there are."""
    names = list(forms)
    ranks: list[Tensor] = []
    for metric, sign in HEADLINES.items():
        if metric in forms[names[0]]:
            means = torch.stack([sign * forms[name][metric].nanmean() for name in names])
            ranks.append((means[None] > means[:, None]).sum(1).double())
    return dict(zip(names, torch.stack(ranks).mean(0).tolist(), strict=True))


def chosen_forms() -> dict[str, dict[str, str]]:
    """By family and method, the form that was best on the tuning parts."""
    found: dict[str, dict[str, str]] = json.loads(CHOSEN.read_text())
    return found


def _best(per_cell: list[dict[str, float]]) -> str:
    return min(per_cell[0], key=lambda form: sum(ranks[form] for ranks in per_cell))


if __name__ == "__main__":
    main()
