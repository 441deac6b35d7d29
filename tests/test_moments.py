"""The numbers of a step, made once for all steps."""

import torch
from torch.testing import assert_close

from captum_pcim.core import adam
from captum_pcim.core.moments import Moment, moments
from captum_pcim.core.readout import ranking_shares

LIKE = torch.empty(0)


def test_each_step_has_its_numbers_of_the_optimiser_and_of_the_ranking():
    of_adam, shares = adam.moments(5, LIKE), ranking_shares(5, LIKE)
    for step, moment in enumerate(moments(5, LIKE)):
        assert moment.adam == adam.Moments(*(own[step] for own in of_adam))
        assert moment.share == shares[step]


def test_progress_goes_from_zero_to_one():
    assert [moment.progress for moment in moments(5, LIKE)] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_progress_on_the_device_is_that_of_the_host():
    for moment in moments(7, LIKE):
        assert_close(Moment.of(moment.row).progress, torch.tensor(moment.progress))


def test_numbers_change_where_their_row_is_written_to():
    first, second = moments(2, LIKE)
    now = Moment.of(first.row.clone())
    now.row.copy_(second.row)
    assert (now.adam, now.share, now.progress) == (second.adam, second.share, 1)
