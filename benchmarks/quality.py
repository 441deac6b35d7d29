"""Every metric, method and image set, with 95 % bootstrap intervals over images.

    python -m benchmarks.quality --data ../shared/data --write

Classifiers are trained when they are first needed and kept in benchmarks/out. `--part tuning`
scores the parts that settings may be chosen on (development seed, tuning wells and images; bbbc010
has none) and never writes; the report is made from `--part reporting`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.bootstrap import estimate
from benchmarks.classifiers import ARCHITECTURES, probabilities
from benchmarks.extremal import extremal_perturbation
from benchmarks.panels import (
    NOT_OPTIMISED_ON,
    OPTIMISED_ON,
    background,
    fidelity_panel,
    is_lower_better,
    other_panel,
)
from benchmarks.real_data import DEFAULT_DATA, LabelledImages
from benchmarks.report import add_write_option, markdown_table, publish
from benchmarks.rise import rise
from benchmarks.sets import NAMES, Explained, load
from benchmarks.tables import comparison_table, leaders
from captum_pcim import PCIM
from captum_pcim.compare import compare
from captum_pcim.comparison import Comparison
from captum_pcim.method import Method
from captum_pcim.methods import captum_methods
from captum_pcim.metrics import (
    average_precision,
    relevance_mass_accuracy,
    second_classifier_agreement,
    wrong_class_success,
)

# The goals: metric, and on how many of the six sets PCIM is to lead or share the lead.
GOALS = {
    **{f"insertion, {name}": 5 for name in (*OPTIMISED_ON, *NOT_OPTIMISED_ON)},
    "relevance_mass_accuracy": 5,
    "relevance_rank_accuracy": 5,
    "average_precision": 5,
    **{f"deletion, {name}": 4 for name in (*OPTIMISED_ON, *NOT_OPTIMISED_ON)},
    "ROAD, most relevant first": 4,
}


VARIANTS = ("PCIM", "PCIM, fidelity")


def main() -> None:
    arguments = _arguments()
    parts = ["## Quality", "", _introduction(arguments)]
    leads: dict[str, dict[str, set[str]]] = {}
    for name in arguments.sets:
        for architecture in arguments.architectures:
            explained = load(
                name, architecture, arguments.part, arguments.images, arguments.data,
                arguments.device,
            )  # fmt: skip
            if explained is None:
                print(f"{name}: skipped, no {arguments.part} part in {arguments.data}")
                continue
            started = time.perf_counter()
            section, leads[f"{name}, {architecture}"] = report(explained, arguments)
            parts += ["", section]
            print(section, flush=True)
            print(f"{time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)
    parts += ["", "### Where PCIM leads", "", goals_table(leads)]
    publish("quality", "\n".join(parts), arguments.write and arguments.part == "reporting")


def report(explained: Explained, arguments: argparse.Namespace) -> tuple[str, dict[str, set[str]]]:
    """Compare all methods on one set; the text, and for each goal which variants of PCIM lead."""
    metrics: dict[str, Any] = fidelity_panel(OPTIMISED_ON | NOT_OPTIMISED_ON, arguments.points)
    metrics |= other_panel()
    images = explained.images
    comparison = compare(
        methods(explained, arguments.methods), images.inputs, images.labels, images.masks, metrics,
        batch_size=arguments.batch_size,
    )  # fmt: skip
    headline = (
        f"### {explained.name}, {explained.architecture}\n\n"
        f"Accuracy {explained.accuracy} on {explained.n_all} images; {len(images.inputs)} rightly "
        f"classified ones explained."
    )
    texts = [headline, *(comparison_table(comparison, group) for group in _groups(metrics))]
    if images.finer_masks is not None:
        texts.append(finer_table(comparison, images.finer_masks))
    texts.append(sanity(explained, comparison.runs["PCIM"].maps))
    if arguments.extremal_images:
        texts.append(extremal_table(explained, comparison, metrics, arguments.extremal_images))
    return "\n\n".join(texts), _leads(comparison)


def methods(explained: Explained, only: Sequence[str] | None) -> dict[str, Any]:
    """PCIM with either emphasis, Captum's methods, and RISE with 1000 masks."""
    model = explained.model
    layer = model.stages[-1] if hasattr(model, "stages") else model.layers[-1]
    chosen: dict[str, Any] = {
        "PCIM": PCIM(model),
        "PCIM, fidelity": PCIM(model, emphasis="fidelity"),
    }
    chosen |= captum_methods(model, layer)
    chosen["RISE"] = lambda inputs, target: rise(model, inputs, target, background(inputs))
    if only:
        chosen = {name: method for name, method in chosen.items() if name in (*VARIANTS, *only)}
    return chosen


def sanity(explained: Explained, maps: Tensor) -> str:
    """Learned masks can be adversarial: leak, wrong classes, and a second classifier."""
    images, model = explained.images, explained.model
    _, diagnostics = PCIM(model).attribute(
        images.inputs, target=images.labels, internal_batch_size=16, return_diagnostics=True
    )
    reference = background(images.inputs)
    success = wrong_class_success(
        model, _pcim_maps, images.inputs, images.labels, _wrong_classes(model, images), reference,
        fraction=diagnostics.area.to(reference),
    )  # fmt: skip
    agreement = second_classifier_agreement(
        explained.second_model, images.inputs, maps, images.labels, reference
    )
    whole = probabilities(explained.second_model, images.inputs)
    rows = [
        ["leak ratio, median", f"{float(diagnostics.leak_ratio.median()):.3f}"],
        ["area", str(estimate(diagnostics.area))],
        ["as small a mask succeeds for a wrong class", str(estimate(success)) or "no answer"],
        ["second classifier on what is kept", str(estimate(agreement.detach()))],
        ["second classifier on the whole image",
         str(estimate(whole.gather(1, images.labels[:, None])[:, 0]))],
    ]  # fmt: skip
    return markdown_table(["PCIM's masks", "share or probability"], rows)


