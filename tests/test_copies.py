"""What a network may write into is copied once, and again where either side has changed."""

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from networks import images, small_cnn
from torch import nn

from captum_pcim import PCIM
from captum_pcim.core.copies import Copies, KeptCopies
from captum_pcim.core.network import frozen_view


def _view(network, copies):
    return frozen_view(network, copies=copies)


class WithConstants(nn.Module):
    """A network with a buffer and a plain tensor, which both have a say."""

    def __init__(self):
        super().__init__()
        self.network = small_cnn()
        self.register_buffer("scale", torch.ones(3))
        self.shifts = [torch.zeros(3)]
        self.seen = []  # where the tensors of the view lie

    def forward(self, inputs):
        self.seen.append((self.scale.data_ptr(), self.shifts[0].data_ptr()))
        return self.network(inputs) * self.scale + self.shifts[0]

    def __deepcopy__(self, memo):
        view = self.__class__.__new__(self.__class__)
        memo[id(self)] = view
        memo[id(self.seen)] = self.seen  # one list for all views
        view.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return view


def _explain(pcim):
    return pcim.attribute(images(), target=1, n_steps=3)


def test_a_second_call_uses_the_copies_of_the_first():
    network = WithConstants()
    pcim = PCIM(network)
    first = _explain(pcim)
    (places,) = set(network.seen)
    assert torch.equal(_explain(pcim), first)
    assert set(network.seen) == {places}
    assert network.scale.data_ptr() not in places and network.shifts[0].data_ptr() not in places


def _by_normalisation(tensor):
    batch = torch.randn(4, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    F.batch_norm(batch, tensor, torch.ones(3), training=True, momentum=0.9)


WRITES = {
    "in place": lambda network: network.scale.mul_(-2),
    "through data": lambda network: network.scale.data.mul_(-2),
    "through NumPy": lambda network: network.scale.numpy().__imul__(-2),
    "by batch normalisation": lambda network: _by_normalisation(network.scale),
    "into a plain tensor": lambda network: network.shifts[0].add_(torch.tensor([0.0, 3.0, 0.0])),
    "as another tensor": lambda network: setattr(network, "scale", -2 * network.scale),
    "as another tensor's data": lambda network: setattr(network.scale, "data", torch.ones(3) * -2),
    "by loading a state": lambda network: network.load_state_dict(
        {**network.state_dict(), "scale": torch.tensor([-2.0, 1.0, 3.0])}
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_change_between_calls_is_seen_however_it_is_made(write):
    """Several of these leave the tensor's version number as it was."""
    network = WithConstants()
    pcim = PCIM(network)
    before = _explain(pcim)
    write(network)
    after = _explain(pcim)
    assert torch.equal(after, _explain(PCIM(network)))
    assert not torch.equal(after, before)


def test_a_change_of_the_last_bytes_is_seen():
    network = nn.Module()
    network.register_buffer("odd", torch.zeros(13, dtype=torch.uint8))
    copies = Copies()
    _view(network, copies)
    network.odd[12] = 1
    assert torch.equal(_view(network, copies).odd, network.odd)


def test_what_a_network_wrote_in_one_call_is_not_there_in_the_next():
    class Counts(WithConstants):
        def forward(self, inputs):
            self.scale.data.mul_(1.5)
            self.shifts[0].numpy()[:] -= 1
            return super().forward(inputs)

    network = Counts()
    pcim = PCIM(network)
    assert torch.equal(_explain(pcim), _explain(pcim))
    assert torch.equal(network.scale, torch.ones(3))
    assert torch.equal(network.shifts[0], torch.zeros(3))


def test_calls_at_the_same_time_have_copies_of_their_own():
    kept = KeptCopies()
    network = WithConstants()
    with kept.lent() as one, kept.lent() as other:
        views = _view(network, one), _view(network, other)
        assert views[0].scale.data_ptr() != views[1].scale.data_ptr()
    with kept.lent() as again:
        assert again is one


def test_tensors_on_the_same_memory_have_copies_on_the_same_memory():
    """Also where the second one came after the first was copied."""
    network, copies = nn.Module(), Copies()
    network.register_buffer("table", torch.arange(6.0))
    _view(network, copies)
    network.register_buffer("row", network.table[2:4])
    view = _view(network, copies)
    view.row.zero_()
    assert view.table.tolist() == [0, 1, 0, 0, 4, 5]
    assert network.table.tolist() == [0, 1, 2, 3, 4, 5]


def test_copies_of_tensors_that_are_gone_are_let_go():
    network, copies = WithConstants(), Copies()
    _view(network, copies)
    assert len(copies.pairs) == 2
    network.shifts.clear()
    _view(network, copies)
    ((original, _),) = copies.pairs
    assert original is network.scale.untyped_storage()


@pytest.mark.parametrize("again", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copy_of_the_explainer_begins_anew(again):
    network = nn.Sequential(small_cnn(), nn.BatchNorm1d(3)).eval()
    pcim = PCIM(network)
    expected = _explain(pcim)
    other = again(pcim)
    with other._copies.lent() as copies:
        assert copies.pairs == []
    assert torch.equal(_explain(other), expected)


@pytest.mark.parametrize("place", [0, 7, 8, 15, 16, 18])
def test_a_change_of_any_byte_is_seen(place):
    buffer = torch.zeros(19, dtype=torch.uint8)
    network = nn.Module()
    network.register_buffer("buffer", buffer)
    copies = Copies()
    _view(network, copies)
    assert len(copies.unchanged()) == 1
    buffer[place] = 1
    assert copies.unchanged() == {}
