import gc
import os
from functools import partial

import pytest
import torch
from screen_plates import TESTS, write_plate

from captum_pcim import ForwardOnly
from captum_pcim.synthetic.planted import PlantedNetwork

# Ray as the tests start it.
RAY = {
    "AUTH_MODE": "disabled",
    "USAGE_STATS_ENABLED": "0",
    "gcs_server_port_wait_time_s": "300",  # for a very busy machine
    "worker_register_timeout_seconds": "300",
    "enable_worker_prestart": "0",  # most would never be used
    "prestart_worker_first_driver": "0",
}
torch.set_num_threads(1)  # the networks are small: threads would cost more than they save


@pytest.fixture(scope="session")
def planted():
    """The planted network with three images: inputs, targets, masks of their evidence."""
    network = PlantedNetwork()
    return network, *network.sample(3)


@pytest.fixture
def screen(tmp_path, monkeypatch):
    """A folder with a plate of 3 wells x 2 fields, where the tests' own networks are found."""
    monkeypatch.chdir(TESTS)
    write_plate(tmp_path / "images")
    return tmp_path


@pytest.fixture
def small_screen(tmp_path, monkeypatch):
    """The same with one field a well, for what several commands do to it."""
    monkeypatch.chdir(TESTS)
    write_plate(tmp_path / "images", sites=1)
    return tmp_path


@pytest.fixture(scope="session")
def ray():
    """Ray, imported by the tests that use it alone, as it takes a second."""
    for name, value in RAY.items():
        os.environ.setdefault(f"RAY_{name}", value)
    pytest.importorskip("ray.data")
    return pytest.importorskip("ray", minversion="2.55")


@pytest.fixture
def few_forwards(monkeypatch):
    """PCIM's own choice of forward passes alone spends 200 of them on an image, not 1000."""
    chosen = partial(ForwardOnly, n_forwards=200)
    monkeypatch.setattr("captum_pcim.core.explain.ForwardOnly", chosen)


@pytest.fixture(scope="module", autouse=True)
def _little_to_collect():
    """Garbage is collected among what a module's own tests make, not in all that was loaded before.

    Memory is collected after every image that fails, which took half a second each time.
    """
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _own_seed():
    torch.manual_seed(1234)
