"""Gini sparseness and entropy against figures worked out by hand."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_pcim.metrics import entropy, gini

maps = st.lists(st.integers(-9, 9), min_size=12, max_size=12).map(
    lambda values: torch.tensor(values, dtype=torch.float64).view(1, 1, 3, 4)
)


def test_gini_by_hand():
    # Ascending 1, 2, 3, 4 with weights -3, -1, 1, 3: (-3 - 2 + 3 + 12) / (4 * 10).
    attributions = torch.tensor([[[[3.0, -1.0], [4.0, 2.0]]]])
    assert gini(attributions).item() == pytest.approx(0.25)


def test_entropy_by_hand():
    # Shares 1/2, 1/4, 1/4, 0.
    attributions = torch.tensor([[[[2.0, -1.0], [1.0, 0.0]]]])
    expected = 0.5 * math.log(2) + 0.5 * math.log(4)
    assert entropy(attributions).item() == pytest.approx(expected)


def test_stains_are_summed_first():
    attributions = torch.tensor([[[[1.0, 2.0]], [[1.0, -2.0]]]])
    assert gini(attributions).item() == 0.5  # relevances 2 and 0
    assert entropy(attributions).item() == 0


def test_a_single_pixel_is_sparsest_and_a_constant_map_most_complex():
    single = torch.zeros(1, 1, 5, 5)
    single[..., 3, 1] = 7
    assert gini(single).item() == pytest.approx(1 - 1 / 25)
    assert entropy(single).item() == 0
    for constant in (torch.ones(1, 1, 5, 5), torch.zeros(1, 1, 5, 5)):
        assert gini(constant).item() == pytest.approx(0, abs=1e-6)
        assert entropy(constant).item() == pytest.approx(math.log(25))


@settings(max_examples=50, deadline=None)
@given(maps)
def test_ranges_hold(attributions):
    assert -1e-12 <= gini(attributions).item() <= 1 - 1 / 12 + 1e-12
    assert -1e-12 <= entropy(attributions).item() <= math.log(12) + 1e-12


@settings(max_examples=50, deadline=None)
@given(maps, st.floats(0.01, 100), st.permutations(range(12)))
def test_scale_sign_and_place_do_not_matter(attributions, scale, order):
    moved = (-scale * attributions).flatten()[list(order)].view(1, 1, 3, 4)
    for measure in (gini, entropy):
        torch.testing.assert_close(measure(moved), measure(attributions))


@settings(max_examples=20, deadline=None)
@given(maps, maps)
def test_an_image_scores_the_same_alone_and_in_a_batch(first, second):
    for measure in (gini, entropy):
        alone = torch.cat([measure(first), measure(second)])
        assert torch.equal(measure(torch.cat([first, second])), alone)


@pytest.mark.parametrize("measure", [gini, entropy])
def test_bad_input_is_named(measure):
    with pytest.raises(ValueError, match=r"attributions: expected shape \(N, C, H, W\)"):
        measure(torch.ones(3, 3))
