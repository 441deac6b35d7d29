"""What the mutation benchmark changes, and which tests it runs against the change."""

import pytest

from benchmarks.robustness.mutants import mutants
from benchmarks.robustness.mutations import ROOT, all_mutants, judgements
from benchmarks.robustness.notice import chosen_tests

SOURCE = '''"""Words 1 < 2."""
Alias = tuple[int, 3]
LIMIT = 4


def f(x: int = 5) -> int:
    """Words 1 + 1."""
    if x < LIMIT and not done:
        raise ValueError(f"expected {1 + 1}")
    self.total = min(x + 0.5, other, axis=7)
    both = zip(x, other, strict=True)
    return x
'''


@pytest.fixture
def found(tmp_path):
    (tmp_path / "module.py").write_text(SOURCE)
    return list(mutants(tmp_path / "module.py", tmp_path))


def test_every_kind_of_change_is_made(found):
    assert {(m.kind, m.after) for m in found} == {
        ("constant", "LIMIT = 5"),
        ("constant", "def f(x: int = 6) -> int:"),
        ("condition", "if not (x < LIMIT and not done):"),
        ("logic", "if (x < LIMIT or not done):"),
        ("comparison", "if x <= LIMIT and not done:"),
        ("sign or negation", "if x < LIMIT and done:"),
        ("statement", "pass"),
        ("function", "self.total = max(x + 0.5, other, axis=7)"),
        ("argument", "self.total = min(x + 0.5, other)"),
        ("arithmetic", "self.total = min(x - 0.5, other, axis=7)"),
        ("constant", "self.total = min(x + 1.0, other, axis=7)"),
        ("constant", "self.total = min(x + 0.5, other, axis=8)"),
        ("return value", "return None"),
    }


def test_a_mutant_differs_from_its_module_in_the_line_it_names(found):
    for mutant in found:
        lines = mutant.source.decode().splitlines()
        assert lines[mutant.line - 1].strip() == mutant.after
        assert SOURCE.splitlines()[mutant.line - 1].strip() == mutant.before
        assert mutant.compiles()


def test_there_are_mutants_of_every_module_that_computes():
    paths = {mutant.path for mutant in all_mutants(ROOT)}
    assert {"captum_pcim/pcim.py", "captum_pcim/core/solver.py"} <= paths
    assert any("/metrics/" in path for path in paths)
    assert any("/comparison/" in path for path in paths)


def test_the_tests_of_a_module_come_first():
    assert chosen_tests("captum_pcim/core/solver.py", ROOT / "tests")[0] == "solver"
    assert chosen_tests("captum_pcim/metrics/saco.py", ROOT / "tests")[0] == "metrics_limits"
    table = chosen_tests("captum_pcim/core/diagnostics_table.py", ROOT / "tests")
    assert table[0] == "diagnostics"


def test_judgements_are_of_mutants_that_there_are():
    known = {(m.path, m.before, m.after) for m in all_mutants(ROOT)}
    assert set(judgements()) <= known, "remove what is out of date from judged.csv"
