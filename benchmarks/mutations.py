"""Break the method on purpose, one place at a time, and see whether the tests notice.

Every mutation changes one expression in a temporary copy of the package and runs the tests of the
method against it, those of the changed module first. `--write` puts the table into docs/testing.md.

    python -m benchmarks.mutations --write
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import markdown_table, origin, write_section

ROOT = Path(__file__).parents[1]
TESTING = ROOT / "docs" / "testing.md"
TESTS = (
    "solver",
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

    def apply(self, package: Path) -> None:
        """Change the module in a copy of the package.

        Raises:
            ValueError: If what is to be changed does not stand there exactly once.
        """
        path = package / f"{self.module}.py"
        text = path.read_text()
        if text.count(self.before) != 1:
            raise ValueError(
                f"{self.name}: {self.before!r} stands {text.count(self.before)} times in "
                f"{self.module}.py, expected once; bring the mutation up to date"
            )
        path.write_text(text.replace(self.before, self.after))


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
    Mutation("the complement is forgotten", "blending", "inputs - carried", "inputs + 0 * carried"),
    Mutation("blend and complement change places", "scores", "odds[0], pro", "odds[1], pro"),
    Mutation("confidence is not tempered", "scores", "MAX_LOG_ODDS / log_odds", "1 / log_odds"),
    Mutation("losses are averaged over images", "solver", "loss.sum()", "loss.mean()"),
    Mutation(
        "images that leave the batch take others' maps",
        "solver",
        "found[self.rows] = average",
        "found[self.rows.flip(0)] = average",
    ),
    Mutation(
        "early stop keeps the optimiser state of other images",
        "solver",
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
        "early stop never comes", "solver", "resting >= self.settings.tolerance", "resting >= 0"
    ),
    Mutation("only the first reference is used", "solver", "step % n_references", "0"),
    Mutation(
        "a gradient that is not finite goes through",
        "solver",
        "gradient.nan_to_num(0.0, 0.0, 0.0)",
        "gradient.clone()",
    ),
    Mutation(
        "targets stay behind when images leave",
        "forward",
        "target = target[rows.to(target.device)]",
        "target = target[: len(rows)]",
    ),
    Mutation(
        "arguments of the blends go to the complements in another order",
        "forward",
        "torch.cat([a] * times)",
        "a.repeat_interleave(times, 0)",
    ),
    Mutation("all chunks get the first baselines", "pcim", "else b[rows]", "else b[: len(rows)]"),
    Mutation("groups of other images", "isolation", "else mask[rows]", "else mask[: len(rows)]"),
    Mutation("smoothing does not add up to one", "smoothing", "weights.sum(1, ", "weights.sum(0, "),
)


def run_tests(mutation: Mutation | None) -> tuple[bool, str, float]:
    """Run the tests of the method on a copy of the package.

    Returns:
        tuple: Whether all passed, the first test that failed, and seconds.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for name in ("captum_pcim", "tests"):
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("pyproject.toml", "setup.cfg"):
            shutil.copy(ROOT / name, copy)
        if mutation:
            mutation.apply(copy / "captum_pcim")
        began = time.perf_counter()
        for name in _tests_of(mutation):
            failed = _first_failure(copy, f"tests/test_{name}.py")
            if failed:
                break
    return not failed, failed, time.perf_counter() - began


def _first_failure(copy: Path, test_file: str) -> str:
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=0", "-rfE"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, test_file],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    failed = re.search(r"^(?:FAILED|ERROR) tests/(\S+)", done.stdout, flags=re.MULTILINE)
    if done.returncode != 1 or not failed:
        raise RuntimeError(f"pytest could not run:\n{done.stdout}\n{done.stderr}")
    return failed[1]


def _tests_of(mutation: Mutation | None) -> list[str]:
    """Return the tests to run, those of the changed module first: they should notice first."""
    own = mutation.module if mutation else ""
    return sorted(TESTS, key=lambda name: name != own)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put the table into docs/testing.md")
    arguments = parser.parse_args()

    passed, failed, seconds = run_tests(None)
    if not passed:
        print(f"{failed} fails without any mutation", file=sys.stderr)
        return 1
    print(f"without a mutation all tests pass ({seconds:.0f} s)")
    rows, survivors = [], 0
    for mutation in MUTATIONS:
        passed, failed, seconds = run_tests(mutation)
        survivors += passed
        caught_by = "**not caught**" if passed else f"`{failed}`"
        rows.append([mutation.name, f"`{mutation.module}`", caught_by])
        print(f"{mutation.name}: {caught_by} ({seconds:.0f} s)", flush=True)
    table = markdown_table(["What is broken", "Module", "First test that fails"], rows)
    summary = f"{len(rows) - survivors} of {len(rows)} mutations are caught."
    print(f"\n{table}\n\n{summary}")
    if arguments.write:
        write_section("mutations", f"{table}\n\n{summary}\n\n{origin()}", TESTING)
    return min(1, survivors)


if __name__ == "__main__":
    sys.exit(main())
