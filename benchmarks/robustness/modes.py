"""Every mode of `attribute` on small random networks, to compare states of the package with."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

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
from captum_pcim._compat import as_tuple
from captum_pcim.pcim import DEFAULT_STEPS


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


class Square(nn.Module):
    """The log-odds of the second of three classes rise with the brightness of a square.

    Args:
        sign: -1: they fall with it.
    """

    def __init__(self, sign: float = 1.0) -> None:
        super().__init__()
        self.sign = sign

    def forward(self, x: Tensor) -> Tensor:
        odds = 30 * self.sign * (x[:, 0, 6:18, 8:20].mean((1, 2)) - 0.5)
        return torch.stack([-odds / 2, odds, -odds], dim=1)


def squares() -> Tensor:
    """Return dim images with the square of `Square` ever brighter, and one that is flat."""
    x = 0.3 * images(5, 2, 40, 36)
    x[:, 0, 6:18, 8:20] += torch.tensor([0.3, 0.45, 0.6, 0.8, 0.0]).view(-1, 1, 1)
    x[4] = 0.2
    return x


def images(*shape: int) -> Tensor:
    """Return smooth random images."""
    generator = torch.Generator().manual_seed(sum(shape))
    x = torch.rand(*shape, generator=generator)
    for axis in range(2, len(shape)):
        x = (x + x.roll(1, axis) + x.roll(2, axis)) / 3
    return x


def cases(device: str = "cpu") -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the name of each mode and a call that explains with it, images on some device."""
    two, x = network(2).to(device), images(5, 2, 40, 36).to(device)
    y = torch.tensor([0, 1, 2, 1, 0])

    def call(**options: Any) -> Callable[[], Any]:
        constructor = {k[6:]: options.pop(k) for k in list(options) if k.startswith("pcim__")}
        forward = options.pop("network", two)
        forward = forward.to(device) if isinstance(forward, nn.Module) else forward
        inputs = options.pop("inputs", x)
        inputs = tuple(own.to(device) for own in as_tuple(inputs))
        inputs = inputs if len(inputs) > 1 else inputs[0]
        target = options.pop("target", y)
        options = {"n_steps": 14, "return_diagnostics": True} | options
        return lambda: PCIM(forward, **constructor).attribute(inputs, target=target, **options)

    mask = (torch.arange(40)[:, None] // 8 * 5 + torch.arange(36) // 8)[None, None]
    per_image = torch.cat([mask, mask.flip(3), mask.flip(2), mask, mask])
    yield "default", call(n_steps=DEFAULT_STEPS)
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
    yield from _cases_of_evidence(call, squares().to(device))


def _cases_of_evidence(
    call: Callable[..., Callable[[], Any]], x: Tensor
) -> Iterator[tuple[str, Any]]:
    """Yield modes whose images show a class, more or less, where it is known."""
    square = Square()

    def over_places(z: Tensor) -> Tensor:
        return torch.stack([square(z), square(z.flip(0)), -square(z)], dim=2)

    def by_chance(z: Tensor) -> Tensor:
        return square(z) + 0.3 * torch.randn(len(z), 3, device=z.device)

    def half_hidden(z: Tensor) -> Tensor:
        return square(z) + square(z.detach())

    def steep(z: Tensor) -> Tensor:
        return square(z.sqrt() * (z > 0.1))

    seen = {"inputs": x, "target": 1, "n_steps": 30}
    yield "evidence", call(network=square, **seen)
    yield "evidence, two steps", call(network=square, **seen | {"n_steps": 2})
    yield "evidence, early stop", call(network=square, tolerance=0.05, **seen)
    yield "evidence, one image", call(network=square, **seen | {"inputs": x[2:3]})
    yield (
        "evidence, half precision",
        call(network=lambda z: square(z.float()), **seen | {"inputs": x.half()}),
    )
    yield "predicted", call(network=square, **seen | {"target": "predicted"})
    yield "contrast", call(network=square, contrast=2, **seen)
    yield (
        "contrast per image",
        call(network=square, contrast=torch.tensor([0, 2, 0, 2, 0]), internal_batch_size=4, **seen),
    )
    yield "place", call(network=over_places, **seen | {"target": (1, 0)})
    places = [(1, 0), (0, 1), (1, 2), (2, 2), (0, 0)]
    yield "place per image", call(network=over_places, **seen | {"target": places})
    yield "dark", call(network=Square(-1.0), **seen)
    yield (
        "sure",
        call(network=lambda z: (20 * square(z)).softmax(1), pcim__score="probabilities", **seen),
    )
    yield (
        "sigmoids",
        call(network=lambda z: square(z).sigmoid(), pcim__score="binary_probabilities", **seen),
    )
    yield "chance", call(network=by_chance, **seen)
    yield "hidden", call(network=half_hidden, **seen)
    yield "steep", call(network=steep, **seen)
    yield (
        "price",
        call(network=square, pcim__objective=(Preservation(), Removal(), Area(0.5, 2000)), **seen),
    )
    yield "flat", call(network=square, baselines=x, **seen)
    yield (
        "quantity",
        call(
            network=lambda z: square(z)[:, 1], pcim__score="regression", **seen | {"target": None}
        ),
    )
    yield (
        "forward only, evidence",
        call(
            network=square, pcim__gradients=ForwardOnly(121), pcim__isolation=Factorised(), **seen
        ),
    )
