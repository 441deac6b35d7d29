"""Numerical extremes: finite results, or a clear error."""

import pytest
import torch
from networks import BrightSquare, bright_images, images, small_cnn
from torch.testing import assert_close

from captum_pcim import (
    PCIM,
    Background,
    Blur,
    Constant,
    Factorised,
    LogArea,
    PerStain,
    Preservation,
    Removal,
    SharedOverStains,
    Smoothing,
)


def _finite(result):
    attributions, diagnostics = result
    assert torch.isfinite(attributions).all()
    assert ((attributions >= 0) & (attributions <= 1)).all()
    assert torch.isfinite(diagnostics.loss_history).all()
    for name in ("full_probability", "preserved_probability", "removed_probability", "leak_ratio"):
        assert torch.isfinite(getattr(diagnostics, name)).all(), name
    return attributions, diagnostics


def _explain(forward, inputs=None, target=1, n_steps=20, **constructor):
    inputs = bright_images() if inputs is None else inputs
    return PCIM(forward, **constructor).attribute(
        inputs, target=target, n_steps=n_steps, return_diagnostics=True
    )


@pytest.mark.parametrize("factor", [300.0, 3000.0, 1e6, 1e30])
def test_a_very_confident_network_does_not_flatten_the_map(factor):
    network, inputs = BrightSquare(), bright_images()
    attributions, _ = _finite(
        PCIM(lambda x: factor * network(x)).attribute(inputs, target=1, return_diagnostics=True)
    )
    inside = network.mask(inputs).expand_as(inputs)
    assert attributions[inside].mean() > 0.5 > 0.3 > attributions[~inside].mean()


def test_beyond_the_temperature_the_scale_of_logits_changes_nothing():
    network = BrightSquare()
    maps = [_explain(lambda x, f=f: f * network(x))[0] for f in (30.0, 300.0, 3000.0)]
    assert_close(maps[0], maps[1], rtol=0, atol=5e-4)
    assert_close(maps[1], maps[2], rtol=0, atol=5e-4)


@pytest.mark.parametrize("constant", [-1e4, 1e4])
def test_a_constant_added_to_all_logits_changes_nothing(constant):
    network = BrightSquare()
    with_constant, _ = _explain(lambda x: network(x).double() + constant)
    plain, _ = _explain(lambda x: network(x).double())
    assert_close(with_constant, plain, rtol=0, atol=1e-4)


@pytest.mark.parametrize("target", [0, 1])
@pytest.mark.parametrize("extreme", [0.0, 1.0])
def test_probabilities_of_exactly_0_or_1_are_explained(target, extreme):
    """Softmax over logits of 1e4 rounds to exactly 0 and 1."""
    network = BrightSquare()

    def forward(inputs):
        return (1e4 * (2 * extreme - 1) * network(inputs)).softmax(1)

    assert set(forward(bright_images()).unique().tolist()) == {0.0, 1.0}
    _finite(_explain(forward, target=target, score="probabilities"))


@pytest.mark.parametrize("size", [1e4, -1e4, 3e38])
def test_logits_of_any_size_are_explained(size):
    network = BrightSquare(scale=1.0)
    _finite(_explain(lambda x: size * network(x)))


@pytest.mark.parametrize("isolation", [SharedOverStains(), PerStain(), Factorised()], ids=repr)
def test_inputs_of_several_precisions_are_explained_together(isolation):
    first, second = bright_images(2), bright_images(2).double()
    network = BrightSquare()

    def forward(one, other):
        return network(one) + network(other.float())

    terms = Preservation(), Removal(), LogArea(steps=8)
    pcim = PCIM(forward, isolation=isolation, objective=terms)
    maps = pcim.attribute((first, second), target=1, n_steps=8)
    assert [own.dtype for own in maps] == [torch.float32, torch.float64]
    assert_close(maps[0].double(), maps[1], rtol=0, atol=0.02)


