"""What each pixel does where all are mixed in alike, and what the map makes of it."""

from dataclasses import replace

import pytest
import torch
from networks import images, prepared, small_cnn
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIM, Factorised, PerStain, Smoothing
from captum_pcim.core.blur import gaussian_blur
from captum_pcim.core.channels import PixelChannels
from captum_pcim.core.effects import IN_ORDER, Effects, _measured
from captum_pcim.core.readout import in_order_of, read_off


class Linear(nn.Module):
    """Two classes; the log-odds of class 1 are a weighted sum of the pixels."""

    def __init__(self, weights):
        super().__init__()
        self.weights = weights

    def forward(self, inputs):
        odds = (self.weights * inputs).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(odds), odds], 1)


def _halves(size=32):
    """Weights that are for the class in the left half, and against it in the right one."""
    weights = torch.full((1, 1, size, size), 0.01)
    weights[..., size // 2 :] *= -1
    return weights


def _factors(chunk):
    return chunk.channels.factors(chunk.channels.initial_logits(chunk.inputs))


def _of(network, inputs):
    problem, chunk = prepared(network, inputs)
    return Effects.of(problem, chunk, _factors(chunk), [0])


def test_the_effect_on_a_linear_network_is_what_each_pixel_adds_in_blend_and_complement():
    inputs, network = images(2, 1, 16), Linear(torch.rand(1, 1, 16, 16) - 0.5)
    problem, chunk = prepared(network, inputs)
    (found,) = _measured(problem, chunk, [torch.zeros(2, 1, 16, 16)], [1], [0])
    differences = sum(inputs - reference for (reference,) in chunk.references)
    scale = chunk.calibration.scale.view(-1, 1, 1, 1)
    assert_close(found, 2 * scale * network.weights * differences)


def test_order_and_values_are_as_the_formula_says():
    """.15 (n(A A e) + n(G_1.6 e)) and 1 + min(0, n(G_6 e)), at a sigma of 1/32 of the side."""

    def n(effects):
        size = effects.square().mean((1, 2, 3), keepdim=True).sqrt()
        return (effects / size).clamp(-1, 1)

    weights = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    problem, chunk = prepared(Linear(weights), images(2, 1, 64))
    (e,) = _measured(problem, chunk, [torch.zeros(2, 1, 64, 64)], [1], [0])
    (grids,) = chunk.channels.grids
    found = Effects.of(problem, chunk, _factors(chunk), [0])
    near, far = gaussian_blur(e, 1.6 * 2), gaussian_blur(e, 6 * 2)
    assert_close(found.order[0], 0.15 * (n(grids.averaged(grids.averaged(e))) + n(near)))
    assert_close(found.kept[0], 1 + n(far).clamp(max=0))


def test_the_order_favours_what_is_for_the_class_by_a_bounded_amount():
    (order,) = _of(Linear(_halves()), torch.ones(1, 1, 32, 32)).order
    assert order[..., :8].min() > 0 > order[..., -8:].max()
    assert order.abs().max() <= 2 * IN_ORDER


def test_values_stay_whole_where_the_neighbourhood_is_for_the_class_and_fade_where_it_is_against():
    (kept,) = _of(Linear(_halves()), torch.ones(1, 1, 32, 32)).kept
    assert (kept[..., :8] == 1).all()
    assert kept[..., -8:].max() < 0.2
    assert kept.min() >= 0


def test_without_a_gradient_nothing_changes():
    effects = _of(Linear(torch.zeros(1, 1, 16, 16)), torch.rand(2, 1, 16, 16))
    assert (effects.order[0] == 0).all() and (effects.kept[0] == 1).all()


def test_gradients_that_are_no_numbers_have_no_effect():
    weights = _halves(16)
    weights[..., 3, 3] = torch.nan
    network = Linear(torch.zeros(1, 1, 16, 16))
    problem, chunk = prepared(network, torch.ones(1, 1, 16, 16))
    network.weights = weights
    (found,) = _measured(problem, chunk, [torch.zeros(1, 1, 16, 16)], [1], [0])
    assert found.isfinite().all()


@pytest.mark.parametrize(
    ("isolation", "shape"), [(PerStain(), (2, 3, 16, 16)), (Factorised(), (2, 1, 16, 16))]
)
def test_only_maps_have_effects(isolation, shape):
    problem, chunk = prepared(small_cnn(), images(2))
    channels = PixelChannels(chunk.inputs, isolation, Smoothing())
    chunk = replace(chunk, channels=channels)
    effects = Effects.of(problem, chunk, _factors(chunk), [0])
    assert effects.order[0].shape == effects.kept[0].shape == shape
    assert effects.order[0].abs().max() > 0
    for order, kept in zip(effects.order[1:], effects.kept[1:], strict=True):
        assert (order == 0).all() and (kept == 1).all()


def test_features_and_groups_take_no_passes():
    network = nn.Linear(5, 2).eval()
    steps = 4
    arguments = {"n_steps": steps, "target": 1, "return_diagnostics": True}
    features = torch.rand(2, 5)
    _, diagnostics = PCIM(network).attribute(features, baselines=0, **arguments)
    # The image, its reference, blends and complements, and both once more for the diagnostics;
    # two to see whether there is a gradient, which are told of the first image.
    assert diagnostics.n_forwards.tolist() == [4 + 2 * steps + 2, 4 - 2 + 2 * steps + 2]


@pytest.mark.parametrize(("n_references", "taken"), [(1, 1), (3, 3), (9, 4)])
def test_each_of_the_first_four_references_takes_two_passes(n_references, taken):
    problem, chunk = prepared(small_cnn(), images(2))
    chunk = replace(chunk, unreplaced=n_references * chunk.references)
    effects = Effects.of(problem, chunk, _factors(chunk), range(n_references))
    assert effects.n_forwards == 2 * taken


def test_effects_are_of_the_references_before_any_was_replaced():
    problem, chunk = prepared(small_cnn(), images(2))
    replaced = replace(chunk, references=[(torch.ones_like(chunk.inputs[0]),)])
    found, expected = (Effects.of(problem, c, _factors(c), [0]) for c in (replaced, chunk))
    assert torch.equal(found.order[0], expected.order[0])


def test_a_map_is_its_values_in_the_order_of_average_and_effect_less_what_is_lost():
    average, values, order, kept = torch.rand(4, 2, 1, 4, 4).unbind()
    found = read_off([average], [values], Effects([order], [kept], 0))
    assert torch.equal(found[0], in_order_of(average + order, values) * kept)


def test_some_of_the_images_keep_their_effects():
    effects = _of(small_cnn(), images(3))
    taken = effects.take(torch.tensor([2, 0]))
    assert torch.equal(taken.order[0], effects.order[0][[2, 0]])
    assert torch.equal(taken.kept[0], effects.kept[0][[2, 0]])
    assert taken.n_forwards == effects.n_forwards


def test_an_image_has_the_effects_it_has_alone():
    inputs = images(3)
    together, alone = _of(small_cnn(), inputs), _of(small_cnn(), inputs[1:2])
    assert_close(together.order[0][1:2], alone.order[0])
    assert_close(together.kept[0][1:2], alone.kept[0])
