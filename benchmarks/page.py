"""Fills the figures of the pages from the result files; no figure is typed by hand.

    python -m benchmarks.page            # says what is out of date
    python -m benchmarks.page --write    # brings it up to date

A table stands between two comments; the first names the result file and, on lines of their own,
what to show of it, each with the name to show it under, if another:

    <!-- results: quality/development_fluorescence
    columns: method = fluorescence; deletion, blur ↓ = deletion ↓
    rows: PCIM; Occlusion
    without: intervals, origin
    -->
    <!-- end results -->

and a figure within a sentence between `<!-- result: file; row; column -->` and `<!-- end -->`.
"""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from pathlib import Path

from benchmarks.results import Spread, names, read

ROOT = Path(__file__).parents[1]
PAGES = (
    ROOT / "README.md",
    *(
        ROOT / "docs" / f"{n}.md"
        for n in ("benchmarks", "choosing_references", "scaling", "testing", "what_differs")
    ),
)
BLOCK = re.compile(r"(<!-- results: (.*?)-->\n).*?(<!-- end results -->)", re.DOTALL)
INLINE = re.compile(r"(<!-- result: ([^>]*?) -->).*?(<!-- end -->)")
COLUMNS_AT_ONCE = 7  # of a table of the appendix, besides the first


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="bring the pages up to date")
    arguments = parser.parse_args()
    n_stale = 0
    for page in PAGES:
        old = page.read_text(encoding="utf-8")
        new = filled(old)
        n_stale += new != old
        if arguments.write:
            page.write_text(new, encoding="utf-8")
        else:
            lines = old.splitlines(True), new.splitlines(True)
            sys.stdout.writelines(difflib.unified_diff(*lines, str(page.name), "result files"))
    return 1 if n_stale and not arguments.write else 0


def filled(text: str) -> str:
    """A page with its figures as they stand in the result files."""
    text = BLOCK.sub(lambda found: f"{found[1]}{block(found[2])}\n{found[3]}", text)
    return INLINE.sub(lambda found: f"{found[1]}{inline(found[2])}{found[3]}", text)


def block(what: str) -> str:
    """A table as it is asked for."""
    name, *lines = what.strip().splitlines()
    asked = dict(line.split(": ", 1) for line in lines)
    unknown = set(asked) - {"columns", "rows", "without"}
    if unknown:
        raise ValueError(f"{name}: expected columns, rows or without, got {', '.join(unknown)}")
    table = read(name.strip())
    shown = table.markdown(
        _renamed(asked.get("columns", "")),
        _renamed(asked.get("rows", "")),
        intervals="intervals" not in asked.get("without", ""),
    )
    return shown if "origin" in asked.get("without", "") else f"{shown}\n\n{table.origin()}"


def inline(what: str) -> str:
    """One figure, without its interval."""
    name, row, column = what.split("; ")
    cell = read(name).column(column)[row]
    return cell.figure if isinstance(cell, Spread) else cell


def appendix() -> str:
    """All result files as one page, wide tables in several pieces."""
    parts = ["# All results", "Made when this documentation was built, from `docs/results`."]
    for name in names():
        table = read(name)
        first, *others = table.columns
        parts += [f"## {table.title}", f"`{name}.csv`. {table.note}"]
        for start in range(0, len(others), COLUMNS_AT_ONCE):
            columns = [first, *others[start : start + COLUMNS_AT_ONCE]]
            parts.append(table.markdown({column: column for column in columns}))
        parts.append(table.origin())
    return "\n\n".join(parts) + "\n"


def _renamed(listed: str) -> dict[str, str]:
    """Names and what to show them as, from `name; name = shown`."""
    pairs = (one.split(" = ") for one in listed.split("; ") if one)
    return {pair[0].strip(): pair[-1].strip() for pair in pairs}


if __name__ == "__main__":
    sys.exit(main())
