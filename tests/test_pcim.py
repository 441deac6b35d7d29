"""PCIM on networks whose evidence is known pixel by pixel."""

import pytest
import torch
from networks import BrightSquare, bright_images, images, small_cnn
from sklearn.metrics import average_precision_score
from torch.nn.functional import max_pool2d
from torch.testing import assert_close

import captum_pcim
from captum_pcim import PCIM, Smoothing
from captum_pcim.core.problem import HELD_SHARE


@pytest.fixture(scope="module")
def explained(planted):
    network, inputs, targets, masks = planted
    attributions, diagnostics = PCIM(network).attribute(
        inputs, target=targets, return_diagnostics=True
    )
    return attributions, diagnostics, targets, masks


def test_the_public_names_are_importable():
    assert all(hasattr(captum_pcim, name) for name in captum_pcim.__all__)


def test_maps_have_the_shape_of_the_images_and_weights_between_0_and_1(explained):
    attributions, *_ = explained
    assert attributions.shape == (3, 3, 32, 32)
    assert ((attributions >= 0) & (attributions <= 1)).all()


def test_without_smoothing_the_evidence_stands_out_pixel_by_pixel(planted):
    network, inputs, targets, masks = planted
    pcim = PCIM(network, smoothing=Smoothing(0))
    attributions = pcim.attribute(inputs[1:], target=targets[1:])
    for weights, mask in zip(attributions[:, 0], masks[1:, 0], strict=True):
        assert average_precision_score(mask.flatten(), weights.flatten()) == pytest.approx(1)
        assert weights[mask].min() > 3 * weights[~mask].max()


@pytest.mark.parametrize("image", [1, 2])
def test_with_smoothing_the_evidence_stands_out_up_to_its_blur(explained, image):
    attributions, _, _, masks = explained
    weights, mask = attributions[image, 0], masks[image]
    near = max_pool2d(mask.float(), 7, stride=1, padding=3)[0] > 0
    assert weights[mask[0]].min() > weights[~near].max()
    assert weights[mask[0]].mean() > 5 * weights[~near].mean()


def test_an_image_without_evidence_gets_an_empty_map(explained):
    attributions, _, _, masks = explained
    assert not masks[0].any()
    assert attributions[0].mean() < 0.05


def test_a_fifth_of_the_image_is_enough_to_keep_the_class_and_lose_it(explained):
    _, diagnostics, *_ = explained
    positive = slice(1, 3)
    assert (diagnostics.area[positive] < 0.2).all()
    kept = diagnostics.preserved_probability / diagnostics.full_probability
    assert (kept[positive] > HELD_SHARE).all()
    assert (diagnostics.removed_probability[positive] < 0.1).all()


def test_diagnostics_say_what_the_network_says(planted, explained):
    network, inputs, targets, _ = planted
    attributions, diagnostics, *_ = explained
    probabilities = network(inputs).softmax(1)[torch.arange(3), targets]
    assert_close(diagnostics.full_probability, probabilities)
    assert_close(diagnostics.area, attributions[:, 0].flatten(1).mean(1))
    ratios = diagnostics.preserved_by_reference / diagnostics.full_probability.unsqueeze(1)
    worst = ratios.log().abs().argmax(1, keepdim=True)
    assert_close(diagnostics.leak_ratio, ratios.gather(1, worst).squeeze(1))


def test_preserved_and_removed_are_averaged_over_the_references():
    network, inputs = BrightSquare(), bright_images()
    references = [captum_pcim.Constant(0.0), captum_pcim.Constant(0.4)]
    weights, diagnostics = PCIM(network, references=references).attribute(
        inputs, target=1, n_steps=6, return_diagnostics=True
    )

    def probability(weights):
        blends = [b + weights * (inputs - b) for b in (0.0, 0.4)]
        return torch.stack([network(blend).softmax(1)[:, 1] for blend in blends]).mean(0)

    assert_close(diagnostics.preserved_probability, probability(weights))
    assert_close(diagnostics.removed_probability, probability(1 - weights))


