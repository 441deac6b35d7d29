"""``captum-pcim compare``: PCIM beside Captum's methods on a folder of image files."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_pcim._errors import describe, noting_warnings
from captum_pcim.classifiers.files import Classifier, ModelError, load_model
from captum_pcim.cli.options import add_options
from captum_pcim.images.folders import ImageFiles, find_images
from captum_pcim.images.read import SUFFIXES, ImageError, Window, read_image, scale

if TYPE_CHECKING:
    from torch import Tensor

_DESCRIPTION = """\
Explain a classifier on the images of a folder with PCIM, with Captum's methods and with maps that
know nothing of the classifier. Writes table.csv and table.txt (one row per method: scores, passes
and seconds per image), maps.png and curves.png. The images must be of one size; the classifier must
return logits.
"""


class UsageError(ValueError):
    """The arguments do not fit together; the message says why."""


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
            "--images",
            "--stains",
            "--z",
            "--t",
            "--window",
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
    try:
        _run(args)
    except (ModelError, UsageError, ImageError, ImportError, OSError) as error:
        print(f"captum-pcim compare: error: {error}", file=sys.stderr)
        return 2
    return 0


def _run(args: argparse.Namespace) -> None:
    from captum_pcim.comparison.compare import compare
    from captum_pcim.comparison.result import write_figure, write_table
    from captum_pcim.core.warn import PCIMWarning

    images = _images(args)
    inputs = _stacked({image.name: _pixels(image, args) for image in images}, args.device)
    if args.colours == "rgb" and inputs.shape[1] != 3:
        raise UsageError(f"colours: rgb needs three channels, got {inputs.shape[1]}")
    masks = None if args.masks is None else _masks(args.masks, images, inputs)
    model = load_model(args.model, args.state_dict, args.device, args.trust)
    methods = _methods(model, args)
    target = _target(model, inputs, args.target)
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        with noting_warnings(told=PCIMWarning):  # the table tells them
            comparison = compare(methods, inputs, target, masks, seed=args.seed)
    except (RuntimeError, ValueError, IndexError, TypeError) as error:  # the model may raise
        raise UsageError(describe(error)) from error
    notes = {name: "; ".join(run.notes) for name, run in comparison.runs.items()}
    rows = [row | {"notes": notes.get(row["method"], "")} for row in comparison.table()]
    write_table(args.out, "table", rows)
    write_figure(args.out, "maps", comparison.plot(colours=args.colours))
    write_figure(args.out, "curves", comparison.plot_curves())
    print(comparison)
    print(f"\n{len(inputs)} images compared: {args.out / 'table.csv'}")


def _images(args: argparse.Namespace) -> list[ImageFiles]:
    try:
        found = find_images(args.images, args.stains, exclude=args.out)
    except ValueError as error:
        raise UsageError(str(error)) from error
    images = [image for image in found if image.is_image]
    if not images:
        raise UsageError(f"images: no images in {str(args.images)!r} ({' '.join(SUFFIXES)})")
    for image in images:
        if image.problem is not None:
            raise UsageError(f"images: {image.name!r}: {image.problem}")
    return images


def _pixels(image: ImageFiles, args: argparse.Namespace) -> Tensor:
    import torch

    try:
        parsed = [Window.parse(*ends) for ends in args.window]
        pixels = read_image(image.paths, args.z, args.t, one_stain=bool(args.stains))
        return torch.from_numpy(scale(pixels, parsed))
    except ImageError as error:
        raise UsageError(f"images: {image.name!r}: {error}") from error
    except ValueError as error:
        raise UsageError(str(error)) from error


def _stacked(pixels: Mapping[str, Tensor], device: str) -> Tensor:
    import torch

    first, *others = pixels
    for name in others:
        if pixels[name].shape != pixels[first].shape:
            raise UsageError(
                f"images: expected one size, got {tuple(pixels[first].shape)} for {first!r} and "
                f"{tuple(pixels[name].shape)} for {name!r}"
            )
    return torch.stack(list(pixels.values())).to(device)


def _masks(folder: Path, images: list[ImageFiles], inputs: Tensor) -> Tensor:
    import torch

    by_stem = {
        Path(mask.name).with_suffix("").as_posix(): mask.paths
        for mask in find_images(folder)
        if mask.is_image and mask.problem is None
    }
    masks = []
    for image in images:
        stem = Path(image.name).with_suffix("").as_posix()
        if stem not in by_stem:
            raise UsageError(f"masks: none for {image.name!r} in {str(folder)!r}")
        mask = torch.from_numpy((read_image(by_stem[stem]) > 0).any(0))
        if mask.shape != inputs.shape[2:]:
            raise UsageError(
                f"masks: expected {tuple(inputs.shape[2:])} for {image.name!r}, got "
                f"{tuple(mask.shape)}"
            )
        masks.append(mask)
    return torch.stack(masks)[:, None].to(inputs.device)


def _methods(model: Classifier, args: argparse.Namespace) -> dict[str, Any]:
    from torch import nn

    from captum_pcim import PCIM
    from captum_pcim.comparison.methods import captum_methods

    layer = None
    if args.layer is not None:
        layers = dict(model.named_modules() if isinstance(model, nn.Module) else ())
        if args.layer not in layers:
            raise UsageError(f"layer: the model has none named {args.layer!r}")
        layer = layers[args.layer]
    methods: dict[str, Any] = {"PCIM": PCIM(model, seed=args.seed)}
    methods |= captum_methods(model, layer)
    for name in args.methods or ():
        if name not in methods:
            raise UsageError(f"methods: expected some of {list(methods)}, got {name!r}")
    return {name: method for name, method in methods.items() if name in (args.methods or methods)}


def _target(model: Classifier, inputs: Tensor, target: int | str) -> Tensor | int | None:
    import torch

    if isinstance(target, int):
        return target
    try:
        with torch.no_grad():
            scores = torch.cat([model(batch) for batch in inputs.split(8)])
    except Exception as error:  # the model may raise anything
        raise UsageError(f"model: fails on the images: {describe(error)}") from error
    if scores.ndim == 1 or scores.shape[1] == 1:
        return None
    return scores.argmax(1)
