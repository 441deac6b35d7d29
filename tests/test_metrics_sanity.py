"""Parameter randomisation, seeds and adversarial masks against cases worked out by hand."""

import math

import pytest
import torch
from captum.attr import InputXGradient
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from captum_pcim.metrics import (
    EquallyConfident,
    efficient_mprt,
    rank_correlation,
    second_classifier_agreement,
    seed_agreement,
    smooth_mprt,
    structural_similarity,
    wrong_class_success,
)
from captum_pcim.metrics.randomised import randomised_models


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 8 * 8, 3)
    ).eval()


def images(n=2):
    return torch.randn(n, 2, 10, 10, generator=torch.Generator().manual_seed(1))


def input_times_gradient(model, inputs, target):
    return InputXGradient(model).attribute(inputs.requires_grad_(), target=target)


def edges(model, inputs, target):
    """A method that never looks at the model."""
    return torch.diff(inputs, dim=3, prepend=inputs[..., :1]).abs()


def test_rank_correlation_by_hand():
    first = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    second = torch.tensor([[[[20.0, 10.0], [400.0, 300.0]]]])
    # Rank differences 1, 1, 1, 1: 1 - 6 * 4 / (4 * 15).
    assert rank_correlation(first, second).item() == pytest.approx(0.6)
    # Ties share the middle rank: (0.5, 0.5, 2, 3) against (0, 1, 2, 3).
    tied = torch.tensor([[[[1.0, 1.0], [3.0, 4.0]]]])
    assert rank_correlation(first, tied).item() == pytest.approx(4.5 / math.sqrt(5 * 4.5))


def test_rank_correlation_with_a_constant_map_is_zero():
    assert rank_correlation(images(), torch.ones_like(images())).tolist() == [0, 0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=9, max_size=9).filter(lambda v: len(set(v)) > 1))
def test_rank_correlation_ignores_monotone_transforms(values):
    one = torch.tensor(values, dtype=torch.float64).view(1, 1, 3, 3)
    assert rank_correlation(one, one.exp() * 2 - 5).item() == pytest.approx(1)
    assert rank_correlation(one, -one).item() == pytest.approx(-1)


def test_smooth_mprt_is_one_for_a_method_that_ignores_the_model():
    result = smooth_mprt(small_network(), edges, images(), target=0, n_samples=2)
    assert result.layers == ["0", "1", "4"]
    torch.testing.assert_close(result.similarities, torch.ones(2, 3))
    torch.testing.assert_close(result.score, torch.ones(2))


def test_smooth_mprt_is_about_zero_for_a_map_of_the_parameters():
    torch.manual_seed(3)
    model = nn.Sequential(nn.Flatten(), nn.Linear(1600, 2))
    inputs = torch.ones(1, 1, 40, 40)
    result = smooth_mprt(model, input_times_gradient, inputs, target=1, n_samples=1)
    # 1600 independent weights before and after: the standard error of the correlation is 1 / 40.
    assert abs(result.score.item()) < 3 / 40


def test_smooth_mprt_averages_over_noise_relative_to_the_range():
    inputs = torch.zeros(1, 1, 60, 60)
    inputs[..., 0, 0] = 50
    seen = []

    def recording(model, noisy, target):
        seen.append(noisy - inputs)
        return noisy

    smooth_mprt(nn.Linear(1, 1), recording, inputs, n_samples=4, noise=0.1)
    assert len(seen) == 8  # four for the trained model, four for the one layer
    assert seen[0].std().item() == pytest.approx(0.1 * 50, rel=0.05)
    for trained, randomised in zip(seen[:4], seen[4:], strict=True):
        assert torch.equal(trained, randomised)


def test_smooth_mprt_of_an_image_is_the_same_alone_and_in_a_batch():
    model, inputs = small_network(), images()
    batch = smooth_mprt(model, input_times_gradient, inputs, target=1, n_samples=2).similarities
    for i in range(2):
        alone = smooth_mprt(
            model, input_times_gradient, inputs[i : i + 1], target=1, n_samples=2
        ).similarities
        torch.testing.assert_close(batch[i : i + 1], alone, atol=1e-3, rtol=0)


def test_efficient_mprt_by_hand():
    model = nn.Linear(1, 1)
    trained_weight = model.weight.detach().clone()
    # Histograms: two values twice each, entropy ln 2; four values, entropy ln 4.
    simple = torch.tensor([[[[0.0, 0.0], [1.0, 1.0]]]])
    complex_ = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])

    def lookup(some_model, inputs, target):
        return simple if torch.equal(some_model.weight, trained_weight) else complex_

    inputs = torch.zeros(1, 1, 2, 2)
    assert efficient_mprt(model, lookup, inputs).item() == pytest.approx(1)
    simple, complex_ = complex_, simple
    assert efficient_mprt(model, lookup, inputs).item() == pytest.approx(-0.5)


