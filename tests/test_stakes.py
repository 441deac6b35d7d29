"""Where the class begins between a reference and the image, and what a step is worth there."""

import pytest
import torch
from torch.testing import assert_close

from captum_pcim.core.scores import Scores
from captum_pcim.core.stakes import Stakes

# Log-odds of the reference and of the image, the boundary between them and the gain, by hand.
BY_HAND = [
    (-4.0, 4.0, 0.0, 1.0),  # zero lies well between them, and eight nats are the span
    (-1.0, 3.0, 0.0, 2.0),
    (3.0, 5.0, 3.2, 4.0),  # both show the class: a tenth above the reference
    (-5.0, -3.0, -3.2, 4.0),  # neither does: a tenth below the image
    (-100.0, 0.0, -10.0, 1.0),  # a wide span is not shrunk
    (3.9, 4.0, 3.775, 8.0),  # a reference this near counts as a quarter of a nat below
    (9.0, 4.0, 3.775, 8.0),  # and so does one that shows the class better
    (3.0, 3.5, 3.05, 8.0),  # sixteen times is more than the most
]


def between():
    references, full, *_ = torch.tensor(BY_HAND).unbind(1)
    return Stakes.between(references.unsqueeze(1), full)


def test_boundary_and_gain_are_those_worked_out_by_hand():
    *_, boundary, gain = torch.tensor(BY_HAND).unbind(1)
    assert_close(between().boundary[:, 0], boundary)
    assert_close(between().gain[:, 0], gain)


def test_log_odds_are_told_from_the_boundary_in_units_of_the_gain():
    stakes = between().take(torch.tensor([1, 2]))
    scores = Scores(torch.tensor([1.0, 3.7, -0.5, 2.2]), torch.zeros(4, 1))
    assert_close(stakes.read(scores, 0).log_odds, torch.tensor([2.0, 2.0, -1.0, -4.0]))


def test_each_reference_has_its_own():
    stakes = Stakes.between(torch.tensor([[-4.0, -1.0], [3.0, -1.0]]), torch.tensor([4.0, 5.0]))
    second = stakes.against(1)
    assert_close(second.boundary, stakes.boundary[:, 1:])
    scores = Scores(torch.tensor([1.0, 1.0]), torch.zeros(2, 1))
    assert_close(second.read(scores, 0).log_odds, stakes.read(scores, 1).log_odds)


@pytest.mark.parametrize("rows", [[0], [2, 1]])
def test_taken_images_keep_their_own(rows):
    taken = between().take(torch.tensor(rows))
    assert_close(taken.boundary, between().boundary[rows])
    assert_close(taken.gain, between().gain[rows])
