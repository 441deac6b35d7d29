"""What one pixel channel is, and how trained parameters become weights."""

import pytest
import torch
from networks import BrightSquare, bright_images, images, small_cnn
from torch.testing import assert_close

from captum_pcim import PCIM, Factorised, PerStain, SharedOverStains, Smoothing
from captum_pcim.core.channels import GroupedChannels, PixelChannels

UNSMOOTHED = Smoothing(sigma=0)
STEPS = 6


def _channels(isolation, *inputs):
    return PixelChannels(inputs, isolation, UNSMOOTHED)


def _explain(inputs, isolation=None, **arguments):
    network = small_cnn(n_stains=inputs.shape[1])
    return PCIM(network, isolation=isolation).attribute(
        inputs, target=1, n_steps=STEPS, **arguments
    )


def test_shared_weights_are_the_same_for_all_stains_and_differ_over_pixels():
    attributions = _explain(images())
    assert torch.equal(attributions, attributions[:, :1].expand_as(attributions))
    assert attributions[:, 0].flatten(1).std(1).min() > 0


def test_weights_per_stain_differ_between_stains():
    network, inputs = BrightSquare(), bright_images()
    pcim = PCIM(network, isolation=PerStain(), smoothing=UNSMOOTHED)
    attributions = pcim.attribute(inputs, target=1)
    inside = network.mask(inputs).expand_as(inputs[:, :1])
    assert attributions[:, :1][inside].mean() > 100 * attributions[:, 1:].max()


def test_factorised_weights_are_a_pixel_map_times_one_weight_per_stain():
    inputs = images()
    pcim = PCIM(small_cnn(), isolation=Factorised())
    attributions, diagnostics = pcim.attribute(
        inputs, target=1, n_steps=STEPS, return_diagnostics=True
    )
    (stain_weights,) = diagnostics.stain_weights
    assert stain_weights.shape == (3, 3)
    maps = attributions / stain_weights[..., None, None]
    assert_close(maps, maps[:, :1].expand_as(maps))


def test_factorised_isolation_finds_the_stain_that_carries_the_evidence():
    pcim = PCIM(BrightSquare(), isolation=Factorised())
    _, diagnostics = pcim.attribute(bright_images(), target=1, return_diagnostics=True)
    (stain_weights,) = diagnostics.stain_weights
    assert (stain_weights[:, :1] > stain_weights[:, 1:]).all()


@pytest.mark.parametrize("isolation", [SharedOverStains(), PerStain()])
def test_without_smoothing_weights_are_the_sigmoid_of_the_logits(isolation):
    inputs = images()
    channels = _channels(isolation, inputs)
    ((logits,),) = channels.initial_logits((inputs,))
    logits = torch.randn_like(logits)
    assert torch.equal(channels.weights(channels.factors([(logits,)]))[0], logits.sigmoid())


@pytest.mark.parametrize("isolation", [SharedOverStains(), PerStain(), Factorised()])
@pytest.mark.parametrize("spatial", [(9,), (5, 7), (3, 5, 7)])
def test_weights_are_broadcastable_to_signals_images_and_stacks(isolation, spatial):
    inputs = torch.rand(2, 3, *spatial)
    channels = _channels(isolation, inputs)
    (weights,) = channels.weights(channels.factors(channels.initial_logits((inputs,))))
    assert weights.expand_as(inputs).shape == inputs.shape
    assert ((weights >= 0) & (weights <= 1)).all()


def test_features_have_one_weight_each():
    inputs = torch.rand(4, 6)
    channels = _channels(SharedOverStains(), inputs)
    (weights,) = channels.weights(channels.factors(channels.initial_logits((inputs,))))
    assert weights.shape == inputs.shape


def test_pixels_of_a_group_share_their_weight():
    inputs = images(size=8)
    mask = torch.arange(64).view(1, 1, 8, 8) // 16
    attributions = _explain(inputs, feature_mask=mask)
    for group in range(4):
        own = attributions.masked_select(mask == group).view(3, -1)
        assert torch.equal(own, own[:, :1].expand_as(own))
    assert len(attributions[0].unique()) > 1


def test_each_image_may_have_groups_of_its_own():
    inputs = images(n=2, size=8)
    mask = torch.stack([torch.arange(64).view(1, 8, 8) // 8, torch.arange(64).view(1, 8, 8) // 32])
    together = _explain(inputs, feature_mask=mask)
    alone = [_explain(inputs[i : i + 1], feature_mask=mask[i : i + 1]) for i in range(2)]
    assert_close(together, torch.cat(alone), rtol=0, atol=1e-5)


def test_groups_may_be_numbered_with_gaps():
    inputs, mask = images(size=8), torch.arange(64).view(1, 1, 8, 8) // 16
    large = torch.tensor([3, 70_000, 5, 2**40])[mask]
    explain = (_explain(inputs, feature_mask=groups) for groups in (mask, large))
    assert_close(*explain, rtol=0, atol=1e-6)


def test_a_group_that_spans_two_inputs_has_one_weight():
    first, second = torch.rand(2, 4), torch.rand(2, 5)
    masks = torch.tensor([[0, 0, 1, 1]]), torch.tensor([[1, 1, 2, 2, 2]])
    weights = torch.arange(10.0).view(2, 5).cos()

    def forward(a, b):
        return torch.cat([a, b], 1)[:, :5] @ weights.T * 3 + b.sum(1, keepdim=True)

    one, two = PCIM(forward).attribute((first, second), target=1, n_steps=5, feature_mask=masks)
    assert torch.equal(one[:, 2], two[:, 0])


def test_taking_images_takes_their_own_groups():
    mask = torch.arange(6).view(3, 2)
    taken = GroupedChannels((mask,), 6).take(torch.tensor([2, 0]))
    assert torch.equal(taken.feature_mask[0], mask[[2, 0]])
    shared = GroupedChannels((mask[:1],), 6).take(torch.tensor([2, 0]))
    assert torch.equal(shared.feature_mask[0], mask[:1])


def test_several_inputs_are_optimised_jointly():
    """Evidence in two inputs that only counts together is found in both."""
    image, signal = torch.ones(1, 1, 16, 16), torch.ones(1, 1, 16)

    def forward(image, signal):
        both = torch.minimum(image[..., 4:8, 4:8].mean((1, 2, 3)), signal[..., :4].mean((1, 2)))
        return torch.stack([torch.zeros_like(both), 20 * (both - 0.5)], 1)

    pcim = PCIM(forward, smoothing=UNSMOOTHED)
    first, second = pcim.attribute((image, signal), baselines=(0, 0), target=1)
    assert first.shape == image.shape and second.shape == signal.shape
    assert first[..., 4:8, 4:8].min() > first[..., 8:, 8:].max()
    assert second[..., :4].min() > second[..., 4:].max()


def test_groups_that_are_not_in_an_image_weigh_nothing_and_stay_so():
    inputs, mask = images(n=2), torch.zeros(2, 1, 16, 16, dtype=torch.int64)
    mask[0, :, :8], mask[1, :, 8:] = 1, 2
    channels = GroupedChannels((mask,), 3)
    ((logits,),) = channels.initial_logits((inputs,))
    assert logits.isneginf().tolist() == [[False, False, True], [False, True, False]]
    together = PCIM(small_cnn()).attribute(inputs, target=1, feature_mask=mask, n_steps=6)
    for i in range(2):
        alone = PCIM(small_cnn()).attribute(
            inputs[i : i + 1], target=1, feature_mask=mask[i : i + 1].bool().long(), n_steps=6
        )
        assert_close(together[i : i + 1], alone, rtol=0, atol=1e-5)
