"""The grids on which logits are trained, in space and in intensity."""

import pytest
import torch
from networks import images
from torch.testing import assert_close

from captum_pcim import PCIM, PerStain, Smoothing
from captum_pcim.core.grids import INTENSITY_WEIGHT, Grids
from captum_pcim.core.intensity import bin_shares, brightness
from captum_pcim.core.smoothing import SCALES, spread

SHAPES = [(40,), (24, 20), (5, 24, 20)]


def _grids(*spatial, **settings):
    inputs = torch.rand(2, 3, *spatial, dtype=torch.float64)
    return Grids(inputs, Smoothing(**settings))


@pytest.mark.parametrize("spatial", SHAPES)
@pytest.mark.parametrize("n_maps", [1, 3])
def test_logits_are_the_weighted_sum_of_all_grids(spatial, n_maps):
    grids = _grids(*spatial, sigma=2.0, n_bins=4)
    nodes = tuple(torch.randn_like(grid) for grid in grids.filled(n_maps, 0.0))
    stains = grids.inputs if n_maps == 3 else grids.inputs.mean(1, keepdim=True)
    shares = bin_shares(brightness(stains), 4)
    expected = torch.zeros(2, n_maps, *spatial, dtype=torch.float64)
    for (scale, weight), grid in zip(SCALES, nodes, strict=False):
        matrices = Smoothing(2.0).matrices(grid, spatial, scale)
        expected += weight * spread(grid, matrices)
    by_bin = spread(nodes[-1], Smoothing(2.0).matrices(nodes[0], spatial))
    for stain in range(n_maps):
        for b in range(4):
            expected[:, stain] += INTENSITY_WEIGHT * (
                by_bin[:, 4 * stain + b] * shares[:, stain, b]
            )
    assert_close(grids.logits(nodes), expected)


def test_without_bins_and_scales_one_gaussian_is_left():
    grids = _grids(24, 20, sigma=2.0, scales=[(1, 1)], n_bins=0)
    (nodes,) = grids.filled(1, 0.0)
    nodes = torch.randn_like(nodes)
    expected = spread(nodes, Smoothing(2.0).matrices(nodes, (24, 20)))
    assert_close(grids.logits((nodes,)), expected)


def test_without_smoothing_nodes_are_pixels():
    grids = _grids(24, 20, sigma=0.0)
    (nodes,) = grids.filled(1, 0.0)
    assert nodes.shape == (2, 1, 24, 20)


@pytest.mark.parametrize("n_bins", [2, 5, 9])
def test_shares_of_the_bins_add_up_to_one_and_lie_in_two_neighbours_at_most(n_bins):
    shares = bin_shares(torch.rand(2, 1, 6, 7), n_bins)
    assert shares.shape == (2, 1, n_bins, 6, 7)
    assert_close(shares.sum(2), torch.ones(2, 1, 6, 7))
    assert (shares > 0).sum(2).max() <= 2


def test_brightness_does_not_depend_on_gain_and_offset():
    inputs = images(n=2, size=32).double()
    assert_close(brightness(3 * inputs + 100), brightness(inputs))


def test_brightness_goes_from_the_darkest_pixels_to_the_brightest():
    inputs = images(n=2, size=32)
    found = brightness(inputs)
    assert found.min() >= 0 and found.max() <= 1
    flat, order = found.flatten(2), inputs.flatten(2).argsort(2)
    assert flat.gather(2, order[..., -50:]).mean() > 2 * flat.gather(2, order[..., :50]).mean()


@pytest.mark.parametrize("value", [0.0, 0.7])
def test_a_flat_image_has_no_brightness(value):
    found = brightness(torch.full((1, 1, 8, 8), value))
    assert torch.equal(found, torch.zeros(1, 1, 8, 8))


def test_the_network_may_choose_the_bright_and_leave_the_dark_of_one_place():
    """A checkerboard of fields smaller than the smoothing, of which only the bright ones count."""
    rows, columns = torch.arange(32)[:, None] // 2, torch.arange(32) // 2
    bright = ((rows + columns) % 2 == 0).expand(1, 1, 32, 32)
    inputs = torch.where(bright, 1.0, 0.4)

    def network(x):
        odds = 40 * ((x * bright).sum((1, 2, 3)) / bright.sum() - 0.8)
        return torch.stack([torch.zeros_like(odds), odds], 1)

    def contrast(smoothing):
        pcim = PCIM(network, smoothing=smoothing)
        found = pcim.attribute(inputs, baselines=0, target=1)
        return float(found[bright].mean() - found[~bright].mean())

    space_alone = contrast(Smoothing(4.0, n_bins=0))
    assert contrast(Smoothing(4.0)) > space_alone + 0.2


def test_stains_have_brightnesses_of_their_own_where_weights_are_per_stain():
    inputs = images(n=1, size=32)
    grids = Grids(inputs, Smoothing(2.0))
    nodes = PerStain().initial_logits(grids, inputs)
    nodes = (
        *(0 * grid for grid in nodes[:-1]),
        torch.randn_like(nodes[-1][:1, :5]).repeat(1, 3, 1, 1),
    )
    logits = grids.logits(nodes)
    assert not torch.allclose(logits[:, 0], logits[:, 1])


@pytest.mark.parametrize("n_maps", [1, 3])
@pytest.mark.parametrize("used_before", [False, True])
def test_taken_images_keep_their_own_brightness(n_maps, used_before):
    grids, rows = _grids(24, 20, sigma=2.0), torch.tensor([1])
    nodes = tuple(torch.randn_like(grid) for grid in grids.filled(n_maps, 0.0))
    if used_before:
        grids.logits(nodes)
    taken = grids.take(rows).logits(tuple(grid[rows] for grid in nodes))
    assert_close(taken, grids.logits(nodes)[rows])


@pytest.mark.parametrize(
    "settings, told",
    [
        ({"scales": []}, "scales: expected pairs of numbers above 0"),
        ({"scales": [(0, 1)]}, "scales: expected pairs of numbers above 0"),
        ({"scales": [(1, float("nan"))]}, "scales: expected pairs of numbers above 0"),
        ({"n_bins": 1}, "n_bins: expected 2 to 64, or 0 for none, got 1"),
        ({"n_bins": -3}, "n_bins: expected 2 to 64, or 0 for none, got -3"),
    ],
)
def test_settings_that_make_no_grid_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        Smoothing(**settings)


@pytest.mark.parametrize("smoothing", [{"sigma": 2.0}, {"sigma": 0.0}, {"sigma": 2.0, "n_bins": 0}])
def test_nodes_can_be_filled_so_that_all_pixels_are_alike(smoothing):
    grids = _grids(24, 20, **smoothing)
    logits = grids.logits(grids.filled(3, -0.5))
    assert_close(logits, torch.full_like(logits, -0.5))
