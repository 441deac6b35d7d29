"""What the network keeps, loses and answers: blends, insertion and deletion, shares of cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from torch import Tensor

from captum_pcim.core.blending import blend
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics import deletion, insertion, object_shares
from captum_pcim.metrics.curves import Curve, as_baseline_images, blend_by_rank
from captum_pcim.metrics.relevance import pixel_relevance, relevance_ranks
from captum_pcim.visualize.canvas import AxesLike, figure_of, panels, show
from captum_pcim.visualize.colours import Colours, chosen_windows
from captum_pcim.visualize.composite import composite

FRACTIONS = (0.02, 0.1, 0.3, 0.6)
_BAR, _MARKED_BAR, _CHANCE = "0.6", "tab:orange", "black"


def plot_blends(
    image: Tensor,
    attributions: Tensor,
    reference: Tensor | float,
    windows: ArrayLike | None = None,
    colours: Colours = None,
    axes: AxesLike | None = None,
) -> Figure:
    r"""Draw image, blend and complement: all there is, what the network was left, what it lost.

    The blend is :math:`b + \alpha (x - b)`, the complement :math:`b + (1 - \alpha)(x - b)`, for the
    image x, the weights alpha and the reference b. All three share the image's windows.

    Args:
        image: Image of shape (C, H, W), or a stack (C, D, H, W).
        attributions: Weights in [0, 1], of the image's shape.
        reference: A number or an image that broadcasts to it, for example
            `Background()(inputs)[0, i]`.
        windows: As in :func:`captum_pcim.visualize.stretch`.
        colours: As in :func:`captum_pcim.visualize.composite`.
        axes: Three.

    Returns:
        The figure.

    Raises:
        ValueError: If weights lie outside [0, 1]: attributions of other methods are no weights.
    """
    low, high = float(attributions.min()), float(attributions.max())
    if low < 0 or high > 1:
        raise ValueError(f"attributions: expected weights in [0, 1], got {low:g} to {high:g}")
    # The windows of the image also where parts of it are gone.
    shared = chosen_windows(image[None], windows, colours)
    shown = torch.as_tensor(reference).to(image)
    pictures = {
        "image": image,
        "blend: kept": blend(image, shown, attributions),
        "complement: lost": blend(image, shown, 1 - attributions),
    }
    drawn = panels(axes, 1, 3)
    for axis, (title, picture) in zip(drawn, pictures.items(), strict=True):
        show(axis, composite(picture, shared, colours), title)
    return figure_of(drawn[0])


def plot_fidelity(
    forward_func: Callable[..., Tensor],
    image: Tensor,
    attributions: Tensor,
    target: int | None = None,
    baselines: Tensor | float = 0.0,
    fractions: Sequence[float] = FRACTIONS,
    windows: ArrayLike | None = None,
    axes: AxesLike | None = None,
    colours: Colours = None,
    score: ScoreKind = "logits",
) -> Figure:
    """Draw insertion and deletion of one image, with what the network saw at chosen points.

    Args:
        forward_func: As in :func:`captum_pcim.metrics.insertion`.
        image: Image of shape (C, H, W).
        attributions: Its attributions, of shape (C, H, W) or (1, H, W).
        target: Class.
        baselines: What stands where nothing was inserted: a number or an image that broadcasts.
        fractions: Shares of the pixels to show the image at, in [0, 1].
        windows: As in :func:`captum_pcim.visualize.stretch`.
        axes: Two rows of `1 + len(fractions)`: insertion, then deletion.
        colours: As in :func:`captum_pcim.visualize.composite`.
        score: What the outputs mean, as in :func:`captum_pcim.metrics.insertion`.

    Returns:
        The figure.

    Raises:
        ValueError: If shapes do not fit or a fraction is not in [0, 1].
    """
    if not all(0 <= fraction <= 1 for fraction in fractions):
        raise ValueError(f"fractions: expected shares in [0, 1], got {list(fractions)}")
    inputs, maps = image[None], attributions[None]
    baseline = as_baseline_images(baselines, inputs)
    columns = 1 + len(fractions)
    drawn = panels(axes, 2, columns)
    shared = chosen_windows(inputs, windows, colours)
    for row, (metric, start, end) in enumerate(
        [(insertion, baseline, inputs), (deletion, inputs, baseline)]
    ):
        own = drawn[row * columns : (row + 1) * columns]
        curve = metric(forward_func, inputs, maps, target, baseline, score=score)
        _draw_curve(own[0], curve, metric.__name__, fractions)
        pictures = _replaced(start, end, maps, fractions)
        for axis, picture, fraction in zip(own[1:], pictures, fractions, strict=True):
            show(axis, composite(picture, shared, colours), f"{fraction:.0%}")
    return figure_of(drawn[0])


def plot_objects(
    attributions: Tensor,
    label_image: Tensor,
    marked: Sequence[int] = (),
    most: int = 20,
    axes: AxesLike | None = None,
) -> Figure:
    """Draw the share of the map that lies on each object, with its share of the area.

    An object is remarkable as far as its bar stands above its area.

    Args:
        attributions: Attributions of one image, (C, H, W).
        label_image: Labels of shape (H, W), integers; 0 is background.
        marked: Labels whose bars are orange, for example cells that are known to be positive.
        most: Draw only so many objects, those with the largest shares.
        axes: One.

    Returns:
        The figure.

    Raises:
        ValueError: If the image has no object.
    """
    numbers = label_image.long()  # torch compares no unsigned 16 bits
    labels = numbers.unique()
    labels = labels[labels > 0]
    if not len(labels):
        raise ValueError("label_image: expected objects numbered from 1, got background only")
    shares = object_shares(attributions[None], label_image[None])[0, labels]
    areas = torch.stack([(numbers == label).float().mean() for label in labels])
    order = shares.argsort(descending=True)[:most]
    names = [int(label) for label in labels[order]]
    (axis,) = panels(axes, 1, 1)
    colours = [_MARKED_BAR if name in marked else _BAR for name in names]
    places = np.arange(len(names))
    axis.bar(places, shares[order].cpu().numpy(), color=colours)
    axis.plot(places, areas[order].cpu().numpy(), "_", color=_CHANCE, label="share of the area")
    axis.set_xticks(places, [str(name) for name in names], fontsize="x-small")
    axis.set(xlabel="object", ylabel="share of the attribution")
    axis.legend(fontsize="x-small")
    return figure_of(axis)


def _draw_curve(axis: Axes, curve: Curve, name: str, fractions: Sequence[float]) -> None:
    x, y = curve.fractions.cpu().numpy(), curve.scores[0].cpu().numpy()
    axis.plot(x, y)
    axis.plot(fractions, np.interp(fractions, x, y), "o", color="tab:orange", markersize=4)
    share = y.min() >= 0 and y.max() <= 1  # a quantity may lie anywhere
    axis.set(ylim=(0, 1.02) if share else None, xlabel="share of the pixels")
    axis.set_title(f"{name}, area {float(curve.auc[0]):.2f}", fontsize="small")


def _replaced(start: Tensor, end: Tensor, maps: Tensor, fractions: Sequence[float]) -> list[Tensor]:
    """Return the image, (C, H, W), with each share of its pixels replaced, highest first."""
    ranks = relevance_ranks(pixel_relevance(maps), seed=0)
    thresholds = torch.tensor([round(f * ranks[0].numel()) for f in fractions])
    blends = blend_by_rank(ranks, thresholds.to(ranks.device), end, start, len(fractions))
    return [picture[0] for stack in blends for picture in stack]
