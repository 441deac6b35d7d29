"""A class has a name of its own: who reads it need not ask which one is meant."""

import ast
from collections import Counter
from pathlib import Path

import captum_pcim

SOURCES = sorted(Path(captum_pcim.__file__).parent.rglob("*.py"))


def test_every_class_of_the_package_has_a_name_of_its_own():
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES]
    names = Counter(
        node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    assert len(names) > 50
    assert [name for name, count in names.items() if count > 1] == []
