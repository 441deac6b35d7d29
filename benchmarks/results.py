"""Sections of docs/benchmarks.md, each written by the script that made its numbers.

A section stands between two comments that name it. Writing it again replaces what is between them
and leaves the rest of the file alone.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import captum
import torch

BENCHMARKS = Path(__file__).parents[1] / "docs" / "benchmarks.md"
_TITLE = "# Benchmarks\n"


def add_write_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--write", action="store_true", help="replace this script's section of docs/benchmarks.md"
    )


def publish(name: str, text: str, write: bool) -> None:
    """Print a section and, where asked to, put it into docs/benchmarks.md with its origin."""
    print(text)
    if write:
        write_section(name, f"{text.rstrip()}\n\n{origin()}")
        print(f"\nsection {name!r} of {BENCHMARKS} replaced", file=sys.stderr)


def origin() -> str:
    """The command that is running, the day and what it ran on."""
    module = sys.modules["__main__"].__spec__
    script = f"-m {module.name.removesuffix('.__main__')}" if module else Path(sys.argv[0]).name
    arguments = " ".join(_without_folders(argument) for argument in sys.argv[1:])
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    return (
        f"Made by `python {script} {arguments}`".rstrip("` ") + f"` on {date.today()}: torch "
        f"{torch.__version__}, captum {captum.__version__}, Python {platform.python_version()}, "
        f"{device}, {torch.get_num_threads()} threads."
    )


def _without_folders(argument: str) -> str:
    """The last part of an absolute path: where it lies is this machine's own."""
    return Path(argument).name if Path(argument).is_absolute() else argument


def write_section(name: str, text: str, path: Path = BENCHMARKS) -> None:
    """Put text between the section's marks, at the end of the file if it has none yet.

    Args:
        name: Name of the section, in its marks.
        text: Markdown, usually with a heading of its own.
        path: The file; it is made where it does not exist.
    """
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n{text.strip()}\n{end}"
    old = path.read_text() if path.exists() else _TITLE
    if old.count(begin) > 1 or old.count(begin) != old.count(end):
        raise ValueError(f"{path}: the marks of section {name!r} do not come in one pair")
    if begin in old:
        before, rest = old.split(begin)
        new = before + section + rest.split(end)[1]
    else:
        new = f"{old.rstrip()}\n\n{section}\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(new)


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as a table; the first column is words, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