def test_efficient_mprt_is_zero_without_the_model_and_nan_for_a_constant_map():
    assert efficient_mprt(small_network(), edges, images()).tolist() == [0, 0]
    constant = efficient_mprt(small_network(), lambda m, x, t: torch.ones_like(x), images())
    assert constant.isnan().all()


def test_every_layer_is_randomised_in_a_copy():
    model = small_network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    changed = []
    for name, randomised in randomised_models(model):
        weight = randomised.get_submodule(name).weight
        changed.append(not torch.equal(weight, model.get_submodule(name).weight))
    # The scale of the untrained batch norm is 1 before and after.
    assert changed == [True, False, True]
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_parameters_without_an_initialiser_are_shuffled():
    class Scale(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.arange(50.0).view(5, 10))

    *_, (name, randomised) = randomised_models(Scale())
    assert name == ""
    assert not torch.equal(randomised.scale, torch.arange(50.0).view(5, 10))
    assert torch.equal(randomised.scale.flatten().sort().values, torch.arange(50.0))
    assert isinstance(randomised.scale, nn.Parameter)


def test_model_flags_and_random_state_are_left_alone():
    model = small_network()
    model[0].weight.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    smooth_mprt(model, input_times_gradient, images(), target=0, n_samples=1)
    efficient_mprt(model, input_times_gradient, images(), target=0)
    seed_agreement(model, lambda m, x, t: torch.rand_like(x), images())
    assert torch.equal(torch.get_rng_state(), state)
    assert not model.training
    assert not model[0].weight.requires_grad
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_seeds_agree_for_a_deterministic_method_and_not_for_random_maps():
    inputs = torch.randn(1, 1, 40, 40, generator=torch.Generator().manual_seed(2))
    agreement = seed_agreement(None, edges, inputs)
    assert agreement.item() == pytest.approx(1)
    agreement = seed_agreement(None, lambda m, x, t: torch.rand_like(x), inputs)
    assert abs(agreement.item()) < 3 / 40


def test_a_method_with_its_own_seed_can_read_it():
    seeds = []

    def recording(forward_func, inputs, target):
        seeds.append(torch.initial_seed())
        return inputs

    seed_agreement(None, recording, images(), n_seeds=3, seed=11)
    assert seeds == [11, 12, 13]


# Three classes: the brightness of the left half, that of the right half, and "empty" at 0.5.
def halves(batch):
    left, right = batch[..., :2].sum((1, 2, 3)), batch[..., 2:].sum((1, 2, 3))
    return torch.stack([left, right, torch.full_like(left, 0.5)], dim=1)


def evidence(forward_func, inputs, target):
    """An honest map: each pixel's contribution to the class's logit."""
    return InputXGradient(forward_func).attribute(inputs.clone().requires_grad_(), target=target)


LEFT_BRIGHT = torch.tensor([[[[3.0, 1.0, 0.2, 0.1]]]])


def test_second_classifier_sees_what_the_map_preserves():
    def second(batch):
        return 2 * halves(batch)

    relevance = torch.tensor([[[[4.0, 3.0, 2.0, 1.0]]]])
    for fraction in (0.5, torch.tensor([0.5])):
        value = second_classifier_agreement(second, LEFT_BRIGHT, relevance, 0, fraction=fraction)
        # Preserved are 3 and 1 of the left half: logits 8, 0 and 1.
        expected = math.exp(8) / (math.exp(8) + 1 + math.e)
        assert value.item() == pytest.approx(expected)


def test_without_a_fraction_the_mean_weight_is_preserved():
    weights = torch.tensor([[[[0.9, 0.1, 0.0, 0.0]]]])  # mean 1/4: one pixel, the brightest
    value = second_classifier_agreement(halves, LEFT_BRIGHT, weights, target=0)
    expected = math.exp(3) / (math.exp(3) + 1 + math.exp(0.5))
    assert value.item() == pytest.approx(expected)


def test_replaced_pixels_come_from_the_baseline():
    relevance = torch.tensor([[[[4.0, 3.0, 2.0, 1.0]]]])
    value = second_classifier_agreement(
        lambda x: x.sum((1, 2, 3)), LEFT_BRIGHT, relevance, None, 0.5, 0.25, score="regression"
    )
    assert value.item() == pytest.approx(3 + 3 * 0.5)


def test_wrong_class_fails_where_there_is_no_evidence_and_succeeds_on_a_planted_pattern():
    planted = torch.tensor([[[[3.0, 1.0, 0.2, 0.9]]]])
    inputs = torch.cat([LEFT_BRIGHT, planted])
    # One pixel of four: the right half's brightest shows 0.2, below the 0.5 of "empty", or 0.9.
    success = wrong_class_success(halves, evidence, inputs, 0, 1, fraction=0.25)
    assert success.tolist() == [0, 1]