def test_diagnostics_of_a_very_sure_network_are_its_own_probabilities():
    network, inputs = BrightSquare(scale=60.0), bright_images()
    weights, diagnostics = PCIM(network, references=[captum_pcim.Constant(0.0)]).attribute(
        inputs, target=1, n_steps=6, return_diagnostics=True
    )
    of_class = network(inputs).softmax(1)[:, 1]
    assert (of_class > 0.999999).all()  # log-odds of 8 would be 0.9997
    assert_close(diagnostics.full_probability, of_class, rtol=0, atol=1e-6)
    kept, left = (network(w * inputs).softmax(1)[:, 1] for w in (weights, 1 - weights))
    assert_close(diagnostics.preserved_probability, kept)
    assert_close(diagnostics.removed_probability, left)


def test_another_class_of_the_same_image_has_another_map(planted):
    network, inputs, _, masks = planted
    as_plus, as_ring = (PCIM(network).attribute(inputs[1:2], target=c)[0, 0] for c in (1, 2))
    assert as_plus[masks[1, 0]].mean() > 0.5 > 0.3 > as_ring[masks[1, 0]].mean()


def test_the_same_call_gives_the_same_map_bit_by_bit():
    first, second = (PCIM(small_cnn()).attribute(images(), target=1, n_steps=8) for _ in range(2))
    assert torch.equal(first, second)


def test_nothing_random_is_in_the_defaults():
    first, second = (
        PCIM(small_cnn(), seed=seed).attribute(images(), target=1, n_steps=8) for seed in (0, 1)
    )
    assert torch.equal(first, second)


def test_a_network_that_draws_random_numbers_is_repeatable():
    def noisy(inputs):
        return small_cnn()(inputs + 0.1 * torch.randn_like(inputs))

    first, again, other = (
        PCIM(noisy, seed=seed).attribute(images(), target=1, n_steps=8) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_inputs_are_not_modified():
    inputs, baselines = images(), images(seed=2)
    before = inputs.clone(), baselines.clone()
    PCIM(small_cnn()).attribute(inputs, baselines, target=1, n_steps=4)
    assert torch.equal(inputs, before[0]) and torch.equal(baselines, before[1])


def test_the_map_is_the_callers_own():
    """Two calls share no memory with each other nor with the inputs."""
    inputs = images()
    pcim = PCIM(small_cnn())
    first = pcim.attribute(inputs, target=1, n_steps=4)
    kept = first.clone()
    pcim.attribute(inputs, target=2, n_steps=4).zero_()
    assert torch.equal(first, kept)


def test_one_object_explains_calls_of_any_shape_in_turn():
    pcim = PCIM(small_cnn())
    first = pcim.attribute(images(size=16), target=1, n_steps=4)
    pcim.attribute(images(n=1, size=24), target=2, n_steps=4)
    assert torch.equal(first, pcim.attribute(images(size=16), target=1, n_steps=4))


@pytest.mark.parametrize("spatial", [(20,), (20, 24), (4, 20, 24)])
def test_signals_images_and_stacks_are_explained(spatial):
    """The evidence is the second half of the last axis, in every dimension."""
    inputs = torch.zeros(2, 2, *spatial)
    half = spatial[-1] // 2
    inputs[..., half:] = 1.0

    def forward(inputs):
        odds = 20 * (inputs[..., half:].flatten(1).mean(1) - 0.5)
        return torch.stack([torch.zeros_like(odds), odds], 1)

    attributions = PCIM(forward, smoothing=Smoothing(0)).attribute(inputs, baselines=0, target=1)
    assert attributions.shape == inputs.shape
    assert attributions[..., half:].min() > 10 * attributions[..., :half].max()


def test_features_are_explained():
    weights = torch.tensor([5.0, 0.0, 5.0, 0.0])

    def forward(inputs):
        odds = inputs @ weights - 5
        return torch.stack([torch.zeros_like(odds), odds], 1)

    attributions = PCIM(forward).attribute(torch.ones(2, 4), target=1)
    assert attributions[:, [0, 2]].min() > attributions[:, [1, 3]].max()


def test_progress_is_shown_on_request(capsys):
    PCIM(small_cnn()).attribute(images(), target=1, n_steps=3, show_progress=True)
    assert "PCIM attribution" in capsys.readouterr().err
    PCIM(small_cnn()).attribute(images(), target=1, n_steps=3)
    assert capsys.readouterr().err == ""
