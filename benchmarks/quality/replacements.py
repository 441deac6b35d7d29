"""What each replacement of a reference that shows the class does to the map.

    python -m benchmarks.quality.replacements --write

On the synthetic development images and the tuning parts of the real sets, for the images of which a
default reference holds the class: maps against the default references as they are, and against
them with those that hold the class replaced. Differences are paired by image, replaced minus not.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.bootstrap import estimate
from benchmarks.fair.cells import Cell, cells
from benchmarks.fair.instruments import Scores, fidelity
from benchmarks.results import Cell as Figure
from benchmarks.results import Table, add_write_option, publish
from benchmarks.sets.explained import NAMES
from benchmarks.sets.real_data import DEFAULT_DATA
from captum_pcim import PCIM
from captum_pcim.core.evidence import STAND_INS
from captum_pcim.core.problem import HELD_SHARE
from captum_pcim.core.references import Blur, Reference, default_references
from captum_pcim.core.smoothing import shorter_side
from captum_pcim.metrics import relevance_mass_accuracy

AS_IT_IS = "as the package does"
METRICS = {
    "insertion": "↑",
    "deletion": "↓",
    "insertion, other network": "↑",
    "deletion, other network": "↓",
    "mass accuracy": "↑",
}
NOTE = (
    "Images of the synthetic development seed and of the tuning parts of the real sets, {count} in "
    "all, of which a default reference has half of the class's probability or more. Means of the "
    "paired differences and their 95 % bootstrap intervals; "
    "insertion and deletion are means over five references. A replacement counts for the images "
    "of which it does not hold the class itself."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=[*NAMES], choices=[*NAMES])
    parser.add_argument("--images", type=int, default=16, help="at most, of a set (default: 16)")
    parser.add_argument("--points", type=int, default=26, help="of each curve (default: 26)")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA)
    add_write_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found: dict[str, list[Scores]] = {}
    for cell in cells(arguments.sets, ["SmallResNet"], "tuning", 40, arguments.data):
        for name, differences in compared(cell, arguments.images, arguments.points):
            found.setdefault(name, []).append(differences)
        print(cell.title, "done", flush=True)
    publish("quality/replacements", table(found), arguments.write)


def table(found: dict[str, list[Scores]]) -> Table:
    """One row for each replacement, over the images of all sets."""
    rows: list[list[Figure]] = []
    for name, parts in found.items():
        pooled = {metric: torch.cat([part[metric] for part in parts]) for metric in METRICS}
        n_images = int((~pooled["insertion"].isnan()).sum())
        rows.append([name, str(n_images), *(estimate(pooled[m]).spread for m in METRICS)])
    header = ["replacement", "images", *(f"{name} {arrow}" for name, arrow in METRICS.items())]
    count = sum(len(part["insertion"]) for part in found[AS_IT_IS])
    return Table("What replacing a reference does", header, rows, NOTE.format(count=count))


def compared(cell: Cell, n_images: int, n_points: int) -> Iterator[tuple[str, Scores]]:
    """Differences of the scores by replacement, (N,) each; NaN where one holds the class too."""
    defaults = torch.stack([r(cell.inputs)[0] for r in default_references()], 1)
    shows = torch.stack([_holds(cell, r) for r in defaults.unbind(1)], 1)
    rows = shows.any(1).nonzero()[:n_images, 0]
    if len(rows) == 0:
        return
    some = replace(
        cell, inputs=cell.inputs[rows], target=cell.target[rows], masks=cell.masks[rows],
        others=cell.others[rows],
    )  # fmt: skip
    defaults, shows = defaults[rows], shows[rows]
    without = _scores(some, defaults, n_points)
    replaced = PCIM(some.model).attribute(some.inputs, target=some.target)
    with_first = _measured(some, replaced, n_points)
    yield AS_IT_IS, {metric: with_first[metric] - without[metric] for metric in METRICS}
    for name, stand_in in _stand_ins(some.inputs).items():
        candidate = stand_in(some.inputs)[0].expand_as(some.inputs)
        other = torch.where(shows[:, :, None, None, None], candidate[:, None], defaults)
        scores, unfit = _scores(some, other, n_points), _holds(some, candidate)
        yield name, {m: (scores[m] - without[m]).masked_fill(unfit, torch.nan) for m in METRICS}


def _stand_ins(inputs: Tensor) -> dict[str, Reference]:
    """What may stand in for a reference, by name; the package takes the flat colours only."""
    median, dark = STAND_INS
    return {
        "a wider blur": Blur(shorter_side(inputs.shape[2:]) / 4),
        "the median": median,
        "a dark quantile": dark,
        "shuffled patches": _ShuffledPatches(),
        "noise of its spectrum": _PhaseNoise(),
    }


@dataclass(frozen=True)
class _ShuffledPatches:
    """The image's own patches in another place each: its texture without its layout.

    Args:
        n_patches (int): Patches along the shorter side.
        seed (int): Of the order, the same for all images of a size.
    """

    n_patches: int = 8
    seed: int = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return one shuffled image per image, shape (1, N, C, *spatial)."""
        side = max(1, shorter_side(inputs.shape[2:]) // self.n_patches)
        generator = torch.Generator().manual_seed(self.seed)
        shuffled = inputs
        for axis in range(2, inputs.ndim):
            pieces = list(shuffled.split(side, dim=axis))
            order = torch.randperm(len(pieces), generator=generator).tolist()
            shuffled = torch.cat([pieces[i] for i in order], dim=axis)
        return shuffled.unsqueeze(0)


@dataclass(frozen=True)
class _PhaseNoise:
    """Noise with the image's own spectrum: its amplitudes at random phases, its mean kept.

    Args:
        seed (int): Of the phases, the same for all images of a size.
    """

    seed: int = 0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return one noise image per image, shape (1, N, C, *spatial)."""
        axes = tuple(range(2, inputs.ndim))
        generator = torch.Generator().manual_seed(self.seed)
        noise = torch.randn(1, 1, *inputs.shape[2:], generator=generator, dtype=torch.float64)
        phases = torch.fft.rfftn(noise, dim=axes)
        phases = phases / phases.abs().clamp_min(1e-12)
        phases.flatten(2)[..., 0] = 1  # the mean stays
        spectrum = torch.fft.rfftn(inputs.double(), dim=axes)
        turned = spectrum * phases.to(inputs.device)
        images: Tensor = torch.fft.irfftn(turned, s=inputs.shape[2:], dim=axes)
        return images.to(inputs).unsqueeze(0)


@torch.no_grad()
def _holds(cell: Cell, references: Tensor) -> Tensor:
    """Whether references (N, C, H, W) hold the class of their images, (N,)."""
    full, own = (
        cell.model(x).softmax(1).gather(1, cell.target[:, None])[:, 0]
        for x in (cell.inputs, references)
    )
    return own >= HELD_SHARE * full


def _scores(cell: Cell, references: Tensor, n_points: int) -> Scores:
    """Scores of the maps against given references, (N, R, C, H, W)."""

    def made(inputs: Tensor, which: int) -> Tensor:
        return references[:, which].unsqueeze(0)

    given = [partial(made, which=i) for i in range(references.shape[1])]
    maps = PCIM(cell.model, references=given).attribute(cell.inputs, target=cell.target)
    return _measured(cell, maps, n_points)


def _measured(cell: Cell, maps: Tensor, n_points: int) -> Scores:
    maps = maps[:, :1]  # shared over stains
    own = fidelity(cell, cell.model, maps, n_points)
    transfer = fidelity(cell, cell.second_model, maps, n_points)
    return {
        "insertion": own["insertion"],
        "deletion": own["deletion"],
        "insertion, other network": transfer["insertion"],
        "deletion, other network": transfer["deletion"],
        "mass accuracy": relevance_mass_accuracy(maps, cell.masks),
    }


if __name__ == "__main__":
    main()
