"""The blending layer: the definition and the fused form are the same image."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from captum_pcim.core.blending import (
    LITERAL_PIXEL_LIMIT,
    blend,
    blend_and_complement,
    blend_literally,
    isolate,
)

SPATIAL = [(12,), (4, 5), (2, 3, 4)]


def _random(*shape):
    return torch.rand(shape, dtype=torch.float64)


def _case(spatial, n_stains=2, per_stain=False, n_references=3):
    inputs, reference = _random(3, n_stains, *spatial), _random(n_references, n_stains, *spatial)
    return inputs, reference, _random(3, n_stains if per_stain else 1, *spatial)


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("per_stain", [False, True])
@pytest.mark.parametrize("n_references", [1, 3])
def test_the_literal_and_the_fused_form_are_equal_to_float64_round_off(
    spatial, per_stain, n_references
):
    case = _case(spatial, per_stain=per_stain, n_references=n_references)
    assert_close(blend_literally(*case), blend(*case), rtol=0, atol=1e-15 * 100)


@pytest.mark.parametrize("spatial", SPATIAL)
@pytest.mark.parametrize("per_stain", [False, True])
def test_their_gradients_are_equal_to_float64_round_off(spatial, per_stain):
    case = [tensor.requires_grad_() for tensor in _case(spatial, per_stain=per_stain)]
    literal = torch.autograd.grad(blend_literally(*case).square().sum(), case)
    fused = torch.autograd.grad(blend(*case).square().sum(), case)
    for ours, definition in zip(fused, literal, strict=True):
        assert_close(ours, definition, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("per_stain", [False, True])
def test_the_gradient_of_the_weights_is_the_numerical_one(per_stain):
    inputs, reference, weights = _case((2, 3), per_stain=per_stain)
    weights.requires_grad_()
    assert torch.autograd.gradcheck(blend_and_complement, (inputs, reference, weights))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 4), st.lists(st.integers(1, 5), min_size=1, max_size=3))
def test_literal_and_fused_agree_for_any_shape(n_images, n_stains, spatial):
    inputs, reference = _random(n_images, n_stains, *spatial), _random(1, n_stains, *spatial)
    weights = _random(n_images, 1, *spatial)
    assert_close(
        blend_literally(inputs, reference, weights),
        blend(inputs, reference, weights),
        rtol=1e-13,
        atol=1e-13,
    )


def test_an_isolated_channel_is_the_reference_but_for_its_own_pixel():
    inputs, reference, _ = _case((2, 3))
    channels = isolate(inputs, reference)
    assert channels.shape == (3, 6, 2, 2, 3)
    for pixel in range(6):
        row, column = divmod(pixel, 3)
        expected = reference.clone()
        expected[:, :, row, column] = inputs[:, :, row, column]
        assert_close(channels[:, pixel], expected)


def test_weights_of_one_give_the_image_and_of_zero_the_reference():
    inputs, reference, weights = _case((4, 5))
    assert_close(blend(inputs, reference, torch.ones_like(weights)), inputs)
    assert torch.equal(blend(inputs, reference, torch.zeros_like(weights)), reference)


@pytest.mark.parametrize("per_stain", [False, True])
@pytest.mark.parametrize("n_references", [1, 3])
def test_the_batch_holds_blends_first_and_complements_last(per_stain, n_references):
    inputs, reference, weights = _case((4, 5), per_stain=per_stain, n_references=n_references)
    blends, complements = blend_and_complement(inputs, reference, weights).chunk(2)
    assert_close(blends, blend(inputs, reference, weights))
    assert_close(complements, blend(inputs, reference, 1 - weights))


def test_a_blend_and_its_complement_together_are_the_image_and_the_reference():
    inputs, reference, weights = _case((4, 5))
    blends, complements = blend_and_complement(inputs, reference, weights).chunk(2)
    assert_close(blends + complements, inputs + reference)


def test_the_literal_form_refuses_large_images_and_says_why():
    side = int(LITERAL_PIXEL_LIMIT**0.5) + 1
    inputs = torch.zeros(1, 1, side, side)
    with pytest.raises(ValueError, match=rf"one image per pixel.*at most 4096.*got {side**2}"):
        blend_literally(inputs, inputs, inputs)


def test_blending_leaves_its_arguments_as_they_are():
    case = _case((4, 5))
    before = [tensor.clone() for tensor in case]
    blend(*case)
    blend_and_complement(*case)
    blend_literally(*case)
    assert all(map(torch.equal, case, before))
