"""The limits of the metrics' arguments, and cases that lie exactly on a boundary, by hand."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIMWarning
from captum_pcim.metrics import (
    Curve,
    EquallyConfident,
    auroc,
    average_precision,
    boxes_to_masks,
    chance_levels,
    deletion,
    efficient_mprt,
    gini,
    image_infidelity,
    insertion,
    pixel_flipping,
    relevance_rank_accuracy,
    road,
    saco,
    second_classifier_agreement,
    seed_agreement,
    smooth_mprt,
    structural_similarity,
    wrong_class_success,
)
from captum_pcim.metrics.adversarial import preserve_most_relevant
from captum_pcim.metrics.relevance import as_label_image, as_masks, pixel_relevance, relevance_ranks
from captum_pcim.metrics.road import impute
from captum_pcim.metrics.saco import _agreement

RAMP = torch.arange(16.0).view(1, 1, 4, 4)


def brightness(images):
    """Two classes that share the mean of an image, as a probability, between them."""
    mean = (images.mean((1, 2, 3)) / 15).clamp(0, 1)  # of noisy images too
    return torch.stack([1 - mean, mean], dim=1)


CASE = {"target": 1, "score": "probabilities"}


@pytest.mark.parametrize("n_groups", [2, 16])
def test_saco_cuts_two_groups_or_as_many_as_there_are_pixels(n_groups):
    assert saco(brightness, RAMP, RAMP, n_groups=n_groups, **CASE).tolist() == [1.0]


@pytest.mark.parametrize("n_groups", [1, 17])
def test_saco_cuts_no_other_number(n_groups):
    with pytest.raises(ValueError, match="n_groups: expected 2 to 16, as many as pixels"):
        saco(brightness, RAMP, RAMP, n_groups=n_groups, **CASE)


def test_saco_reads_the_mean_of_groups_of_unequal_size():
    """Of five pixels in two groups three come first: 4, 3, 2 with mean 3 and 1, 0 with mean 1/2."""
    image = torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0]).view(1, 1, 1, 5)
    relevance = torch.tensor([5.0, 3.0, 1.0, 2.9, 2.9]).view(1, 1, 1, 5)
    # By rank: 5, 3, 2.9 (one of two) before 2.9, 1.
    first, second = (5 + 3 + 2.9) / 3, (2.9 + 1) / 2
    assert first > second
    assert saco(lambda x: x.sum((1, 2, 3)), image, relevance, n_groups=2, baselines=0.0,
                score="regression").tolist() == [1.0]  # fmt: skip


def test_saco_weighs_pairs_by_their_difference():
    salience, influence = torch.tensor([[3.0, 1.0, 0.0]]), torch.tensor([[2.0, 1.0, 2.0]])
    # Pairs 3 > 1 and 3 > 0 agree with 2 and 3, the pair 1 > 0 does not, with 1.
    assert _agreement(salience, influence).item() == pytest.approx((2 + 3 - 1) / (2 + 3 + 1))
    assert _agreement(torch.zeros(1, 3), influence).tolist() == [0.0]


@pytest.mark.parametrize("curve", [insertion, deletion])
def test_a_curve_has_two_points_at_least_and_one_a_pixel_at_most(curve):
    assert curve(brightness, RAMP, RAMP, n_points=2, **CASE).fractions.tolist() == [0.0, 1.0]
    assert len(curve(brightness, RAMP, RAMP, n_points=17, **CASE).fractions) == 17
    assert len(curve(brightness, RAMP, RAMP, n_points=51, **CASE).fractions) == 17
    with pytest.raises(ValueError, match="n_points: expected a whole number >= 2, got 1"):
        curve(brightness, RAMP, RAMP, n_points=1, **CASE)


def test_points_of_a_curve_are_whole_pixels():
    fractions = insertion(brightness, RAMP, RAMP, n_points=4, **CASE).fractions
    assert (16 * fractions).tolist() == [0, 5, 11, 16]


def test_patches_at_the_edge_are_smaller_and_count_by_their_mean():
    """Patches of three pixels on a side of four: nine pixels, three, three and one."""
    relevance = torch.ones(1, 1, 4, 4)
    relevance[0, 0, 3, 3] = 2.0
    image = torch.ones(1, 1, 4, 4)
    curve = pixel_flipping(lambda x: x.sum((1, 2, 3)), image, relevance, patch_size=3,
                           score="regression")  # fmt: skip
    assert curve.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1.0]
    assert curve.scores[0, :2].tolist() == [16.0, 15.0]
    assert curve.scores[0, -1] == 0


def test_area_and_drop_of_a_curve_are_means():
    curve = Curve(torch.tensor([0.2, 0.4, 0.8]), torch.tensor([[1.0, 0.5, 0.0]]))
    assert curve.auc.item() == pytest.approx((0.2 * 0.75 + 0.4 * 0.25) / 0.6)
    assert curve.aopc.item() == pytest.approx((0 + 0.5 + 1) / 3)


def test_the_area_of_a_single_point_is_its_score():
    curve = road(brightness, RAMP, RAMP, percentages=[50], **CASE)
    assert torch.equal(curve.auc, curve.scores[:, 0])


def test_normalised_curves_begin_and_end_at_0_and_1_in_their_own_direction():
    up = insertion(brightness, RAMP, RAMP, normalize=True, **CASE).scores
    down = deletion(brightness, RAMP, RAMP, normalize=True, **CASE).scores
    assert (up[0, 0], up[0, -1], down[0, 0], down[0, -1]) == (0, 1, 1, 0)


@pytest.mark.parametrize("fraction", [1e-6, 1 - 1e-6])
def test_squares_are_removed_by_any_share_between_none_and_all(fraction):
    assert image_infidelity(brightness, RAMP, RAMP, fraction=fraction, **CASE).isfinite().all()


@pytest.mark.parametrize("fraction", [0.0, 1.0])
def test_none_and_all_are_no_share_of_squares(fraction):
    with pytest.raises(ValueError, match="fraction: expected a number between 0 and 1"):
        image_infidelity(brightness, RAMP, RAMP, fraction=fraction, **CASE)


@pytest.mark.parametrize(
    ("fraction", "kept"), [(0.0, 0), (1.0, 16), (0.34, 5), (0.35, 6), (torch.tensor([0.5]), 8)]
)
def test_the_most_relevant_pixels_are_kept_in_whole_numbers(fraction, kept):
    shown = preserve_most_relevant(RAMP + 1, RAMP, 0.0, fraction)
    assert (shown > 0).flatten().tolist() == [place >= 16 - kept for place in range(16)]


@pytest.mark.parametrize("fraction", [-0.01, 1.01])
def test_no_other_share_is_kept(fraction):
    with pytest.raises(ValueError, match=r"fraction: expected numbers in \[0, 1\]"):
        preserve_most_relevant(RAMP, RAMP, 0.0, fraction)


def test_without_a_share_the_mean_over_pixels_and_stains_is_kept():
    weights = torch.zeros(1, 2, 4, 4)
    weights[:, :, 3] = 1.0  # a quarter of both stains
    weights[:, 1, 0] = 1.0  # and another quarter of one
    inputs = torch.ones(1, 2, 4, 4)
    given = []
    second_classifier_agreement(
        lambda x: given.append(x) or torch.zeros(len(x), 2), inputs, weights, 0
    )
    assert (given[0] > 0).sum().item() == round(0.375 * 16) * 2


@pytest.mark.parametrize("other", [1, torch.tensor([1, 1])])
def test_a_wrong_class_that_the_baseline_shows_has_no_answer(other):
    inputs = torch.stack([torch.zeros(1, 2, 2), torch.ones(1, 2, 2)])

    def forward(x):
        return torch.stack([x.mean((1, 2, 3)), 0.5 - x.mean((1, 2, 3))], 1)

    found = wrong_class_success(forward, lambda f, x, t: x, inputs, 0, other, fraction=1.0)
    assert found.isnan().all()
    shown = wrong_class_success(forward, lambda f, x, t: x, inputs, 1, 0, fraction=1.0)
    assert shown.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("outputs", [(3,), (3, 1), (3, 2, 1)])
def test_a_wrong_class_needs_two_classes(outputs):
    with pytest.raises(ValueError, match="K > 1"):
        wrong_class_success(lambda x: torch.zeros(outputs), lambda f, x, t: x,
                            torch.rand(3, 1, 2, 2), 0, 1, fraction=0.5)  # fmt: skip


@pytest.mark.parametrize("percentages", [(0, 99.99), (50,)])
def test_road_removes_from_nothing_to_all_but_one_pixel(percentages):
    fractions = road(brightness, RAMP, RAMP, percentages=percentages, **CASE).fractions
    assert (16 * fractions).tolist() == [min(15, round(p / 100 * 16)) for p in percentages]


@pytest.mark.parametrize("percentages", [(), (-1,), (100,), (20, 10), (10, 10)])
def test_road_removes_no_other_shares(percentages):
    with pytest.raises(ValueError, match="percentages: expected ascending numbers"):
        road(brightness, RAMP, RAMP, percentages=percentages, **CASE)


def test_road_removes_every_tenth_unless_told():
    curve = road(brightness, torch.rand(1, 1, 10, 10), torch.rand(1, 1, 10, 10), **CASE)
    assert_close(curve.fractions, torch.arange(1, 10) / 10)


def test_where_all_is_removed_an_image_is_filled_with_zero():
    filled = impute(RAMP, torch.ones(1, 1, 4, 4, dtype=torch.bool))
    assert filled.abs().max() == 0


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2)).eval()


def itself(model, inputs, target):
    return inputs


def test_the_least_numbers_of_samples_bins_and_seeds_are_taken():
    assert smooth_mprt(network(), itself, RAMP, n_samples=1).score.tolist() == [1.0]
    assert efficient_mprt(network(), itself, RAMP, n_bins=2).tolist() == [0.0]
    assert seed_agreement(network(), itself, RAMP, n_seeds=2).tolist() == [1.0]


def test_noise_of_smooth_mprt_differs_from_stain_to_stain_and_scales_with_the_range():
    seen = []

    def noted(model, inputs, target):
        seen.append(inputs)
        return inputs

    images = torch.stack([torch.zeros(2, 40, 40), torch.zeros(2, 40, 40)])
    images[:, :, 0, 0] = torch.tensor([10.0, 2.0])[:, None]
    smooth_mprt(nn.Linear(1, 1), noted, images, n_samples=1, noise=0.1)
    noise = seen[0] - images
    assert_close(noise.std((2, 3)), torch.tensor([[1.0, 1.0], [0.2, 0.2]]), rtol=0.1, atol=0)
    between = torch.corrcoef(noise[0].flatten(1))[0, 1]
    assert abs(between) < 0.1
    assert_close(noise[0], 5 * noise[1])


def test_a_histogram_has_its_largest_value_in_its_last_bin():
    """Values 0, 1, 2, 3 in four bins are one in each; in three the last two share the last."""
    trained = torch.tensor([0.0, 1.0, 2.0, 3.0]).view(1, 1, 2, 2)
    random = torch.tensor([0.0, 0.0, 0.0, 1.0]).view(1, 1, 2, 2)
    maps = iter([trained, random, trained, random])

    def given(model, inputs, target):
        return next(maps)

    def entropy(*shares):
        return -sum(share * math.log(share) for share in shares)

    one = entropy(0.75, 0.25)
    four = efficient_mprt(network(), given, RAMP, n_bins=4).item()
    assert four == pytest.approx((one - math.log(4)) / math.log(4))
    three = efficient_mprt(network(), given, RAMP, n_bins=3).item()
    several = entropy(0.25, 0.25, 0.5)
    assert three == pytest.approx((one - several) / several)


def test_a_randomised_network_is_centred_on_its_references_and_as_sure_as_the_trained():
    trained, inputs = network(), torch.randn(9, 1, 4, 4)
    baselines = torch.randn(9, 1, 4, 4) + 1
    own = EquallyConfident(trained, inputs, baselines)
    assert_close(own(baselines).mean(0), torch.zeros(2), atol=1e-5, rtol=0)

    def sureness(model):
        first, second = model(inputs).topk(2, dim=1).values.unbind(1)
        return (first - second).median()

    assert_close(sureness(own), sureness(trained))
    assert own.training == trained.training


def test_structural_similarity_of_unlike_constant_maps_is_that_of_equal_ones():
    ones, zeros = torch.ones(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    assert_close(structural_similarity(ones, zeros), torch.ones(1))


def test_a_full_mask_has_no_auroc_and_is_reached_by_chance_otherwise():
    full, empty = torch.ones(1, 4, 4, dtype=torch.bool), torch.zeros(1, 4, 4, dtype=torch.bool)
    quarter = empty.clone()
    quarter[0, 0] = True
    levels = chance_levels(torch.cat([full, empty, quarter]))
    assert_close(levels["auroc"], torch.tensor([math.nan, math.nan, 0.5]), equal_nan=True)
    for name in set(levels) - {"auroc"}:
        assert_close(levels[name], torch.tensor([1.0, math.nan, 0.25]), equal_nan=True)
    assert auroc(RAMP, full).isnan().all()
    assert auroc(RAMP, empty).isnan().all()


def test_ranks_inside_a_mask_are_counted_exactly_on_large_images():
    """Their sums do not fit into single precision."""
    n = 8000
    relevance = torch.arange(2 * n, dtype=torch.float64).view(1, 1, 2, n)
    mask = torch.zeros(1, 2, n, dtype=torch.bool)
    mask[0, 1] = True
    mask[0, 1, 0], mask[0, 0, -1] = False, True  # one pair in 64 million is the wrong way round
    assert_close(auroc(relevance, mask).item(), 1 - 1 / n**2, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("measure", [auroc, average_precision, relevance_rank_accuracy, gini])
def test_scores_have_the_precision_of_the_maps(measure, dtype):
    arguments = (RAMP.to(dtype),) if measure is gini else (RAMP.to(dtype), RAMP[:, 0] > 7)
    assert measure(*arguments).dtype == dtype


def test_half_precision_is_read_in_single():
    assert pixel_relevance(RAMP.half()).dtype == torch.float32
    assert pixel_relevance(RAMP.double()).dtype == torch.float64


def test_ties_are_in_the_same_random_order_in_every_image():
    ranks = relevance_ranks(torch.zeros(2, 3, 5), seed=4)
    assert torch.equal(ranks[0], ranks[1])
    assert sorted(ranks[0].flatten().tolist()) == list(range(15))
    assert not torch.equal(ranks, relevance_ranks(torch.zeros(2, 3, 5), seed=5))


def test_labels_begin_at_zero_and_masks_above_it():
    labels = torch.tensor([[[0, 1], [2, 0]]])
    relevance = torch.zeros(1, 2, 2)
    assert as_masks(labels, relevance).tolist() == [[[False, True], [True, False]]]
    with pytest.raises(ValueError, match=r"^label_image: expected numbers from 0, got -"):
        as_label_image(labels - 1, relevance)
    with pytest.raises(ValueError, match=r"^masks: expected numbers from 0, got -"):
        as_masks(labels - 1, relevance)
    with pytest.raises(
        TypeError, match=r"^masks: expected bool or whole numbers, got torch.float32"
    ):
        as_masks(relevance, relevance)


def test_a_box_of_one_pixel_is_one_pixel():
    masks = boxes_to_masks([torch.tensor([[1, 2, 2, 3]])], (4, 3))
    assert masks.nonzero().tolist() == [[0, 0, 2, 1]]


@pytest.mark.parametrize("box", [[1, 0, 1, 2], [0, 1, 2, 1], [2, 0, 1, 2]])
def test_a_box_without_a_pixel_is_refused(box):
    with pytest.raises(ValueError, match="x0 < x1 and y0 < y1"):
        boxes_to_masks([torch.tensor([box])], (4, 3))


def _taking_scores(metric, **settings):
    def measure(forward, inputs=RAMP, attributions=RAMP, target=1, **told):
        return metric(forward, inputs, attributions, target, **settings, **told)

    return measure


TAKING_SCORES = {
    "insertion": _taking_scores(insertion, n_points=3),
    "deletion": _taking_scores(deletion, n_points=3),
    "pixel_flipping": _taking_scores(pixel_flipping, patch_size=2),
    "road": _taking_scores(road),
    "saco": _taking_scores(saco, n_groups=4),
    "image_infidelity": _taking_scores(image_infidelity, patch_size=2),
}


@pytest.mark.parametrize("metric", TAKING_SCORES)
@pytest.mark.parametrize("said", ["probabilities", "binary_probabilities"])
def test_a_metric_refuses_logits_that_are_called_probabilities(metric, said):
    def logits(images):
        return 9 * (brightness(images) - 0.5)

    with pytest.raises(ValueError, match=f'score: "{said}" was said, but the scores'):
        TAKING_SCORES[metric](logits, score=said)


@pytest.mark.parametrize("metric", TAKING_SCORES)
def test_a_metric_refuses_a_network_in_training_mode_and_leaves_it_as_it_was(metric):
    network = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(16, 2)).train()
    before = network[0].running_mean.clone()
    with pytest.raises(ValueError, match="expected evaluation mode, but BatchNorm2d '0'"):
        TAKING_SCORES[metric](network)
    assert torch.equal(network[0].running_mean, before)


@pytest.mark.parametrize("metric", TAKING_SCORES)
def test_a_metric_reads_the_scores_of_networks_that_return_an_object(metric):
    class Output:
        def __init__(self, logits):
            self.logits = logits

    own = TAKING_SCORES[metric](lambda images: Output(brightness(images)), score="probabilities")
    plain = TAKING_SCORES[metric](brightness, score="probabilities")
    assert torch.equal(getattr(own, "scores", own), getattr(plain, "scores", plain))


@pytest.mark.parametrize("metric", TAKING_SCORES)
def test_a_metric_says_what_a_forward_function_has_to_return(metric):
    with pytest.raises(TypeError, match="expected it to return a tensor of scores, got dict"):
        TAKING_SCORES[metric](lambda images: {"scores": brightness(images)})


@pytest.mark.parametrize("metric", TAKING_SCORES)
@pytest.mark.parametrize("wrong", [-1, 2, True, "predicted", None])
def test_a_metric_refuses_what_is_no_class_of_the_network(metric, wrong):
    with pytest.raises((IndexError, TypeError, ValueError), match=r"^target: "):
        TAKING_SCORES[metric](brightness, score="probabilities", target=wrong)


@pytest.mark.parametrize("metric", TAKING_SCORES)
def test_a_metric_hears_from_the_network_what_its_scores_mean(metric):
    class Quantity:
        score_kind = "regression"

        def __call__(self, images):
            return 100 * images.mean((1, 2, 3))

    found, said = (
        TAKING_SCORES[metric](forward, target=0, **arguments)
        for forward, arguments in ((Quantity(), {}), (Quantity().__call__, {"score": "regression"}))
    )
    assert torch.equal(getattr(found, "scores", found), getattr(said, "scores", said))


@pytest.mark.parametrize("metric", TAKING_SCORES)
@pytest.mark.parametrize("name", ["inputs", "attributions"])
def test_a_metric_takes_tensors(metric, name):
    with pytest.raises(TypeError, match=f"{name}: expected a tensor, got ndarray"):
        TAKING_SCORES[metric](brightness, **{name: RAMP.numpy()})


@pytest.mark.parametrize("metric", ["insertion", "deletion", "pixel_flipping", "saco"])
def test_a_metric_tells_of_images_whose_altered_copies_have_no_score(metric):
    def fails_in_the_dark(images):
        return brightness(images).where(images.amin((1, 2, 3))[:, None] > 0.5, torch.nan)

    pair = torch.cat([RAMP, RAMP + 3])
    told = {"inputs": pair, "attributions": pair, "baselines": torch.tensor([0.0, 1.0])}
    told["baselines"] = told["baselines"].view(2, 1, 1, 1)
    with pytest.warns(PCIMWarning, match=r"altered copies of images \[0\] are NaN") as warned:
        found = TAKING_SCORES[metric](fails_in_the_dark, score="probabilities", **told)
    assert warned[0].message.images == (0,)
    if isinstance(found, Curve):
        assert found.auc.isnan().tolist() == [True, False]


@pytest.mark.parametrize(
    ("baselines", "error"), [(None, TypeError), (math.nan, ValueError), (RAMP / 0, ValueError)]
)
def test_what_replaces_pixels_is_a_number(baselines, error):
    with pytest.raises(error, match="baselines"):
        insertion(brightness, RAMP, RAMP, baselines=baselines, **CASE)


def test_infidelity_asks_for_two_samples_as_maps_are_scaled_to_fit_one():
    with pytest.raises(ValueError, match="n_perturb_samples: expected a whole number >= 2, got 1"):
        image_infidelity(brightness, RAMP, RAMP, n_perturb_samples=1, **CASE)


def test_infidelity_takes_a_finite_map_for_each_image():
    inputs = RAMP.repeat(3, 1, 1, 1)
    with pytest.raises(ValueError, match="attributions: expected finite values"):
        image_infidelity(brightness, inputs, inputs / 0, **CASE)
    with pytest.raises(ValueError, match="attributions: expected 3 rows, one per image, got 1"):
        image_infidelity(brightness, inputs, RAMP, **CASE)
