"""Every metric, method and image set, with 95 % bootstrap intervals over images.

    python -m benchmarks.quality.all_sets --data ../shared/data --write

Classifiers are trained when they are first needed and kept in benchmarks/out. Every set has result
files of its own, so sets can be run one by one or side by side (`--sets`). `--part tuning` scores
the parts that settings may be chosen on (development seed, tuning wells and images; bbbc010 has
none) and never writes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.bootstrap import estimate
from benchmarks.quality.goals import result_name
from benchmarks.quality.panels import (
    NOT_OPTIMISED_ON,
    OPTIMISED_ON,
    background,
    blur,
    fidelity_panel,
    other_panel,
)
from benchmarks.quality.tables import comparison_table
from benchmarks.results import Cell, Table, add_write_option, publish
from benchmarks.rivals.extremal import extremal_perturbation
from benchmarks.rivals.rise import rise
from benchmarks.sets.classifiers import ARCHITECTURES, probabilities
from benchmarks.sets.explained import NAMES, Explained, load
from benchmarks.sets.real_data import DEFAULT_DATA, LabelledImages
from captum_pcim import PCIM
from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.methods import Method, captum_methods
from captum_pcim.comparison.result import Comparison
from captum_pcim.metrics import (
    average_precision,
    relevance_mass_accuracy,
    second_classifier_agreement,
    wrong_class_success,
)

FINER = "against fluorescent worms only"
EXTREMAL = "extremal perturbation"
NOTE = (
    "{n} rightly classified images of the {part} part. Curves of {points} points. Half blur and "
    "noisy background are references that nothing was optimised on. RISE with 1000 masks."
)
SELECTED = (  # shown of extremal perturbation, which is slow
    "insertion, half blur", "deletion, half blur", "ROAD, most relevant first",
    "relevance_mass_accuracy", "relevance_rank_accuracy", "average_precision",
)  # fmt: skip


def main() -> None:
    arguments = _arguments()
    for name in arguments.sets:
        for architecture in arguments.architectures:
            run(name, architecture, arguments)


def run(name: str, architecture: str, arguments: argparse.Namespace) -> None:
    """Score one set; tuning parts are only printed."""
    explained = load(
        name, architecture, arguments.part, arguments.images, arguments.data, arguments.device
    )
    if explained is None:
        print(f"{name}: skipped, no {arguments.part} part in {arguments.data}")
        return
    started = time.perf_counter()
    for suffix, table in report(explained, arguments):
        keep = arguments.write and arguments.part == "reporting"
        publish(result_name(name, architecture) + suffix, table, keep)
    print(f"{time.perf_counter() - started:.0f} s", flush=True)


def report(explained: Explained, arguments: argparse.Namespace) -> Iterator[tuple[str, Table]]:
    """Compare all methods on one set; yield its tables with the ends of their names."""
    metrics: dict[str, Any] = fidelity_panel(OPTIMISED_ON | NOT_OPTIMISED_ON, arguments.points)
    metrics |= other_panel()
    images = explained.images
    comparison = compare(
        methods(explained, arguments.methods), images.inputs, images.labels, images.masks, metrics,
        batch_size=arguments.batch_size,
    )  # fmt: skip
    title = f"{explained.name}, {explained.architecture}"
    note = NOTE.format(n=len(images.inputs), part=arguments.part, points=arguments.points)
    yield "", comparison_table(title, note, comparison, list(metrics))
    if images.finer_masks is not None:
        yield "_finer", finer_table(f"{title}: {FINER}", note, comparison, images.finer_masks)
    rows = sanity(explained, comparison.runs["PCIM"].maps)
    columns = ("quantity", "share or probability")
    yield "_masks", Table(f"{title}: classifier and PCIM's masks", columns, rows, note)
    if arguments.extremal_images:
        small = with_extremal(explained, comparison, metrics, arguments.extremal_images)
        few = f"The first {arguments.extremal_images} of the images. {note}"
        yield "_extremal", comparison_table(f"{title}: {EXTREMAL}", few, small, SELECTED)


def methods(explained: Explained, only: Sequence[str] | None) -> dict[str, Any]:
    """PCIM, Captum's methods, and RISE with 1000 masks."""
    model = explained.model
    layer = model.stages[-1] if hasattr(model, "stages") else model.layers[-1]
    chosen: dict[str, Any] = {"PCIM": PCIM(model)} | captum_methods(model, layer)
    chosen["RISE"] = lambda inputs, target: rise(model, inputs, target, background(inputs))
    if only:
        chosen = {name: method for name, method in chosen.items() if name in ("PCIM", *only)}
    return chosen


