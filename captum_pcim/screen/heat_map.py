"""A plate as a picture: one square per well, A01 to P24."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from captum_pcim.screen.plate import row_and_column, row_letters

SHAPES = ((8, 12), (16, 24), (32, 48))  # 96, 384 and 1536 wells


def plate_array(values: Mapping[str, float]) -> npt.NDArray[np.float64]:
    """Lays wells out as the smallest common plate that holds them; NaN where there is no value.

    Args:
        values: A number for each well, by its name.

    Returns:
        Array of shape (8, 12), (16, 24) or (32, 48).
    """
    places = {row_and_column(well): value for well, value in values.items()}
    height = max((row for row, _ in places), default=0)
    width = max((column for _, column in places), default=0)
    shape = next((s for s in SHAPES if height < s[0] and width < s[1]), (height + 1, width + 1))
    array = np.full(shape, np.nan)
    for place, value in places.items():
        array[place] = value
    return array


def draw_heat_map(values: Mapping[str, float], title: str) -> bytes:
    """Draws numbers in [0, 1] as a plate, wells without one in grey.

    Returns:
        A PNG file.
    """
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    array = plate_array(values)
    rows, columns = array.shape
    figure = Figure(figsize=(2 + columns * 0.3, 1.2 + rows * 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    colours = colormaps["cividis"].with_extremes(bad="lightgrey")
    drawn = axes.imshow(array, vmin=0, vmax=1, cmap=colours)
    axes.set_xticks(range(columns), [str(column + 1) for column in range(columns)], fontsize=7)
    axes.set_yticks(range(rows), [row_letters(row) for row in range(rows)], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(which="both", length=0)
    axes.set_xticks(np.arange(columns) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.set_title(title.replace("$", r"\$"), fontsize=10)
    figure.colorbar(drawn, shrink=0.6)
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=90)
    return content.getvalue()
