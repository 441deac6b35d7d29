"""Writes into docs/testing.md what share of the package the last measured test run reached.

`make coverage` runs the tests and then this.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from datetime import date
from pathlib import Path

PAGE = Path(__file__).with_name("testing.md")
MARKED = re.compile(r"(<!-- begin coverage -->\n).*?(<!-- end coverage -->)", re.DOTALL)
COUNTS = ("covered_lines", "num_statements", "covered_branches", "num_branches")


def measured() -> dict[str, dict[str, dict[str, int]]]:
    """Return what coverage.py counted in the run whose data lie in the working directory."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "coverage.json")
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", path], check=True)
        files: dict[str, dict[str, dict[str, int]]] = json.loads(path.read_text())["files"]
    return files


def table(files: dict[str, dict[str, dict[str, int]]]) -> str:
    """Return a row per room and one for all: statements and branches, and shares reached."""
    rooms: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(COUNTS, 0))
    for name, file in files.items():
        for room in (Path(name).parts[1].removesuffix(".py"), "all"):
            for count in COUNTS:
                rooms[room][count] += file["summary"][count]
    rows = ["| room | statements | reached | branches | reached |"]
    rows.append("| --- | ---: | ---: | ---: | ---: |")
    for room, n in sorted(rooms.items(), key=lambda item: (item[0] == "all", item[0])):
        lines, branches = n["num_statements"], n["num_branches"]
        rows.append(
            f"| {room} | {lines} | {_share(n['covered_lines'], lines)} | {branches} | "
            f"{_share(n['covered_branches'], branches)} |"
        )
    return "\n".join(rows)


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else ""


if __name__ == "__main__":
    made = f"`make coverage` on {date.today()}, Python {platform.python_version()}."
    text = f"{table(measured())}\n\n{made}\n"
    print(text)
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKED.sub(rf"\g<1>{text}\g<2>", page), encoding="utf-8")