def sanity(explained: Explained, maps: Tensor) -> list[list[Cell]]:
    """Learned masks can be adversarial: leak, wrong classes, and a second classifier."""
    images, model = explained.images, explained.model
    _, diagnostics = PCIM(model).attribute(
        images.inputs, target=images.labels, internal_batch_size=16, return_diagnostics=True
    )
    reference = background(images.inputs)
    wrong = _wrong_classes(model, images)
    wrong_maps = PCIM(model).attribute(images.inputs, target=wrong, internal_batch_size=16)
    succeeds = [
        estimate(wrong_class_success(
            model, lambda *_: wrong_maps, images.inputs, images.labels, wrong, baseline,
            fraction=diagnostics.area.to(reference),
        ))
        for baseline in (reference, blur(images.inputs))
    ]  # fmt: skip
    on_background, on_blur = (one.spread if one.n else "no answer" for one in succeeds)
    agreement = second_classifier_agreement(
        explained.second_model, images.inputs, maps, images.labels, reference
    )
    whole = probabilities(explained.second_model, images.inputs)
    of_target = whole.gather(1, images.labels[:, None])[:, 0]
    return [
        ["accuracy of the classifier", explained.accuracy.spread],
        ["images of the part", str(explained.n_all)],
        ["images explained", str(len(images.inputs))],
        ["leak ratio, median", f"{float(diagnostics.leak_ratio.median()):.3f}"],
        ["area", estimate(diagnostics.area).spread],
        ["as small a mask succeeds for a wrong class, on the background", on_background],
        ["as small a mask succeeds for a wrong class, on the blur", on_blur],
        ["second classifier on what is kept", estimate(agreement.detach()).spread],
        ["second classifier on the whole image", estimate(of_target).spread],
    ]


def _wrong_classes(model: torch.nn.Module, images: LabelledImages) -> Tensor:
    """Another phenotype where there are several, else the other class."""
    n_classes = probabilities(model, images.inputs[:1]).shape[1]
    return 1 - images.labels if n_classes == 2 else images.labels % (n_classes - 1) + 1


def finer_table(title: str, note: str, comparison: Comparison, finer_masks: Tensor) -> Table:
    """Localisation against the narrower truth of a set."""
    rows: list[list[Cell]] = [
        [
            name,
            estimate(relevance_mass_accuracy(run.maps, finer_masks)).spread,
            estimate(average_precision(run.maps, finer_masks)).spread,
        ]
        for name, run in comparison.runs.items()
    ]
    share = estimate(finer_masks.float().mean((1, 2, 3))).mean
    rows.append(["chance level", f"{share:.3f}", f"{share:.3f}"])
    return Table(title, ["method", "mass accuracy ↑", "average precision ↑"], rows, note)


def with_extremal(
    explained: Explained, comparison: Comparison, metrics: dict[str, Any], n_images: int
) -> Comparison:
    """Extremal perturbation and PCIM's maps on the first few images: its 3200 passes are slow."""
    images = explained.images
    subset = slice(0, n_images)
    model = explained.model
    maps = comparison.runs["PCIM"].maps[subset]
    return compare(
        {
            "PCIM": Method(lambda inputs, target: maps),
            "extremal perturbation": lambda inputs, target: extremal_perturbation(
                model, inputs, target
            ),
        },
        images.inputs[subset], images.labels[subset], images.masks[subset], metrics,
        forward_func=model, trivial=False, batch_size=n_images,
    )  # fmt: skip


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--data", type=Path, default=DEFAULT_DATA, help="folder of the real sets")
    add("--sets", nargs="*", default=[*NAMES], choices=[*NAMES])
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