@pytest.mark.parametrize("value", [0.0, 0.7, -3.0, 1e4])
def test_a_constant_image_has_a_flat_and_finite_map(value):
    """Its background and its blur are the image itself: there is nothing to mix."""
    inputs = torch.full((2, 3, 16, 16), value)
    attributions, _ = _finite(_explain(small_cnn(), inputs, smoothing=Smoothing(0)))
    flat = attributions.flatten(1)
    assert_close(flat, flat[:, :1].expand_as(flat), rtol=0, atol=1e-3)


def test_an_image_equal_to_its_baseline_has_a_flat_and_small_map():
    inputs = images()
    attributions = PCIM(small_cnn()).attribute(inputs, baselines=inputs, target=1)
    assert attributions.std() < 1e-5
    assert attributions.max() < 0.05


@pytest.mark.filterwarnings("ignore:forward_func. some images score exactly:UserWarning")
@pytest.mark.parametrize("score", ["logits", "regression"])
@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (2, 1, 1, 1), (1, 1, 1), (1, 1), (3, 2, 1, 5)])
def test_images_of_one_pixel_are_explained(shape, score):
    def forward(inputs):
        return 3 * inputs.flatten(1).sum(1)

    _finite(_explain(forward, torch.rand(shape) + 0.1, None, score=score))


def test_an_output_that_is_all_nan_is_refused():
    with pytest.raises(ValueError, match=r"forward_func: expected finite scores.*\[0, 1\]"):
        _explain(lambda x: x.flatten(1)[:, :2] * float("nan"))


def test_nan_for_one_image_names_it():
    def forward(inputs):
        scores = 3 * inputs.flatten(1)[:, :2]
        return scores.where(inputs[:, :1, 0, 0] < 2, torch.nan)

    inputs = images()
    inputs[2, 0, 0, 0] = 5.0
    with pytest.raises(ValueError, match=r"NaN or infinity for images \[2\]"):
        _explain(forward, inputs)


def test_scores_that_are_nan_only_for_some_blends_leave_a_finite_map():
    network = BrightSquare()
    calls = []

    def forward(inputs):
        calls.append(1)
        scores = network(inputs)
        return scores * torch.nan if len(calls) in (4, 5) else scores

    attributions, _ = _explain(forward)
    assert torch.isfinite(attributions).all()


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e3, 65535.0])
def test_the_units_of_the_image_do_not_matter(scale):
    """Sixteen-bit counts and tiny fractions give the map of the image in [0, 1]."""
    network = BrightSquare()
    in_units, _ = _explain(lambda x: network(x / scale), bright_images() * scale)
    plain, _ = _explain(network)
    assert_close(in_units, plain, rtol=0, atol=1e-3)


@pytest.mark.parametrize("reference", [Background(), Blur(), Constant(0.0)], ids=repr)
def test_large_values_are_blended_without_overflow(reference):
    inputs = 1e30 * bright_images()
    network = BrightSquare()
    _finite(_explain(lambda x: network(x / 1e30), inputs, references=[reference]))


def test_half_precision_images_near_its_largest_value():
    inputs = (60000 * images(n=1)).half()
    attributions, _ = _explain(lambda x: 3e-4 * x.flatten(1)[:, :2].float(), inputs)
    assert torch.isfinite(attributions).all()


@pytest.mark.parametrize("n_steps", [2, 3])
def test_very_few_steps_are_finite(n_steps):
    _finite(_explain(BrightSquare(), n_steps=n_steps))


def test_a_network_that_looks_at_nothing_gets_an_empty_map():
    attributions = PCIM(lambda x: 0 * x.flatten(1)[:, :2] + 1).attribute(images(), target=1)
    assert attributions.max() < 0.05


def test_regression_on_an_image_that_scores_as_its_reference_warns_and_is_finite():
    inputs = torch.ones(2, 1, 8, 8)
    with pytest.warns(UserWarning, match="score exactly as their references do"):
        _finite(_explain(lambda x: x.mean((1, 2, 3)), inputs, None, score="regression"))
