"""Draws the rooms of the package and the way of one call: `python docs/architecture.py`.

Both drawings are measured, the first on the imports, the second on a call of `attribute`; they go
to docs/figures/ and are shown in docs/architecture.md.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from xml.sax.saxutils import escape

DOCS = Path(__file__).resolve().parent
PACKAGE = DOCS.parent / "captum_pcim"

# From the roof down. A room may import from the floors below its own, and from nothing else.
FLOORS = (
    ("cli",),
    ("comparison", "screen", "profiles"),
    ("cells",),
    ("visualize", "explainer"),
    ("metrics", "pcim", "images", "classifiers", "synthetic"),
    ("core",),
    ("_compat", "_errors", "_extras", "_files", "_moved", "_version", "run_progress"),
)
BASEMENT = FLOORS[-1]
WIDTH, HEIGHT, GAP, CLIMB = 172, 58, 14, 44  # of a box, beside it and between floors
LINE, INDENT, COLUMN = 30, 22, 250
SMALL = "font-size='10'"


# ---- what there is -------------------------------------------------------------------------------


def rooms() -> list[str]:
    """Return the folders and the single modules of the package."""
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    return sorted(folders | {path.stem for path in PACKAGE.glob("*.py")} - {"__init__"})


def modules() -> dict[str, Path]:
    """Return all modules of the package by their full names."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path], for_types: bool = True) -> set[str]:
    """Return the package's modules that a file imports, within functions too.

    Args:
        path: The file.
        known: All modules of the package.
        for_types: Whether what is imported under `if TYPE_CHECKING:` counts.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    blocks = (node for node in ast.walk(tree) if isinstance(node, ast.If))
    typing = [block for block in blocks if ast.unparse(block.test) == "TYPE_CHECKING"]
    left_out = {node for block in typing for node in ast.walk(block) if not for_types}
    names: set[str] = set()
    for node in set(ast.walk(tree)) - left_out:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            within = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {name if name in known else node.module for name in within}
    return names & set(known)


def arrows() -> dict[str, dict[str, set[str]]]:
    """Return which room imports from which, and the modules that do: from, to, modules."""
    known = modules()
    found: dict[str, dict[str, set[str]]] = {room: {} for room in rooms()}
    for name, path in known.items():
        for other in imported(path, known):
            source, target = (full.split(".")[1:2] for full in (name, other))
            if source and target and source != target:
                found[source[0]].setdefault(target[0], set()).add(name)
    return found


def purpose(path: Path) -> str:
    """Return the first sentence of a module's docstring."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split()).partition(". ")[0].rstrip(".").replace("`", "")


# ---- the way of one call -------------------------------------------------------------------------


def calls() -> dict[str, tuple[str, list[str]]]:
    """Trace one call of `attribute`: of each module its first caller, and what that calls in it.

    Modules are in the order in which the call reaches them. The basement is left out, and so is
    what only builds an object.
    """
    import torch

    from captum_pcim import PCIM

    pcim = PCIM(torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()))
    inputs = torch.eye(8).expand(1, 2, 8, 8)
    reached: dict[str, tuple[str, list[str]]] = {}

    def trace(frame: FrameType, event: str, argument: object) -> None:
        module, name = _module(frame), _function(frame)
        if event != "call" or not module or module.startswith("_") or name.startswith(("<", "_")):
            return
        caller = _module_above(frame)
        first, functions = reached.setdefault(module, (caller, []))
        if caller == first and name not in functions:
            functions.append(name)

    sys.setprofile(trace)
    try:
        pcim.attribute(inputs, target=0, n_steps=2, return_diagnostics=True)
    finally:
        sys.setprofile(None)
    return reached


def _module(frame: FrameType) -> str:
    path = Path(frame.f_code.co_filename)
    return path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else ""


def _module_above(frame: FrameType) -> str:
    above = frame.f_back
    while above is not None and not _module(above):
        above = above.f_back
    return "" if above is None else _module(above)


def _function(frame: FrameType) -> str:
    owner, name = frame.f_locals.get("self", frame.f_locals.get("cls")), frame.f_code.co_name
    if owner is None or name.startswith("_"):
        return name
    return f"{(owner if isinstance(owner, type) else type(owner)).__name__}.{name}"


# ---- drawings ------------------------------------------------------------------------------------