def _pcim_maps(forward_func: Any, inputs: Tensor, target: Any) -> Tensor:
    maps: Tensor = PCIM(forward_func).attribute(inputs, target=target, internal_batch_size=16)
    return maps


def _wrong_classes(model: torch.nn.Module, images: LabelledImages) -> Tensor:
    """Another phenotype where there are several, else the other class."""
    n_classes = probabilities(model, images.inputs[:1]).shape[1]
    return 1 - images.labels if n_classes == 2 else images.labels % (n_classes - 1) + 1


def finer_table(comparison: Comparison, finer_masks: Tensor) -> str:
    """Localisation against the narrower truth of a set."""
    rows = [
        [
            name,
            str(estimate(relevance_mass_accuracy(run.maps, finer_masks))),
            str(estimate(average_precision(run.maps, finer_masks))),
        ]
        for name, run in comparison.runs.items()
    ]
    share = estimate(finer_masks.float().mean((1, 2, 3))).mean
    rows.append(["chance level", f"{share:.3f}", f"{share:.3f}"])
    header = ["against fluorescent worms only", "mass accuracy ↑", "average precision ↑"]
    return markdown_table(header, rows)


def extremal_table(
    explained: Explained, comparison: Comparison, metrics: dict[str, Any], n_images: int
) -> str:
    """Extremal perturbation and PCIM on the first few images: 3200 passes an image are slow."""
    images = explained.images
    subset = slice(0, n_images)
    model = explained.model
    maps = comparison.runs["PCIM"].maps[subset]
    small = compare(
        {
            "PCIM": Method(lambda inputs, target: maps),
            "extremal perturbation": lambda inputs, target: extremal_perturbation(
                model, inputs, target
            ),
        },
        images.inputs[subset], images.labels[subset], images.masks[subset], metrics,
        forward_func=model, trivial=False, batch_size=n_images,
    )  # fmt: skip
    wanted = [
        "insertion, half blur", "deletion, half blur", "ROAD, most relevant first",
        "relevance_mass_accuracy", "relevance_rank_accuracy", "average_precision",
    ]  # fmt: skip
    return (
        f"On the first {len(maps)} of them, with extremal perturbation (PCIM's maps as above):\n\n"
        + comparison_table(small, wanted)
    )


def goals_table(leads: dict[str, dict[str, set[str]]]) -> str:
    """For each goal the sets on which PCIM is first, or inside the first's interval."""
    rows = []
    for metric, goal in GOALS.items():
        counts = (sum(name in found[metric] for found in leads.values()) for name in VARIANTS)
        lost = [name for name, found in leads.items() if "PCIM" not in found[metric]]
        shown = (f"{count} of {len(leads)}" for count in counts)
        rows.append([metric, *shown, f"{goal} of 6", "; ".join(lost)])
    header = ["metric", "PCIM leads", "with emphasis on fidelity", "goal", "default does not on"]
    return markdown_table(header, rows)


def _leads(comparison: Comparison) -> dict[str, set[str]]:
    """Which variants of PCIM lead each metric, each among the other methods without its sibling."""
    found: dict[str, set[str]] = {metric: set() for metric in GOALS}
    for metric in GOALS:
        scores = {name: estimate(run.scores[metric]) for name, run in comparison.runs.items()}
        rivals = {name: score for name, score in scores.items() if name not in VARIANTS}
        for variant in VARIANTS:
            ranked = rivals | {variant: scores[variant]}
            if variant in leaders(ranked, is_lower_better(metric)):
                found[metric].add(variant)
    return found


def _groups(metrics: dict[str, Any]) -> list[list[str]]:
    insertion = [name for name in metrics if name.startswith("insertion")]
    deletion = [name for name in metrics if name.startswith("deletion")]
    removal = ["ROAD, most relevant first", "ROAD, least relevant first", "SaCo", "Gini"]
    rest = [name for name in metrics if name not in {*insertion, *deletion, *removal}]
    return [rest, insertion, deletion, removal]


def _introduction(arguments: argparse.Namespace) -> str:
    return (
        f"The {arguments.part} parts. Means over images with 95 % bootstrap intervals; bold are "
        "the best of a column and what lies inside its interval. PCIM is optimised on the blur and "
        "the background; half blur and noisy background are references that nothing was optimised "
        "on. "
        f"Curves of {arguments.points} points; RISE with 1000 masks."
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=DEFAULT_DATA, help="folder of the real sets")
    add("--sets", nargs="+", default=[*NAMES], choices=[*NAMES])
    add("--architectures", nargs="+", default=["SmallResNet"], choices=[*ARCHITECTURES])
    add("--methods", nargs="+", help="beside PCIM (default: all)")
    add("--part", choices=("tuning", "reporting"), default="reporting")
    add("--images", type=int, default=40, help="at most, per set (default: 40)")
    add("--points", type=int, default=21, help="of each curve (default: 21)")
    add("--extremal-images", type=int, default=4, help="0 leaves extremal perturbation out")
    add("--batch-size", type=int, default=8)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add_write_option(parser)
    return parser.parse_args()


if __name__ == "__main__":
    main()
