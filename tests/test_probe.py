"""The network is asked before it is explained, for next to nothing."""

import warnings

import numpy as np
import pytest
import torch
from networks import BrightSquare, bright_images, images, prepared, small_cnn
from torch.utils.checkpoint import checkpoint

from captum_pcim import PCIM, PCIMWarning
from captum_pcim.core.alone import Seen, check_alone

net = BrightSquare()


def explain(forward_func, n=2):
    return PCIM(forward_func).attribute(
        bright_images(n), target=1, n_steps=2, return_diagnostics=True
    )


def test_two_rows_answer_where_nothing_is_suspicious():
    _, diagnostics = explain(net, 3)
    assert (diagnostics.n_forwards - diagnostics.n_forwards[-1]).tolist() == [2, 0, 0]


def test_chance_is_told_also_where_the_two_rows_agree():
    """The numbers are drawn, and rarely act."""

    def forward(x):
        return net(x) * (torch.rand(len(x), 1) > 0.1)

    with pytest.warns(PCIMWarning, match="differ by .* between two calls"):
        explain(forward)


def test_what_the_rest_of_the_batch_decides_is_refused_without_chance_too():
    with pytest.raises(ValueError, match=r"^forward_func: expected scores of each"):
        explain(lambda x: net(x) - net(x).mean(0))


def test_numbers_that_are_drawn_in_vain_are_no_chance():
    def forward(x):
        torch.rand(1)
        return net(x)

    with warnings.catch_warnings():
        warnings.simplefilter("error", PCIMWarning)
        explain(forward)


@pytest.mark.parametrize("forward_func", [net, small_cnn(), lambda x: 100 * net(x)])
def test_a_gradient_says_what_a_small_step_changes(forward_func):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hide from autograd", category=PCIMWarning)
        explain(forward_func)


