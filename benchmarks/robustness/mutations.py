"""Break the method on purpose, one place at a time, and see whether the tests notice.

Every mutation changes one expression in a temporary copy of the package and runs the tests of the
method against it, those of the changed module first. `--write` puts the table into docs/testing.md.

    python -m benchmarks.robustness.mutations --write
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import shutil
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import hypothesis  # noqa: F401  loaded here so that the forks need not
import pytest
import scipy.stats  # noqa: F401
import sklearn.metrics  # noqa: F401

from benchmarks.results import markdown_table, origin, write_section

ROOT = Path(__file__).parents[2]
TESTING = ROOT / "docs" / "testing.md"
TESTS = (
    "solver",
    "adam",
    "blending",
    "isolation",
    "references",
    "objective",
    "scores",
    "smoothing",
    "pcim",
    "numerics",
)


@dataclass(frozen=True)
class Mutation:
    """One change that a reader of the diff could overlook."""

    name: str
    module: str
    before: str
    after: str

    def file(self, package: Path) -> Path:
        """Return the module's file, wherever it stands in the package."""
        return next(package.rglob(f"{self.module}.py"))

    def broken(self, package: Path) -> str:
        """Return the changed text of the module.

        Raises:
            ValueError: If what is to be changed does not stand there exactly once.
        """
        text = self.file(package).read_text()
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: {self.before!r} stands {text.count(self.before)} times in "
                f"{self.module}.py, expected once; bring the mutation up to date"
            )
        return text.replace(self.before, self.after)

    def apply(self, package: Path) -> None:
        """Change the module in a copy of the package."""
        text = self.broken(package)
        self.file(package).write_text(text)


MUTATIONS = (
    Mutation("the removal term is dropped", "objective", "Removal(), Area()", "Area()"),
    Mutation(
        "removal pulls the wrong way",
        "objective",
        "F.softplus(blended.removed.log_odds)",
        "F.softplus(-blended.removed.log_odds)",
    ),
    Mutation(
        "the price of area falls",
        "objective",
        "(self.end / self.start) ** progress",
        "(self.start / self.end) ** progress",
    ),
    Mutation(
        "divergence the other way round",
        "objective",
        "full.exp() * (full - kept)",
        "kept.exp() * (kept - full)",
    ),
    Mutation(
        "the complement is forgotten",
        "blending",
        "torch.lerp(inputs, reference, weights)",
        "torch.lerp(inputs, reference, 0 * weights)",
    ),
    Mutation("blend and complement change places", "scores", "odds[0], pro", "odds[1], pro"),
    Mutation("confidence is not tempered", "scores", "MAX_LOG_ODDS / log_odds", "1 / log_odds"),
    Mutation("losses are averaged over images", "solver", "loss.sum()", "loss.mean()"),
    Mutation(
        "images that leave the batch take others' maps",
        "solver",
        "found[rows] =",
        "found[rows.flip(0)] =",
    ),
    Mutation(
        "early stop keeps the optimiser state of other images",
        "adam",
        "self.first = [state[rows] for",
        "self.first = [state[: len(rows)] for",
    ),
    Mutation(
        "early stop compares with the start of the run",
        "solver",
        "        self.before = weights\n",
        "",
    ),
    Mutation(
        "early stop never comes", "solver", "change >= self.settings.tolerance", "change >= 0"
    ),
    Mutation(
        "the map is the average itself",
        "solver",
        "in_order_of(average[finished], last[finished])",
        "average[finished]",
    ),
    Mutation(
        "values go to the wrong end of the ranking",
        "solver",
        "argsort(dim=1, stable=True)",
        "argsort(dim=1, stable=True, descending=True)",
    ),
    Mutation(
        "weights that do not hold the class are taken",
        "solver",
        "holds = self.holds.all(1)",
        "holds = self.holds.all(1) | True",
    ),
    Mutation(
        "complements may show the class",
        "solver",
        "(left < images.held_log_odds)",
        "(left < torch.inf)",
    ),
    Mutation(
        "one reference is enough to hold the class",
        "solver",
        "holds = self.holds.all(1)",
        "holds = self.holds.any(1)",
    ),
    Mutation("only the first reference is used", "solver", "step % n_references", "0"),
    Mutation(
        "a gradient that is not finite goes through",
        "adam",
        "gradient.nan_to_num(0.0, 0.0, 0.0)",
        "gradient.clone()",
    ),
    Mutation(
        "targets stay behind when images leave",
        "network",
        "target = target[rows.to(target.device)]",
        "target = target[: len(rows)]",
    ),
    Mutation(
        "arguments of the blends go to the complements in another order",
        "network",
        "torch.cat([a] * times)",
        "a.repeat_interleave(times, 0)",
    ),
    Mutation("all chunks get the first baselines", "pcim", "else b[rows]", "else b[: len(rows)]"),
    Mutation("groups of other images", "channels", "else mask[rows]", "else mask[: len(rows)]"),
    Mutation("smoothing does not add up to one", "smoothing", "weights.sum(1, ", "weights.sum(0, "),
)


