"""One bar over all images of a call, whatever is saved, tried in vain or done in chunks."""

import re

import pytest
from networks import images, small_cnn

from captum_pcim import PCIM, ForwardOnly
from captum_pcim.core.progress import chunks_with_progress

network = small_cnn()
inputs = images(5)


def bars(err):
    """Return the last state of each bar: what is done and of how much."""
    states = [re.search(r"(\d+)/(\d+) \[", line) for line in re.split(r"[\r\n]", err)]
    found = [(int(s[1]), int(s[2])) for s in states if s]
    ends = [i for i, (n, _) in enumerate(found) if i + 1 == len(found) or found[i + 1][0] < n]
    return [found[i] for i in ends]


@pytest.mark.parametrize(
    "gradients, arguments, total",
    [
        ("auto", {}, 100),
        ("auto", {"internal_batch_size": 4}, 100),
        ("auto", {"internal_batch_size": 4, "tolerance": 0.3}, 100),
        (ForwardOnly(n_forwards=60), {}, 300),
    ],
    ids=["at once", "in chunks", "stopped early", "forward passes"],
)
def test_the_bar_counts_the_steps_of_all_images_and_ends_full(capfd, gradients, arguments, total):
    PCIM(network, gradients=gradients).attribute(
        inputs, target=1, n_steps=20, show_progress=True, **arguments
    )
    assert bars(capfd.readouterr().err) == [(total, total)]


def test_without_being_asked_for_there_is_no_bar(capfd):
    PCIM(network).attribute(inputs, target=1, n_steps=2)
    assert capfd.readouterr().err == ""


def test_a_bar_that_found_no_gradient_makes_room_for_the_next(capfd):
    PCIM(lambda x: network(x).detach()).attribute(inputs, target=1, n_steps=2, show_progress=True)
    passes = len(inputs) * ForwardOnly().n_forwards
    assert bars(capfd.readouterr().err)[-1] == (passes, passes)


def test_a_chunk_that_memory_was_too_small_for_is_not_counted_twice(capfd):
    def work(start, stop, on_step):
        on_step()
        if stop - start > 2:
            raise MemoryError
        on_step()
        return list(range(start, stop))

    parts = chunks_with_progress(5, 5, 2, work, shown=True)
    assert parts == [[0, 1], [2, 3], [4]]
    assert bars(capfd.readouterr().err)[-1] == (10, 10)
