"""The first test that notices a mutant, in a copy of the package and a process of its own."""

from __future__ import annotations

import ast
import contextlib
import multiprocessing
import os
import re
import resource
import shutil
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

import hypothesis
import pytest
import scipy.stats  # noqa: F401  loaded here, as is Captum, so that the forks need not
import sklearn.metrics  # noqa: F401

from benchmarks.robustness.mutants import Mutant

NEVER_ENDS = "no end"
GRACE = 60.0  # CPU seconds of one test beyond the limit, before it counts as one without end
FILES = ("captum_pcim", "tests", "pyproject.toml", "setup.cfg")
# The tests of a room beyond those of a module; those of files, commands, screens and documents need
# more time than they tell.
ROOMS = {
    "core": (
        "golden", "elsewhere", "default_state", "solver", "constants", "pcim", "forward_only",
        "adam", "blending", "isolation", "references", "objective", "scores", "smoothing",
        "numerics", "networks", "bad_input", "captum_conformance", "model_untouched", "planted",
        "properties", "threads", "compat", "grids", "readout", "diagnostics", "silent_faults",
    ),
    "comparison": (
        "golden_measures", "defaults", "elsewhere", "default_state", "compare", "compare_files",
        "trivial",
    ),
    "metrics": (
        "golden_measures", "metrics_limits", "defaults", "elsewhere", "default_state",
        "metrics_fidelity", "metrics_localisation", "metrics_road", "metrics_sanity",
        "metrics_complexity", "metrics_captum_settings", "compare",
    ),
}  # fmt: skip
OTHERS = (
    r"benchmark|tutorial|documented|recipe|walks|readme|packaging|screen|cli|demo|cuda|fuzz|quantus|imports|adapters"
    r"|architecture|contributing|plates|labels|models|images|explainer|names|atomic|maps_elsewhere"
)


def first_failure(root: Path, mutant: Mutant | None, seconds: float) -> str:
    """Run the tests of a mutant's module, then those of its room; without a mutant all of them.

    Returns:
        The first test that failed; empty if all passed or the CPU time was up before.

    Raises:
        RuntimeError: If the tests could not be run.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in FILES:
            if (root / name).is_dir():
                shutil.copytree(root / name, copy / name, ignore=shutil.ignore_patterns("__py*"))
            else:
                shutil.copy(root / name, copy)
        tests = all_tests(copy / "tests")
        if mutant:
            (copy / mutant.path).write_bytes(mutant.source)
            tests = chosen_tests(mutant.path, copy / "tests")
        ours, theirs = multiprocessing.Pipe(duplex=False)
        # A fork has Captum and SciPy loaded already, and no module of the package.
        process = multiprocessing.get_context("fork").Process(
            target=_run, args=(copy, tests, seconds, theirs)
        )
        process.start()
        theirs.close()
        process.join(timeout=20 * seconds)
        if process.is_alive():
            process.kill()
            process.join()
        if process.exitcode and process.exitcode > 0:
            raise RuntimeError(f"the tests of {mutant} could not be run")
        return ours.recv() if process.exitcode == 0 else NEVER_ENDS


def all_tests(tests: Path) -> list[str]:
    """Return every test file that may be chosen for some module."""
    names = (file.stem.removeprefix("test_") for file in sorted(tests.glob("test_*.py")))
    return [name for name in names if not re.search(OTHERS, name)]


def chosen_tests(path: str, tests: Path) -> list[str]:
    """Return the test files to run: of the module's name, that import it, that use its names."""
    module = path.removesuffix("/__init__.py").removesuffix(".py").replace("/", ".")
    _, *rooms, stem = module.split(".")
    source = ast.parse((tests.parent / path).read_text(encoding="utf-8"))
    names = [n.name for n in source.body if isinstance(n, (ast.ClassDef, ast.FunctionDef))]
    public = "|".join(name for name in names if not name.startswith("_")) or "(?!)"
    of_room = ROOMS[rooms[0] if rooms else "core"]
    chosen = {}
    for name in all_tests(tests):
        text = (tests / f"test_{name}.py").read_text(encoding="utf-8")
        named = any(part in name or name in part for part in (stem, *rooms[1:]))
        clues = (named, module in text, bool(re.search(rf"\b({public})\b", text)), name in of_room)
        if any(clues):
            later = of_room.index(name) if name in of_room else len(of_room)
            chosen[name] = (min(clues.index(True), 2), later)
    return sorted(chosen, key=chosen.__getitem__)


class _Watch:
    """A pytest plugin that keeps the first failure and ends the run when the time is up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.failed = ""

    def pytest_runtest_setup(self) -> None:
        if time.process_time() > self.seconds:
            pytest.exit("the time is up", returncode=0)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid.removeprefix("tests/")

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed and not self.failed:
            self.failed = report.nodeid.removeprefix("tests/")


def _run(copy: Path, names: list[str], seconds: float, answer: Connection) -> None:
    limit = int(seconds + GRACE)
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    # A failure is enough: no time for the smallest one.
    phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
    hypothesis.settings.register_profile("mutants", phases=phases, deadline=None, database=None)
    hypothesis.settings.load_profile("mutants")
    watch, code = _Watch(seconds), 0
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for name in names:
            code = pytest.main([*options, f"tests/test_{name}.py"], [watch])
            if code != 0 or time.process_time() > seconds:
                break
    loaded = sys.modules.get("captum_pcim")
    if loaded and Path(loaded.__file__ or "").parent != copy / "captum_pcim":
        raise RuntimeError(f"tests ran on {loaded.__file__}, not on the mutant")
    answer.send(watch.failed or ("" if code == 0 else f"pytest ended with {code!r}"))
