"""Ray as the tests start it. Only the modules of its tests import this, as it takes a second."""

import os

import pytest

SETTINGS = {
    "AUTH_MODE": "disabled",
    "USAGE_STATS_ENABLED": "0",
    "gcs_server_port_wait_time_s": "300",  # for a very busy machine
    "worker_register_timeout_seconds": "300",
    "enable_worker_prestart": "0",  # most would never be used
    "prestart_worker_first_driver": "0",
}
for name, value in SETTINGS.items():
    os.environ.setdefault(f"RAY_{name}", value)
ray = pytest.importorskip("ray", minversion="2.55")
pytest.importorskip("ray.data")
