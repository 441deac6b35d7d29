"""What is read off the path of the optimisation: the order of the pixels, and their values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from captum_pcim.core.readout import Holding, in_order_of, lifted, settled


def _rows(*values):
    return torch.tensor(values, dtype=torch.float64).view(len(values), 1, -1)


def test_values_are_dealt_out_in_the_order_of_a_ranking():
    ranking = torch.tensor([[[0.3, 0.1], [0.2, 0.4]], [[4.0, 3.0], [2.0, 1.0]]])
    values = torch.tensor([[[5.0, 6.0], [7.0, 8.0]], [[0.0, 0.5], [0.5, 1.0]]])
    expected = torch.tensor([[[7.0, 5.0], [6.0, 8.0]], [[1.0, 0.5], [0.5, 0.0]]])
    assert torch.equal(in_order_of(ranking, values), expected)


def test_among_equal_ranks_values_rise_from_pixel_to_pixel_on_every_device():
    values = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    found = in_order_of(torch.zeros_like(values), values)
    assert torch.equal(found.flatten(1), values.flatten(1).sort(dim=1).values)


def test_weights_that_reach_the_top_stay_as_they_are():
    weights = _rows([0.0, 0.3, 0.96], [0.1, 1.0, 0.5])
    assert torch.equal(lifted(weights), weights)


@settings(deadline=None)
@given(st.lists(st.floats(0.3, 0.9), min_size=2, max_size=9))
def test_lifting_keeps_the_ratios_of_odds_and_brings_the_largest_weight_to_the_top(values):
    weights = _rows(values)
    found = lifted(weights)
    assert_close(found.max(), torch.tensor(3.0).double().sigmoid().clamp(weights.max()))
    apart = found.logit() - weights.logit()
    assert_close(apart, apart.flatten()[0].expand_as(apart))


def test_each_image_is_lifted_by_its_own_weights():
    low, high = _rows([0.1, 0.2]), _rows([0.5, 0.99])
    assert_close(lifted(torch.cat([low, high])), torch.cat([lifted(low), high]))


@pytest.mark.parametrize("value", [0.0, 1e-6, 1e-3])
def test_nothing_is_not_lifted_into_something(value):
    assert lifted(_rows([value, value / 2])).max() < 0.1


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 0.499), min_size=1, max_size=9))
def test_settling_squares_the_odds_of_weights_below_one_half(values):
    weights = _rows(values)
    assert_close(settled(weights).logit(), 2 * weights.logit())


def test_weights_of_one_half_and_more_and_of_nothing_are_settled_already():
    weights = _rows([0.0, 0.5, 0.7, 1.0])
    assert torch.equal(settled(weights), weights)


@settings(deadline=None)
@given(st.lists(st.floats(1e-6, 1), min_size=2, max_size=9, unique=True))
def test_settling_keeps_the_order(values):
    weights = _rows(values)
    assert torch.equal(settled(weights).argsort(), weights.argsort())


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3, 1, 1), (2, 3, 1, 1, 1)])
def test_weights_of_stains_are_neither_lifted_nor_settled(shape):
    """Of signals, images and stacks: they multiply a map, which is."""
    stains = torch.full(shape, 0.4)
    pixels = torch.full((2, 1, *[5 for _ in shape[2:]]), 0.4)
    values = Holding([pixels, stains], n_references=1).values()
    assert torch.equal(values[0], settled(lifted(pixels)))
    assert torch.equal(values[1], stains)


@pytest.mark.parametrize("shape", [(2, 5), (2, 1, 7), (2, 3, 4, 4)])
def test_weights_of_features_groups_and_pixels_are(shape):
    weights = torch.full(shape, 0.2)
    (values,) = Holding([weights], n_references=1).values()
    assert torch.equal(values, settled(lifted(weights)))
