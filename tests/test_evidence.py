"""Where an image scores as its references do, nothing can be evidence."""

import pytest
import torch

from captum_pcim.core.evidence import NOTHING, differences, is_little, is_nothing

NEAR, FAR = 0.5 * NOTHING, 2 * NOTHING


def test_the_farthest_reference_counts():
    references = torch.tensor([[1.0, -2.0], [3.0, 3.5]])
    assert differences(torch.tensor([2.0, 3.0]), references).tolist() == [4.0, 0.5]


@pytest.mark.parametrize("size", [0.0, 0.01, 1.0])
def test_log_odds_of_up_to_1_differ_by_a_fixed_amount_or_not_at_all(size):
    found = is_nothing(torch.tensor([0.0, NEAR, FAR]), torch.full((3,), size), "logits")
    assert found.tolist() == [True, True, False]


def test_larger_log_odds_are_told_apart_by_a_share_of_their_size():
    difference = torch.tensor([100 * NEAR, 100 * FAR])
    assert is_nothing(difference, torch.tensor([-100.0, 100.0]), "logits").tolist() == [True, False]


def test_a_quantity_has_no_unit_of_its_own():
    difference = 1e-6 * torch.tensor([NEAR, FAR])
    full = torch.tensor([1e-6, -1e-6])
    assert is_nothing(difference, full, "regression").tolist() == [True, False]


def test_less_than_half_a_nat_is_little_except_of_a_quantity():
    difference = torch.tensor([0.4, 0.6])
    assert is_little(difference, "logits").tolist() == [True, False]
    assert is_little(difference, "regression").tolist() == [False, False]


def test_limits_belong_to_what_is_nothing_and_not_to_what_is_little():
    limit = torch.tensor([NOTHING])
    assert is_nothing(limit, torch.zeros(1), "logits").tolist() == [True]
    assert is_little(torch.tensor([0.5]), "logits").tolist() == [False]
