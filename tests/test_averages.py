"""Shares with which running averages take in what is new, so that they are means from the start."""

import pytest
import torch
from torch.testing import assert_close

from captum_pcim.core.averages import shares
from captum_pcim.core.moments import moments
from captum_pcim.core.readout import ranking_shares


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("fading", [0.5, 0.9, 1 - 1e-6])
def test_a_running_average_is_the_faded_mean_of_all_steps(fading, dtype):
    values = torch.tensor([3.0, -1.0, 4.0, 1.0, -5.0], dtype=torch.float64)
    average = torch.zeros((), dtype=dtype)
    found = shares(fading, len(values), average)
    assert found.dtype == dtype
    for n, share in enumerate(found, start=1):
        average = torch.lerp(average, values[n - 1].to(dtype), share)
        weights = fading ** torch.arange(n - 1, -1, -1, dtype=torch.float64)
        expected = (weights * values[:n]).sum() / weights.sum()
        rounding = 1e-14 if dtype == torch.float64 else 2e-6
        assert_close(average.double(), expected, rtol=rounding, atol=rounding)


def test_the_first_step_is_taken_whole():
    assert shares(0.9, 4, torch.empty(0))[0] == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda like: shares(0.9, 3, like),
        lambda like: ranking_shares(3, like),
        lambda like: moments(3, like)[1].row,
    ],
)
def test_shares_lie_where_the_weights_lie(make):
    assert make(torch.empty(0, device="meta")).device.type == "meta"