def test_wrong_class_mask_is_as_small_as_the_right_one():
    inputs = torch.tensor([[[[3.0, 1.0, 0.3, 0.3]]]])

    def weights(fraction):
        # For the true class a map of the given mean weight, for the wrong one its evidence.
        def attribute(forward_func, batch, target):
            honest = evidence(forward_func, batch, target)
            return torch.full_like(honest, fraction) if target == 0 else honest

        return attribute

    # One pixel of 0.3 stays below "empty", two of them exceed it.
    assert wrong_class_success(halves, weights(0.25), inputs, 0, 1).item() == 0
    assert wrong_class_success(halves, weights(0.5), inputs, 0, 1).item() == 1


def test_a_class_that_the_baseline_alone_shows_has_no_answer():
    success = wrong_class_success(
        halves, evidence, LEFT_BRIGHT.repeat(2, 1, 1, 1), 0, torch.tensor([2, 1]), fraction=0.25
    )
    assert success.isnan().tolist() == [True, False]


def test_bad_input_is_named():
    model, inputs = small_network(), images()
    with pytest.raises(ValueError, match="n_samples: expected a whole number >= 1, got 0"):
        smooth_mprt(model, edges, inputs, n_samples=0)
    with pytest.raises(ValueError, match="n_bins: expected a whole number >= 2, got 1"):
        efficient_mprt(model, edges, inputs, n_bins=1)
    with pytest.raises(ValueError, match="n_seeds: expected a whole number >= 2, got 1"):
        seed_agreement(model, edges, inputs, n_seeds=1)
    with pytest.raises(ValueError, match="model: expected parameters to randomise"):
        efficient_mprt(nn.Flatten(), edges, inputs)
    with pytest.raises(TypeError, match="model: expected a module, got function"):
        efficient_mprt(lambda images: model(images), edges, inputs)
    with pytest.raises(ValueError, match="second: expected maps of the same images"):
        rank_correlation(inputs, inputs[:1])
    with pytest.raises(ValueError, match="wrong_target: expected other classes than target"):
        wrong_class_success(model, edges, inputs, torch.tensor([0, 1]), 1, fraction=0.1)
    with pytest.raises(ValueError, match=r"fraction: expected numbers in \[0, 1\], got 1.5"):
        second_classifier_agreement(model, inputs, inputs, 0, fraction=1.5)
    with pytest.raises(ValueError, match=r"attributions: expected .* as the inputs are"):
        second_classifier_agreement(model, inputs, inputs[:1], 0, fraction=0.5)
    with pytest.raises(
        ValueError, match=r"forward_func: expected logits of shape \(N, K\) with K > 1"
    ):
        wrong_class_success(lambda x: x.sum((1, 2, 3)), edges, inputs, 0, 1, fraction=0.1)


def test_a_map_is_wholly_similar_to_itself_whatever_its_unit():
    maps = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(structural_similarity(maps, 7 * maps), torch.ones(2))


def test_structural_similarity_is_that_of_scikit_image():
    metrics = pytest.importorskip("skimage.metrics")
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(1, 1, 40, 40, generator=generator)
    second = (first + 0.5 * torch.rand(1, 1, 40, 40, generator=generator)) / 1.5
    first, second = ((m - m.min()) / (m.max() - m.min()) for m in (first, second))
    expected = metrics.structural_similarity(
        first[0, 0].numpy(), second[0, 0].numpy(), data_range=1.0, gaussian_weights=True,
        use_sample_covariance=False,
    )  # fmt: skip
    # They leave out the rim, where windows reach beyond the image.
    assert structural_similarity(first, second).item() == pytest.approx(expected, abs=0.01)


def test_constant_maps_are_similar_and_unlike_others():
    flat = torch.full((1, 1, 16, 16), 0.3)
    spot = torch.zeros(1, 1, 16, 16)
    spot[..., ::2, ::2] = 1
    assert structural_similarity(flat, flat).item() == pytest.approx(1)
    assert structural_similarity(flat, spot).item() < 0.1


def test_a_randomised_network_is_as_sure_as_the_trained_one_and_unsure_of_its_references():
    model, inputs = small_network(), images()
    baselines = torch.full_like(inputs, float(inputs.mean()))
    randomised = EquallyConfident(model, inputs, baselines, seed=3)

    def margin(network):
        first, second = network(inputs).topk(2, dim=1).values.unbind(1)
        return (first - second).median()

    torch.testing.assert_close(margin(randomised), margin(model))
    torch.testing.assert_close(
        randomised(baselines).mean(0), torch.zeros(model(inputs).shape[1]), atol=1e-4, rtol=0
    )
    own, drawn = ([*m.parameters()] for m in (model, randomised))
    assert all(not torch.equal(a, b) for a, b in zip(own, drawn, strict=True) if a.ndim > 1)
