"""Every metric, method and image set, with 95 % bootstrap intervals over images.

    python -m benchmarks.quality --data ../shared/data --write

Classifiers are trained when they are first needed and kept in benchmarks/out, and so is what was
found on each set: sets can be run one by one or side by side (`--sets`), and `--write` publishes
all that there are. `--part tuning` scores the parts that settings may be chosen on (development
seed, tuning wells and images; bbbc010 has none) and never writes.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.bootstrap import estimate
from benchmarks.classifiers import ARCHITECTURES, OUT, probabilities
from benchmarks.extremal import extremal_perturbation
from benchmarks.goals import checks_table, goals_table, led, trivial_above
from benchmarks.panels import (
    NOT_OPTIMISED_ON,
    OPTIMISED_ON,
    background,
    blur,
    fidelity_panel,
    other_panel,
)
from benchmarks.real_data import DEFAULT_DATA, LabelledImages
from benchmarks.report import add_write_option, markdown_table, origin, write_section
from benchmarks.rise import rise
from benchmarks.sets import NAMES, Explained, load
from benchmarks.tables import comparison_table
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

INTRODUCTION = """\
The reporting parts. Means over images with 95 % bootstrap intervals; bold are the best of a column
and what lies inside its interval. PCIM is optimised on the blur and the background; half blur and
noisy background are references that nothing was optimised on. RISE with 1000 masks."""

FOUND = OUT / "quality"


def main() -> None:
    arguments = _arguments()
    for name in arguments.sets:
        for architecture in arguments.architectures:
            run(name, architecture, arguments)
    text = collected()
    print(text)
    if arguments.write and arguments.part == "reporting":
        write_section("quality", text)


def run(name: str, architecture: str, arguments: argparse.Namespace) -> None:
    """Score one set and keep what was found; tuning parts are only printed."""
    explained = load(
        name, architecture, arguments.part, arguments.images, arguments.data, arguments.device
    )
    if explained is None:
        print(f"{name}: skipped, no {arguments.part} part in {arguments.data}")
        return
    started = time.perf_counter()
    found = report(explained, arguments)
    print(f"{found['text']}\n{time.perf_counter() - started:.0f} s", flush=True)
    if arguments.part == "reporting":
        FOUND.mkdir(parents=True, exist_ok=True)
        found["text"] += f"\n\n{origin()}"
        (FOUND / f"{name}, {architecture}.json").write_text(json.dumps(found))


def collected() -> str:
    """All that was found so far, and where PCIM leads."""
    parts, texts = ["## Quality", INTRODUCTION], []
    for architecture in ARCHITECTURES:
        paths = {name: FOUND / f"{name}, {architecture}.json" for name in NAMES}
        found = {name: json.loads(p.read_text()) for name, p in paths.items() if p.exists()}
        if found:
            parts += [f"### Where PCIM leads, {architecture}"]
            parts += [goals_table(found), checks_table(found)]
            texts += [one["text"] for one in found.values()]
    return "\n\n".join([*parts, *texts])


def report(explained: Explained, arguments: argparse.Namespace) -> dict[str, Any]:
    """Compare all methods on one set.

    Returns:
        The text; the metrics that PCIM leads in; for each metric the trivial maps that are better;
        median leak ratio; share of wrong classes that succeed.
    """
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
        f"classified ones explained. Curves of {arguments.points} points."
    )
    texts = [headline, *(comparison_table(comparison, group) for group in _groups(metrics))]
    if images.finer_masks is not None:
        texts.append(finer_table(comparison, images.finer_masks))
    leak, success, table = sanity(explained, comparison.runs["PCIM"].maps)
    texts.append(table)
    if arguments.extremal_images:
        texts.append(extremal_table(explained, comparison, metrics, arguments.extremal_images))
    return {
        "text": "\n\n".join(texts),
        "leads": led(comparison),
        "trivial": trivial_above(comparison),
        "leak": leak,
        "success": success,
    }


def methods(explained: Explained, only: Sequence[str] | None) -> dict[str, Any]:
    """PCIM, Captum's methods, and RISE with 1000 masks."""
    model = explained.model
    layer = model.stages[-1] if hasattr(model, "stages") else model.layers[-1]
    chosen: dict[str, Any] = {"PCIM": PCIM(model)} | captum_methods(model, layer)
    chosen["RISE"] = lambda inputs, target: rise(model, inputs, target, background(inputs))
    if only:
        chosen = {name: method for name, method in chosen.items() if name in ("PCIM", *only)}
    return chosen


def sanity(explained: Explained, maps: Tensor) -> tuple[float, str, str]:
    """Learned masks can be adversarial: leak, wrong classes, and a second classifier.

    Returns:
        Median leak ratio, share of wrong classes that succeed, and a table of all.
    """
    images, model = explained.images, explained.model
    _, diagnostics = PCIM(model).attribute(
        images.inputs, target=images.labels, internal_batch_size=16, return_diagnostics=True
    )
    reference = background(images.inputs)
    leak = float(diagnostics.leak_ratio.median())
    wrong = _wrong_classes(model, images)
    wrong_maps = PCIM(model).attribute(images.inputs, target=wrong, internal_batch_size=16)
    succeeds = [
        estimate(wrong_class_success(
            model, lambda *_: wrong_maps, images.inputs, images.labels, wrong, baseline,
            fraction=diagnostics.area.to(reference),
        ))
        for baseline in (reference, blur(images.inputs))
    ]  # fmt: skip
    success = "; ".join(str(one) or "no answer" for one in succeeds)
    agreement = second_classifier_agreement(
        explained.second_model, images.inputs, maps, images.labels, reference
    )
    whole = probabilities(explained.second_model, images.inputs)
    rows = [
        ["leak ratio, median", f"{leak:.3f}"],
        ["area", str(estimate(diagnostics.area))],
        ["as small a mask succeeds for a wrong class, on the background; on the blur", success],
        ["second classifier on what is kept", str(estimate(agreement.detach()))],
        ["second classifier on the whole image",
         str(estimate(whole.gather(1, images.labels[:, None])[:, 0]))],
    ]  # fmt: skip
    return leak, success, markdown_table(["PCIM's masks", "share or probability"], rows)


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


def _groups(metrics: dict[str, Any]) -> list[list[str]]:
    insertion = [name for name in metrics if name.startswith("insertion")]
    deletion = [name for name in metrics if name.startswith("deletion")]
    removal = ["ROAD, most relevant first", "ROAD, least relevant first", "SaCo", "Gini"]
    rest = [name for name in metrics if name not in {*insertion, *deletion, *removal}]
    return [rest, insertion, deletion, removal]


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
