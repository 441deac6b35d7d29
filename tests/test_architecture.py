"""Rooms import downwards only, modules stay short, and the drawings show what there is."""

import graphlib
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES = 350


@pytest.fixture(scope="module")
def architecture():
    sys.path.insert(0, str(ROOT / "docs"))
    import architecture

    yield architecture
    sys.path.remove(str(ROOT / "docs"))


def test_every_room_stands_on_one_floor(architecture):
    placed = [room for floor in architecture.FLOORS for room in floor]
    assert len(placed) == len(set(placed))
    assert set(architecture.rooms()) <= set(placed)


def test_a_room_imports_from_the_floors_below_alone(architecture):
    floor_of = {room: i for i, floor in enumerate(architecture.FLOORS) for room in floor}
    wrong = [
        f"{module} imports from {target}"
        for source, targets in architecture.arrows().items()
        for target, modules in targets.items()
        for module in sorted(modules)
        if floor_of[target] <= floor_of[source]
    ]
    assert wrong == []


def test_only_the_commands_import_what_is_meant_for_users(architecture):
    known = architecture.modules()
    front = {
        name for name, path in known.items() if "captum_pcim" in architecture.imported(path, known)
    }
    assert {name.split(".")[1] for name in front} <= {"cli"}


def test_modules_do_not_import_each_other(architecture):
    """Neither through others, nor within functions; only for types alone."""
    known = architecture.modules()
    own = {name: path for name, path in known.items() if path.name != "__init__.py"}
    graph = {
        name: architecture.imported(path, known, for_types=False) & set(own)
        for name, path in own.items()
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError


def test_modules_are_short(architecture):
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines())
        for name, path in architecture.modules().items()
    }
    assert {name: n for name, n in lengths.items() if n > MOST_LINES} == {}


def test_every_module_says_what_it_is_for(architecture):
    assert all(architecture.purpose(path) for path in architecture.modules().values())


def test_imports_within_functions_are_seen(architecture, tmp_path):
    module = tmp_path / "module.py"
    module.write_text("def f():\n    from captum_pcim.cli import main\n")
    known = architecture.modules()
    assert architecture.imported(module, known) == {"captum_pcim.cli.main"}


def test_modules_that_the_page_names_exist():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)*\w+(?:\.py|/))`", page)
    places = ROOT, ROOT / "captum_pcim"
    assert named and all(any((place / name).exists() for place in places) for name in named)


@pytest.mark.parametrize("name", ["rooms.svg", "call.svg"])
def test_a_drawing_is_what_the_script_draws(architecture, name):
    """If not: `python docs/architecture.py`."""
    kept = (ROOT / "docs" / "figures" / name).read_text(encoding="utf-8")
    assert kept == architecture.DRAWINGS[name]()
