"""Rivals that Captum lacks against the definitions in their papers."""

import pytest
import torch
from torch import nn

from benchmarks.rivals.cam_products import grad_cam_product, hirescam_product
from benchmarks.rivals.igos import N_INTEGRATION, N_ITERATIONS, igos
from benchmarks.rivals.rise import draw_masks, rise
from captum_pcim.comparison.compare import count_passes


class Patch(nn.Module):
    """The logit of class 1 is the mean detail (difference from 0.5) in one square."""

    def forward(self, inputs):
        detail = (inputs[:, :, 8:16, 8:16] - 0.5).abs().mean((1, 2, 3))
        return torch.stack([torch.zeros_like(detail), 20 * detail], 1)


@pytest.fixture
def image():
    checks = (torch.arange(32)[:, None] + torch.arange(32)) % 2
    return checks[None, None].float()


def test_rise_is_the_score_weighted_mean_of_the_masks_over_their_expectation(image):
    model, n_masks = Patch(), 6
    masks = draw_masks(n_masks, (32, 32), 7, 0.5, torch.Generator().manual_seed(4))
    expected = torch.zeros(1, 32, 32)
    for mask in masks:
        score = model(image * mask).softmax(1)[0, 1]
        expected += score * mask
    expected /= masks.mean() * n_masks
    maps = rise(model, image, torch.tensor([1]), n_masks=n_masks, rows=4, seed=4)
    torch.testing.assert_close(maps[0], expected)


def test_rise_masks_to_the_baseline(image):
    seen = []

    def forward(inputs):
        seen.append(inputs)
        return torch.zeros(len(inputs), 2)

    rise(forward, image, torch.tensor([0]), baselines=0.5, n_masks=3, seed=1)
    masks = draw_masks(3, (32, 32), 7, 0.5, torch.Generator().manual_seed(1))
    torch.testing.assert_close(seen[0], 0.5 + masks * (image - 0.5))


@pytest.mark.parametrize("keep", [0.0, 0.3, 1.0])
def test_rise_masks_keep_a_pixel_with_the_given_probability(keep):
    masks = draw_masks(2000, (30, 41), 5, keep, torch.Generator().manual_seed(0))
    assert masks.shape == (2000, 1, 30, 41)
    assert masks.min() >= 0
    assert masks.max() <= 1 + 1e-6
    torch.testing.assert_close(masks.mean((0, 1)), torch.full((30, 41), keep), atol=0.06, rtol=0)


def test_rise_masks_are_crops_of_an_enlarged_grid_at_every_offset_within_a_cell():
    generator = torch.Generator().manual_seed(0)
    masks = draw_masks(300, (14, 14), 7, 0.5, generator)
    # Two-pixel cells enlarged by 8 / 7: neighbours differ by at most the slope of the enlargement.
    assert (masks.diff(dim=3).abs() <= 7 / 16 + 1e-6).all()
    cells = (torch.rand(300, 1, 7, 7, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    enlarged = nn.functional.interpolate(cells, (16, 16), mode="bilinear", align_corners=False)
    offsets = set()
    for mask, full in zip(masks, enlarged, strict=True):
        hits = [(y, x) for y in range(2) for x in range(2)
                if torch.equal(mask, full[:, y : y + 14, x : x + 14])]  # fmt: skip
        assert hits
        offsets.update(hits)
    assert offsets == {(0, 0), (0, 1), (1, 0), (1, 1)}


class TwoStages(nn.Module):
    """Stages of 8 and 4 pixels; class 1 is the sum of the second one."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Identity(), nn.AvgPool2d(2)

    def forward(self, inputs):
        features = self.second(self.first(inputs))
        return torch.stack([torch.zeros(len(inputs)), features.sum((1, 2, 3))], 1)


@pytest.mark.parametrize("product", [hirescam_product, grad_cam_product])
def test_cam_products_multiply_the_normalised_maps_of_all_stages(product):
    inputs = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = product(TwoStages(), inputs, torch.tensor([1, 1]))
    # The gradient is the same everywhere, so each stage's map is its activation over its maximum.
    coarse = nn.functional.avg_pool2d(inputs, 2)
    stages = [image / image.amax((2, 3), keepdim=True) for image in (inputs, coarse)]
    large = nn.functional.interpolate(stages[1], (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(maps, stages[0] * large)


def test_cam_products_of_a_class_without_evidence_are_zero():
    inputs = torch.rand(1, 1, 8, 8)
    model = TwoStages()
    for product in (hirescam_product, grad_cam_product):
        assert not product(model, -inputs, torch.tensor([1])).any()


class BrightPatch(nn.Module):
    """The logit of class 1 grows with the brightness of one square."""

    def forward(self, inputs):
        logit = 20 * (inputs[:, :, 8:16, 8:16].mean((1, 2, 3)) - 0.7)
        return torch.stack([torch.zeros_like(logit), logit], 1)


@pytest.fixture
def bright():
    images = 0.2 * torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    images[:, :, 8:16, 8:16] += 0.8
    return images, torch.tensor([1, 1])


def test_igos_finds_the_evidence_within_its_passes(bright):
    model, (inputs, target) = BrightPatch(), bright
    with count_passes(model) as passes:
        maps = igos(model, inputs, target, step_size=0.1)
    n_passes = 4 * N_ITERATIONS * N_INTEGRATION
    assert passes.forwards == passes.backwards == 2 * n_passes == 200
    assert maps.shape == (2, 1, 32, 32)
    assert 0 <= maps.min() <= maps.max() <= 1
    assert maps[..., 8:16, 8:16].mean() > 3 * maps.mean()


def test_igos_explains_each_image_of_a_batch_on_its_own(bright):
    inputs, target = bright
    together = igos(BrightPatch(), inputs, target, step_size=0.1)
    alone = [igos(BrightPatch(), inputs[i : i + 1], target[:1], step_size=0.1) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(alone))
