"""Quality against the number of forward passes, for networks that cannot be differentiated.

    python -m benchmarks.forward_only --images 8 --write

Every method gets the same number of passes per image of the same ONNX session, at most; PCIM with
autograd stands beside them as the reference. Settings were chosen on the development seed; the
images here are those of the held-out seed that the classifier recognises. Occlusion is shown with
the window whose average precision is best on these very images, which favours it.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from captum.attr import FeatureAblation, KernelShap, Lime, Occlusion
from torch import Tensor, nn

from benchmarks.bootstrap import estimate
from benchmarks.development import recognised_positives
from benchmarks.report import add_write_option, markdown_table, publish
from benchmarks.rise import rise
from captum_pcim import PCIM, Background, Blur, ForwardOnly
from captum_pcim.adapters import OnnxForward
from captum_pcim.data import HELD_OUT_SEED, SyntheticImages, load_cnn
from captum_pcim.metrics import average_precision, deletion, insertion

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "forward_only.png"
LOWER_IS_BETTER = ("deletion blur", "deletion flat")
WINDOWS = (8, 12)  # pixels, of Occlusion
SUPERPIXELS = 12  # a side, for Lime and KernelShap
RISE_GRID = 8  # cells a side
AT_ONCE = 32  # masked images of one image in one call

Scores = dict[str, Tensor]
Method = Callable[[OnnxForward, SyntheticImages, Tensor, int], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--budgets", type=int, nargs="+", default=[500, 1000, 4000])
    add_write_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="captum.attr")

    model = load_cnn("fluorescence")
    images = recognised_positives(model, "fluorescence", arguments.images, HELD_OUT_SEED)
    with tempfile.TemporaryDirectory() as folder:
        network = OnnxForward(exported(model, Path(folder), images.inputs))
        results = {
            (name, budget): run(name, method, network, images, budget)
            for budget in arguments.budgets
            for name, method in METHODS.items()
        }
        autograd = PCIM(model).attribute(images.inputs, target=images.labels)
        reference = scores(network, images, autograd[:, :1])
    best = with_best_window(results, arguments.budgets)
    text = section(best, reference, arguments.images)
    if arguments.write:
        draw(best, reference, arguments.budgets)
        text += "\n\n![Quality against forward passes](figures/forward_only.png)"
    publish("forward only", text, arguments.write)


def exported(model: nn.Module, folder: Path, inputs: Tensor) -> Path:
    """Write the classifier as an ONNX file for any batch size."""
    path = folder / "classifier.onnx"
    any_batch = ({0: torch.export.Dim("batch")},)
    program = torch.onnx.export(
        model, (inputs[:2],), dynamo=True, dynamic_shapes=any_batch, verbose=False
    )
    assert program is not None
    program.save(path)
    return path


def run(
    name: str, method: Method, network: OnnxForward, images: SyntheticImages, budget: int
) -> Scores:
    flat = Background()(images.inputs)[0]
    found = scores(network, images, method(network, images, flat, budget))
    means = "  ".join(f"{metric} {values.mean():.3f}" for metric, values in found.items())
    print(f"{budget:5d}  {name:16s}  {means}", file=sys.stderr, flush=True)
    return found


def scores(network: OnnxForward, images: SyntheticImages, maps: Tensor) -> Scores:
    references = {"blur": Blur(), "flat": Background()}
    found = {}
    for name, reference in references.items():
        arguments = {"target": images.labels, "baselines": reference(images.inputs)[0]}
        arguments |= {"n_points": 26}
        found[f"insertion {name}"] = insertion(network, images.inputs, maps, **arguments).auc
        found[f"deletion {name}"] = deletion(network, images.inputs, maps, **arguments).auc
    found["average precision"] = average_precision(maps, images.masks)
    return found


def pcim(network: OnnxForward, images: SyntheticImages, flat: Tensor, budget: int) -> Tensor:
    method = PCIM(network, gradients=ForwardOnly(n_forwards=budget))
    maps = method.attribute(images.inputs, target=images.labels, perturbations_per_eval=4)
    return maps[:, :1]


def rise_maps(network: OnnxForward, images: SyntheticImages, flat: Tensor, budget: int) -> Tensor:
    return rise(network, images.inputs, images.labels, flat, budget, RISE_GRID, rows=AT_ONCE)


def occlusion(window: int) -> Method:
    def maps(network: OnnxForward, images: SyntheticImages, flat: Tensor, budget: int) -> Tensor:
        n_stains, height, width = images.inputs.shape[1:]
        positions = math.isqrt(budget - 1)
        stride = math.ceil((min(height, width) - window) / (positions - 1))
        found = Occlusion(network).attribute(
            images.inputs,
            sliding_window_shapes=(n_stains, window, window),
            strides=(n_stains, stride, stride),
            baselines=flat,
            target=images.labels,
        )
        return found.sum(1, keepdim=True)

    return maps


def squares(images: SyntheticImages, side: int) -> Tensor:
    """Number the squares of a grid of side x side, as a feature mask."""
    height, width = images.inputs.shape[2:]
    rows, columns = torch.arange(height) * side // height, torch.arange(width) * side // width
    return (rows[:, None] * side + columns).expand(1, 1, height, width)


def ablation(network: OnnxForward, images: SyntheticImages, flat: Tensor, budget: int) -> Tensor:
    mask = squares(images, math.isqrt(budget - 1))
    found = FeatureAblation(network).attribute(
        images.inputs, flat, images.labels, feature_mask=mask.expand_as(images.inputs[:1])
    )
    return found.sum(1, keepdim=True)


def over_superpixels(method: type) -> Method:
    def maps(network: OnnxForward, images: SyntheticImages, flat: Tensor, budget: int) -> Tensor:
        mask = squares(images, SUPERPIXELS).expand_as(images.inputs[:1])
        torch.manual_seed(0)
        found = [
            method(network).attribute(
                image[None],
                baseline[None],
                int(label),
                feature_mask=mask,
                n_samples=budget,
                perturbations_per_eval=AT_ONCE,
            )
            for image, baseline, label in zip(images.inputs, flat, images.labels, strict=True)
        ]
        return torch.cat(found).sum(1, keepdim=True)

    return maps


METHODS: dict[str, Method] = {
    "PCIM": pcim,
    "RISE": rise_maps,
    **{f"Occlusion {window}": occlusion(window) for window in WINDOWS},
    "FeatureAblation": ablation,
    "Lime": over_superpixels(Lime),
    "KernelShap": over_superpixels(KernelShap),
}


def with_best_window(
    results: dict[tuple[str, int], Scores], budgets: list[int]
) -> dict[tuple[str, int], Scores]:
    """Keep Occlusion only with its best window of each budget."""
    windows = [f"Occlusion {window}" for window in WINDOWS]
    best = {key: found for key, found in results.items() if key[0] not in windows}
    for budget in budgets:
        tried = [results[window, budget] for window in windows]
        best["Occlusion", budget] = max(tried, key=lambda s: float(s["average precision"].mean()))
    return best


def section(results: dict[tuple[str, int], Scores], reference: Scores, n_images: int) -> str:
    metrics = list(reference)
    rows = [
        [f"{budget}", name, *(str(estimate(found[metric])) for metric in metrics)]
        for (name, budget), found in sorted(results.items(), key=lambda item: item[0][1])
    ]
    rows.append(["", "PCIM, autograd", *(str(estimate(reference[m])) for m in metrics)])
    return (
        "## Forward passes only\n\n"
        f"Synthetic fluorescence, {n_images} held-out images; the same network as an ONNX session "
        "for all but the last row. Means with 95 % bootstrap intervals over images; deletion is "
        "better when lower.\n\n"
        + markdown_table(["passes", "method", *metrics], rows)
        + "\n\n"
        + verdict(results, metrics)
    )


def verdict(results: dict[tuple[str, int], Scores], metrics: list[str]) -> str:
    """Say for every budget and metric which method has the best mean."""
    lines = []
    for budget in sorted({budget for _, budget in results}):
        for metric in metrics:
            means = {n: float(s[metric].mean()) for (n, b), s in results.items() if b == budget}
            choose = min if metric in LOWER_IS_BETTER else max
            winner = choose(means, key=lambda name: means[name])
            lines.append(
                [f"{budget}", metric, winner, f"{means[winner]:.3f}", f"{means['PCIM']:.3f}"]
            )
    return markdown_table(["passes", "metric", "best method", "its mean", "PCIM"], lines)


def draw(results: dict[tuple[str, int], Scores], reference: Scores, budgets: list[int]) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(reference), figsize=(3.2 * len(reference), 3.2))
    for axis, (metric, expected) in zip(axes, reference.items(), strict=True):
        for name in sorted({name for name, _ in results}, key=lambda name: name != "PCIM"):
            means = [float(results[name, budget][metric].mean()) for budget in budgets]
            width = 2.5 if name == "PCIM" else 1.2
            axis.plot(budgets, means, marker="o", markersize=3, linewidth=width, label=name)
        axis.axhline(float(expected.mean()), color="0.4", linestyle="--", label="PCIM, autograd")
        axis.set(title=metric, xscale="log", xlabel="forward passes per image")
    axes[-1].legend(fontsize=7)
    figure.tight_layout()
    FIGURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(FIGURE, dpi=150)


if __name__ == "__main__":
    main()