class FirstFailure:
    """A pytest plugin that keeps the name of the first test that failed."""

    def __init__(self) -> None:
        self.name = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and not self.name:
            self.name = report.nodeid.removeprefix("tests/")


def first_failure(mutation: Mutation | None) -> str:
    """Run the tests of the method on a copy of the package, in a process of its own.

    Returns:
        The first test that failed, empty if all passed.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("captum_pcim", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "setup.cfg"):
            shutil.copy(ROOT / name, copy)
        if mutation:
            mutation.apply(copy / "captum_pcim")
        # A fork has Captum and SciPy loaded already, and no module of the package.
        with ProcessPoolExecutor(1, multiprocessing.get_context("fork")) as process:
            return process.submit(_run_pytest, copy, _tests_of(mutation)).result()


def _run_pytest(copy: Path, names: list[str]) -> str:
    os.chdir(copy)
    sys.path.insert(0, str(copy))
    sys.dont_write_bytecode = True
    plugin = FirstFailure()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        for name in names:
            code = pytest.main([*options, f"tests/test_{name}.py"], [plugin])
            if code != 0:
                break
    package = Path(sys.modules["captum_pcim"].__file__ or "").parent
    if package != copy / "captum_pcim" or code not in (0, 1) or (code == 1) != bool(plugin.name):
        raise RuntimeError(f"pytest ended with {code!r} on {package}")
    return plugin.name


def _tests_of(mutation: Mutation | None) -> list[str]:
    """Return the tests to run, those of the changed module first: they should notice first."""
    own = mutation.module if mutation else ""
    return sorted(TESTS, key=lambda name: name != own)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/testing.md")
    arguments = parser.parse_args()

    for mutation in MUTATIONS:  # all that are out of date, before hours are spent on the others
        mutation.broken(ROOT / "captum_pcim")
    failed = first_failure(None)
    if failed:
        print(f"{failed} fails without any mutation", file=sys.stderr)
        return 1
    print("without a mutation all tests pass", flush=True)
    rows, survivors = [], 0
    for mutation in MUTATIONS:
        failed = first_failure(mutation)
        survivors += not failed
        caught_by = f"`{failed}`" if failed else "**not caught**"
        rows.append([mutation.name, f"`{mutation.module}`", caught_by])
        print(f"{mutation.name}: {caught_by}", flush=True)
    table = markdown_table(["What is broken", "Module", "First test that fails"], rows)
    summary = f"{len(rows) - survivors} of {len(rows)} mutations are caught."
    print(f"\n{table}\n\n{summary}")
    if arguments.write:
        write_section("mutations", f"{table}\n\n{summary}\n\n{origin()}", TESTING)
    return min(1, survivors)


if __name__ == "__main__":
    sys.exit(main())