def draw_rooms() -> str:
    """Draw the rooms on their floors; arrows that follow from others are left out."""
    there = set(rooms())
    floors = [[room for room in floor if room in there] for floor in FLOORS]
    widest = max(map(len, floors)) * (WIDTH + GAP)
    places = {
        room: ((widest - len(floor) * (WIDTH + GAP)) / 2 + i * (WIDTH + GAP) + GAP, level)
        for level, floor in enumerate(floors)
        for i, room in enumerate(floor)
    }
    parts = []
    for source, target in _shortest({room: set(to) for room, to in arrows().items()}):
        (x1, upper), (x2, lower) = places[source], places[target]
        y1, y2 = upper * (HEIGHT + CLIMB) + GAP + HEIGHT, lower * (HEIGHT + CLIMB) + GAP
        parts.append(
            f"<path d='M{x1 + WIDTH / 2:.0f},{y1} L{x2 + WIDTH / 2:.0f},{y2 - 7}' "
            "stroke='#888' fill='none' marker-end='url(#tip)'/>"
        )
    for room, (x, level) in places.items():
        parts += _box(x, level * (HEIGHT + CLIMB) + GAP, room)
    return _svg(widest + GAP, len(floors) * (HEIGHT + CLIMB) + GAP - CLIMB + GAP, parts)


def _shortest(graph: dict[str, set[str]]) -> Iterator[tuple[str, str]]:
    """Yield the arrows above the basement without those that others imply."""

    def reachable(room: str) -> set[str]:
        return graph[room].union(*(reachable(other) for other in graph[room]))

    for room, others in sorted(graph.items()):
        for other in sorted(others - set(BASEMENT)):
            if not any(other in reachable(between) for between in others - {other}):
                yield room, other


def _box(x: float, y: float, room: str) -> list[str]:
    path = PACKAGE / room
    count = len(list(path.rglob("*.py"))) - 1 if path.is_dir() else 0
    lines = textwrap.wrap(purpose(path / "__init__.py" if count else path.with_suffix(".py")), 32)
    colour = "#eef3fb" if count else "#f6f1e4"
    drawn = [
        f"<rect x='{x:.0f}' y='{y}' width='{WIDTH}' height='{HEIGHT}' rx='5' fill='{colour}' "
        "stroke='#555'/>",
        _text(x + 8, y + 17, room + ("/" if count else ".py"), "font-weight='bold'"),
    ]
    return drawn + [_text(x + 8, y + 31 + 11 * i, line, SMALL) for i, line in enumerate(lines[:3])]


def draw_call() -> str:
    """Draw the modules that a call of `attribute` reaches, each under the one that calls it."""
    reached = calls()
    parts, y_of, depth = [], {"": 0}, {"": -1}
    for row, module in enumerate(_nested(reached)):
        caller, functions = reached[module]
        depth[module], y_of[module] = depth[caller] + 1, (row + 1) * LINE
        x, y = GAP + depth[module] * INDENT, y_of[module]
        if caller:
            parts.append(
                f"<path d='M{x - INDENT + 5},{y_of[caller] + 6} V{y - 4} H{x - 3}' stroke='#888' "
                "fill='none'/>"
            )
        parts.append(_text(x, y, module, "font-weight='bold'"))
        parts.append(_text(COLUMN, y - 4, purpose(PACKAGE / module), SMALL))
        parts.append(_text(COLUMN, y + 7, ", ".join(functions), f"{SMALL} fill='#777'"))
    return _svg(840, (len(reached) + 1) * LINE, parts)


def _nested(reached: dict[str, tuple[str, list[str]]], above: str = "") -> Iterator[str]:
    for module, (caller, _) in reached.items():
        if caller == above:
            yield module
            yield from _nested(reached, module)


def _text(x: float, y: float, text: str, style: str) -> str:
    return f"<text x='{x:.0f}' y='{y}' {style}>{escape(text)}</text>"


def _svg(width: float, height: float, parts: list[str]) -> str:
    head = (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {width:.0f} {height:.0f}' "
        f"width='{width:.0f}' height='{height:.0f}' font-family='sans-serif' font-size='13'>\n"
        "<defs><marker id='tip' markerWidth='8' markerHeight='8' refX='2' refY='4' orient='auto'>"
        "<path d='M0,0 L8,4 L0,8 z' fill='#888'/></marker></defs>\n"
        f"<rect width='{width:.0f}' height='{height:.0f}' fill='white'/>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


DRAWINGS = {"rooms.svg": draw_rooms, "call.svg": draw_call}

if __name__ == "__main__":
    for name, draw in DRAWINGS.items():
        (DOCS / "figures" / name).write_text(draw(), encoding="utf-8")
