"""Localisation measures against figures worked out by hand and against scikit-learn."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from captum_pcim.metrics import (
    auroc,
    average_precision,
    boxes_to_masks,
    chance_levels,
    grid_pointing_game,
    image_grids,
    object_shares,
    pointing_game,
    relevance_mass_accuracy,
    relevance_rank_accuracy,
)

MEASURES = [
    relevance_mass_accuracy,
    relevance_rank_accuracy,
    average_precision,
    auroc,
    pointing_game,
]
RANK_MEASURES = [relevance_rank_accuracy, average_precision, auroc, pointing_game]

# Relevance 4 and 1 inside the mask, 3 and 2 outside.
ATTRIBUTIONS = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
MASKS = torch.tensor([[[[True, False], [False, True]]]])


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        (relevance_mass_accuracy, 5 / 10),
        (relevance_rank_accuracy, 1 / 2),  # of the top two, 4 and 3, one lies inside
        (average_precision, (1 / 1 + 2 / 4) / 2),  # hits at rank 1 and rank 4
        (auroc, 2 / 4),  # 4 beats both outside pixels, 1 beats none
        (pointing_game, 1.0),
    ],
)
def test_measure_equals_the_figure_worked_out_by_hand(measure, expected):
    assert measure(ATTRIBUTIONS, MASKS).tolist() == [pytest.approx(expected)]


def test_stains_are_summed_before_anything_else():
    stains = torch.cat([ATTRIBUTIONS - 7, torch.full_like(ATTRIBUTIONS, 7)], dim=1)
    for measure in MEASURES:
        assert torch.equal(measure(stains, MASKS), measure(ATTRIBUTIONS, MASKS))


def test_mass_counts_the_positive_part_only():
    attributions = torch.tensor([[[[3.0, 1.0], [0.0, -5.0]]]])
    assert relevance_mass_accuracy(attributions, MASKS).item() == pytest.approx(3 / 4)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("value", [0.0, 2.5])
def test_a_constant_map_scores_exactly_the_chance_level(measure, value):
    masks = torch.zeros(2, 1, 5, 6, dtype=torch.bool)
    masks[0, :, :2, :3], masks[1, :, 4] = True, True
    score = measure(torch.full((2, 3, 5, 6), value), masks)
    torch.testing.assert_close(score, chance_levels(masks)[measure.__name__])


def test_chance_level_is_the_area_and_one_half_for_auroc():
    levels = chance_levels(MASKS[:, :, :1].repeat(1, 1, 2, 2))
    assert {name: level.item() for name, level in levels.items()} == {
        "relevance_mass_accuracy": 0.5,
        "relevance_rank_accuracy": 0.5,
        "average_precision": 0.5,
        "pointing_game": 0.5,
        "auroc": 0.5,
    }
    smaller = chance_levels(torch.tensor([[[True, False, False, False]]]))
    assert smaller["average_precision"].item() == 0.25
    assert smaller["auroc"].item() == 0.5


@pytest.mark.parametrize("measure", MEASURES)
def test_random_maps_score_the_chance_level_on_average(measure):
    generator = torch.Generator().manual_seed(0)
    masks = torch.zeros(2000, 1, 20, 20, dtype=torch.bool)
    masks[:, :, 3:9, 2:14] = True
    score = measure(torch.rand(2000, 1, 20, 20, generator=generator), masks)
    chance = chance_levels(masks)[measure.__name__].mean().item()
    if measure is average_precision:
        # On P pixels a random order exceeds the area a little: with K pixels inside, its expected
        # average precision is (K - 1) / (P - 1) + (P - K) / (P (P - 1)) * sum_{n <= P} 1 / n.
        harmonic = sum(1 / n for n in range(1, 401))
        chance = 71 / 399 + 328 / (400 * 399) * harmonic
    three_standard_errors = 3 * score.std().item() / math.sqrt(2000)
    assert score.mean().item() == pytest.approx(chance, abs=three_standard_errors)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_map_that_is_the_mask_scores_one(measure):
    assert measure(MASKS.float(), MASKS).item() == 1


def integer_maps(n_images: int = 2, side: int = 4):
    n = n_images * side * side
    return st.lists(st.integers(-4, 4), min_size=n, max_size=n).map(
        lambda values: torch.tensor(values, dtype=torch.float64).view(n_images, 1, side, side)
    )


def masks_with_both(n_images: int = 2, side: int = 4):
    def build(values):
        masks = torch.tensor(values).view(n_images, 1, side, side)
        masks[:, :, 0, 0], masks[:, :, -1, -1] = True, False
        return masks

    n = n_images * side * side
    return st.lists(st.booleans(), min_size=n, max_size=n).map(build)


@settings(max_examples=60, deadline=None)
@given(integer_maps(), masks_with_both())
def test_average_precision_and_auroc_agree_with_scikit_learn_on_ties(attributions, masks):
    for measure, reference in [
        (average_precision, average_precision_score),
        (auroc, roc_auc_score),
    ]:
        expected = [
            reference(mask.flatten().numpy(), relevance.flatten().numpy())
            for mask, relevance in zip(masks, attributions, strict=True)
        ]
        assert measure(attributions, masks).tolist() == pytest.approx(expected, abs=1e-12)


@settings(max_examples=60, deadline=None)
@given(integer_maps(), masks_with_both())
def test_rank_measures_ignore_monotone_transforms(attributions, masks):
    for measure in RANK_MEASURES:
        torch.testing.assert_close(
            measure(attributions, masks), measure(torch.exp(attributions) * 3 - 1, masks)
        )


@settings(max_examples=30, deadline=None)
@given(integer_maps(), masks_with_both(), st.floats(0.1, 50))
def test_mass_ignores_the_scale_of_the_map(attributions, masks, scale):
    torch.testing.assert_close(
        relevance_mass_accuracy(attributions, masks),
        relevance_mass_accuracy(attributions * scale, masks),
    )


@settings(max_examples=30, deadline=None)
@given(integer_maps(), masks_with_both())
def test_an_image_scores_the_same_alone_and_in_a_batch(attributions, masks):
    for measure in MEASURES:
        alone = torch.cat([measure(attributions[i : i + 1], masks[i : i + 1]) for i in range(2)])
        assert torch.equal(measure(attributions, masks), alone)


def test_ties_at_the_mask_size_fill_the_places_left_in_proportion():
    # Top two: the 5, then one place for the three tied 1s, one of which lies inside.
    attributions = torch.tensor([[[[5.0, 1.0], [1.0, 1.0]]]])
    assert relevance_rank_accuracy(attributions, MASKS).item() == pytest.approx((1 + 1 / 3) / 2)


def test_pointing_game_shares_a_tied_maximum():
    assert pointing_game(torch.tensor([[[[1.0, 1.0], [1.0, 0.0]]]]), MASKS).item() == (
        pytest.approx(1 / 3)
    )


@pytest.mark.parametrize("measure", MEASURES)
def test_an_empty_mask_has_no_answer(measure):
    masks = torch.cat([torch.zeros_like(MASKS), MASKS])
    score = measure(ATTRIBUTIONS.repeat(2, 1, 1, 1), masks)
    assert score.isnan().tolist() == [True, False]
    assert chance_levels(masks)[measure.__name__].isnan().tolist() == [True, False]


def test_auroc_has_no_answer_for_a_full_mask():
    assert auroc(ATTRIBUTIONS, torch.ones_like(MASKS)).isnan().all()


def test_a_label_image_counts_as_the_mask_of_its_objects():
    labels = torch.tensor([[[7, 0], [0, 2]]])
    for measure in MEASURES:
        assert torch.equal(measure(ATTRIBUTIONS, labels), measure(ATTRIBUTIONS, MASKS))


def test_object_shares_by_hand():
    attributions = torch.tensor([[[[3.0, 1.0], [2.0, 4.0]]], [[[1.0, 1.0], [-9.0, 2.0]]]])
    labels = torch.tensor([[[1, 1], [0, 3]], [[0, 2], [2, 0]]])
    expected = torch.tensor([[0.2, 0.4, 0.0, 0.4], [0.75, 0.0, 0.25, 0.0]])
    torch.testing.assert_close(object_shares(attributions, labels), expected)


def test_object_shares_of_a_zero_map_are_the_areas():
    labels = torch.tensor([[[1, 1], [0, 2]]])
    assert object_shares(torch.zeros(1, 2, 2, 2), labels).tolist() == [[0.25, 0.5, 0.25]]


@settings(max_examples=30, deadline=None)
@given(integer_maps(1), masks_with_both(1))
def test_object_shares_sum_to_one_and_agree_with_mass(attributions, masks):
    shares = object_shares(attributions, masks.int())
    assert shares.sum().item() == pytest.approx(1)
    torch.testing.assert_close(shares[:, 1], relevance_mass_accuracy(attributions, masks))


def test_boxes_are_half_open_and_clipped_and_joined():
    masks = boxes_to_masks(
        [torch.tensor([[1, 0, 3, 1], [2, 1, 9, 9]]), torch.empty(0, 4)], size=(3, 4)
    )
    assert masks.int().tolist() == [
        [[[0, 1, 1, 0], [0, 0, 1, 1], [0, 0, 1, 1]]],
        [[[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]],
    ]


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (torch.zeros(2, 3), r"boxes: expected shape \(M, 4\), got \(2, 3\)"),
        (torch.tensor([[2.0, 0.0, 2.0, 4.0]]), "x0 < x1 and y0 < y1"),
    ],
)
def test_malformed_boxes_are_named(boxes, message):
    with pytest.raises(ValueError, match=message):
        boxes_to_masks([boxes], size=(3, 4))


@pytest.mark.parametrize("measure", [*MEASURES, object_shares])
def test_bad_input_is_named(measure):
    with pytest.raises(TypeError, match=r"expected bool or whole numbers, got torch.float32"):
        measure(ATTRIBUTIONS, MASKS.float())
    with pytest.raises(ValueError, match=r"expected shape \(1, 1, 2, 2\) or \(1, 2, 2\), got"):
        measure(ATTRIBUTIONS, torch.ones(1, 3, 3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"attributions: expected shape \(N, C, H, W\)"):
        measure(ATTRIBUTIONS[0], MASKS)
    with pytest.raises(ValueError, match="attributions: expected finite values"):
        measure(ATTRIBUTIONS * math.nan, MASKS)


def _numbered(n):
    """Images (n, 1, 2, 3) filled with 0, 1, 2 ..."""
    return torch.arange(float(n)).view(-1, 1, 1, 1).expand(-1, 1, 2, 3)


def test_a_grid_holds_its_image_in_the_cell_and_three_others_around_it():
    inputs, others = _numbered(8), 10 + _numbered(24).reshape(8, 3, 1, 2, 3)
    grids = image_grids(inputs, torch.arange(8), others, seed=0)
    assert grids.inputs.shape == (8, 1, 4, 6)
    assert grids.target.tolist() == list(range(8))
    for i in range(8):
        assert grids.inputs[i][grids.cells[i]].tolist() == [i] * 6
        assert set(grids.inputs[i][~grids.cells[i]].tolist()) == {10 + 3 * i + k for k in range(3)}
    corners = {tuple(cell[0, ::2, ::3].flatten().tolist()) for cell in grids.cells}
    assert len(corners) > 1  # not always the same cell


def test_the_grid_game_is_the_positive_share_in_the_cell():
    inputs, others = _numbered(2), _numbered(6).reshape(2, 3, 1, 2, 3)
    grids = image_grids(inputs, torch.zeros(2, dtype=torch.long), others)
    maps = torch.where(grids.cells, 3.0, 1.0)
    maps[1] = -1.0
    shares = grid_pointing_game(maps, grids)
    assert shares.tolist() == [0.5, 0.25]  # 3 of 3 + 3; nothing positive is chance


def test_a_grid_needs_three_others_of_the_same_size():
    with pytest.raises(ValueError, match="others: expected three images per input"):
        image_grids(_numbered(2), torch.zeros(2), _numbered(4).reshape(2, 2, 1, 2, 3))
