"""Figures of a comparison: maps side by side, and insertion and deletion curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike
from torch import Tensor

from captum_pcim.metrics import Curve
from captum_pcim.visualize import composite
from captum_pcim.visualize.colours import Colours, default_windows

if TYPE_CHECKING:
    from captum_pcim.comparison.result import Comparison

_CELL = 1.5  # inches a panel
_COLOURS = "magma"


def plot_comparisons(
    *comparisons: Comparison, max_images: int = 8, colours: Colours = None
) -> Figure:
    """Draw one row per image: the image, its mask if there is one, and each method's map.

    All maps share one colour scale from 0 to 1. A method's unit is the 99.5th percentile of its
    relevance over all images of the comparison that are shown, and stands over its column, so rows
    of a column can be compared; negative relevance is drawn as 0, and the title says so.

    Args:
        comparisons: What to draw, one below the other.
        max_images: Only the first ones of each comparison are drawn.
        colours: As in :func:`captum_pcim.visualize.composite`.

    Returns:
        The figure; save it with `figure.savefig("maps.png")`.
    """
    n_rows = [min(len(comparison.case.inputs), max_images) for comparison in comparisons]
    n_columns = max(2 + len(comparison.runs) for comparison in comparisons)
    size = (_CELL * n_columns + 1, sum(_CELL * n + 0.7 for n in n_rows))
    figure = Figure(figsize=size, layout="constrained")
    parts = figure.subfigures(len(comparisons), 1, height_ratios=n_rows, squeeze=False)[:, 0]
    for part, comparison, n in zip(parts, comparisons, n_rows, strict=True):
        _draw_comparison(part, comparison, n, colours)
    return figure


def plot_curves(curves: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """Draw one panel per metric with every method's curve, averaged over images.

    Args:
        curves: Curves by metric and method, as `Comparison.curves()` returns them.

    Returns:
        The figure.

    Raises:
        ValueError: If there are no curves.
    """
    if not curves:
        raise ValueError("curves: none of the metrics is a curve")
    figure = Figure(figsize=(4.5 * len(curves) + 2, 4), layout="constrained")
    axes = figure.subplots(1, len(curves), squeeze=False, sharey=True)[0]
    for axis, (metric, by_method) in zip(axes, curves.items(), strict=True):
        for number, (method, curve) in enumerate(by_method.items()):
            style = ("-", "--", ":", "-.")[number // 10 % 4]
            axis.plot(curve.fractions.cpu(), curve.scores.mean(0).cpu(), style, label=method)
        axis.set(title=metric, xlabel="share of the pixels", ylabel="score of the target")
    axes[-1].legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize="small")
    return figure


def _draw_comparison(
    figure: SubFigure, comparison: Comparison, n_rows: int, colours: Colours
) -> None:
    columns = _image_columns(comparison, n_rows, colours)
    scaled = {name: _scaled(run.maps[:n_rows, 0]) for name, run in comparison.runs.items()}
    axes = figure.subplots(n_rows, len(columns) + len(scaled), squeeze=False)
    for column, (title, images) in enumerate(columns.items()):
        _draw_column(axes[:, column], title, images, "gray")
    norm = Normalize(0, 1)
    for column, (name, (title, maps)) in enumerate(scaled.items(), start=len(columns)):
        name = name.replace(", ", ",\n")
        _draw_column(axes[:, column], f"{name}\n{title}", maps, _COLOURS, norm)
    figure.colorbar(
        axes[0, -1].images[0],
        ax=axes,
        extend="max",
        pad=0.01,
        shrink=min(1.0, 2 / n_rows),
        label="relevance",
    )


def _image_columns(
    comparison: Comparison, n_rows: int, colours: Colours
) -> dict[str, Sequence[ArrayLike]]:
    case = comparison.case
    shown = case.inputs[:n_rows]
    windows = default_windows(shown, colours)
    pictures = [composite(image, windows, colours) for image in shown]
    columns: dict[str, Sequence[ArrayLike]] = {"image": pictures}
    if case.masks is not None:
        masks = case.masks[:n_rows].reshape(n_rows, *case.inputs.shape[2:]).cpu() > 0
        columns["truth"] = list(masks.numpy())
    return columns


def _scaled(maps: Tensor) -> tuple[str, Sequence[ArrayLike]]:
    """Return what 1 stands for, as a title, and the maps in that unit."""
    positive = maps.detach().float().cpu().clamp(min=0)
    ordered = positive.flatten().sort().values
    unit = ordered[round(0.995 * (len(ordered) - 1))]
    if unit == 0:  # fewer than one pixel in 200 is relevant at all
        unit = ordered[-1] if ordered[-1] > 0 else torch.tensor(1.0)
    title = f"1 = {unit.item():.2g}" + (", positive part" if bool((maps < 0).any()) else "")
    return title, list((positive / unit).numpy())


def _draw_column(
    axes: Any, title: str, images: Sequence[ArrayLike], colours: str, norm: Normalize | None = None
) -> None:
    for axis, image in zip(axes, images, strict=True):
        axis.imshow(image, cmap=colours, norm=norm, interpolation="nearest")
        axis.set_axis_off()
    axes[0].set_title(title, fontsize=6)
