"""``captum-pcim compare``: PCIM beside Captum's methods on a folder of image files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from captum_pcim._errors import describe, noting_warnings
from captum_pcim.classifiers.files import Classifier, ModelError, load_model
from captum_pcim.classifiers.tables import class_columns
from captum_pcim.cli.intensities import Intensities
from captum_pcim.cli.options import DEFAULT_FORWARDS, INTENSITIES, add_options
from captum_pcim.images.folders import ImageFiles, find_images, passed_over, require_images
from captum_pcim.images.intensities import scale, window_columns
from captum_pcim.images.labels import read_labels
from captum_pcim.images.read import SUFFIXES, ImageError, read_image
from captum_pcim.images.windows import Window

if TYPE_CHECKING:
    from captum_pcim.classifiers.classes import Classes

ROWS = 32  # that the network sees at once, asked for scores alone

_DESCRIPTION = """\
Explain a classifier on the images of a folder with PCIM, with Captum's methods and with maps that
know nothing of the classifier. Writes table.csv and table.txt (one row per method: scores, passes
and seconds per image), images.csv and images.txt (one row per image: its classes and intensities),
maps.png and curves.png. The images must be of one size.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "compare", help="PCIM beside Captum's methods on image files", description=_DESCRIPTION
    )
    add_options(
        parser,
        *(
            "--model",
            "--state-dict",
            "--trust",
            "--score",
            "--classes",
            "--forward-only",
            "--images",
            "--stains",
            "--z",
            "--t",
            *INTENSITIES,
            "--target",
            "--colours",
            "--out",
        ),
        *("--device", "--seed"),
    )
    add = parser.add_argument
    add("--masks", type=Path, metavar="DIR",
        help="folder of masks named as the images are; what is not 0 is the truth")  # fmt: skip
    add("--layer", metavar="NAME", help="layer for Grad-CAM, as in named_modules()")
    add("--methods", nargs="+", metavar="NAME", help="only these (default: all)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from captum_pcim.comparison.compare import compare
    from captum_pcim.comparison.result import write_figure, write_table
    from captum_pcim.core.warn import PCIMWarning

    images = _images(args)
    intensities = Intensities.of(args)
    windows = intensities.on(images, args)
    pixels = {image.name: _pixels(image, intensities, windows, args) for image in images}
    inputs = _stacked({name: scaled for name, (scaled, _) in pixels.items()}, args.device)
    if args.colours == "rgb" and inputs.shape[1] != 3:
        raise ValueError(f"colours: rgb needs three channels, got {inputs.shape[1]}")
    about = [
        {"scale": intensities.told(), **window_columns(args.stains[1:], found)}
        for _, found in pixels.values()
    ]
    masks = None if args.masks is None else _masks(args.masks, images, inputs)
    model = load_model(args.model, args.state_dict, args.device, args.trust)
    classes, scores = _scored(model, inputs, args)
    target = classes.targets(scores, args.target)
    selected = None if classes.count == 1 else target  # a single output is nothing to select from
    methods = _methods(model, classes, inputs, args)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with noting_warnings(told=PCIMWarning):  # the table tells them
            comparison = compare(
                methods, inputs, selected, masks, score=classes.score, seed=args.seed
            )
    except (RuntimeError, ValueError, IndexError, TypeError) as error:  # the model may raise
        raise ValueError(describe(error)) from error
    notes = {name: "; ".join(run.notes) for name, run in comparison.runs.items()}
    rows = [row | {"notes": notes.get(row["method"], "")} for row in comparison.table()]
    write_table(args.out, "table", rows)
    write_table(args.out, "images", _image_rows(about, images, classes, scores, target))
    write_figure(args.out, "maps", comparison.plot(colours=args.colours))
    write_figure(args.out, "curves", comparison.plot_curves())
    print(comparison)
    print(f"\n{len(inputs)} images compared: {args.out / 'table.csv'}")
    return 0


def _images(args: argparse.Namespace) -> list[ImageFiles]:
    if args.images.resolve() == args.out.resolve():
        raise ValueError("out: must not be the folder of the images")
    found = find_images(args.images, args.stains, exclude=args.out)
    require_images(found, args.images)
    if others := passed_over(found):
        print(f"captum-pcim compare: {others}", file=sys.stderr)
    images = [image for image in found if image.is_image]
    for image in images:
        if image.problem is not None:
            raise ValueError(f"images: {image.name!r}: {image.problem}")
    return images


def _pixels(
    image: ImageFiles,
    intensities: Intensities,
    windows: Sequence[Window],
    args: argparse.Namespace,
) -> tuple[Tensor, list[Window]]:
    """An image as the network gets it, and the windows that were applied."""
    try:
        pixels = read_image(image.paths, args.z, args.t, one_stain=bool(args.stains))
        found = intensities.applied(pixels, windows)
        return torch.from_numpy(scale(pixels, found)), found
    except ImageError as error:
        raise ValueError(f"images: {image.name!r}: {error}") from error


def _stacked(pixels: Mapping[str, Tensor], device: str) -> Tensor:
    first, *others = pixels
    for name in others:
        if pixels[name].shape != pixels[first].shape:
            raise ValueError(
                f"images: expected one size, got {tuple(pixels[first].shape)} for {first!r} and "
                f"{tuple(pixels[name].shape)} for {name!r}"
            )
    return torch.stack(list(pixels.values())).to(device)


def _masks(folder: Path, images: list[ImageFiles], inputs: Tensor) -> Tensor:
    by_stem: dict[str, Path] = {}
    for file in find_images(folder, argument="masks"):
        if file.is_image and file.problem is None:
            stem = _stem(file.name)
            if stem in by_stem:
                raise ValueError(f"masks: two are called {stem!r}: {file.name!r} and another")
            by_stem[stem] = file.paths[0]
    masks = []
    for image in images:
        stem = _stem(image.name)
        if stem not in by_stem:
            raise ValueError(f"masks: none for {image.name!r} in {str(folder)!r}")
        try:
            mask = torch.from_numpy(read_labels(by_stem[stem]) > 0)
        except ImageError as error:
            raise ValueError(f"masks: {by_stem[stem].name!r}: {error}") from error
        if mask.shape != inputs.shape[2:]:
            raise ValueError(
                f"masks: expected {tuple(inputs.shape[2:])} for {image.name!r}, got "
                f"{tuple(mask.shape)}"
            )
        masks.append(mask)
    return torch.stack(masks)[:, None].to(inputs.device)


def _stem(name: str) -> str:
    """The name without its ending; that of stains in a file each has none, but maybe a dot."""
    path = Path(name)
    return (path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).as_posix()


def _scored(model: Classifier, inputs: Tensor, args: argparse.Namespace) -> tuple[Classes, Tensor]:
    """The classes of the network, and its scores of the images, (N, K)."""
    from captum_pcim.classifiers.classes import Classes

    batches = inputs.split(ROWS)
    try:
        classes = Classes.of(model, batches[0], args.score, args.classes)
        return classes, torch.cat([classes.scores(batch) for batch in batches])
    except ModelError:
        raise
    except Exception as error:  # the model may raise anything
        raise ValueError(f"model: fails on the images: {describe(error)}") from error


def _methods(
    model: Classifier, classes: Classes, inputs: Tensor, args: argparse.Namespace
) -> dict[str, Any]:
    from captum_pcim import PCIM, ForwardOnly
    from captum_pcim.comparison.methods import captum_methods, gradient_methods

    layer = _layer(model, args.layer)
    network, score = classes.network, classes.score
    rivals: dict[str, Any] = captum_methods(network, layer, score=score)
    pcim: Any = PCIM(network, score=score, seed=args.seed)
    if args.forward_only or not _has_gradient(network, inputs[:ROWS]):
        source = ForwardOnly(args.forward_only or DEFAULT_FORWARDS)
        pcim = PCIM(network, score=score, gradients=source, seed=args.seed)
        pcim = pcim, {"perturbations_per_eval": max(1, ROWS // len(inputs))}
        left_out = [*gradient_methods(network, layer, score), "GradCam"]
        rivals = {name: method for name, method in rivals.items() if name not in left_out}
        _say_forward_only(source.n_forwards, args.forward_only is None)
    methods = {"PCIM": pcim} | rivals
    for name in args.methods or ():
        if name not in methods:
            raise ValueError(f"methods: expected some of {list(methods)}, got {name!r}")
    return {name: method for name, method in methods.items() if name in (args.methods or methods)}


def _has_gradient(network: Callable[..., Any], inputs: Tensor) -> bool:
    """Whether autograd follows the scores back to the images, for one of them at least.

    Args:
        network: Images (N, C, H, W) to scores (N, K).
        inputs: Images.
    """
    images = inputs.detach().clone().requires_grad_()
    try:
        with torch.enable_grad():
            scores = network(images)
            # Squares, as probabilities sum to 1 whatever the image.
            (gradient,) = torch.autograd.grad(scores.square().sum(), images, allow_unused=True)
    except RuntimeError:
        return False
    return gradient is not None and bool((gradient.nan_to_num() != 0).any())


def _layer(model: Classifier, name: str | None) -> Any:
    layers = dict(model.named_modules() if isinstance(model, nn.Module) else ())
    if name is not None and name not in layers:
        raise ValueError(f"layer: the model has none named {name!r}")
    return None if name is None else layers[name]


def _say_forward_only(n_forwards: int, found: bool) -> None:
    cause = "the network has no gradients: " if found else ""
    print(
        f"captum-pcim compare: {cause}PCIM takes {n_forwards} forward passes an image, and methods "
        "that need gradients are left out",
        file=sys.stderr,
    )


def _image_rows(
    about: list[dict[str, Any]],
    images: list[ImageFiles],
    classes: Classes,
    scores: Tensor,
    target: Tensor,
) -> list[dict[str, Any]]:
    probabilities = classes.probabilities(scores).tolist()
    return [
        {"image": image.name}
        | class_columns(
            classes.names,
            target=int(target[i]),
            predicted=int(scores[i].argmax()),
            scores=scores[i].tolist(),
            probabilities=probabilities[i],
        )
        | about[i]
        for i, image in enumerate(images)
    ]
