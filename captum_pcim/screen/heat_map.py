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
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    array = plate_array(values)
    rows, columns = array.shape
    width, height = 2 + columns * 0.3, 1.2 + rows * 0.3  # inches: 0.3 a well, and its margins
    figure = Figure(figsize=(width, height))
    canvas = FigureCanvasAgg(figure)
    plate = (0.5 / width, 0.3 / height, columns * 0.3 / width, rows * 0.3 / height)
    axes = figure.add_axes(plate)
    drawn = axes.pcolormesh(
        np.ma.masked_invalid(array), vmin=0, vmax=1, cmap="cividis", edgecolors="white"
    )
    axes.set_facecolor("lightgrey")
    axes.invert_yaxis()
    axes.set_xticks(np.arange(columns) + 0.5, [str(i + 1) for i in range(columns)], fontsize=7)
    axes.set_yticks(np.arange(rows) + 0.5, [row_letters(i) for i in range(rows)], fontsize=7)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.set_title(title.replace("$", r"\$"), fontsize=10)
    bar = figure.add_axes((plate[0] + plate[2] + 0.3 / width, plate[1], 0.2 / width, plate[3]))
    figure.colorbar(drawn, cax=bar)
    content = io.BytesIO()
    figure.set_dpi(90)
    canvas.print_png(content)
    return content.getvalue()
