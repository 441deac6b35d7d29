"""The terms of the objective."""

import math

import pytest
import torch
from networks import BrightSquare, bright_images
from torch.testing import assert_close

from captum_pcim import (
    PCIM,
    Area,
    DistributionPreservation,
    LogArea,
    Preservation,
    Removal,
    Smoothness,
)
from captum_pcim.core.objective import Blended, default_objective, mean_weight, total_loss
from captum_pcim.core.scores import read_scores

FULL = torch.tensor([[0.0, 2.0], [1.0, 0.0]], dtype=torch.float64)
KEPT = torch.tensor([[0.5, 1.0], [0.0, 0.0]], dtype=torch.float64)
LOST = torch.tensor([[1.0, 0.0], [3.0, 0.0]], dtype=torch.float64)
CLASSES = torch.tensor([1, 0])


def _blended(kept=KEPT, lost=LOST, progress=0.0, weights=None, n_steps=46):
    weights = (torch.rand(2, 1, 3, 4, dtype=torch.float64),) if weights is None else weights
    full, kept, lost = (read_scores(x, CLASSES, "logits") for x in (FULL, kept, lost))
    return Blended(weights, kept, lost, full, progress, n_steps)


def _p(logits):
    return logits.softmax(1)[[0, 1], CLASSES]


def test_preservation_is_minus_the_log_of_the_blends_probability():
    assert_close(Preservation(2.0)(_blended()), -2 * _p(KEPT).log())


def test_removal_is_minus_the_log_of_the_rest_of_the_complement():
    assert_close(Removal(2.0)(_blended()), -2 * (1 - _p(LOST)).log())


def test_distribution_preservation_is_the_divergence_of_full_image_and_blend():
    full, kept = FULL.softmax(1), KEPT.softmax(1)
    assert_close(DistributionPreservation()(_blended()), (full * (full / kept).log()).sum(1))


def test_distribution_preservation_is_zero_where_the_blend_is_judged_as_the_image_is():
    assert_close(DistributionPreservation()(_blended(kept=FULL)), torch.zeros(2).double())


@pytest.mark.parametrize("term", [Preservation(), Removal(), DistributionPreservation()])
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_terms_and_gradients_are_finite_for_any_confidence(term, size):
    kept, lost = (size * x.sign().requires_grad_() for x in (KEPT - 0.7, LOST - 0.2))
    loss = term(_blended(kept, lost))
    gradients = torch.autograd.grad(loss.sum(), (kept, lost), allow_unused=True)
    assert torch.isfinite(loss).all()
    assert all(torch.isfinite(g).all() for g in gradients if g is not None)


def test_the_price_of_area_rises_geometrically_from_start_to_end():
    area = Area(start=1.0, end=100.0)
    assert [area.price(t) for t in (0, 0.5, 1)] == pytest.approx([1, 10, 100])


def test_a_price_that_starts_at_zero_rises_linearly():
    area = Area(start=0.0, end=8.0)
    assert [area.price(t) for t in (0, 0.25, 1)] == [0, 2, 8]


def test_area_is_the_price_of_the_mean_weight():
    weights = (torch.tensor([[[[0.0, 1.0]]], [[[0.5, 0.5]]]]),)
    assert Area(2.0, 8.0)(_blended(progress=1.0, weights=weights)).tolist() == [4, 4]


def test_the_mean_weight_is_over_all_pixels_of_all_inputs():
    weights = torch.ones(2, 1, 2, 2), torch.zeros(2, 4)
    assert mean_weight(weights).tolist() == [0.5, 0.5]


def test_the_schedule_goes_from_the_first_step_to_the_last():
    seen = []

    class Recorder:
        def __call__(self, blended):
            seen.append(blended.progress)
            return mean_weight(blended.weights)

    PCIM(BrightSquare(), objective=[Recorder()]).attribute(bright_images(), target=1, n_steps=5)
    assert seen == [0, 0.25, 0.5, 0.75, 1]


@pytest.mark.parametrize("spatial", [(6,), (6, 5), (6, 5, 4)])
def test_smoothness_is_the_mean_absolute_difference_along_each_axis(spatial):
    ramp = torch.linspace(0, 1, 6).view(1, 1, -1, *[1] * (len(spatial) - 1))
    weights = ramp.expand(2, 1, *spatial)
    assert_close(Smoothness(3.0)(_blended(weights=(weights,))), torch.full((2,), 3 / 5))


def test_a_flat_map_is_perfectly_smooth_and_features_have_no_neighbours():
    weights = torch.full((2, 1, 4, 4), 0.3), torch.rand(2, 7)
    assert Smoothness()(_blended(weights=weights)).tolist() == [0, 0]


def test_the_objective_is_the_sum_of_its_terms_image_by_image():
    terms, blended = [Preservation(), Removal(0.5), Area()], _blended()
    assert_close(total_loss(terms, blended), sum(term(blended) for term in terms))
    assert total_loss(terms, blended).shape == (2,)


