"""Whole plates: time outside the network, memory, engines, and what survives being killed.

    python -m benchmarks.screen plate --network stub
    python -m benchmarks.screen plate --network cnn
    python -m benchmarks.screen engines
    python -m benchmarks.screen soak

Each prints the lines that stand in docs/scaling.md.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

from captum_pcim.data import synthetic_fluorescence
from captum_pcim.screen import ScreenConfig, Store, Worker, run_shard
from captum_pcim.screen.explainer import Explanation
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.local import run_local
from captum_pcim.screen.plate import find_fields, row_letters
from captum_pcim.screen.reading import Sample

STAINS = ["reporter", "nucleus", "decoy"]
DIFFERENT_IMAGES = 48  # rendered; the plate repeats them under other names


class Stub(nn.Module):
    """About the least that can be called a network: one matrix on the stains' means."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(len(STAINS), 4)

    def forward(self, inputs: Tensor) -> Tensor:
        logits: Tensor = self.head(inputs.mean(dim=(2, 3)))
        return logits


def stub() -> nn.Module:
    torch.manual_seed(0)
    return Stub()


def cnn() -> nn.Module:
    from captum_pcim.data import load_cnn

    return load_cnn("fluorescence")


def write_plate(folder: Path, wells: int, fields: int) -> None:
    """Writes 16-bit images of 96 x 96 pixels, one PNG file per stain, and label images."""
    images = synthetic_fluorescence(DIFFERENT_IMAGES)
    counts, cells = images.counts.numpy(), images.cells.numpy().astype("uint16")
    places = itertools.islice(itertools.product(range(16), range(24)), wells)
    (folder / "P1").mkdir(parents=True)
    for number, ((row, column), site) in enumerate(itertools.product(places, range(1, fields + 1))):
        name = folder / "P1" / f"{row_letters(row)}{column + 1:02d}_f{site}"
        image = number % DIFFERENT_IMAGES
        for stain, plane in zip(STAINS, counts[image], strict=True):
            Image.fromarray(plane).save(f"{name}_{stain}.png")
        Image.fromarray(cells[image]).save(f"{name}_labels.png")


def screen_config(folder: Path, network: str, steps: int, batch_size: int) -> ScreenConfig:
    return ScreenConfig.from_dict(
        {
            "images": {
                "path": str(folder / "images"),
                "stains": STAINS,
                "labels": r"(?P<plate>\w+)/(?P<well>\w\d\d)_f(?P<field>\d)_labels\.png",
            },
            "windows": {"fixed": {stain: [200, 10200] for stain in STAINS}},
            "model": {"factory": f"benchmarks.screen:{network}"},
            "attribution": {"n_steps": steps},
            "output": {"path": str(folder / "results")},
            "run": {"batch_size": batch_size},
        }
    )


class Timed:
    """Adds up the time that an explainer takes."""

    def __init__(self, worker: Worker) -> None:
        self.explain = worker.explain
        self.wall = self.cpu = 0.0

    def __call__(self, samples: Sequence[Sample]) -> list[Explanation]:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return self.explain(samples)
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.thread_time() - cpu


def plate(folder: Path, options: argparse.Namespace) -> None:
    """Time outside the network and memory over a plate, in one process and one thread."""
    write_plate(folder / "images", options.wells, options.fields)
    config = screen_config(folder, options.network, options.steps, options.batch_size)
    plan = make_plan(config, find_fields(config.images), (0, 1))
    store = Store(config.output.path)
    worker = Worker(config, plan.plates, store)
    timed = Timed(worker)
    worker.explain = timed  # type: ignore[assignment]
    wall, cpu, memory = time.perf_counter(), time.process_time(), []
    for status in run_shard(plan.keys, store, worker):
        assert not status.reason, status.reason
        memory.append(resident())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    tenth = len(memory) // 10
    per_image = 1000 / len(memory)
    print(
        f"{options.network}, {len(memory)} images, {options.steps} steps, batches of "
        f"{options.batch_size}: {len(memory) / wall:.2f} images/s, {cpu * per_image:.0f} ms of CPU "
        f"per image; outside the explainer {100 * (1 - timed.wall / wall):.1f} % of the time and "
        f"{100 * (1 - timed.cpu / cpu):.1f} % of the CPU time "
        f"({(cpu - timed.cpu) * per_image:.1f} ms per image); memory {max(memory[:tenth])} MiB at "
        f"most in the first tenth, {max(memory[tenth:])} MiB at most after it"
    )


