"""Whole plates: time outside the network, memory, and Ray against plain processes.

    python -m benchmarks.screens.plate --write

It does the parts `stub`, `cnn` and `engines` (or those named), on plates of 384, 96 and 32 wells
with 4 fields each (`--wells` for others, up to 1536). The machine must be otherwise idle for its
rates to mean anything.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.results import Table, add_write_option, publish
from benchmarks.screens.process_times import ProcessTimes
from captum_pcim.explainer import Explanation
from captum_pcim.images.wells import PLATE_FORMATS, row_letters
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.screen import ScreenConfig, Status, Store, Worker, run_shard
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.local import run_local
from captum_pcim.screen.sources import find_fields
from captum_pcim.synthetic import synthetic_fluorescence

if TYPE_CHECKING:
    from captum_pcim.images.read import FloatPixels

STAINS = ["reporter", "nucleus", "decoy"]
DIFFERENT_IMAGES = 48  # rendered; the plate repeats them under other names
WHOLE_PLATE = 384
WELLS = {"stub": WHOLE_PLATE, "cnn": 96, "engines": 32}
REPEATS = 2  # of each engine, in turn


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
    from captum_pcim.synthetic import load_cnn

    return load_cnn("fluorescence")


def write_plate(folder: Path, wells: int, fields: int) -> None:
    """Writes 16-bit images of 96 x 96 pixels, one PNG file per stain, and label images."""
    images = synthetic_fluorescence(DIFFERENT_IMAGES)
    counts, cells = images.counts.numpy(), images.cells.numpy().astype("uint16")
    rows, columns = next(f for f in PLATE_FORMATS[1:] if f[0] * f[1] >= wells)
    places = itertools.islice(itertools.product(range(rows), range(columns)), wells)
    (folder / "P1").mkdir(parents=True)
    for number, ((row, column), site) in enumerate(itertools.product(places, range(1, fields + 1))):
        name = folder / "P1" / f"{row_letters(row)}{column + 1:02d}_f{site}"
        image = number % DIFFERENT_IMAGES
        write_field(name, counts[image], cells[image])


def write_field(name: str, counts: Iterable[Any], cells: Any) -> None:
    """Write one PNG file per stain and the label image, all of a common beginning."""
    for stain, plane in zip(STAINS, counts, strict=True):
        Image.fromarray(plane).save(f"{name}_{stain}.png")
    Image.fromarray(cells).save(f"{name}_labels.png")


def what_to_read(folder: Path) -> dict[str, Any]:
    """The tables of a configuration that tell how such fields are read."""
    return {
        "images": {
            "path": str(folder / "images"),
            "stains": STAINS,
            "labels": r"(?P<plate>\w+)/(?P<well>\w\d\d)_f(?P<field>\d)_labels\.png",
        },
        "windows": {"fixed": {stain: [200, 10200] for stain in STAINS}},
    }


def screen_config(folder: Path, network: str, options: argparse.Namespace) -> ScreenConfig:
    return ScreenConfig.from_dict(
        {
            **what_to_read(folder),
            "model": {"factory": f"benchmarks.screens.plate:{network}"},
            "attribution": {"n_steps": options.steps},
            "output": {"path": str(folder / "results")},
            "run": {"batch_size": options.batch_size, "workers": 2},
        }
    )


class Timed:
    """Adds up the time that an explainer takes."""

    def __init__(self, worker: Worker) -> None:
        self.explainer = worker.explainer
        self.wall = self.cpu = 0.0

    def each(
        self, images: Sequence[FloatPixels], baselines: Sequence[FloatPixels]
    ) -> list[Explanation | Exception]:
        wall, cpu = time.perf_counter(), time.thread_time()
        try:
            return list(self.explainer.each(images, baselines))
        finally:
            self.wall += time.perf_counter() - wall
            self.cpu += time.thread_time() - cpu


@dataclass(frozen=True)
class Measured:
    """A plate done by one process and one thread; times in seconds, memory in MiB."""

    network: str
    images: int
    wall: float
    cpu: float
    explainer: Timed
    memory: list[int]  # after each image

    def row(self) -> list[str]:
        tenth = len(self.memory) // 10
        outside = self.cpu - self.explainer.cpu
        minutes = self.wall / self.images * WHOLE_PLATE * 4 / 60
        return [
            f"{self.network}, {self.images} images",
            f"{self.images / self.wall:.2f}",
            f"{minutes:.1f}",
            f"{100 * (1 - self.explainer.wall / self.wall):.1f} %",
            f"{100 * outside / self.cpu:.1f} %",
            f"{1000 * outside / self.images:.1f} ms of {1000 * self.cpu / self.images:.0f} ms",
            f"{max(self.memory[:tenth])} / {max(self.memory[tenth:])} MiB",
        ]


def plate(network: str, folder: Path, options: argparse.Namespace) -> Measured:
    """Time outside the explainer, and memory, over a plate."""
    config = screen_config(folder, network, options)
    plan = make_plan(config, find_fields(config.images), (0, 1))
    store = Store(config.output.path)
    worker = Worker(config, plan.plates, store)
    timed = Timed(worker)
    worker.explainer = timed  # type: ignore[assignment]
    wall, cpu, memory = time.perf_counter(), time.process_time(), []
    for status in run_shard(plan.keys, store, worker):
        assert not status.reason, status.reason
        memory.append(resident())
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Measured(network, len(memory), wall, cpu, timed, memory)


def plates(networks: Sequence[str], options: argparse.Namespace) -> Table:
    """Time outside the network and memory."""
    rows = []
    for network in networks:
        with written_plate(options.wells or WELLS[network], options.fields) as folder:
            rows.append(plate(network, folder, options).row())
    header = [
        "network", "images/s", "minutes for 384 x 4", "outside, wall time", "outside, CPU time",
        "CPU time outside, per image", "memory at most, first tenth / after",
    ]  # fmt: skip
    return Table(
        "Whole plates, time outside the network and memory",
        header,
        rows,
        f"One process, one thread, batches of {options.batch_size}, {options.steps} steps. "
        f'"Outside" is what is not PCIM with its network: reading, windows, objects, previews, '
        f"writing. Minutes for 384 x 4 images are extrapolated where fewer were done.",
    )


def resident() -> int:
    """This process's resident memory in MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def engines(options: argparse.Namespace) -> Table:
    """Ray actors against plain processes."""
    from captum_pcim.screen.ray_engine import run_ray

    crews = (
        ("one process", run_local, 1),
        ("two processes", run_local, 2),
        ("two Ray actors", run_ray, 2),
    )
    rows = []
    with written_plate(options.wells or WELLS["engines"], options.fields) as folder:
        for name, engine, workers in crews * REPEATS:
            rows.append([name, *_engine_row(engine, workers, folder, options)])
    header = [
        "engine", "images", "seconds to the first batches", "then images/s",
        "then CPU seconds per image", "in all, s",
    ]  # fmt: skip
    return Table(
        "Ray actors against processes",
        header,
        rows,
        "The small CNN, each process with one thread; starting Ray itself and, "
        f"{REPEATS} times in turn, everything up to the last answer included. The CPU time is that "
        "of all processes that the run started, Ray's own among them; other jobs of the machine "
        "change it less than the wall time.",
    )


