"""The planted network: its evidence is exact by construction."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_pcim.synthetic import PlantedNetwork

network = PlantedNetwork()


@pytest.mark.parametrize("size", [32, 45, 96])
def test_every_image_is_called_its_target(size):
    inputs, targets, _ = network.sample(60, size, seed=1)
    assert torch.equal(network(inputs).argmax(1), targets)


def test_targets_cycle_through_the_classes():
    _, targets, _ = network.sample(7)
    assert targets.tolist() == [0, 1, 2, 0, 1, 2, 0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), size=st.integers(32, 64))
def test_the_gradient_is_nonzero_exactly_on_the_truth_of_the_evidence_stain(seed, size):
    inputs, targets, masks = network.sample(6, size, seed)
    inputs.requires_grad_()
    logits = network(inputs).gather(1, targets[:, None]).sum()
    (gradient,) = torch.autograd.grad(logits, inputs)
    for gradient_i, target, mask in zip(gradient, targets.tolist(), masks, strict=True):
        stain = network.stain_of_class[target]
        expected = torch.zeros_like(gradient_i, dtype=torch.bool)
        if stain is not None:
            expected[stain] = mask[0]
        assert torch.equal(gradient_i != 0, expected)


def test_every_truth_pixel_weighs_the_same():
    inputs, _, masks = network.sample(3)
    inputs.requires_grad_()
    (gradient,) = torch.autograd.grad(network(inputs)[2, 2], inputs)
    weight = network.scale / (3 * 16)  # three matches of a ring of 16 pixels
    expected = torch.full((48,), weight)
    torch.testing.assert_close(gradient[2, 1][masks[2, 0]], expected)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_new_background_outside_the_truth_leaves_the_target_logit_unchanged(seed):
    inputs, targets, masks = network.sample(6, seed=seed)
    fresh = 0.1 * torch.rand(inputs.shape, generator=torch.Generator().manual_seed(seed))
    changed = torch.where(masks, inputs, fresh)
    positive = targets > 0
    before = network(inputs).gather(1, targets[:, None])[positive]
    after = network(changed).gather(1, targets[:, None])[positive]
    assert torch.equal(before, after)


def test_background_inside_the_truth_makes_every_image_class_none():
    inputs, _, masks = network.sample(30, seed=3)
    assert (network(inputs.masked_fill(masks, 0.05)).argmax(1) == 0).all()


def test_the_last_stain_has_no_weight():
    inputs, _, _ = network.sample(6)
    changed = inputs.clone()
    changed[:, 2] = torch.rand(changed[:, 2].shape)
    assert torch.equal(network(inputs), network(changed))


def test_decoys_are_the_same_whatever_the_class():
    """Outside the truth, an image has as many bright pixels of each kind in every class."""
    inputs, targets, masks = network.sample(30, size=48, seed=4)
    own = torch.zeros_like(inputs, dtype=torch.bool)
    for i, target in enumerate(targets.tolist()):
        if target:
            own[i, network.stain_of_class[target]] = masks[i, 0]
    counts = ((inputs > 0.5) & ~own).sum(dim=(2, 3))
    assert (counts == torch.tensor([48, 27, 48 + 27])).all()


def test_an_image_does_not_depend_on_how_many_are_drawn():
    many, few = network.sample(9, seed=5), network.sample(4, seed=5)
    for a, b in zip(many, few, strict=True):
        assert torch.equal(a[:4], b)


def test_a_field_too_small_for_the_patterns_is_refused():
    with pytest.raises(ValueError, match="size: expected at least 32 pixels, got 31"):
        network.sample(1, size=31)
