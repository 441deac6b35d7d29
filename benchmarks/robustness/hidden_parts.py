"""How often a part that a network hides from autograd is told, and how often one is in vain.

python -m benchmarks.robustness.hidden_parts --data ../shared/data --write
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.fair.cells import FAMILIES, cells
from benchmarks.results import Table, add_write_option, publish
from benchmarks.sets.classifiers import ARCHITECTURES
from benchmarks.sets.real_data import DEFAULT_DATA
from captum_pcim import PCIM, Autograd, PCIMWarning

Forward = Callable[[Tensor], Tensor]

HIDDEN: dict[str, Callable[[nn.Module], Forward]] = {
    "nothing": lambda model: model,
    "half of the scores": lambda model: lambda x: 0.5 * model(x) + 0.5 * model(x.detach()),
    "nine tenths of the scores": lambda model: lambda x: 0.1 * model(x) + 0.9 * model(x.detach()),
    "seven tenths of each pixel": lambda model: lambda x: model(0.3 * x + 0.7 * x.detach()),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="folder of the sets")
    parser.add_argument("--images", type=int, default=12, help="per set and network")
    add_write_option(parser)
    arguments = parser.parse_args()
    found = cells(
        list(FAMILIES), list(ARCHITECTURES), "reporting", arguments.images, arguments.data
    )
    rows = []
    for hidden, hide in HIDDEN.items():
        told = [
            is_told(hide(cell.model), image[None], int(label))
            for cell in found
            for image, label in zip(cell.inputs, cell.target, strict=True)
        ]
        rows.append([hidden, str(len(told)), str(sum(told))])
    note = f"One call per image of the reporting parts, {len(found)} trained networks."
    table = Table("Parts hidden from autograd", ["hidden", "images", "told"], rows, note)
    publish("robustness/hidden_parts", table, arguments.write)


def is_told(forward_func: Forward, image: Tensor, target: int) -> bool:
    """Tell whether a call warns of a part that hides from autograd."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PCIMWarning)
        PCIM(forward_func, gradients=Autograd()).attribute(image, target=target, n_steps=2)
    return any("hide from autograd" in str(warned.message) for warned in caught)


if __name__ == "__main__":
    torch.manual_seed(0)
    main()
