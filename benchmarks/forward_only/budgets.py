"""Quality against the number of forward passes, for networks that cannot be differentiated.

    python -m benchmarks.forward_only.budgets --data ../shared/data --images 8 --write

Every method gets the same number of passes per image of the same ONNX session, at most; PCIM with
autograd stands beside them as the reference. Settings were chosen on the development seed and the
tuning parts of the organoids, bccd and xai_tris; the images are those of the reporting parts that
the classifier recognises. For every budget and metric Occlusion has the window that is best in it
on these very images, which favours it.
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
from benchmarks.results import Table, add_write_option, publish
from benchmarks.rivals.rise import rise
from benchmarks.sets.explained import NAMES, Explained, load
from benchmarks.sets.real_data import DEFAULT_DATA, LabelledImages
from captum_pcim import PCIM, Background, Blur, ForwardOnly
from captum_pcim.classifiers.adapters import OnnxForward
from captum_pcim.metrics import average_precision, deletion, insertion

NOTE = """\
The same network as an ONNX session for all but the last row. Means with 95 % bootstrap intervals
over images; deletion is better when lower. Occlusion makes as many of the passes as its windows'
positions come to, with the window that is best in each metric on these images."""
LOWER_IS_BETTER = ("deletion blur", "deletion flat")
WINDOWS = (8, 12, 16)  # pixels, of Occlusion
SUPERPIXELS = 12  # a side, for Lime and KernelShap
RISE_GRID = 8  # cells a side
AT_ONCE = 32  # masked images of one image in one call

Scores = dict[str, Tensor]
Method = Callable[[OnnxForward, LabelledImages, Tensor, int], Tensor]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the real sets")
    parser.add_argument(
        "--sets", nargs="+", choices=[*NAMES],
        default=["synthetic fluorescence", "bbbc010 fluorescence"],
    )  # fmt: skip
    parser.add_argument("--images", type=int, default=8)
    parser.add_argument("--budgets", type=int, nargs="+", default=[333, 1000, 4000])
    add_write_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", module="captum.attr")
    for name in arguments.sets:
        explained = load(name, "SmallResNet", "reporting", arguments.images, arguments.data, "cpu")
        if explained is None:
            print(f"{name}: skipped, not in {arguments.data}", file=sys.stderr)
            continue
        table = on_set(explained, arguments.budgets)
        publish(f"forward_only/{name.replace(' ', '_')}", table, arguments.write)


def on_set(explained: Explained, budgets: list[int]) -> Table:
    """Every method with every budget on one set."""
    images = explained.images
    with tempfile.TemporaryDirectory() as folder:
        network = OnnxForward(exported(explained.model, Path(folder), images.inputs))
        results = {
            (name, budget): run(name, method, network, images, budget)
            for budget in budgets
            for name, method in METHODS.items()
        }
        autograd = PCIM(explained.model).attribute(images.inputs, target=images.labels)
        reference = scores(network, images, autograd[:, :1])
    found = with_best_window(results, budgets)
    rows = [
        [method, str(budget), *(estimate(scored[metric]).spread for metric in reference)]
        for (method, budget), scored in sorted(found.items(), key=lambda item: item[0][1])
    ]
    rows.append(["PCIM, autograd", "", *(estimate(of).spread for of in reference.values())])
    return Table(
        f"Forward passes only, {explained.name}, {len(images.inputs)} images",
        ["method", "forward passes", *reference],
        rows,
        NOTE,
    )


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
    name: str, method: Method, network: OnnxForward, images: LabelledImages, budget: int
) -> Scores:
    flat = Background()(images.inputs)[0]
    found = scores(network, images, method(network, images, flat, budget))
    means = "  ".join(f"{metric} {values.mean():.3f}" for metric, values in found.items())
    print(f"{budget:5d}  {name:16s}  {means}", file=sys.stderr, flush=True)
    return found


def scores(network: OnnxForward, images: LabelledImages, maps: Tensor) -> Scores:
    references = {"blur": Blur(), "flat": Background()}
    found = {}
    for name, reference in references.items():
        arguments = {"target": images.labels, "baselines": reference(images.inputs)[0]}
        arguments |= {"n_points": 26}
        found[f"insertion {name}"] = insertion(network, images.inputs, maps, **arguments).auc
        found[f"deletion {name}"] = deletion(network, images.inputs, maps, **arguments).auc
    found["average precision"] = average_precision(maps, images.masks)
    return found


def pcim(network: OnnxForward, images: LabelledImages, flat: Tensor, budget: int) -> Tensor:
    method = PCIM(network, gradients=ForwardOnly(n_forwards=budget))
    maps = method.attribute(images.inputs, target=images.labels, perturbations_per_eval=4)
    return maps[:, :1]


def rise_maps(network: OnnxForward, images: LabelledImages, flat: Tensor, budget: int) -> Tensor:
    return rise(network, images.inputs, images.labels, flat, budget, RISE_GRID, rows=AT_ONCE)


def occlusion(window: int) -> Method:
    def maps(network: OnnxForward, images: LabelledImages, flat: Tensor, budget: int) -> Tensor:
        n_stains, height, width = images.inputs.shape[1:]
        rows, columns = strides(height - window, width - window, budget - 1)
        found = Occlusion(network).attribute(
            images.inputs,
            sliding_window_shapes=(n_stains, window, window),
            strides=(n_stains, rows, columns),
            baselines=flat,
            target=images.labels,
        )
        return found.sum(1, keepdim=True)

    return maps


def strides(height: int, width: int, most: int) -> tuple[int, int]:
    """The strides, alike to one pixel, that take most positions and no more than given."""

    def positions(rows: int, columns: int) -> int:
        return (1 + -(-height // rows)) * (1 + -(-width // columns))

    candidates = [(r, c) for r in range(1, height + 1) for c in (r, r + 1)]
    return max(
        (pair for pair in candidates if positions(*pair) <= most), key=lambda p: positions(*p)
    )


def squares(images: LabelledImages, side: int) -> Tensor:
    """Number the squares of a grid of side x side, as a feature mask."""
    height, width = images.inputs.shape[2:]
    rows, columns = torch.arange(height) * side // height, torch.arange(width) * side // width
    return (rows[:, None] * side + columns).expand(1, 1, height, width)


def ablation(network: OnnxForward, images: LabelledImages, flat: Tensor, budget: int) -> Tensor:
    mask = squares(images, math.isqrt(budget - 1))
    found = FeatureAblation(network).attribute(
        images.inputs, flat, images.labels, feature_mask=mask.expand_as(images.inputs[:1])
    )
    return found.sum(1, keepdim=True)


def over_superpixels(method: type) -> Method:
    def maps(network: OnnxForward, images: LabelledImages, flat: Tensor, budget: int) -> Tensor:
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
    """Keep Occlusion only with the window that is best in each metric, for each budget."""
    windows = [f"Occlusion {window}" for window in WINDOWS]
    best = {key: found for key, found in results.items() if key[0] not in windows}
    for budget in budgets:
        tried = [results[window, budget] for window in windows]
        best["Occlusion", budget] = {
            metric: _best(metric, [found[metric] for found in tried]) for metric in tried[0]
        }
    return best


def _best(metric: str, scores: list[Tensor]) -> Tensor:
    choose = min if metric in LOWER_IS_BETTER else max
    return choose(scores, key=lambda score: float(score.mean()))


if __name__ == "__main__":
    main()
