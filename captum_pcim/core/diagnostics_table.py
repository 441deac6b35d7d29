"""Diagnostics as a table: a row per image, a column for each of its single values."""

import html
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from torch import Tensor

MOST_ROWS = 50  # are shown; a data frame has all


def columns(diagnostics: Any) -> dict[str, list[Any]]:
    """Return the values of every image by name, of all that has one value per image."""
    found = {}
    for field in fields(diagnostics):
        values = getattr(diagnostics, field.name)
        if isinstance(values, Tensor) and values.ndim == 1:
            found[field.name] = values.tolist()
        elif isinstance(values, tuple | list) and all(isinstance(v, str) for v in values):
            found[field.name] = list(values)
    return found


def as_text(diagnostics: Any) -> str:
    """Return the table as lines of text."""
    header, rows, left_out = _cells(diagnostics)
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [_line(row, widths) for row in (header, *rows)]
    return "\n".join([f"Diagnostics of {len(diagnostics)} images", *lines, *left_out])


def as_html(diagnostics: Any) -> str:
    """Return the table as notebooks show it."""
    header, rows, left_out = _cells(diagnostics)
    head = "".join(f"<th>{html.escape(name)}</th>" for name in header)
    body = "".join(
        f"<tr>{''.join(f'<td>{html.escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    rest = "".join(f"<p>{text}</p>" for text in left_out)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def _cells(diagnostics: Any) -> tuple[list[str], list[list[str]], list[str]]:
    """Return the header, the rows that are shown, and a line about the others, if any."""
    n_images = len(diagnostics)
    shown = diagnostics[:MOST_ROWS]
    values = {"image": list(range(len(shown))), **columns(shown)}
    values["verdict"] = values.pop("verdict")  # words stand last
    rows = [list(map(_cell, row)) for row in zip(*values.values(), strict=True)]
    left_out = [f"and {n_images - MOST_ROWS} more images"] if n_images > MOST_ROWS else []
    return [name.replace("_", " ") for name in values], rows, left_out


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    *numbers, verdict = row
    return "  ".join([*map(str.rjust, numbers, widths), verdict])
