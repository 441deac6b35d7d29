"""The blur is the dense Gaussian matrix of every axis, at a price linear in the axis."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from captum_pcim.core.blur import gaussian_blur
from captum_pcim.core.smoothing import gaussian_matrix, spread


def dense(images, sigma):
    return spread(images, [gaussian_matrix(size, sigma, 1.0, images) for size in images.shape[2:]])


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=3),
    st.floats(0.05, 60),
    st.integers(0, 1000),
)
def test_it_is_the_dense_matrix_of_every_axis(spatial, sigma, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, 3, *spatial, generator=generator, dtype=torch.float64)
    assert_close(gaussian_blur(images, sigma), dense(images, sigma), rtol=0, atol=1e-13)


@pytest.mark.parametrize("sigma", [1.5, 8.0, 50.0])
def test_in_single_precision_it_is_as_near_the_truth_as_the_dense_matrix(sigma):
    images = torch.rand(2, 3, 96, 80, generator=torch.Generator().manual_seed(0)) + 10
    truth = dense(images.double(), sigma)
    off = (gaussian_blur(images, sigma) - truth).abs().max()
    assert off < 2 * (dense(images, sigma) - truth).abs().max()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_comes_back_as_half_precision(dtype):
    images = torch.rand(1, 2, 20, 20, generator=torch.Generator().manual_seed(0)).to(dtype)
    blurred = gaussian_blur(images, 2.0)
    assert blurred.dtype == dtype
    assert_close(blurred, dense(images.float(), 2.0).to(dtype))


def test_dark_pixels_beside_bright_ones_stay_in_the_image_s_range():
    """A transform spreads its rounding over the whole axis; a mean leaves no range."""
    images = torch.zeros(1, 2, 64, 64)
    images[0, 0, :4] = 65535.0
    blurred = gaussian_blur(images, 1.0)
    assert blurred.min() == 0 and blurred.max() <= 65535
    assert torch.equal(blurred[:, 1], images[:, 1])


def test_images_are_blurred_one_by_one():
    images = torch.rand(3, 2, 30, 30, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([gaussian_blur(image, 3.0) for image in images.split(1)])
    assert_close(gaussian_blur(images, 3.0), alone, rtol=0, atol=1e-6)


def test_no_tensor_grows_with_the_square_of_an_axis():
    class Sizes(TorchDispatchMode):
        def __init__(self):
            super().__init__()
            self.largest = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                self.largest = max(self.largest, result.untyped_storage().nbytes())
            return result

    signal = torch.rand(1, 1, 16_000)
    with Sizes() as sizes:
        gaussian_blur(signal, 16_000 / 12)
    assert sizes.largest <= 8 * 16_000 * 2 * 2  # a complex spectrum of twice the length


def test_no_images_are_no_images_after_a_blur():
    assert gaussian_blur(torch.rand(0, 2, 8, 8), 2.0).shape == (0, 2, 8, 8)
