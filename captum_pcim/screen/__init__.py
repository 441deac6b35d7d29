"""Whole plates and screens: resumable, distributed, in HCI's own formats."""

from captum_pcim.screen.attempts import WorkerError
from captum_pcim.screen.config import ConfigError, ScreenConfig
from captum_pcim.screen.run import Summary, collect, run_screen
from captum_pcim.screen.shard import Status, Worker, run_shard
from captum_pcim.screen.store import Store, StoreError

__all__ = [
    "ConfigError",
    "ScreenConfig",
    "Status",
    "Store",
    "StoreError",
    "Summary",
    "Worker",
    "WorkerError",
    "collect",
    "run_screen",
    "run_shard",
]
