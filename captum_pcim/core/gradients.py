"""Where the gradient of the blending weights comes from: autograd, or forward passes alone.

`PCIM(forward_func, gradients=...)` takes one of these, or "auto": autograd where the forward
function is differentiable with respect to its inputs, :class:`ForwardOnly` with its defaults, and a
warning that says so, where it is not. Everything else stays the same: objective, references,
channels, solver, and the arguments of `attribute`.
"""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar, Literal, Protocol, get_args, runtime_checkable

import torch
from torch import nn
from torch.torch_version import TorchVersion

from captum_pcim.core import solver
from captum_pcim.core.checks import check_choice, check_positive
from captum_pcim.core.forward_only import sampler
from captum_pcim.core.network import Network, RunNetwork
from captum_pcim.core.solver import Solve

OnError = Literal["raise", "return"]


@dataclass(frozen=True)
class Load:
    """What one call of `attribute` puts on the network at once.

    Args:
        n_images (int): Images in the call.
        internal_batch_size (int or None): Most rows the network sees at once.
        perturbations_per_eval (int): Rows per image in one call of the network, forward-only.
    """

    n_images: int
    internal_batch_size: int | None
    perturbations_per_eval: int

    @property
    def blends_at_once(self) -> int:
        """Most blends that are made together, each with its complement."""
        wanted = self.n_images * max(1, self.perturbations_per_eval // 2)
        if self.internal_batch_size is None:
            return wanted
        return min(wanted, max(1, self.internal_batch_size // 2))


@runtime_checkable
class GradientSource(Protocol):
    """Knows its solver, what it puts on the network, and how much progress there is to show."""

    takes_integers: ClassVar[bool]
    differentiates: ClassVar[bool]

    def images_at_once(self, load: Load) -> int:
        """Return how many images are explained together."""
        ...

    def n_updates(self, n_steps: int) -> int:
        """Return how much progress there is to show of each image."""
        ...

    def solver(self, network: Network, load: Load, seed: int) -> tuple[RunNetwork, Solve]:
        """Return the network, called as this source needs it, and the solver."""
        ...


@dataclass(frozen=True)
class Autograd:
    """Differentiate the network; two forward and two backward passes of an image per step.

    Args:
        cuda_graphs (bool): On a GPU, replay the steps as CUDA graphs, which pays where the network
            or the batch is so small that launching its kernels takes longer than running them. The
            network must do the same at every call, on the device alone; terms of the objective get
            the progress as a tensor. Where a step cannot be captured, it goes on without and says
            so. Not for networks that draw random numbers on the host.

    Examples:
        >>> pcim = PCIM(model.cuda(), gradients=Autograd(cuda_graphs=True))
        >>> attributions = pcim.attribute(image.cuda(), target=1)
    """

    takes_integers: ClassVar[bool] = False
    differentiates: ClassVar[bool] = True

    cuda_graphs: bool = False

    def __post_init__(self) -> None:
        """Refuse graphs where they cannot be given up safely."""
        if self.cuda_graphs and TorchVersion(torch.__version__) < "2.4":
            raise ValueError(
                f"gradients: expected torch 2.4 or newer for cuda_graphs=True, got "
                f"{torch.__version__}"
            )

    def images_at_once(self, load: Load) -> int:
        """Return how many images fit, at two rows each: all, if nothing was said."""
        return min(load.n_images, load.blends_at_once)

    def n_updates(self, n_steps: int) -> int:
        """Return the steps of each image."""
        return n_steps

    def solver(self, network: Network, load: Load, seed: int) -> tuple[RunNetwork, Solve]:
        """Return the network, row by row where only one was allowed, and the solver."""
        rows = 1 if load.internal_batch_size == 1 else None
        return network.taking(rows), partial(solver.solve, cuda_graphs=self.cuda_graphs)


@dataclass(frozen=True)
class ForwardOnly:
    """Learn what the network answers from forward passes alone, see `forward_only`.

    For anything that turns a batch of images into scores: ONNX sessions, compiled engines, models
    of other frameworks, scikit-learn pipelines, remote services. Inputs may also be integers, as
    cameras give them; masked images are then rounded to the inputs' dtype.

    Args:
        n_forwards (int): Passes per image, all told: the image itself, a second time to see
            whether its score repeats, each reference, masked images, and two per reference
            that score the result, which are only made where diagnostics are asked for.
        on_error (str): "raise" (default), or "return": where the forward function fails after
            the first images were scored, return the maps of the passes so far with a warning;
            masks that score NaN are left out. Diagnostics that could not be measured are NaN.

    Examples:
        >>> pcim = PCIM(OnnxForward("model.onnx"), gradients=ForwardOnly(n_forwards=500))
        >>> attributions = pcim.attribute(inputs, target=1, perturbations_per_eval=32)
    """

    takes_integers: ClassVar[bool] = True
    differentiates: ClassVar[bool] = False

    n_forwards: int = 333
    on_error: OnError = "raise"

    def __post_init__(self) -> None:
        """Check the settings where they are given, not where they are used."""
        check_positive("n_forwards", self.n_forwards)
        check_choice("on_error", self.on_error, get_args(OnError))

    def images_at_once(self, load: Load) -> int:
        """Return all images: what is chunked is their blends."""
        return load.n_images

    def n_updates(self, n_steps: int) -> int:
        """Return the passes of each image."""
        return self.n_forwards

    def solver(self, network: Network, load: Load, seed: int) -> tuple[RunNetwork, Solve]:
        """Return the network, and the sampler that stands in for the solver."""
        rows = load.n_images * load.perturbations_per_eval
        network = network.taking(min(rows, load.internal_batch_size or rows))
        forgiving = self.on_error == "return"
        plan = sampler.Plan(self.n_forwards, load.blends_at_once, forgiving, seed)
        called = sampler.Lenient(network) if forgiving else network
        return called, partial(sampler.solve, plan=plan)


Gradients = Literal["auto"] | GradientSource


def check_gradients(gradients: object) -> None:
    """Refuse anything but "auto" and what is a source of gradients."""
    is_source = isinstance(gradients, GradientSource) and not isinstance(gradients, type)
    if gradients != "auto" and not is_source:
        raise ValueError(
            f"gradients: expected 'auto', Autograd() or ForwardOnly(...), got {gradients!r}"
        )


def takes_integers(gradients: Gradients, forward_func: object) -> bool:
    """Tell whether images may be integers."""
    if isinstance(gradients, GradientSource):
        return gradients.takes_integers
    # A module that is given integers under "auto" is far more often a forgotten .float().
    return not isinstance(forward_func, nn.Module)