def test_a_gradient_that_says_less_is_told_with_both_figures():
    with pytest.warns(PCIMWarning, match=r"change by (\S+) where their gradient says"):
        explain(lambda x: 0.5 * net(x) + 0.5 * net(x.detach()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_part_that_hides_is_found_under_autocast_too(dtype):
    """Its rounding is as large as the change, so the network is asked outside it."""
    part = small_cnn()

    def forward(x):
        return 50 * part(x) + 50 * part(x.detach())

    with pytest.warns(PCIMWarning, match="hide from autograd"):
        PCIM(forward, autocast_dtype=dtype).attribute(images(), target=1, n_steps=2)


def test_the_rounding_of_autocast_hides_nothing():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hide from autograd", category=PCIMWarning)
        part = small_cnn()
        forward = lambda x: 100 * part(x)  # noqa: E731
        PCIM(forward, autocast_dtype=torch.bfloat16).attribute(images(), target=1, n_steps=2)


def test_a_network_that_needs_autocast_is_not_accused():
    net = small_cnn().to(torch.bfloat16)
    forward = lambda x: 50 * net(x) + 50 * net(x.detach())  # noqa: E731
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hide from autograd", category=PCIMWarning)
        PCIM(forward, autocast_dtype=torch.bfloat16).attribute(images(), target=1, n_steps=2)


def straight(size, hidden):
    """One log-odds that rises from 0 to `size` with the brightness, a share of it hidden."""
    return lambda x: size * ((1 - hidden) * x + hidden * x.detach()).flatten(1)[:, 2:].mean(1)


def told_of_hiding(forward_func, first=(0.0, 0.0), baselines=0.0):
    inputs = torch.ones(2, 1, 4, 4)
    inputs[:, 0, 0, :2] = torch.tensor(first)  # pixels that `straight` does not look at
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PCIM(forward_func).attribute(inputs, baselines=baselines, n_steps=2)
    return any("hide from autograd" in str(w.message) for w in caught)


@pytest.mark.parametrize(
    ("size", "hidden", "told"),
    [
        (10.0, 0.39, False),  # a quarter of the change and what is said of it together is missed
        (10.0, 0.41, True),
        (-10.0, 0.39, False),
        (-10.0, 0.41, True),
        (0.5, 0.49, False),  # a quarter of what the step would change on the way to log-odds of 1
        (0.5, 0.51, True),
    ],
)
def test_a_part_counts_as_hidden_from_a_share_on(size, hidden, told):
    assert told_of_hiding(straight(size, hidden)) is told


def test_pixels_without_a_finite_gradient_say_nothing_of_a_change():
    baselines = torch.zeros(1, 1, 4, 4)
    baselines[0, 0, 0, :2] = torch.tensor([1000.0, 2000.0])

    def forward(x):
        return straight(4.0, 0.0)(x) + 0 * x[:, 0, 0, 0].sqrt()

    assert not told_of_hiding(forward, (0.0, 2000.0), baselines)
    assert told_of_hiding(straight(4.0, 0.5), (0.0, 2000.0), baselines)


@pytest.mark.parametrize(("far", "told"), [(2.0, True), (2.1, False)])
def test_a_step_towards_a_reference_farther_than_the_image_is_wide_says_nothing(far, told):
    baselines = torch.zeros(1, 1, 4, 4)
    baselines[0, 0, 0, 0] = far
    assert told_of_hiding(straight(4.0, 0.5), (0.0, 2.0), baselines) is told


def alone(difference, share, draws=False, forward_func=net):
    """What is said of an image whose score was seen to differ so much, and the rows it took."""
    problem, first = prepared(forward_func, bright_images(1))
    return check_alone(problem, first, Seen(difference, share, draws), rounding=0.01)


@pytest.mark.parametrize(("difference", "share"), [(0.0, 0.0), (0.01, 1e-4)])
def test_what_rounding_explains_needs_no_further_row(difference, share):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert alone(difference, share) == 0


@pytest.mark.parametrize(("difference", "share"), [(0.011, 0.0), (0.0, 1.1e-4), (0.1, 0.1)])
def test_what_it_does_not_explain_is_told_after_four_batches_of_repeats(difference, share):
    with pytest.warns(PCIMWarning, match="between batches"):
        assert alone(difference, share) == 32


@pytest.mark.parametrize(("difference", "share"), [(0.11, 0.0), (0.0, 0.11), (float("inf"), 0.0)])
def test_what_the_rest_of_the_batch_decides_is_refused_from_a_tenth_on(difference, share):
    with pytest.raises(ValueError, match="the network normalises by the rest of the batch"):
        alone(difference, share)


def test_numbers_that_are_drawn_are_looked_for_in_four_batches():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert alone(0.0, 0.0, draws=True) == 32


def test_chance_is_told_as_soon_as_it_is_seen_with_the_larger_difference():
    def noisy(x):
        return net(x) + 0.3 * torch.rand(len(x), 1) * torch.tensor([0.0, 1.0])

    with pytest.warns(PCIMWarning, match=r"differ by 7.5 between two calls"):
        assert alone(7.5, 0.0, draws=True, forward_func=noisy) == 8


class _NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 1


class _FailingBackward(_NoBackward):
    @staticmethod
    def backward(ctx, gradient):
        raise ValueError("no gradient today")


def _changed_in_place(x):
    hidden = x.sigmoid()
    scores = net(hidden * 1)
    hidden.zero_()
    return scores


def _checkpointed(x):
    return checkpoint(net, x, use_reentrant=True)


@pytest.mark.parametrize(
    "forward_func",
    [
        lambda x: net(_NoBackward.apply(x)),
        lambda x: net(_FailingBackward.apply(x)),
        _changed_in_place,
        _checkpointed,
    ],
)
def test_a_network_that_fails_backward_is_explained_forward_with_the_cause(forward_func):
    with pytest.warns(PCIMWarning, match=r"fails where gradients are taken \(\w+Error: "):
        attributions = PCIM(forward_func).attribute(bright_images(1), target=1)
    inside = net.mask(attributions).expand_as(attributions)
    assert attributions[inside].mean() > 0.5 > 0.01 > attributions[~inside].mean()


def test_numbers_from_elsewhere_are_chance_and_no_hidden_part():
    dice = np.random.default_rng(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", PCIMWarning)
        explain(lambda x: net(x) + torch.from_numpy(dice.normal(size=(len(x), 2))).float())
    told = [str(w.message) for w in caught]
    assert any("between two calls" in text for text in told)
    assert not any("hide from autograd" in text for text in told)


def test_a_reference_far_outside_the_image_accuses_no_network():
    part = small_cnn()
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hide from autograd", category=PCIMWarning)
        PCIM(lambda x: 30 * part(x)).attribute(images(), baselines=1e4, target=1, n_steps=2)
