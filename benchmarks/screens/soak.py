"""What survives being killed: a screen whose runs are killed at random moments until it is done.

    python -m benchmarks.screens.soak

Each kill is a SIGKILL to the whole process group, after at least one new result.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.results import Table, add_write_option, publish
from benchmarks.screens.plate import screen_config, written_plate
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.screen import Store, run_screen
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.sources import find_fields


def soak(folder: Path, options: argparse.Namespace) -> Table:
    """Kills whole runs at random moments until a screen is done, then checks every result."""
    config = screen_config(folder, "stub", options)
    command = [sys.executable, "-m", "benchmarks.screens.soak", "--folder", str(folder)]
    command += ["--steps", str(options.steps), "--batch-size", str(options.batch_size)]
    chance, kills = random.Random(options.seed), 0
    seen: dict[str, int] = {}
    while kills < options.kills:
        process = subprocess.Popen(command, start_new_session=True)
        wait_for(folder, len(seen) + 1, process)  # at least one step forward
        time.sleep(chance.random() * options.longest)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
        now = finished(folder)
        assert seen.items() <= now.items(), "a finished result was lost or written again"
        seen = now
        if len(seen) == len(make_plan(config, find_fields(config.images), (0, 1)).keys):
            break
    subprocess.run(command, check=True)
    plan = make_plan(config, find_fields(config.images), (0, 1))
    store = Store(config.output.path)
    assert set(finished(folder)) == {key.sha for key in plan.keys}, "an image is missing or foreign"
    for key in plan.keys:
        assert set(os.listdir(store.folder(key.sha))) == {
            "manifest.json", "objects.npy", "image.png", "map.png", "stains.png",
        }  # fmt: skip
        store.manifest(key.sha)
    assert not os.listdir(store.path / "tmp"), "something half-written is left"
    return Table(
        "A screen that is killed until it is done",
        ["screen", "images", "kills", "images done before the last run"],
        [["stub", str(len(plan.keys)), str(kills), str(len(seen))]],
        "SIGKILL to the whole process group, after at least one new result each. At the end every "
        "image is done exactly once, no finished result was written again, and nothing "
        "half-written is left: the benchmark ends with an error otherwise.",
    )


def finished(folder: Path) -> dict[str, int]:
    found = (folder / "results" / "done").glob("*/*/manifest.json")
    return {path.parent.name: path.stat().st_ino for path in found}


def wait_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while len(finished(folder)) < count and process.poll() is None:
        time.sleep(0.1)


def run_once(options: argparse.Namespace) -> None:
    """One run of the soak's screen, to be killed."""
    summary = run_screen(screen_config(options.folder, "stub", options))
    assert not summary.failures, summary.failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--wells", type=int, default=40)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--batch-size", type=int, default=2)
    parser.add_argument("--kills", type=int, default=20, help="at most")
    parser.add_argument("--longest", type=float, default=0.5, help="seconds before a kill")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    add_write_option(parser)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        run_once(options)
        return
    with written_plate(options.wells, options.fields) as folder:
        publish("screens/soak", soak(folder, options), options.write)


if __name__ == "__main__":
    main()
