"""Result files: docs/results holds one CSV per table, with what made it in its first lines.

Benchmarks write them, benchmarks/page.py and the built documentation show them, and no figure is
typed by hand anywhere else. `pandas.read_csv(path, comment="#")` reads one.
"""

from __future__ import annotations

import argparse
import csv
import io
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import NamedTuple

import captum
import torch

RESULTS = Path(__file__).parents[1] / "docs" / "results"
_ENDS = (" low", " high")  # of the names of a spread's two further columns


class Spread(NamedTuple):
    """A figure and the two ends of its interval or range, as they are published."""

    figure: str
    low: str
    high: str

    @classmethod
    def of(cls, figure: float, low: float, high: float) -> Spread:
        """Publish three digits after the point."""
        return cls(f"{figure:.3f}", f"{low:.3f}", f"{high:.3f}")

    def __str__(self) -> str:
        return f"{self.figure} [{self.low}, {self.high}]" if self.figure else ""


Cell = str | Spread


@dataclass(frozen=True)
class Table:
    """A table of results.

    Attributes:
        title: What it is about.
        columns: Names of the columns; the first holds words. An arrow at the end of a name says
            which way is better.
        rows: One cell for each column, as it is published.
        note: What a reader has to know: what was measured, on what, how.
        command: That made it.
        date: On which it was made.
        versions: Of what it was made with, and the device.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    command: str = field(default_factory=lambda: running_command())
    date: str = field(default_factory=lambda: str(date.today()))
    versions: str = field(default_factory=lambda: running_versions())

    def column(self, name: str) -> dict[str, Cell]:
        """The cells of a column by the first cell of their row."""
        at = list(self.columns).index(name)
        return {str(row[0]): row[at] for row in self.rows}

    def markdown(
        self,
        columns: Mapping[str, str] | None = None,
        rows: Mapping[str, str] | None = None,
        intervals: bool = True,
    ) -> str:
        """The table as Markdown; what leads a column with an arrow, or could, is bold.

        Args:
            columns: Columns to show, with the names to show them under. Default: all.
            rows: Rows to show, by their first cell, likewise. They lead among all rows.
            intervals: Whether to show the ends of intervals.
        """
        columns = columns or {name: name for name in self.columns}
        places = [list(self.columns).index(name) for name in columns]
        best = {at: leaders([row[at] for row in self.rows], self.columns[at]) for at in places}
        rows = rows or {str(row[0]): str(row[0]) for row in self.rows}
        missing = set(rows) - {row[0] for row in self.rows}
        if missing:
            raise KeyError(f"{self.title}: no row {', '.join(sorted(missing))}")
        lines = [
            [_text(rows[row[0]] if at == 0 else row[at], intervals, i in best[at]) for at in places]
            for i, row in enumerate(self.rows)
            if row[0] in rows
        ]
        return markdown_table(list(columns.values()), lines)

    def origin(self) -> str:
        """The line that says where a table is from."""
        return f"`{self.command}` on {self.date}: {self.versions}."


def leaders(cells: Sequence[Cell], column: str) -> set[int]:
    """Where a column has its best figure, and figures inside the best one's interval.

    Nothing leads a column whose name has no arrow, nor are cells without interval compared with
    those that have one: chance levels and goals.
    """
    if not column.endswith(("↑", "↓")):
        return set()
    sign = -1 if column.endswith("↑") else 1
    known = {i: cell for i, cell in enumerate(cells) if isinstance(cell, Spread) and cell.figure}
    if not known:
        return set()
    best = min(known.values(), key=lambda cell: sign * float(cell.figure))
    edge = sign * float(best.high if sign == 1 else best.low)
    return {i for i, cell in known.items() if sign * float(cell.figure) <= edge}


def _text(cell: Cell, intervals: bool, bold: bool) -> str:
    text = cell.figure if isinstance(cell, Spread) and not intervals else str(cell)
    return f"**{text}**" if bold else text.replace("|", r"\|")


def write(name: str, table: Table, folder: Path = RESULTS) -> Path:
    """Write a table to `name`.csv, a path below the folder of results."""
    spreads = {at for row in table.rows for at, cell in enumerate(row) if isinstance(cell, Spread)}
    text = io.StringIO()
    for key in ("title", "note", "command", "date", "versions"):
        text.write(f"# {key}: {' '.join(getattr(table, key).split())}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        part
        for at, column in enumerate(table.columns)
        for part in ([column, *(column + end for end in _ENDS)] if at in spreads else [column])
    )
    for row in table.rows:
        writer.writerow(
            part
            for at, cell in enumerate(row)
            for part in (_parts(cell) if at in spreads else [cell])
        )
    path = folder / f"{name}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def _parts(cell: Cell) -> tuple[str, str, str]:
    return tuple(cell) if isinstance(cell, Spread) else (cell, "", "")


def read(name: str, folder: Path = RESULTS) -> Table:
    """Read a table; three columns of a spread are one again."""
    lines = (folder / f"{name}.csv").read_text(encoding="utf-8").splitlines()
    n_comments = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    origin = dict(line.removeprefix("# ").split(": ", 1) for line in lines[:n_comments])
    header, *rows = csv.reader(lines[n_comments:])
    spreads = {name for name in header if name + _ENDS[0] in header}
    hidden = {name + end for name in spreads for end in _ENDS}
    columns = [name for name in header if name not in hidden]
    return Table(
        columns=columns,
        rows=[[_cell(dict(zip(header, row, strict=True)), c, spreads) for c in columns]
              for row in rows],
        **origin,
    )  # fmt: skip


def _cell(row: dict[str, str], column: str, spreads: set[str]) -> Cell:
    if column in spreads and row[column + _ENDS[0]]:
        return Spread(row[column], *(row[column + end] for end in _ENDS))
    return row[column]


def names(folder: Path = RESULTS) -> list[str]:
    """The names of all tables."""
    return sorted(
        path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.csv")
    )


def add_write_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--write", action="store_true", help="write the tables to docs/results")


def publish(name: str, table: Table, keep: bool) -> None:
    """Print a table and, where asked to, write its file."""
    print(f"\n{table.title}\n\n{table.note}\n\n{table.markdown()}\n\n{table.origin()}", flush=True)
    if keep:
        print(f"{write(name, table)} written", file=sys.stderr)


def running_command() -> str:
    """The command that is running, without the folders of this machine."""
    module = sys.modules["__main__"].__spec__
    name = module.name.removesuffix(".__main__") if module else ""
    script = f"-m {name}" if name else Path(sys.argv[0]).name
    return " ".join(["python", script, *map(_without_folders, sys.argv[1:])])


def running_versions() -> str:
    device = _gpu() if torch.cuda.is_available() else "CPU"
    return (
        f"torch {torch.__version__}, captum {captum.__version__}, Python "
        f"{platform.python_version()}, {device}, {torch.get_num_threads()} threads"
    )


def _gpu() -> str:
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    driver = subprocess.run(query, capture_output=True, text=True, check=True).stdout.split()[0]
    return f"{torch.cuda.get_device_name()}, driver {driver}, CUDA {torch.version.cuda}"


def _without_folders(argument: str) -> str:
    """The last part of an absolute path: where it lies is this machine's own."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table; the first column is words, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
