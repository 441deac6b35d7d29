"""What the speed benchmark makes of its measurements."""

import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from networks import images
from torch import nn

from benchmarks.speed import checks
from benchmarks.speed.checks import Sees
from benchmarks.speed.large_fields import bound
from benchmarks.speed.timing import Pairs, exponent, in_turn, running_peak

sizes = st.floats(0.1, 1e6)


class Unsure(nn.Module):
    """A network with a gradient that hardly tells an image from its references."""

    def forward(self, inputs):
        return torch.stack([0 * inputs.mean((1, 2, 3)), 0.01 * inputs.std((1, 2, 3))], 1)


@given(st.floats(-3, 3), sizes, st.lists(sizes, min_size=2, max_size=6, unique=True))
def test_the_exponent_of_a_power_is_its_exponent(k, factor, at):
    seconds = [factor * size**k for size in at]
    if max(at) / min(at) > 1.01:
        assert exponent(at, seconds) == pytest.approx(k, abs=1e-6)


def test_the_exponent_of_noise_about_a_power_is_that_of_the_straight_line_through_the_logarithms():
    assert exponent([1, 10, 100], [1, 40, 100]) == pytest.approx(1.0)


def test_the_peak_is_the_most_that_was_held_at_once():
    assert running_peak([(0, 5), (1, -3), (2, 7), (3, -9)]) == 9


def test_changes_are_summed_in_the_order_of_time_whatever_order_they_come_in():
    assert running_peak([(3, -9), (1, -3), (0, 5), (2, 7)]) == 9


def test_giving_back_what_was_held_before_is_no_peak():
    assert running_peak([(0, -5), (1, 3)]) == 0
    assert running_peak([]) == 0


@given(st.lists(st.tuples(sizes, sizes), min_size=1, max_size=9))
def test_the_ratio_is_the_median_over_repeats_and_lies_in_its_range(repeats):
    a, b = zip(*repeats, strict=True)
    pairs = Pairs(a, b)
    assert min(pairs.ratios) <= pairs.ratio <= max(pairs.ratios)
    assert Pairs(a, a).ratio == 1
    if len(repeats) % 2:
        assert pairs.ratio in pairs.ratios


def test_a_ratio_is_told_with_its_range():
    assert str(Pairs([2, 4, 9], [2, 2, 3]).spread) == "2.000 [1.000, 3.000]"


def test_repeats_that_do_not_come_in_pairs_are_refused():
    with pytest.raises(ValueError):
        Pairs([1, 2], [1]).ratios  # noqa: B018


def test_work_is_done_in_turn_after_one_run_that_does_not_count():
    done = []
    pairs = in_turn(lambda: done.append("a"), lambda: done.append("b"), repeats=3)
    assert "".join(done) == "ab" + "ababab"
    assert len(pairs.a) == len(pairs.b) == 3


def test_the_seconds_are_those_of_the_work():
    pairs = in_turn(lambda: time.sleep(0.03), lambda: None, repeats=1)
    assert pairs.a[0] >= 0.03


def test_the_bound_counts_the_fields_at_once_and_the_maps_that_are_finished():
    assert bound(100, n_pixels=10, n_stains=5, at_once=1, n_finished=0) == 100 + 4 * 34 * 10
    more = bound(100, n_pixels=10, n_stains=5, at_once=2, n_finished=3)
    assert more == 100 + 4 * (2 * 34 + 3 * 5) * 10


@pytest.mark.parametrize(
    ("batch", "shown", "rows"), [(1, False, 4), (8, False, 18), (8, True, 18 + 2 * 8)]
)
def test_the_checks_make_a_pass_of_each_reference_and_two_rows_and_try_two_others(
    batch, shown, rows
):
    inputs = images(batch, 3, 16)
    network = Unsure() if shown else Sees(Unsure())
    assert checks.rows_of(network, inputs) - checks.rows_of(network, inputs, checked=False) == rows