def resident() -> int:
    """This process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def engines(folder: Path, options: argparse.Namespace) -> None:
    """Two Ray actors against two plain processes, from the first answer to the last."""
    from captum_pcim.screen.ray_engine import run_ray

    write_plate(folder / "images", options.wells, options.fields)
    for name, engine in (("two processes", run_local), ("two Ray actors", run_ray)) * 2:
        config = screen_config(folder, "cnn", options.steps, options.batch_size)
        changes = {"path": str(folder / f"results-{time.time()}")}
        config = ScreenConfig.from_dict(
            {
                "images": {"path": config.images.path, "stains": STAINS},
                "windows": {"fixed": config.windows.fixed},
                "model": {"factory": config.model.factory},
                "attribution": {"n_steps": options.steps},
                "output": changes,
                "run": {"batch_size": options.batch_size, "workers": 2},
            }
        )
        plan = make_plan(config, find_fields(config.images), (0, 1))
        size = options.batch_size
        shards = [plan.keys[start : start + size] for start in range(0, len(plan.keys), size)]
        began = time.perf_counter()
        times = [time.perf_counter() - began for _ in engine(shards, config, plan.plates)]
        steady = (len(times) - size) / (times[-1] - times[size - 1])
        print(
            f"{name}: {len(times)} images in {times[-1]:.1f} s, the first after {times[0]:.1f} s, "
            f"then {steady:.2f} images/s",
            flush=True,
        )


def soak(folder: Path, options: argparse.Namespace) -> None:
    """Kills whole runs at random moments until a screen is done, then checks every result."""
    write_plate(folder / "images", options.wells, options.fields)
    config = screen_config(folder, "stub", options.steps, 2)
    command = [sys.executable, "-m", "benchmarks.screen", "_run", "--folder", str(folder)]
    command += ["--steps", str(options.steps)]
    chance, kills, seen = random.Random(options.seed), 0, {}
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
        if len(seen) == options.wells * options.fields:
            break
    subprocess.run(command, check=True)
    plan = make_plan(config, find_fields(config.images), (0, 1))
    store = Store(config.output.path)
    assert set(finished(folder)) == {key.sha for key in plan.keys}, "an image is missing or foreign"
    for key in plan.keys:
        assert set(os.listdir(store.folder(key.sha))) == {
            "manifest.json", "objects.npy", "image.png", "map.png",
        }  # fmt: skip
        store.manifest(key.sha)
    assert not os.listdir(store.path / "tmp"), "something half-written is left"
    print(
        f"{len(plan.keys)} images, {kills} times SIGKILL to the whole process group, "
        f"{len(seen)} images done before the last run; every image done exactly once, no finished "
        f"result written again, nothing half-written left"
    )


def finished(folder: Path) -> dict[str, int]:
    found = (folder / "results" / "done").glob("*/*/manifest.json")
    return {path.parent.name: path.stat().st_ino for path in found}


def wait_for(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    while len(finished(folder)) < count and process.poll() is None:
        time.sleep(0.1)


def run_once(folder: Path, options: argparse.Namespace) -> None:
    """One run of the soak's screen, to be killed."""
    from captum_pcim.screen import run_screen

    summary = run_screen(screen_config(folder, "stub", options.steps, 2))
    assert not summary.failures, summary.failures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("plate", "engines", "soak", "_run"))
    parser.add_argument("--network", choices=("stub", "cnn"), default="cnn")
    parser.add_argument("--wells", type=int, default=384)
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--kills", type=int, default=20, help="soak: how many")
    parser.add_argument("--longest", type=float, default=0.5, help="soak: seconds before a kill")
    parser.add_argument("--seed", type=int, default=0, help="soak: of the moments")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.what == "_run":
        run_once(options.folder, options)
        return
    folder = Path(tempfile.mkdtemp())
    try:
        {"plate": plate, "engines": engines, "soak": soak}[options.what](folder, options)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