def _engine_row(
    engine: Callable[..., Iterator[Status]],
    workers: int,
    folder: Path,
    options: argparse.Namespace,
) -> list[str]:
    config = screen_config(folder, "cnn", options)
    config = dataclasses.replace(
        config,
        output=dataclasses.replace(config.output, path=tempfile.mkdtemp(dir=folder)),
        run=dataclasses.replace(config.run, workers=workers),
    )
    plan = make_plan(config, find_fields(config.images), (0, 1))
    size = options.batch_size
    shards = [plan.keys[start : start + size] for start in range(0, len(plan.keys), size)]
    began, times, warm = time.perf_counter(), [], workers * size
    with ProcessTimes() as cpu:
        for status in engine(shards, config, plan.plates):
            assert not status.reason, status.reason
            times.append(time.perf_counter() - began)
            if len(times) == warm:
                before = cpu.total()
        spent = cpu.total() - before
    rest, seconds = len(times) - warm, times[-1] - times[warm - 1]
    return [
        str(len(times)),
        f"{times[warm - 1]:.1f}",
        f"{rest / seconds:.2f}",
        f"{spent / rest:.3f}",
        f"{times[-1]:.1f}",
    ]


@contextlib.contextmanager
def written_plate(wells: int, fields: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        write_plate(Path(name) / "images", wells, fields)
        yield Path(name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=list(WELLS), help="among stub, cnn, engines")
    parser.add_argument("--wells", type=int, help="instead of each part's own number")
    parser.add_argument("--fields", type=int, default=4)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--batch-size", type=int, default=8)
    add_write_option(parser)
    options = parser.parse_args()
    unknown = set(options.parts) - set(WELLS)
    if unknown:
        parser.error(f"expected parts among {', '.join(WELLS)}, got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    networks = [part for part in options.parts if part in ("stub", "cnn")]
    if networks:
        size = f"_{options.wells}" if options.wells else ""
        publish(f"screens/plate{size}", plates(networks, options), options.write)
    if "engines" in options.parts:
        publish("screens/engines", engines(options), options.write)


if __name__ == "__main__":
    main()
