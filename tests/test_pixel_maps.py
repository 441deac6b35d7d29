"""Maps of one value per pixel, whatever there is of stains and axes."""

import pytest
import torch
from networks import images, small_cnn
from torch.testing import assert_close

from captum_pcim import PCIM, PerStain, pixel_maps


def test_shared_weights_are_the_same_numbers_without_the_stains():
    attributions = PCIM(small_cnn()).attribute(images(2), target=1, n_steps=3)
    maps = pixel_maps(attributions)
    assert maps.shape == (2, 16, 16)
    assert_close(maps, attributions[:, 2], rtol=0, atol=0)


def test_weights_of_several_stains_are_averaged():
    pcim = PCIM(small_cnn(), isolation=PerStain())
    attributions = pcim.attribute(images(2), target=1, n_steps=3)
    assert_close(pixel_maps(attributions), attributions.mean(1))


def test_stacks_and_signals_keep_their_axes_and_several_inputs_are_a_tuple_again():
    maps = pixel_maps((torch.rand(2, 3, 4, 5, 6), torch.rand(2, 3, 7)))
    assert isinstance(maps, tuple) and [m.shape for m in maps] == [(2, 4, 5, 6), (2, 7)]


def test_features_have_no_axis_to_lose():
    with pytest.raises(ValueError, match=r"expected \(N, C, \*spatial\), got \(2, 5\)"):
        pixel_maps(torch.rand(2, 5))


def test_what_is_no_tensor_is_named():
    with pytest.raises(TypeError, match=r"attributions: expected a tensor or .*, got ndarray"):
        pixel_maps(torch.rand(2, 3, 4, 4).numpy())
