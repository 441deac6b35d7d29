"""``captum-pcim explain``: maps for a folder of image files."""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_pcim._errors import describe
from captum_pcim._extras import needed
from captum_pcim._version import __version__
from captum_pcim.classifiers.files import fingerprint, load_model
from captum_pcim.classifiers.tables import notes_of_network
from captum_pcim.cli.failures import in_few_lines
from captum_pcim.cli.intensities import Intensities
from captum_pcim.cli.options import INTENSITIES, add_options, positive, steps
from captum_pcim.cli.out_folder import MAP_SUFFIXES, OutFolder, OutputError, TakenOverError
from captum_pcim.core.channels import PerStain
from captum_pcim.core.gradients import ForwardOnly
from captum_pcim.images.folders import ImageFiles, find_images, passed_over, require_images
from captum_pcim.images.intensities import scale, window_columns
from captum_pcim.images.read import FloatPixels, ImageError, read_image
from captum_pcim.images.windows import Window
from captum_pcim.pcim import DEFAULT_STEPS

if TYPE_CHECKING:
    from captum_pcim.explainer import Explainer, Explanation
    from captum_pcim.run_progress import Progress

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
    windows: Sequence[Window]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command to the command line."""
    parser = subparsers.add_parser(
        "explain", help="maps for a folder of image files", description=_DESCRIPTION
    )
    add_options(
        parser,
        *("--model", "--state-dict", "--trust", "--score", "--classes", "--forward-only"),
        *("--images", "--stains", "--z", "--t", *INTENSITIES),
        *("--target", "--contrast", "--colours", "--out", "--device", "--seed"),
    )
    add = parser.add_argument
    add("--per-stain", action="store_true", help="one weight per pixel and stain")
    add("--steps", type=steps, default=DEFAULT_STEPS, metavar="N",
        help=f"optimisation steps per image (default: {DEFAULT_STEPS})")  # fmt: skip
    add("--batch-size", type=positive, default=8, metavar="B", help="images at once (default: 8)")
    add("--map-format", choices=tuple(MAP_SUFFIXES), default="npy", help="default: npy")
    add("--overwrite", action="store_true", help="replace maps made with other settings")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command and return its exit status."""
    from captum_pcim.classifiers.classes import contrast_numbers, target_number
    from captum_pcim.explainer import Explainer
    from captum_pcim.run_progress import Progress

    target = target_number(args.target, args.classes)
    contrast = contrast_numbers(args.contrast, args.classes, target)
    if args.images.resolve() == args.out.resolve():
        raise ValueError("out: must not be the folder of the images")
    intensities = Intensities.of(args)
    images = find_images(args.images, args.stains, exclude=args.out)
    require_images(images, args.images)
    if args.map_format == "tiff":
        needed("tifffile", "writing TIFF files needs", "tiff")  # missing, it is missed now
    model = load_model(args.model, args.state_dict, args.device, args.trust)
    windows = intensities.on(images, args)
    settings = _settings(args, intensities) | {"target": args.target if target is None else target}
    settings |= {"contrast": contrast} if contrast else {}
    explainer = Explainer(
        model,
        score=args.score,
        target=target,
        n_steps=args.steps,
        seed=args.seed,
        device=args.device,
        classes=args.classes,
        contrast=contrast,
        options=_options(args),
    )
    names = {image.name for image in images}
    out = OutFolder.open(args.out, settings, args.overwrite, args.classes, names)
    told = {"scale": intensities.told()}
    with Progress(len(images)) as progress:
        pending = _pending(images, intensities, windows, args, out, progress)
        for batch in _batches(pending, args.batch_size):
            _explain(explainer, batch, out, args.stains[1:], told, progress)
            out.write_tables()
    out.write_tables()
    if others := passed_over(images):
        print(f"captum-pcim explain: {others}", file=sys.stderr)
    return _report(out)


def _options(args: argparse.Namespace) -> dict[str, Any]:
    """What PCIM is told beside its defaults."""
    options: dict[str, Any] = {"isolation": PerStain()} if args.per_stain else {}
    if args.forward_only:
        options["gradients"] = ForwardOnly(args.forward_only)
    return options


