"""Maps that know nothing of the classifier."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from captum_pcim.comparison.trivial import (
    _otsu_threshold,
    centre_gaussian,
    edges,
    foreground,
    intensity,
    random_map,
    trivial_methods,
)


@pytest.mark.parametrize("method", trivial_methods().values(), ids=trivial_methods())
def test_there_is_one_finite_map_per_image(method):
    maps = method(torch.rand(3, 2, 20, 24), target=torch.zeros(3, dtype=torch.long))
    assert maps.shape == (3, 1, 20, 24)
    assert maps.isfinite().all()


def test_random_map_is_repeated_by_the_seed_and_differs_between_images():
    inputs = torch.zeros(2, 1, 8, 8)
    torch.manual_seed(3)
    first = random_map(inputs)
    torch.manual_seed(3)
    assert torch.equal(random_map(inputs), first)
    assert not torch.equal(first[0], first[1])


def test_centre_gaussian_is_a_quarter_of_each_side_wide():
    image = centre_gaussian(torch.zeros(1, 1, 41, 81))[0, 0]
    assert image[20, 40] == 1
    one_sigma = torch.exp(torch.tensor(-0.5))
    torch.testing.assert_close(image[10, 40], one_sigma)  # 10 of the 40 steps from edge to edge
    torch.testing.assert_close(image[20, 60], one_sigma)


def test_edges_are_the_sobel_magnitude_summed_over_stains():
    step = torch.zeros(1, 2, 5, 6)
    step[:, :, :, 3:] = 1.0  # a vertical step between columns 2 and 3, in both stains
    expected = torch.tensor([0.0, 0.0, 8.0, 8.0, 0.0, 0.0]).expand(1, 1, 5, 6)
    torch.testing.assert_close(edges(step), expected)


def test_intensity_is_the_sum_of_the_stains():
    inputs = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(intensity(inputs)[:, 0], inputs.sum(1))


@pytest.mark.parametrize("sign", [1, -1], ids=["brighter", "darker"])
def test_foreground_marks_exactly_what_stands_out_from_a_flat_background(sign):
    inputs = torch.full((1, 1, 20, 20), 0.5)
    inputs[..., 4:8, 5:9] += sign * 0.3
    expected = torch.zeros(1, 1, 20, 20)
    expected[..., 4:8, 5:9] = 1
    assert torch.equal(foreground(inputs), expected)


def test_nothing_stands_out_of_a_constant_image():
    assert not foreground(torch.full((1, 2, 8, 8), 0.3)).any()


def test_foreground_threshold_is_otsus():
    skimage_filters = pytest.importorskip("skimage.filters")
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(1, 1, 40, 40, generator=generator) * 0.2
    values[..., 10:25, 10:25] += 0.5 * torch.rand(15, 15, generator=generator)
    values.flatten()[:600] = 0.0  # so that the background is 0 and the distance is the image
    threshold = skimage_filters.threshold_otsu(values.numpy())
    disagree = foreground(values).bool() ^ (values > threshold)
    assert disagree.float().mean() < 0.005  # the two bin the histogram slightly differently


@pytest.mark.parametrize(
    ("values", "above"),
    [
        ([5.0] + 5 * [6.0] + 4 * [7.0], 4),  # a single dark pixel is no class of its own
        ([5.0] + 4 * [6.0] + 4 * [7.0] + [8.0], 5),  # nor is a single bright one
        (9 * [1.0] + [2.0], 1),
        ([1.0] + 9 * [2.0], 9),
    ],
)
def test_the_threshold_parts_classes_of_least_variance_by_hand(values, above):
    image = torch.tensor(values)
    assert int((image > _otsu_threshold(image)).sum()) == above


@given(st.lists(st.integers(0, 30), min_size=2, max_size=20).filter(lambda v: len(set(v)) > 1))
def test_the_threshold_parts_classes_of_least_variance(values):
    image = torch.tensor(values, dtype=torch.float64)
    ordered = image.unique()
    within = [
        float(((part - part.mean()) ** 2).sum() + ((rest - rest.mean()) ** 2).sum())
        for part, rest in ((image[image <= cut], image[image > cut]) for cut in ordered[:-1])
    ]
    threshold = _otsu_threshold(image)
    part, rest = image[image <= threshold], image[image > threshold]
    own = float(((part - part.mean()) ** 2).sum() + ((rest - rest.mean()) ** 2).sum())
    assert own == pytest.approx(min(within))
