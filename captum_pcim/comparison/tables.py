"""A comparison on the disk: its table as CSV and text, and its figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_pcim._files import write_bytes
from captum_pcim.comparison.result import table_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_table(folder: Path, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of equal keys as `<name>.csv`, in full precision, and as `<name>.txt`.

    Args:
        folder: Where to; it must exist.
        name: File name without a suffix.
        rows: The table; None becomes an empty cell.
    """
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_bytes(folder / f"{name}.csv", stream.getvalue().encode())
    write_bytes(folder / f"{name}.txt", (table_text(rows) + "\n").encode())


def write_figure(folder: Path, name: str, figure: Figure) -> None:
    """Write a figure as `<name>.png`.

    Args:
        folder: Where to; it must exist.
        name: File name without a suffix.
        figure: The figure.
    """
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=150)
    write_bytes(folder / f"{name}.png", stream.getvalue())