def _settings(args: argparse.Namespace, intensities: Intensities) -> dict[str, Any]:
    """All that a map depends on beside its image."""
    return {
        "version": __version__,
        "model": fingerprint(args.model, args.state_dict),
        "score": args.score,
        "forward_only": args.forward_only,
        "stains": args.stains,
        "z": args.z,
        "t": args.t,
        "window": intensities.settings(),
        "per_stain": args.per_stain,
        "steps": args.steps,
        "seed": args.seed,
        "map_format": args.map_format,
        "colours": args.colours,
    }


def _pending(
    images: Iterable[ImageFiles],
    intensities: Intensities,
    windows: Sequence[Window],
    args: argparse.Namespace,
    out: OutFolder,
    progress: Progress,
) -> Iterator[LoadedImage]:
    """Read the images that have no map yet; note the others.

    Args:
        images: All of them.
        intensities: What the options say of them.
        windows: Those of their intensities; where they were measured, maps depend on them.
        args: The command's options.
        out: Where maps go.
        progress: Told of those that are not explained.
    """
    stamp = repr(windows) if intensities.measured else ""
    for image in images:
        if image.problem is not None:
            progress.leave_out()
            out.add_other(image.name, "error" if image.is_image else "skipped", image.problem)
            continue
        try:
            sha256 = _content_hash(image.paths, stamp)
            if out.is_done(image.name, sha256):
                progress.leave_out()
            else:
                pixels = read_image(image.paths, args.z, args.t, one_stain=bool(args.stains))
                found = intensities.applied(pixels, windows)
                yield LoadedImage(image.name, sha256, scale(pixels, found), found)
        except (ImageError, OutputError, OSError, ImportError) as error:
            reason = str(error) if isinstance(error, ImageError) else describe(error)
            out.add_other(image.name, "error", reason)
            progress.add(failed=True)


def _content_hash(paths: Iterable[Path], stamp: str) -> str:
    digests = [stamp, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in paths)]
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


def _explain(
    explainer: Explainer,
    images: Sequence[LoadedImage],
    out: OutFolder,
    stains: Sequence[str],
    told: dict[str, str],
    progress: Progress,
) -> None:
    """Explain a batch and write what was found."""
    started = time.perf_counter()
    explanations = list(explainer.each([image.pixels for image in images]))
    seconds = (time.perf_counter() - started) / len(images)
    for image, explanation in zip(images, explanations, strict=True):
        windows = {k: f"{v:g}" for k, v in window_columns(stains, image.windows).items()}
        problem = _add(out, image, explanation, seconds, told | windows)
        if problem is not None:
            out.add_other(image.name, "error", describe(problem))
        progress.add(failed=problem is not None)


def _add(
    out: OutFolder,
    image: LoadedImage,
    explanation: Explanation | Exception,
    seconds: float,
    columns: dict[str, str],
) -> Exception | None:
    """Write what was found of an image, or return what was in the way."""
    if isinstance(explanation, Exception):
        return explanation
    try:
        out.add(image.name, image.sha256, image.pixels, explanation, seconds, columns)
    except TakenOverError:
        raise
    except (OSError, ValueError) as error:  # OutputError, and colours that do not fit
        return error
    return None


def _report(out: OutFolder) -> int:
    failed = {n: row["reason"] for n, row in out.other.items() if row["status"] == "error"}
    for line in in_few_lines((ascii(name), reason) for name, reason in failed.items()):
        print(line, file=sys.stderr)
    done = out.rows_done()
    print(f"{len(done)} images explained, {len(failed)} failed: {out.folder / 'diagnostics.csv'}")
    if out.absent:
        print(f"{len(out.absent)} maps of earlier runs, whose images are not among these")
    verdicts = Counter(row["verdict"] for row in done)
    for verdict, number in verdicts.most_common():
        print(f"{number} of them: {verdict}")
    notes = [row["notes"] for row in done if row.get("notes")]
    if notes:
        print(f"{len(notes)} of them have notes in it")
    for note in notes_of_network(notes):
        print(f"captum-pcim explain: {note}", file=sys.stderr)
    return 1 if failed else 0
