"""Do two states of the package give the same maps, bit for bit?

``python -m benchmarks.robustness.same_bits --write before.json`` writes the SHA-256 of the tensors
of every mode of `attribute`; after a change that may not change a map, ``--against before.json``
compares and the exit status says whether all are equal. Bits differ between machines and versions
of torch, so both runs belong on one machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import captum_pcim
from captum_pcim import (
    PCIM,
    Area,
    Background,
    Blur,
    Constant,
    ControlImages,
    DistributionPreservation,
    Factorised,
    ForwardOnly,
    PerStain,
    Preservation,
    Removal,
    Smoothing,
    Smoothness,
)


def network(n_axes: int, stains: int = 2, classes: int = 3) -> nn.Module:
    """Return a small random network for images with 0 to 3 spatial axes."""
    torch.manual_seed(0)
    if n_axes == 0:
        return nn.Sequential(nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, classes)).eval()
    convolution = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[n_axes - 1]
    layers = convolution(stains, 6, 5, padding=2), nn.ReLU(), convolution(6, classes, 3, padding=1)
    return nn.Sequential(*layers, Mean()).eval()


class Mean(nn.Module):
    """Scores are means over all pixels, times eight, so that they differ between images."""

    def forward(self, x: Tensor) -> Tensor:
        return 8 * x.flatten(2).mean(2)


class Two(nn.Module):
    """A network of two inputs and a per-image factor."""

    def __init__(self) -> None:
        super().__init__()
        self.image, self.features = network(2), network(0)

    def forward(self, image: Tensor, features: Tensor, factor: Tensor) -> Tensor:
        return self.image(image) + factor[:, None] * self.features(features)


def images(*shape: int) -> Tensor:
    """Return smooth random images."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.rand(*shape, generator=generator)
    for axis in range(2, len(shape)):
        x = (x + x.roll(1, axis) + x.roll(2, axis)) / 3
    return x


def cases() -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of each mode and a call that explains with it."""
    two, x = network(2), images(5, 2, 40, 36)
    y = torch.tensor([0, 1, 2, 1, 0])

    def call(**options: Any) -> Callable[[], Any]:
        constructor = {k[6:]: options.pop(k) for k in list(options) if k.startswith("pcim__")}
        forward = options.pop("network", two)
        inputs = options.pop("inputs", x)
        target = options.pop("target", y)
        options = {"n_steps": 14, "return_diagnostics": True} | options
        return lambda: PCIM(forward, **constructor).attribute(inputs, target=target, **options)

    mask = (torch.arange(40)[:, None] // 8 * 5 + torch.arange(36) // 8)[None, None]
    per_image = torch.cat([mask, mask.flip(3), mask.flip(2), mask, mask])
    yield "default", call(n_steps=48)
    yield "target int", call(target=1)
    yield "target list", call(target=[0, 1, 2, 1, 0])
    yield "per stain", call(pcim__isolation=PerStain())
    yield "factorised", call(pcim__isolation=Factorised())
    yield "groups", call(feature_mask=mask)
    yield "groups per image", call(feature_mask=per_image)
    yield "early stop", call(n_steps=48, tolerance=0.02)
    yield "early stop per stain", call(n_steps=48, tolerance=0.02, pcim__isolation=PerStain())
    yield "chunks", call(internal_batch_size=4)
    yield "rows", call(internal_batch_size=1)
    yield "baselines", call(baselines=0.2)
    yield "baselines per image", call(baselines=x.flip(0), internal_batch_size=4)
    yield "sampled references", call(pcim__order="sample", pcim__seed=3)
    references = (
        Background(0.3),
        Blur(2.0),
        Constant((0.1, 0.4)),
        ControlImages(images(2, 2, 40, 36)),
    )
    yield "references", call(pcim__references=references)
    terms = DistributionPreservation(0.5), Removal(2.0), Area(0, 40), Smoothness(0.1)
    yield "objective", call(pcim__objective=terms)
    yield "preservation", call(pcim__objective=(Preservation(), Area(1, 9)))
    yield "smoothing", call(pcim__smoothing=Smoothing(3.0, 1.0))
    yield "no smoothing", call(pcim__smoothing=Smoothing(0.0))
    yield "bfloat16", call(pcim__autocast_dtype=torch.bfloat16)
    yield "double", call(network=network(2).double(), inputs=x.double())
    yield "regression", call(pcim__score="regression")
    yield "binary logits", call(pcim__score="binary_logits")
    probabilities = nn.Sequential(two, nn.Softmax(1)).eval()
    yield "probabilities", call(network=probabilities, pcim__score="probabilities")
    yield "confident", call(network=lambda z: 300 * two(z))
    yield "one score", call(network=lambda z: two(z)[:, 1], target=None)
    yield "features", call(network=network(0), inputs=images(5, 12))
    yield "signals", call(network=network(1), inputs=images(5, 2, 64))
    yield "stacks", call(network=network(3), inputs=images(5, 2, 6, 20, 18))
    yield (
        "tuple",
        call(
            network=Two().eval(),
            inputs=(x, images(5, 12)),
            additional_forward_args=(x[:, 0, 0, 0],),
        ),
    )
    yield "forward only", call(network=lambda z: two(z.detach()).detach(),
        pcim__gradients=ForwardOnly(120), perturbations_per_eval=7)  # fmt: skip
    yield (
        "forward only, auto",
        call(
            network=lambda z: two(z.detach()).detach(),
            inputs=x[:2],
            target=1,
            perturbations_per_eval=50,
        ),
    )
    yield (
        "forward only, groups",
        call(
            network=two, pcim__gradients=ForwardOnly(120), feature_mask=mask, internal_batch_size=30
        ),
    )
    yield (
        "forward only, per stain",
        call(pcim__gradients=ForwardOnly(120), pcim__isolation=PerStain()),
    )
    yield "forward only, integers", call(
        network=lambda z: two(z / 255).detach(), pcim__gradients=ForwardOnly(100),
        inputs=(255 * x).byte())  # fmt: skip


def tensors(result: Any) -> Iterator[Tensor]:
    """Yield every tensor of maps, tuples and diagnostics."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, (tuple, list)):
        for part in result:
            yield from tensors(part)
    elif dataclasses.is_dataclass(result):
        for field in dataclasses.fields(result):
            yield from tensors(getattr(result, field.name))


def digest(result: Any) -> list[str]:
    """Return the SHA-256 of every tensor's shape, dtype and bytes."""
    return [
        hashlib.sha256(f"{tuple(t.shape)} {t.dtype} ".encode() + t.contiguous().numpy().tobytes())
        .hexdigest()[:16]
        for t in tensors(result)
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="where to write the digests of this state")
    parser.add_argument("--against", type=Path, help="digests of another state to compare with")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        now = {name: digest(call()) for name, call in cases()}
    print(f"captum_pcim {captum_pcim.__version__}, torch {torch.__version__}: "
          f"{len(now)} modes, {sum(map(len, now.values()))} tensors")  # fmt: skip
    if args.write:
        args.write.write_text(json.dumps(now, indent=1))
    if not args.against:
        return 0
    before = json.loads(args.against.read_text())
    differing = [name for name in before | now if before.get(name) != now.get(name)]
    for name in before | now:
        print(f"{'DIFFERS' if name in differing else 'same bits':10} {name}")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
