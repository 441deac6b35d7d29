"""The global random state is borrowed and given back."""

import random

import numpy as np
import pytest
import torch

from captum_pcim.core.random_state import Draws, own_random_state


def test_the_state_comes_back_as_it_was():
    before = torch.get_rng_state()
    with own_random_state(3):
        torch.rand(5)
    assert torch.equal(torch.get_rng_state(), before)


def test_inside_numbers_depend_on_the_seed_alone():
    drawn = []
    for _ in range(2):
        torch.rand(1)
        with own_random_state(3):
            drawn.append(torch.rand(5))
    with own_random_state(4):
        other = torch.rand(5)
    assert torch.equal(*drawn)
    assert not torch.equal(drawn[0], other)


def test_the_last_of_several_borrowers_gives_it_back():
    before = torch.get_rng_state()
    with own_random_state(3):
        with own_random_state(4):
            pass
        assert not torch.equal(torch.get_rng_state(), before)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_are_noticed():
    draws = Draws()
    assert not draws
    torch.rand(1)
    assert draws


@pytest.mark.parametrize("draw", [np.random.rand, random.random], ids=["numpy", "python"])
def test_the_states_of_numpy_and_python_are_borrowed_alike(draw):
    np.random.seed(1)
    random.seed(1)
    expected = [draw(), draw()]
    np.random.seed(1)
    random.seed(1)
    seen = [draw()]
    inside = []
    for _ in range(2):
        with own_random_state(3):
            draws = Draws()
            inside.append(draw())
            assert draws
    assert inside[0] == inside[1] != seen[0]
    assert [*seen, draw()] == expected
