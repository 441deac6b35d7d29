"""``captum-pcim measure``: stored maps measured on label images, without a network."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from captum_pcim._errors import describe
from captum_pcim._files import csv_bytes, write_bytes
from captum_pcim.cli.failures import in_few_lines
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import FloatPixels

if TYPE_CHECKING:
    from captum_pcim.cells.measuring import Measures

FAILED = 1
MAPS, LABELS = (".npy", ".tif", ".tiff"), (".tif", ".tiff", ".png")
_DESCRIPTION = """\
Measure stored maps on objects, their compartments and radial bins, for masks that came after the
maps. The maps are those of a screen (--config) or of a folder that explain wrote (--maps); no
network is run. The exit status is 0 when every map was measured, 1 when some lack a label image or
cannot be read, 2 when nothing could be started.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "measure", help="measure stored maps on label images", description=_DESCRIPTION
    )
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--config", metavar="TOML", help="a screen with output.maps")
    source.add_argument("--maps", type=Path, metavar="DIR", help="folder of .npy or TIFF maps")
    add(
        "--labels",
        metavar="WHERE",
        help="label images of objects: for a screen as images.labels names them (default: these), "
        "for a folder one with the maps' names, or with those of the images that they are of",
    )
    add("--nuclei", metavar="WHERE", help="label images of nuclei, likewise")
    add("--objects", metavar="NAME", help="what the objects are called (default: Cells)")
    add("--stains", nargs="+", default=[], metavar="STAIN", help="for --maps with planes of stains")
    add("--ring", type=_whole, default=0, metavar="PIXELS", help="width of a ring (default: none)")
    add("--bins", type=_whole, default=4, metavar="N", help="radial bins (default: 4)")
    add(
        "--out",
        metavar="NAME",
        help="for --maps the CSV file; for a screen the table's name in its results folder "
        "(default: measured)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    return _of_screen(args) if args.config else _of_folder(args)


def _of_screen(args: argparse.Namespace) -> int:
    from captum_pcim.screen.config import ScreenConfig
    from captum_pcim.screen.measuring import measure_screen

    config = ScreenConfig.from_toml(args.config)
    name = args.out or "measured"
    if not name.replace("_", "").replace("-", "").isalnum():
        raise ValueError(f"out: expected a table's name of letters and digits, got {name!r}")
    found = measure_screen(
        config,
        labels=args.labels or "",
        nuclei=args.nuclei or "",
        name=name,
        objects=args.objects or "",
        ring=args.ring,
        bins=args.bins,
    )
    failures = [(str(key.field), reason) for key, reason in found.failures.items()]
    return _report(found.objects, failures, Path(config.output.path, found.table))


def _of_folder(args: argparse.Namespace) -> int:
    from captum_pcim.cells.measuring import measure_field

    if not (args.labels and args.out):
        raise ValueError("labels, out: expected both with --maps")
    names = sorted(p for p in args.maps.rglob("*") if p.suffix.lower() in MAPS and p.is_file())
    if not names:
        raise ValueError(f"maps: expected maps ({' '.join(MAPS)}) in {str(args.maps)!r}, got none")
    Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    failures = []
    for path in names:
        name = path.relative_to(args.maps).with_suffix("")
        try:
            weights = _map(path)
            labels = _labels(Path(args.labels), name, weights)
            nuclei = _labels(Path(args.nuclei), name, weights) if args.nuclei else None
            measures = _measures(args, len(weights))
            found = measure_field(weights, labels, nuclei, measures)
            rows += ({"image": name.as_posix(), **row} for row in found)
        except (ValueError, OSError) as error:
            failures.append((str(name), describe(error)))
    write_bytes(Path(args.out), _csv(rows))
    return _report(len(rows), failures, Path(args.out))


def _measures(args: argparse.Namespace, planes: int) -> Measures:
    from captum_pcim.cells.measuring import Measures

    numbered = [""] if planes == 1 else [str(i) for i in range(planes)]
    names = args.stains if planes > 1 and args.stains else numbered
    if len(names) != planes:
        raise ValueError(f"stains: expected {planes} names, as the map has planes, got {names}")
    return Measures(args.objects or "Cells", names, args.ring, args.bins)


def _map(path: Path) -> FloatPixels:
    """A map, (planes, H, W)."""
    from captum_pcim.images.read import read_image

    stored = np.load(path, allow_pickle=False) if path.suffix == ".npy" else read_image([path])
    weights: FloatPixels = np.asarray(stored, dtype=np.float32)
    weights = weights[None] if weights.ndim == 2 else weights
    if weights.ndim != 3 or not np.isfinite(weights).all() or (weights < 0).any():
        raise ValueError("maps: expected (H, W) or (C, H, W), finite and from 0")
    return weights


def _labels(folder: Path, name: Path, weights: FloatPixels) -> Labels:
    from captum_pcim.images.labels import read_labels

    paths = [folder / f"{name}{suffix}" for suffix in LABELS]
    if name.suffix.lower() in LABELS:  # the map of a.tif is called a.tif.npy
        paths.append(folder / name)
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        ends = "', '".join(path.name for path in paths[1:])
        raise ValueError(f"labels: no {paths[0]}, nor '{ends}' beside it")
    labels = read_labels(path)
    if labels.shape != weights.shape[1:]:
        raise ValueError(f"labels: expected {weights.shape[1:]}, got {labels.shape} in {path}")
    return labels


def _csv(rows: Sequence[dict[str, Any]]) -> bytes:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return csv_bytes(columns or ["image", "ObjectNumber"], rows)


def _report(objects: int, failures: Sequence[tuple[str, str]], table: Path) -> int:
    for line in in_few_lines(failures):
        print(f"captum-pcim measure: {line}", file=sys.stderr)
    print(f"{objects} objects measured, {len(failures)} images failed: {table}")
    return FAILED if failures else 0


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)
