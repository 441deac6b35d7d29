"""How a map comes about: the weights, and what they keep of the image, from step to step."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from captum_pcim.core.blending import blend
from captum_pcim.core.gradients import Autograd, ForwardOnly
from captum_pcim.core.objective import Blended
from captum_pcim.pcim import DEFAULT_STEPS, PCIM
from captum_pcim.visualize.canvas import AxesLike, figure_of, panels, show
from captum_pcim.visualize.colours import Colours, chosen_windows
from captum_pcim.visualize.composite import composite
from captum_pcim.visualize.maps import plot_map

_FRAMES = 5


def plot_path(
    pcim: PCIM,
    image: Tensor,
    target: int | None = None,
    steps: Sequence[int] | None = None,
    n_steps: int = DEFAULT_STEPS,
    baselines: Tensor | float | None = None,
    windows: ArrayLike | None = None,
    colours: Colours = None,
    axes: AxesLike | None = None,
) -> Figure:
    r"""Explain an image and draw its weights after chosen steps, and what each of them keeps.

    The upper row shows the weights alpha, 0 to 1, the lower the blends
    :math:`b + \alpha (x - b)` with the share of the image that they keep. The last column is the
    map that `pcim.attribute` returns. It is no further step: the last weights that held the class
    are dealt out in the order of their average over the steps, lifted where all are low, and
    settled below one half.

    Args:
        pcim: With its own objective, references and smoothing.
        image: Image of shape (C, H, W), or a stack (C, D, H, W).
        target: Class.
        steps: Numbers of steps done, from 0 to `n_steps - 1`. Default: five, evenly spread.
        n_steps: As in :meth:`captum_pcim.PCIM.attribute`.
        baselines: As in `attribute`, a number or an image that broadcasts. Default: the references
            of `pcim`, the first of which is drawn.
        windows: As in :func:`captum_pcim.visualize.stretch`.
        colours: As in :func:`captum_pcim.visualize.composite`.
        axes: Two rows of `len(steps) + 1`.

    Returns:
        The figure.

    Raises:
        ValueError: If a step is not in its range, or `pcim` explains from forward passes alone,
            which has no such path.

    Examples:
        >>> figure = plot_path(PCIM(model), inputs[0], target=1)
    """
    if isinstance(pcim.gradients, ForwardOnly):
        raise ValueError("pcim: expected gradients, got ForwardOnly, which trains no weights")
    chosen = [i * n_steps // _FRAMES for i in range(_FRAMES)] if steps is None else list(steps)
    if not all(0 <= step < n_steps for step in chosen):
        raise ValueError(f"steps: expected numbers from 0 to {n_steps - 1}, got {chosen}")
    inputs = image[None]
    given = baselines[None] if isinstance(baselines, Tensor) else baselines
    reference = pcim.references[0](inputs)[0, 0] if baselines is None else baselines

    recorder = _Recorder(n_steps)
    watched = copy.copy(pcim)
    watched.objective = (*pcim.objective, recorder)
    watched.gradients = Autograd()
    attributions = watched.attribute(inputs, baselines=given, target=target, n_steps=n_steps)
    frames = [(f"{step} steps", recorder.weights[step].expand_as(image)) for step in chosen]
    frames.append(("map", attributions[0].detach()))

    columns = len(frames)
    drawn = panels(axes, 2, columns)
    shared = chosen_windows(inputs, windows, colours)
    pairs = zip(frames, drawn[:columns], drawn[columns:], strict=True)
    for (title, weights), above, below in pairs:
        plot_map(weights, title, vmax=1, colour_bar=False, axes=above)
        blended = blend(image, torch.as_tensor(reference).to(image), weights)
        show(below, composite(blended, shared, colours), f"keeps {float(weights.mean()):.0%}")
    return figure_of(drawn[0])


class _Recorder:
    """A term of the objective that asks for nothing and remembers the weights of each step."""

    def __init__(self, n_steps: int) -> None:
        self.n_steps = n_steps
        self.weights: dict[int, Tensor] = {}

    def __call__(self, blended: Blended) -> Tensor:
        (weights,) = blended.weights
        step = round(float(blended.progress) * (self.n_steps - 1))
        self.weights[step] = weights[0].detach().clone()
        return torch.zeros_like(blended.preserved.log_odds)
