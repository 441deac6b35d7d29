"""Ray Data: the same shards on the actors of a machine or a cluster.

Keys go in and statuses come out; pixels never pass Ray's object store. Everything that touches Ray
is in this module.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from captum_pcim._extras import needed
from captum_pcim.screen.attempts import ATTEMPTS, Attempts, WorkerError, sendable
from captum_pcim.screen.config import ConfigError, ScreenConfig
from captum_pcim.screen.identity import Key, PlateFields
from captum_pcim.screen.shard import Status, Worker, run_shard
from captum_pcim.screen.store import Store

SPARE_CPUS = 2  # for Ray's readers: actors on every CPU starve them, and the run hangs


def run_ray(
    shards: Sequence[Sequence[Key]], config: ScreenConfig, plates: dict[str, PlateFields]
) -> Iterator[Status]:
    """Runs shards on ``config.run.workers`` Ray actors, each with a network of its own.

    An actor that dies is restarted and its shard done again, image by image and without what the
    store already has. An image whose actor dies :data:`ATTEMPTS` times is given up.

    Yields:
        One status per key.

    Raises:
        ConfigError: The cluster has too few CPUs or GPUs for the actors.
        ImportError: Ray is not installed.
        ModelError: The network cannot be loaded.
        StoreError: The results folder cannot be written.
        WorkerError: An actor dies before it begins, again and again.
    """
    ray = _started(config.run.workers)
    gpus = 1 if config.run.device.startswith("cuda") else 0
    _check_room(ray.cluster_resources(), config.run.workers, gpus)
    rows = [{"shard": pickle.dumps(tuple(shard))} for shard in shards]
    with Store(config.output.path).temporary() as folder:
        statuses = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(config, plates, Attempts(folder)),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=min(config.run.workers, len(rows))),
            num_cpus=1,
            num_gpus=gpus,
        )
        for row in statuses.iter_rows():
            if row["error"]:
                raise pickle.loads(row["error"])
            yield Status(row["sha"], row["reason"])


class _Actor:
    """Errors that end the run come back as a row: Ray would retry, and bury them in its own."""

    def __init__(
        self, config: ScreenConfig, plates: dict[str, PlateFields], attempts: Attempts
    ) -> None:
        self.config, self.plates, self.attempts = config, plates, attempts
        self.tools: tuple[Store, Worker] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        keys = [key for shard in batch["shard"] for key in pickle.loads(shard)]
        try:
            statuses, error = self._shard(keys), b""
        except Exception as raised:
            statuses, error = [Status("")], pickle.dumps(sendable(raised))
        return {
            "sha": [status.sha for status in statuses],
            "reason": [status.reason for status in statuses],
            "error": [error for _ in statuses],
        }

    def _shard(self, keys: list[Key]) -> list[Status]:
        store, worker = self._tools()
        shard = " ".join(key.sha for key in keys)
        if self.attempts.begin(shard) == 0:
            statuses = list(run_shard(keys, store, worker))
        else:  # an actor died of it, or with it: one image may be to blame
            statuses = [self._alone(key, store, worker) for key in keys]
        self.attempts.end(shard)
        return statuses

    def _alone(self, key: Key, store: Store, worker: Worker) -> Status:
        if (
            not store.done(key.sha, self.config.wanted)
            and self.attempts.begin(key.sha) >= ATTEMPTS - 1
        ):
            return Status(key.sha, f"its process died, {ATTEMPTS} times")
        (status,) = run_shard([key], store, worker)
        self.attempts.end(key.sha)
        return status

    def _tools(self) -> tuple[Store, Worker]:
        if self.tools is None:
            # Counted over all actors, as Ray may put a new one in the place of one that died.
            starts = ATTEMPTS * self.config.run.workers
            if self.attempts.begin("start") >= starts:
                raise WorkerError(f"actors died {starts} times while they loaded the network")
            store = Store(self.config.output.path)
            self.tools = store, Worker(self.config, self.plates, store)
            self.attempts.end("start")
        return self.tools


def _started(workers: int) -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's own 15 lets whatever else the machine does go before the actors, unlike `local`.
    os.environ.setdefault("RAY_worker_niceness", "0")
    ray, data = (needed(name, "the Ray engine needs", "ray") for name in ("ray", "ray.data"))
    if not ray.is_initialized():
        # CPUs are Ray's way of counting; a machine of its own may count as many as are needed.
        own = (
            None if "RAY_ADDRESS" in os.environ else max(os.cpu_count() or 1, workers + SPARE_CPUS)
        )
        ray.init(num_cpus=own, include_dashboard=False if own else None, log_to_driver=False)
    data.DataContext.get_current().enable_progress_bars = False
    return ray


def _check_room(resources: dict[str, float], workers: int, gpus: int) -> None:
    room = {"CPU": workers + SPARE_CPUS, "GPU": workers * gpus}
    for kind, wanted in room.items():
        if resources.get(kind, 0) < wanted:
            raise ConfigError(
                f"run.workers: {workers} Ray actors need {wanted} {kind}s, "
                f"the cluster has {resources.get(kind, 0):g}"
            )
