"""Threads that explain with one model get the maps they get alone."""

from concurrent.futures import ThreadPoolExecutor

import torch
from networks import images, small_cnn

from captum_pcim import PCIM

STEPS = 15


def test_threads_get_the_same_maps_as_alone():
    network = small_cnn()
    pcim = PCIM(network)

    def explain(seed):
        return pcim.attribute(images(seed=seed), target=seed % 3, n_steps=STEPS)

    alone = [explain(seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(explain, range(8)))
    assert all(map(torch.equal, alone, together))


def test_threads_give_the_random_state_back():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    pcim = PCIM(small_cnn())
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda s: pcim.attribute(images(seed=s), target=0, n_steps=3), range(12)))
    assert torch.equal(torch.rand(3), expected)


def test_a_call_that_ends_leaves_the_random_state_to_the_calls_that_still_run():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    inner = PCIM(small_cnn())
    during = []

    def forward(inputs):
        if not during:
            inner.attribute(images(), target=0, n_steps=2)
            during.append(torch.get_rng_state())
        return small_cnn()(inputs)

    PCIM(forward).attribute(images(), target=0, n_steps=2)
    assert not torch.equal(during[0], before)
    assert torch.equal(torch.get_rng_state(), before)


def test_threads_give_the_buffers_of_a_module_back_that_they_share():
    network = small_cnn()
    network.register_buffer("n_calls", torch.zeros(()))

    def forward(inputs):
        network.n_calls += 1
        return network(inputs)

    pcim = PCIM(forward)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda s: pcim.attribute(images(seed=s), target=0, n_steps=6), range(12)))
    assert network.n_calls == 0


def test_a_call_that_ends_leaves_buffers_to_the_calls_that_still_run():
    network = small_cnn()
    network.register_buffer("n_calls", torch.zeros(()))
    inner, during = PCIM(lambda x: network(x + 0 * network.n_calls)), []

    def forward(inputs):
        network.n_calls += 1
        if not during:
            inner.attribute(images(), target=0, n_steps=2)
            during.append(float(network.n_calls))
        return network(inputs)

    PCIM(forward).attribute(images(), target=0, n_steps=2)
    assert during == [1.0]
    assert network.n_calls == 0


def test_threads_keep_each_others_grad_mode():
    pcim = PCIM(small_cnn())

    def explain(inference):
        with torch.inference_mode(inference):
            pcim.attribute(images(), target=0, n_steps=3)
            return torch.is_inference_mode_enabled()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(explain, [True, False] * 6)) == [True, False] * 6


def test_a_network_may_itself_explain():
    """A call inside a call gives its random state back to the outer one."""
    inner, network = PCIM(small_cnn()), small_cnn()

    def forward(inputs):
        inner.attribute(inputs.detach(), target=0, n_steps=2)
        return network(inputs)

    torch.manual_seed(5)
    before = torch.get_rng_state()
    attributions = PCIM(forward).attribute(images(), target=1, n_steps=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(attributions, PCIM(network).attribute(images(), target=1, n_steps=3))
