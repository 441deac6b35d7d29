"""A whole screen, or one shard of it: plan, do what is missing, write tables and overview."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Generator
from dataclasses import dataclass, field

from captum_pcim.run_progress import Progress
from captum_pcim.screen.config import ScreenConfig
from captum_pcim.screen.identity import Key, ScreenPlan, make_plan
from captum_pcim.screen.local import run_local
from captum_pcim.screen.map_files import export_maps
from captum_pcim.screen.plate import Remark
from captum_pcim.screen.report import write_report
from captum_pcim.screen.shard import Status
from captum_pcim.screen.sources import survey_screen
from captum_pcim.screen.store import Store
from captum_pcim.screen.tables import Row, write_tables

MOST_BATCHES = 8  # in a shard, so that reading and writing overlap the network nearly always
SHARDS_PER_WORKER = 4  # at least, so that the workers finish together


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Args:
        total: Images of the screen, or of this shard.
        computed: Images done by this very run.
        failures: Why the others are not done, by image.
        remarks: What was passed over, and what was asked for and is not there.
        notes: What was noted of images, those of earlier runs included; empty for a shard.
    """

    total: int
    computed: int
    failures: dict[Key, str]
    remarks: list[Remark] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def run_screen(config: ScreenConfig, shard: tuple[int, int] = (0, 1)) -> Summary:
    """Does what is missing of a screen.

    Args:
        config: The screen.
        shard: ``(i, n)``: do only every n-th image from the i-th on. Tables and overview are
            then left to :func:`collect`.

    Returns:
        How it ended.

    Raises:
        ConfigError: The configuration does not fit what is there.
        ImportError: An optional library that the screen needs is not installed.
        ModelError: The network cannot be loaded.
        StoreError: The results folder cannot be written.
        WorkerError: The workers die before they begin.

    Examples:
        >>> summary = run_screen(ScreenConfig.from_toml("screen.toml"))  # doctest: +SKIP
        >>> summary.failures                                             # doctest: +SKIP
        {}
    """
    store = Store(config.output.path)
    store.sweep()
    found = survey_screen(config)
    plan = make_plan(config, found.fields, shard)
    settings = json.dumps(dataclasses.asdict(config), indent=1)
    store.keep(f"configuration-{config.digest()}.json", settings.encode())
    summary = dataclasses.replace(_do(config, plan, store), remarks=found.remarks)
    if shard != (0, 1):
        return summary
    images, remarks = _collect(config, plan, store)
    notes = [row["Notes"] for row in images if row.get("Notes")]
    return dataclasses.replace(summary, remarks=[*found.remarks, *remarks], notes=notes)


def collect(config: ScreenConfig) -> list[Remark]:
    """Writes tables and overview of what is done so far, without doing more.

    Returns:
        What could not be written.
    """
    plan = make_plan(config, survey_screen(config).fields, (0, 1))
    return _collect(config, plan, Store(config.output.path))[1]


def _collect(
    config: ScreenConfig, plan: ScreenPlan, store: Store
) -> tuple[list[Row], list[Remark]]:
    images = write_tables(config, plan, store)
    write_report(config, images, store)
    return images, export_maps(config, plan, store)


def _do(config: ScreenConfig, plan: ScreenPlan, store: Store) -> Summary:
    todo = {key.sha: key for key in plan.keys if not store.done(key.sha, config.wanted)}
    keys = list(todo.values())
    shards = _shards(keys, config.fields_at_once, config.run.workers)
    failures: dict[Key, str] = {}
    progress = Progress(len(keys))
    try:
        with contextlib.closing(_statuses(shards, config, plan)) as statuses:
            for status in statuses:
                key = todo.pop(status.sha)
                progress.add(bool(status.reason))
                if status.reason:
                    failures[key] = status.reason
                    store.fail(key.sha, {"reason": status.reason})
    finally:
        progress.close()
        store.sweep()
    for key in todo.values():
        failures[key] = "the engine gave no answer"
        store.fail(key.sha, {"reason": failures[key]})
    return Summary(len(plan.keys), len(keys) - len(failures), failures)


def _shards(keys: list[Key], batch_size: int, workers: int) -> list[list[Key]]:
    """Cuts the work into shards of whole batches, so that workers never change a batch."""
    batches = math.ceil(len(keys) / batch_size)
    each = batches // (max(workers, 1) * SHARDS_PER_WORKER)
    size = batch_size * min(MOST_BATCHES, max(1, each))
    return [keys[start : start + size] for start in range(0, len(keys), size)]


def _statuses(
    shards: list[list[Key]], config: ScreenConfig, plan: ScreenPlan
) -> Generator[Status, None, None]:
    if not shards:
        return
    if config.run.engine == "local":
        yield from run_local(shards, config, plan.plates)
        return
    from captum_pcim.screen.ray_engine import run_ray

    yield from run_ray(shards, config, plan.plates)