def test_the_default_preserves_removes_and_charges_for_area():
    kinds = {type(term) for term in default_objective()}
    assert Removal in kinds and LogArea in kinds
    assert kinds & {Preservation, DistributionPreservation}


@pytest.mark.parametrize("share", [0.05, 0.5])
def test_half_of_the_area_is_worth_the_same_however_large_it_is(share):
    whole, half = (torch.full((1, 1, 4, 4), s) for s in (share, share / 2))
    term = LogArea(price=2.0, floor=1e-9)
    saved = term(_blended(weights=(whole,))) - term(_blended(weights=(half,)))
    assert_close(saved, torch.tensor([2 * math.log(2)]))


@pytest.mark.parametrize(("n_steps", "times"), [(2, 23), (23, 2), (46, 1), (47, 1)])
def test_area_costs_more_where_there_are_few_steps_to_give_it_up_in(n_steps, times):
    weights = (torch.full((1, 1, 4, 4), 0.5),)
    found = LogArea(2.0)(_blended(weights=weights, n_steps=n_steps))
    assert_close(found, times * LogArea(2.0)(_blended(weights=weights)))


@pytest.mark.parametrize(
    "build, told",
    [
        (lambda: LogArea(-1.0), "LogArea expected price >= 0, got -1"),
        (lambda: LogArea(math.nan), "LogArea expected price >= 0, got nan"),
        (lambda: LogArea(1.0, 0.0), "LogArea expected floor > 0, got 0"),
        (lambda: LogArea(steps=0), "LogArea expected steps > 0, got 0"),
    ],
)
def test_a_price_that_cannot_be_is_refused(build, told):
    with pytest.raises(ValueError, match=f"^objective: {told}"):
        build()


def test_a_loss_per_image_depends_on_no_other_image():
    terms = [*default_objective(), Smoothness(), DistributionPreservation(), Preservation()]
    kept = KEPT.clone().requires_grad_()
    for term in terms:
        loss = term(_blended(kept=kept))
        if loss.requires_grad:
            (gradient,) = torch.autograd.grad(loss[0], kept)
            assert (gradient[1] == 0).all()


def test_more_expensive_area_gives_smaller_maps():
    def area(price):
        objective = [Preservation(), Removal(), Area(price, price)]
        _, diagnostics = PCIM(BrightSquare(), objective=objective).attribute(
            bright_images(), target=1, return_diagnostics=True
        )
        return diagnostics.area.mean()

    assert area(0.5) > area(5.0) > area(50.0)


def test_without_removal_redundant_evidence_is_left_behind():
    """Any of two squares is enough for this network: preservation alone may keep just one."""

    def either(inputs):
        squares = inputs[:, 0, 2:6, 2:6].mean((1, 2)), inputs[:, 0, 10:14, 10:14].mean((1, 2))
        odds = 20 * (torch.stack(squares).logsumexp(0) - math.log(2) - 0.5) + 6
        return torch.stack([torch.zeros_like(odds), odds], 1)

    inputs = torch.zeros(1, 1, 16, 16)
    inputs[:, :, 2:6, 2:6] = inputs[:, :, 10:14, 10:14] = 1

    def removed(*terms):
        objective = [*terms, Area(3.0, 3.0)]
        _, diagnostics = PCIM(either, objective=objective).attribute(
            inputs, baselines=0, target=1, return_diagnostics=True
        )
        return float(diagnostics.removed_probability)

    assert removed(Preservation(), Removal()) < 0.5 < removed(Preservation())


def test_own_terms_take_part():
    class LeftHalf:
        """A price on the right half of the image."""

        def __call__(self, blended):
            (weights,) = blended.weights
            return 100 * weights[..., weights.shape[-1] // 2 :].flatten(1).mean(1)

    attributions = PCIM(BrightSquare(), objective=[Preservation(), LeftHalf()]).attribute(
        bright_images(), target=1
    )
    left, right = attributions.chunk(2, dim=-1)
    assert left.mean() > 10 * right.mean()


@pytest.mark.parametrize("make", [lambda: Area(0, 0), lambda: LogArea(0, 1e-9)])
def test_area_may_cost_nothing(make):
    assert make()


@pytest.mark.parametrize(
    "make",
    [lambda: Area(-1e-9, 1), lambda: Area(1, -1e-9), lambda: Area(math.inf), lambda: LogArea(-1e-9),
     lambda: Area(1, math.inf), lambda: LogArea(math.inf), lambda: LogArea(1, 0),
     lambda: LogArea(1, math.inf)],
)  # fmt: skip
def test_no_other_price_is_taken(make):
    with pytest.raises(ValueError, match=r"^objective: (Area|LogArea) expected"):
        make()
