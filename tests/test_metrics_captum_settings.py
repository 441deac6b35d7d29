"""Captum's infidelity and sensitivity with image settings, on cases worked out by hand."""

import math

import pytest
import torch
from captum.attr import Saliency
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_pcim.metrics import image_infidelity, image_sensitivity_max

WEIGHTS = torch.randn(2, 16, 16, generator=torch.Generator().manual_seed(0))


def linear(images):
    return (images * WEIGHTS).sum((1, 2, 3))


def images(n=3):
    return torch.randn(n, 2, 16, 16, generator=torch.Generator().manual_seed(1))


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 100))
def test_contributions_to_a_linear_model_have_no_infidelity_at_any_scale(scale):
    contributions = scale * WEIGHTS * (images() - 0.5)
    values = image_infidelity(
        linear, images(), contributions, baselines=0.5, noise=0.0, patch_size=4, score="regression"
    )
    torch.testing.assert_close(values, torch.zeros(3), atol=1e-3, rtol=0)


def test_other_maps_have_more_infidelity():
    contributions, other = WEIGHTS * images(), images().abs()
    settings = {"patch_size": 4, "score": "regression"}
    right = image_infidelity(linear, images(), contributions, **settings)
    assert (right < image_infidelity(linear, images(), other, **settings)).all()


def test_infidelity_of_an_empty_map_is_the_mean_squared_fall_of_the_score():
    # Nearly every square is removed, so each copy falls from 6 to 2: 4 ** 2.
    ones = torch.ones(1, 1, 4, 4)
    value = image_infidelity(
        lambda x: 4 * x.mean((1, 2, 3)) + 2,
        ones,
        torch.zeros_like(ones),
        fraction=1 - 1e-9,
        score="regression",
    )
    assert value.item() == pytest.approx(16)


def test_infidelity_reads_probabilities_of_the_target():
    ones = torch.ones(1, 1, 4, 4)

    def two_classes(batch):
        total = batch.mean((1, 2, 3))
        return torch.stack([torch.zeros_like(total), total * math.log(3)], dim=1)

    # The probability of class 1 falls from 3/4 to 1/2 in each copy.
    value = image_infidelity(two_classes, ones, torch.zeros_like(ones), target=1, fraction=1 - 1e-9)
    assert value.item() == pytest.approx(0.25**2)


def test_infidelity_removes_the_expected_share_in_squares_over_all_stains():
    seen = []

    def recording(batch):
        seen.append(batch)
        return batch.sum((1, 2, 3))

    inputs = torch.ones(1, 2, 64, 64)
    image_infidelity(
        recording,
        inputs,
        inputs,
        patch_size=8,
        fraction=0.3,
        n_perturb_samples=50,
        noise=0.0,
        score="regression",
    )
    removed = seen[0] == 0
    assert removed.float().mean().item() == pytest.approx(0.3, abs=0.05)
    assert torch.equal(removed[:, 0], removed[:, 1])
    # Along a line, the state can change every 8 pixels at most: inside 7 of 8 steps it cannot.
    changes = (removed[..., 1:] != removed[..., :-1]).any(dim=(1, 2))
    assert changes.sum(1).max().item() <= 8


@pytest.mark.parametrize("limit", [3, 7])
def test_infidelity_does_not_depend_on_batch_or_chunk(limit):
    values = image_infidelity(linear, images(), images(), score="regression")
    chunked = image_infidelity(
        linear, images(), images(), score="regression", max_examples_per_batch=limit
    )
    torch.testing.assert_close(values, chunked, rtol=1e-4, atol=0)
    alone = [
        image_infidelity(linear, images()[i : i + 1], images()[i : i + 1], score="regression")
        for i in range(3)
    ]
    torch.testing.assert_close(values, torch.cat(alone), rtol=1e-4, atol=0)


