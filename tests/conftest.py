import pytest
import torch

from captum_pcim.data.planted import PlantedNetwork

torch.set_num_threads(1)  # the networks are small: threads would cost more than they save


@pytest.fixture(scope="session")
def planted():
    """The planted network with three images: inputs, targets, masks of their evidence."""
    network = PlantedNetwork()
    return network, *network.sample(3)


@pytest.fixture(autouse=True)
def _own_seed():
    torch.manual_seed(1234)
