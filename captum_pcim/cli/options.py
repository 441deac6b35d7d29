"""Options that several commands share, each written once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, get_args

from captum_pcim.core.gradients import ForwardOnly
from captum_pcim.core.network import PREDICTED
from captum_pcim.core.scores import DEFAULT_KIND, ScoreKind
from captum_pcim.images.intensities import Over, Scale
from captum_pcim.images.read import SUFFIXES
from captum_pcim.images.stack import PROJECTIONS

DEFAULT_FORWARDS = ForwardOnly().n_forwards


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add shared options to a command, in this order.

    Args:
        parser: The command's.
        names: Options of :data:`OPTIONS`.
    """
    for name in names:
        parser.add_argument(name, **OPTIONS[name])


def positive(text: str) -> int:
    """Read a whole number above 0."""
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)


def steps(text: str) -> int:
    """Read a number of steps, of which there are two at least."""
    if positive(text) < 2:
        raise argparse.ArgumentTypeError(f"expected a whole number above 1, got {text!r}")
    return int(text)


def _plane(text: str) -> int | str:
    if text in PROJECTIONS:
        return text
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a plane from 1, 'max' or 'mean', got {text!r}")
    return int(text)


INTENSITIES = ("--scale", "--over", "--window", "--percentiles", "--controls", "--table")

OPTIONS: dict[str, dict[str, Any]] = {
    "--model": {
        "required": True,
        "metavar": "M",
        "help": "module:factory, an ONNX file, or with --trust any file of torch",
    },
    "--state-dict": {"metavar": "FILE", "help": "weights for module:factory"},
    "--trust": {
        "action": "store_true",
        "help": "load a model file that may run code: TorchScript, .pt2, a pickle",
    },
    "--score": {
        "default": DEFAULT_KIND,
        "choices": get_args(ScoreKind),
        "help": "what the network returns (default: logits); one output alone tells two classes",
    },
    "--classes": {
        "nargs": "+",
        "default": [],
        "metavar": "NAME",
        "help": "names of the classes in the order of the outputs; two for a network of one output",
    },
    "--forward-only": {
        "nargs": "?",
        "type": positive,
        "const": DEFAULT_FORWARDS,
        "metavar": "N",
        "help": f"explain from N forward passes an image (default: {DEFAULT_FORWARDS}), without "
        "gradients; done anyway where the network has none",
    },
    "--images": {
        "required": True,
        "type": Path,
        "metavar": "DIR",
        "help": f"folder of images, subfolders included ({' '.join(SUFFIXES)})",
    },
    "--stains": {
        "nargs": "+",
        "default": [],
        "metavar": ("PATTERN", "STAIN"),
        "help": "one file per stain: the pattern of the file names and the stains in channel "
        "order, as in --stains {image}_{stain}.tif DAPI GFP",
    },
    "--z": {
        "type": _plane,
        "metavar": "Z",
        "help": "of several planes along z the number of one, from 1, or 'max' or 'mean' of all",
    },
    "--t": {
        "type": positive,
        "metavar": "T",
        "help": "of several time points the number of one, from 1",
    },
    "--window": {
        "nargs": 2,
        "action": "append",
        "default": [],
        "metavar": ("LOW", "HIGH"),
        "help": "intensities, or percentiles of each image as in 1%% 99.8%%, that become 0 and 1; "
        "once for all stains or once per stain",
    },
    "--scale": {
        "choices": get_args(Scale),
        "help": "intensities as the network was trained on: type (default: integers are divided by "
        "the largest value of their type, floats are kept), raw, fixed (--window), percentiles, "
        "zscore, or table (--table)",
    },
    "--over": {
        "choices": get_args(Over),
        "help": "what percentiles and z-scores are measured over: each image, the plate (all "
        "images of the folder; default) or the images that --controls names",
    },
    "--percentiles": {
        "nargs": 2,
        "type": float,
        "metavar": ("LOW", "HIGH"),
        "help": "for --scale percentiles (default: 0.1 99.9)",
    },
    "--controls": {
        "metavar": "PATTERN",
        "help": "names of control images, as in 'plate/A01_*', for --over controls",
    },
    "--table": {
        "type": Path,
        "metavar": "CSV",
        "help": "windows of the stains: Stain with Low and High, or Mean and SD; without --stains "
        "in the stains' order",
    },
    "--target": {
        "default": PREDICTED,
        "metavar": "C",
        "help": f"class to explain, its name or its number from 0, or {PREDICTED!r} (default)",
    },
    "--contrast": {
        "nargs": "+",
        "default": [],
        "metavar": "C",
        "help": "classes to tell it from, names or numbers (default: all others)",
    },
    "--colours": {
        "choices": ("rgb",),
        "help": "rgb where the three channels are a picture's red, green and blue: it is drawn as "
        "it is (default: overlays in grey, merges in one colour per stain)",
    },
    "--out": {
        "required": True,
        "type": Path,
        "metavar": "DIR",
        "help": "folder for everything written",
    },
    "--device": {"default": "cpu", "help": "cpu (default) or cuda"},
    "--seed": {"type": int, "default": 0, "help": "default: 0"},
}
