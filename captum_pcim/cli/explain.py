"""``captum-pcim explain``: maps for a folder of image files."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_pcim._errors import describe
from captum_pcim._version import __version__
from captum_pcim.classifiers.files import Classifier, fingerprint, load_model
from captum_pcim.cli.out_folder import DIAGNOSTICS, MAP_SUFFIXES, OutFolder, OutputError
from captum_pcim.images.folders import ImageFiles, find_images
from captum_pcim.images.read import SUFFIXES, ImageError, Window, read_image, scale

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    FloatPixels = npt.NDArray[np.float32]

_DESCRIPTION = """\
Explain a classifier's decision on every image below a folder. Writes a map, an overlay and a row
of diagnostics.csv per image. Can be stopped at any time and run again: only what is missing is
done. The exit status is 0 when every image was explained, 1 when some failed (diagnostics.csv
says why), 2 when nothing could be started.
"""


@dataclass(frozen=True)
class LoadedImage:
    """An image that is ready for the network."""

    name: str
    sha256: str
    pixels: FloatPixels


@dataclass(frozen=True)
class Explanation:
    """What became of an image: its map and its row of the table, or why there is none."""

    image: LoadedImage
    weights: FloatPixels | None = None
    row: dict[str, Any] | None = None
    reason: str = ""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "explain", help="maps for a folder of image files", description=_DESCRIPTION
    )
    add = parser.add_argument
    add("--model", required=True, metavar="M",
        help="module:factory, an ONNX file, or with --trust any file of torch")  # fmt: skip
    add("--state-dict", metavar="FILE", help="weights for module:factory")
    add("--trust", action="store_true",
        help="load a model file that may run code: TorchScript, .pt2, a pickle")  # fmt: skip
    add("--images", required=True, type=Path, metavar="DIR",
        help=f"folder of images, subfolders included ({' '.join(SUFFIXES)})")  # fmt: skip
    add("--out", required=True, type=Path, metavar="DIR", help="folder for everything written")
    add("--target", type=_target, default="predicted", metavar="C",
        help="class to explain, from 0, or 'predicted' (default)")  # fmt: skip
    add("--score", default="logits", help="what the network returns (default: logits)",
        choices=("logits", "probabilities", "binary_logits", "regression"))  # fmt: skip
    add("--stains", nargs="+", default=[], metavar=("PATTERN", "STAIN"),
        help="one file per stain: the pattern of the file names and the stains in channel order, "
        "as in --stains {image}_{stain}.tif DAPI GFP")  # fmt: skip
    add("--window", nargs=2, action="append", default=[], metavar=("LOW", "HIGH"),
        help="intensities, or percentiles of each image as in 1%% 99.8%%, that become 0 and 1; "
        "once for all stains or once per stain (default: integers are divided by the largest "
        "value of their type, floats are kept)")  # fmt: skip
    add("--per-stain", action="store_true", help="one weight per pixel and stain")
    add("--steps", type=_positive, metavar="N", help="optimisation steps per image")
    add("--batch-size", type=_positive, default=8, metavar="B", help="images at once (default: 8)")
    add("--device", default="cpu", help="cpu (default) or cuda")
    add("--map-format", choices=tuple(MAP_SUFFIXES), default="npy", help="default: npy")
    add("--seed", type=int, default=0, help="default: 0")
    add("--overwrite", action="store_true", help="replace maps made with other settings")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    try:
        return _run(args)
    except (ValueError, ImportError, OSError) as error:
        print(f"captum-pcim explain: error: {error}", file=sys.stderr)
        return 2


def _run(args: argparse.Namespace) -> int:
    if args.images.resolve() == args.out.resolve():
        raise ValueError("out: must not be the folder of the images")
    windows = [Window.parse(*ends) for ends in args.window]
    images = find_images(args.images, args.stains, exclude=args.out)
    if not any(image.is_image for image in images):
        raise ValueError(f"images: no images in {str(args.images)!r} ({' '.join(SUFFIXES)})")
    if args.map_format == "tiff":
        import tifffile  # noqa: F401  (missing, it is missed now rather than after the first image)
    model = load_model(args.model, args.state_dict, args.device, args.trust)
    out = OutFolder.open(args.out, _settings(args, windows), args.overwrite)
    explain = Explainer(model, args)
    for batch in _batches(_pending(images, windows, out), args.batch_size):
        for explanation in explain(batch):
            _add(out, explanation)
        out.write_tables()
    out.write_tables()
    return _report(out)


def _settings(args: argparse.Namespace, windows: Sequence[Window]) -> dict[str, Any]:
    """All that a map depends on beside its image."""
    return {
        "version": __version__,
        "model": fingerprint(args.model, args.state_dict),
        "target": args.target,
        "score": args.score,
        "stains": args.stains,
        "window": [[window.low, window.high, window.percent] for window in windows],
        "per_stain": args.per_stain,
        "steps": _steps(args),
        "seed": args.seed,
        "map_format": args.map_format,
    }


def _steps(args: argparse.Namespace) -> int:
    from captum_pcim.pcim import DEFAULT_STEPS

    steps: int = args.steps or DEFAULT_STEPS
    return steps


def _pending(
    images: Iterable[ImageFiles], windows: Sequence[Window], out: OutFolder
) -> Iterator[LoadedImage]:
    """Read the images that have no map yet; note the others."""
    for image in images:
        if image.problem is not None:
            out.add_other(image.name, "error" if image.is_image else "skipped", image.problem)
            continue
        try:
            sha256 = _content_hash(image.paths)
            if not out.is_done(image.name, sha256):
                yield LoadedImage(image.name, sha256, scale(read_image(image.paths), windows))
        except (ImageError, OutputError, OSError, ImportError) as error:
            reason = str(error) if isinstance(error, ImageError) else describe(error)
            out.add_other(image.name, "error", reason)


def _content_hash(paths: Iterable[Path]) -> str:
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _batches(images: Iterable[LoadedImage], size: int) -> Iterator[list[LoadedImage]]:
    """Group images of one shape; at most ``size`` of each shape are held at a time."""
    waiting: dict[tuple[int, ...], list[LoadedImage]] = {}
    for image in images:
        group = waiting.setdefault(image.pixels.shape, [])
        group.append(image)
        if len(group) == size:
            yield waiting.pop(image.pixels.shape)
    yield from waiting.values()


class Explainer:
    """Explains batches of images of one shape."""

    def __init__(self, model: Classifier, args: argparse.Namespace) -> None:
        """Set up the method as the command line says."""
        from captum_pcim.core.channels import PerStain, SharedOverStains
        from captum_pcim.pcim import PCIM

        isolation = PerStain() if args.per_stain else SharedOverStains()
        self.model, self.args = model, args
        self.pcim = PCIM(model, score=args.score, isolation=isolation, seed=args.seed)

    def __call__(self, images: Sequence[LoadedImage]) -> list[Explanation]:
        """Explain a batch; if that fails, image by image, so that only the culprits fail."""
        try:
            return self._explain(images)
        except Exception as error:  # the model may raise anything
            if len(images) == 1:
                return [Explanation(images[0], reason=describe(error))]
        return [explanation for image in images for explanation in self([image])]

    def _explain(self, images: Sequence[LoadedImage]) -> list[Explanation]:
        import torch

        started = time.perf_counter()
        inputs = torch.stack([torch.from_numpy(image.pixels) for image in images])
        inputs = inputs.to(self.args.device)
        predicted = _predicted(self.model, inputs)
        target = predicted
        if self.args.target != "predicted":
            target = torch.full_like(predicted, self.args.target)
        attributions, diagnostics = self.pcim.attribute(
            inputs,
            target=target,
            # Row by row, a single image also suits networks that were exported for one image.
            internal_batch_size=1 if len(images) == 1 else None,
            n_steps=_steps(self.args),
            return_diagnostics=True,
        )
        weights = attributions if self.args.per_stain else attributions[:, 0]
        columns = {name: getattr(diagnostics, name).tolist() for name in DIAGNOSTICS}
        columns |= {"target": target.tolist(), "predicted": predicted.tolist()}
        columns["seconds"] = [(time.perf_counter() - started) / len(images)] * len(images)
        return [
            _explanation(image, weights[i], {name: column[i] for name, column in columns.items()})
            for i, image in enumerate(images)
        ]


def _predicted(model: Classifier, inputs: Tensor) -> Tensor:
    """The class of the highest score; 0 for networks with a single output."""
    import torch

    with torch.no_grad():
        scores = model(inputs)
    per_image = isinstance(scores, torch.Tensor) and scores.shape[:1] == inputs.shape[:1]
    if not per_image or scores.ndim > 2:
        raise ValueError("the model must return a tensor of scores, (N, classes)")
    if not torch.isfinite(scores).all():
        raise ValueError("the model's scores are not finite")
    classes: Tensor = scores.reshape(len(inputs), -1).argmax(dim=1)
    return classes


def _explanation(image: LoadedImage, weights: Tensor, row: dict[str, float]) -> Explanation:
    if not weights.isfinite().all():
        return Explanation(image, reason="the map is not finite")
    text = {name: f"{value:.6g}" for name, value in row.items()}
    return Explanation(image, weights.detach().float().cpu().numpy(), text)


def _add(out: OutFolder, explanation: Explanation) -> None:
    image, weights, row = explanation.image, explanation.weights, explanation.row
    if weights is None or row is None:
        out.add_other(image.name, "error", explanation.reason)
        return
    try:
        out.add(image.name, image.sha256, row, image.pixels, weights)
    except (OSError, OutputError) as error:
        out.add_other(image.name, "error", describe(error))


def _report(out: OutFolder) -> int:
    failed = {name: row for name, row in out.other.items() if row["status"] == "error"}
    for name, row in failed.items():
        print(f"{name!a}: {row['reason']}", file=sys.stderr)
    print(
        f"{len(out.done)} images explained, {len(failed)} failed: {out.folder / 'diagnostics.csv'}"
    )
    return 1 if failed else 0


def _target(text: str) -> int | str:
    if text == "predicted":
        return text
    if not text.isascii() or not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected a class from 0 or 'predicted', got {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text!r}")
    return int(text)