def test_infidelity_removes_every_image_towards_its_own_baseline():
    baselines = torch.tensor([0.0, 1.0, -2.0]).view(3, 1, 1, 1)
    batch = image_infidelity(linear, images(), images(), baselines=baselines, score="regression")
    for i in range(3):
        one = slice(i, i + 1)
        alone = image_infidelity(
            linear, images()[one], images()[one], baselines=baselines[one], score="regression"
        )
        torch.testing.assert_close(batch[one], alone, rtol=1e-4, atol=1e-4)


def test_a_map_shared_by_the_stains_is_accepted():
    shared = images()[:, :1]
    values = image_infidelity(linear, images(), shared, score="regression")
    repeated = image_infidelity(linear, images(), shared.expand(3, 2, 16, 16), score="regression")
    assert torch.equal(values, repeated)


def test_sensitivity_of_a_constant_map_is_zero():
    values = image_sensitivity_max(lambda x: torch.ones_like(x), images())
    assert values.tolist() == [0, 0, 0]


def test_sensitivity_of_the_image_itself_is_the_relative_size_of_the_noise():
    # Pixels of plus and minus 1: the norm is sqrt(P), that of uniform noise r * sqrt(P / 3).
    signs = images(1).sign().repeat(1, 1, 4, 4)
    value = image_sensitivity_max(lambda x: x, signs, noise=0.3)
    assert value.item() == pytest.approx(0.3 / math.sqrt(3), rel=0.05)


@pytest.mark.parametrize("scale", [1e-2, 6e4])
def test_sensitivity_does_not_depend_on_the_intensity_scale(scale):
    torch.testing.assert_close(
        image_sensitivity_max(lambda x: x, scale * images()),
        image_sensitivity_max(lambda x: x, images()),
    )


def test_sensitivity_takes_the_largest_of_the_samples():
    few = image_sensitivity_max(lambda x: x.square(), images(), n_perturb_samples=1)
    many = image_sensitivity_max(lambda x: x.square(), images(), n_perturb_samples=6)
    assert (many >= few).all()
    assert (many > few).any()


def test_optimised_maps_find_gradients_enabled_and_receive_their_keywords():
    def optimised(inputs, n_steps):
        weights = torch.zeros_like(inputs, requires_grad=True)
        for _ in range(n_steps):
            (gradient,) = torch.autograd.grad((weights - inputs).square().sum(), weights)
            weights = (weights - 0.25 * gradient).detach().requires_grad_()
        # Expanded and transposed memory, as a map repeated over stains has.
        return weights.transpose(2, 3).contiguous().transpose(2, 3)

    # After n steps the map is (1 - 1/2 ** n) x: as sensitive as the image itself.
    torch.testing.assert_close(
        image_sensitivity_max(optimised, images(), n_steps=3),
        image_sensitivity_max(lambda x: x, images()),
    )


def test_targets_and_images_stay_together_in_any_batch():
    def model(batch):
        pooled = batch.square().mean((1, 2, 3))
        return torch.stack([pooled, pooled.sin(), pooled.exp()], dim=1)

    targets = torch.tensor([2, 0, 1])

    def explain(inputs, target):
        return Saliency(model).attribute(inputs.requires_grad_(), target=target)

    batch = image_sensitivity_max(explain, images(), target=targets)
    for i in range(3):
        one = slice(i, i + 1)
        alone = image_sensitivity_max(explain, images()[one], target=targets[one])
        torch.testing.assert_close(batch[one], alone)


def test_the_random_state_is_left_alone():
    state = torch.get_rng_state()
    image_infidelity(linear, images(), images(), score="regression")
    image_sensitivity_max(lambda x: x, images())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"patch_size": 0}, "patch_size: expected a whole number >= 1, got 0"),
        ({"score": "logit"}, 'score: expected "logits" or "probabilities"'),
        ({"fraction": 1.0}, "fraction: expected a number between 0 and 1, got 1.0"),
        ({"baselines": torch.ones(5)}, "baselines: expected a shape broadcastable to"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        image_infidelity(linear, images(), images(), **change)
