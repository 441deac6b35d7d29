"""Smoothing of the blending logits."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import images, small_cnn
from scipy.ndimage import gaussian_filter
from torch.testing import assert_close

from captum_pcim import PCIM, Smoothing
from captum_pcim.core.smoothing import spread

LIKE = torch.zeros((), dtype=torch.float64)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 60), st.floats(0.3, 20), st.floats(0.1, 3))
def test_every_pixel_is_a_weighted_mean_of_the_nodes(side, sigma, spacing):
    if sigma >= side:
        return
    (matrix,) = Smoothing(sigma, spacing).matrices(LIKE, (side,))
    assert (matrix >= 0).all()
    assert_close(matrix.sum(1), torch.ones(side, dtype=torch.float64))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("sigma", [1.5, 3.0, 6.0])
def test_matrices_make_no_denormal_numbers_of_small_gradients(sigma, dtype):
    """They are right, but a processor takes a hundred times as long for them."""
    gradient = 1e-15
    (matrix,) = Smoothing(sigma).matrices(torch.zeros((), dtype=dtype), (96,))
    assert (matrix == 0).any() or dtype == torch.float64
    assert (matrix[matrix > 0] * gradient).min() > torch.finfo(dtype).tiny


@pytest.mark.parametrize("spatial", [(40,), (40, 50), (10, 20, 30)])
def test_with_nodes_on_every_pixel_it_is_a_gaussian_filter(spatial):
    """Compared away from the borders, where SciPy pads and we normalise."""
    sigma = 1.5
    logits = torch.randn(1, 1, *spatial, dtype=torch.float64)
    matrices = Smoothing(sigma, spacing=1 / (2 * sigma)).matrices(LIKE, spatial)
    assert [matrix.shape for matrix in matrices] == [(side, side) for side in spatial]
    ours = spread(logits, matrices)[0, 0].numpy()
    theirs = gaussian_filter(logits[0, 0].numpy(), sigma, truncate=10)
    middle = tuple(slice(4, -4) if side < 20 else slice(8, -8) for side in spatial)
    tolerance = 2e-2 if min(spatial) < 20 else 1e-6
    assert_close(ours[middle], theirs[middle], rtol=0, atol=tolerance)


def test_a_coarse_grid_has_about_one_node_per_spacing():
    (matrix,) = Smoothing(3.0, spacing=0.5).matrices(LIKE, (96,))
    assert matrix.shape == (96, 65)


def test_logits_alike_on_all_nodes_stay_alike():
    matrices = Smoothing(2.0).matrices(LIKE, (20, 30))
    nodes = [matrix.shape[1] for matrix in matrices]
    logits = torch.full((2, 3, *nodes), 0.7, dtype=torch.float64)
    assert_close(spread(logits, matrices), torch.full((2, 3, 20, 30), 0.7, dtype=torch.float64))


def test_smoothing_by_zero_leaves_the_logits_as_they_are():
    matrices = Smoothing(0).matrices(LIKE, (20, 30))
    logits = torch.randn(1, 1, 20, 30)
    assert spread(logits, matrices) is logits


def test_the_default_is_a_share_of_the_shorter_side():
    assert Smoothing().pixels((96, 128)) == 3.0
    assert Smoothing().pixels((512, 256)) == 8.0


def test_small_images_are_not_smoothed_by_default():
    assert Smoothing().pixels((15, 15)) == 0
    assert Smoothing().pixels((1, 1)) == 0


def test_a_stack_of_few_planes_is_smoothed_within_its_planes_by_default():
    assert Smoothing().pixels((3, 96, 96)) == 3.0


@pytest.mark.parametrize("sigma", [-1, math.inf, math.nan])
def test_a_sigma_that_is_no_length_is_refused(sigma):
    with pytest.raises(ValueError, match="sigma: expected pixels >= 0 or None, got"):
        Smoothing(sigma)


@pytest.mark.parametrize("spacing", [0, -1, 4, math.nan])
def test_a_spacing_that_leaves_holes_is_refused(spacing):
    with pytest.raises(ValueError, match=r"spacing: expected \(0, 3\] in units of sigma, got"):
        Smoothing(2.0, spacing)


def test_an_image_smaller_than_the_smoothing_is_refused():
    pcim = PCIM(small_cnn(), smoothing=Smoothing(16))
    with pytest.raises(ValueError, match=r"smoothing: .*sigma 16 px for spatial size \(16, 16\)"):
        pcim.attribute(images(), target=0)


def test_more_smoothing_makes_smoother_maps():
    def roughness(sigma):
        pcim = PCIM(small_cnn(), smoothing=Smoothing(sigma))
        attributions = pcim.attribute(images(size=32), target=1, n_steps=8)
        return float(attributions.diff(dim=-1).abs().mean() / attributions.std())

    assert roughness(0) > roughness(1.5) > roughness(5)


@pytest.mark.parametrize(
    "settings",
    [{"sigma": 0}, {"spacing": 3}, {"n_bins": 0}, {"n_bins": 2}, {"n_bins": 64},
     {"scales": ((1e-9, 1e-9),)}],
)  # fmt: skip
def test_smoothing_is_taken_up_to_its_limits(settings):
    assert Smoothing(**settings)


@pytest.mark.parametrize(
    "settings",
    [{"sigma": -1e-9}, {"sigma": math.inf}, {"spacing": 0}, {"spacing": 3.01}, {"n_bins": 1},
     {"n_bins": 65}, {"n_bins": -1}, {"scales": ()}, {"scales": ((1.0, 0.0),)},
     {"scales": ((1.0, 1.0), (math.inf, 1.0))}, {"sigma": "2"}, {"spacing": None}, {"n_bins": 4.0},
     {"scales": (1, 1)}, {"scales": ((1, 1, 1),)}],
)  # fmt: skip
def test_smoothing_is_refused_beyond_them(settings):
    (name,) = settings
    with pytest.raises(ValueError, match=rf"^{name}: expected"):
        Smoothing(**settings)


def test_images_are_smoothed_from_16_pixels_on_by_less_than_their_side():
    assert Smoothing().pixels((16, 40)) == 0.5
    assert Smoothing().pixels((15, 40)) == 0.0
    assert Smoothing(3.9).pixels((4, 40)) == 3.9
    assert Smoothing(5.0).pixels((1, 1)) == 5.0
    with pytest.raises(ValueError, match=r"^smoothing: expected sigma below"):
        Smoothing(4.0).pixels((4, 40))
