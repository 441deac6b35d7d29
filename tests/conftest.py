import gc

import pytest
import torch
from screen_plates import TESTS, write_plate

from captum_pcim.synthetic.planted import PlantedNetwork

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
