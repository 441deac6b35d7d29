"""Insertion, deletion, pixel flipping and SaCo against curves worked out by hand."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from captum_pcim.metrics import Curve, deletion, insertion, pixel_flipping, saco

# A model that is linear in the pixels: the score is the weighted sum 4 a + 3 b + 2 c + 1 d, a tenth
# of it, so the image of ones scores 1 and each pixel's share is known.
WEIGHTS = torch.tensor([[0.4, 0.3], [0.2, 0.1]])
ONES = torch.ones(1, 1, 2, 2)
TRUE_MAP = WEIGHTS[None, None]


def linear_score(images):
    return (images.sum(1) * WEIGHTS).sum((1, 2))


def curve_of(measure, attributions, **kwargs):
    return measure(linear_score, ONES, attributions, score="regression", n_points=5, **kwargs)


def test_insertion_curve_by_hand():
    curve = curve_of(insertion, TRUE_MAP)
    assert curve.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    torch.testing.assert_close(curve.scores, torch.tensor([[0, 0.4, 0.7, 0.9, 1.0]]))
    # Trapezoid: 0.25 * (0 / 2 + 0.4 + 0.7 + 0.9 + 1 / 2).
    assert curve.auc.item() == pytest.approx(0.625)


def test_deletion_curve_by_hand():
    curve = curve_of(deletion, TRUE_MAP)
    torch.testing.assert_close(curve.scores, torch.tensor([[1, 0.6, 0.3, 0.1, 0.0]]))
    assert curve.auc.item() == pytest.approx(0.375)
    # Mean drop from 1: (0 + 0.4 + 0.7 + 0.9 + 1) / 5.
    assert curve.aopc.item() == pytest.approx(0.6)


def test_the_reversed_map_inserts_the_least_important_pixel_first():
    curve = curve_of(insertion, -TRUE_MAP)
    torch.testing.assert_close(curve.scores, torch.tensor([[0, 0.1, 0.3, 0.6, 1.0]]))


def test_baselines_replace_pixels_and_broadcast():
    for baselines in (0.5, torch.tensor(0.5), torch.full((1, 2, 2), 0.5)):
        curve = curve_of(deletion, TRUE_MAP, baselines=baselines)
        torch.testing.assert_close(curve.scores, torch.tensor([[1, 0.8, 0.65, 0.55, 0.5]]))


def test_normalize_maps_empty_to_zero_and_full_to_one():
    for measure, plain in [(insertion, [0, 0.4, 0.7, 0.9, 1]), (deletion, [1, 0.6, 0.3, 0.1, 0])]:
        curve = curve_of(measure, TRUE_MAP, baselines=0.5, normalize=True)
        torch.testing.assert_close(curve.scores, torch.tensor([plain]))


def test_all_stains_of_a_pixel_are_replaced_together():
    inputs = torch.tensor([1.0, 3.0]).view(1, 2, 1, 1).expand(1, 2, 2, 2)
    curve = deletion(linear_score, inputs, TRUE_MAP, score="regression", n_points=5)
    torch.testing.assert_close(curve.scores, 4 * torch.tensor([[1, 0.6, 0.3, 0.1, 0]]))


def test_logits_become_probabilities_by_softmax_or_the_sigmoid_of_a_single_one():
    image = torch.full((1, 1, 1, 2), 2.0)
    relevance = torch.tensor([[[[2.0, 1.0]]]])

    def two_classes(images):
        total = images.sum((1, 2, 3))
        return torch.stack([torch.zeros_like(total), total], dim=1)

    expected = torch.sigmoid(torch.tensor([[4.0, 2.0, 0.0]]))
    torch.testing.assert_close(deletion(two_classes, image, relevance, target=1).scores, expected)
    torch.testing.assert_close(
        deletion(two_classes, image, relevance, target=0).scores, 1 - expected
    )
    for single in (lambda x: x.sum((1, 2, 3)), lambda x: x.sum((1, 2, 3))[:, None]):
        torch.testing.assert_close(deletion(single, image, relevance).scores, expected)


def test_curve_over_part_of_the_fractions_reports_its_mean_height():
    curve = Curve(torch.tensor([0.2, 0.4, 0.8]), torch.tensor([[1.0, 0.0, 0.5]]))
    assert curve.auc.item() == pytest.approx((0.2 * 0.5 + 0.4 * 0.25) / 0.6)


def test_a_constant_map_is_ordered_at_random_not_in_raster_order():
    side = 32
    image = torch.zeros(1, 1, side, side)
    image[..., : side // 2, :] = 1  # all evidence in the upper half

    def evidence(images):
        return images.mean((1, 2, 3)) * 2

    auc = [
        insertion(evidence, image, torch.ones(1, 1, side, side), score="regression", seed=seed).auc
        for seed in range(8)
    ]
    assert torch.stack(auc).mean().item() == pytest.approx(0.5, abs=0.01)
    # In raster order the upper half would come first, with an area of 0.75.
    assert max(auc).item() < 0.55


def test_random_maps_insert_as_well_as_they_delete():
    generator = torch.Generator().manual_seed(1)
    maps = torch.rand(400, 1, 2, 2, generator=generator)
    inputs = ONES.expand(400, 1, 2, 2)
    auc = insertion(linear_score, inputs, maps, score="regression").auc
    assert auc.mean().item() == pytest.approx(0.5, abs=3 * auc.std().item() / 20)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ).eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(4, 3, 9, 7, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def maps():
    # Few distinct values, so that ties are common.
    generator = torch.Generator().manual_seed(3)
    return torch.randint(-3, 4, (4, 3, 9, 7), generator=generator).float()


TARGETS = torch.tensor([0, 2, 1, 2])


@pytest.mark.parametrize("measure", [insertion, deletion, pixel_flipping])
def test_an_image_scores_the_same_alone_and_in_a_batch(measure, network, images, maps):
    batch = measure(network, images, maps, TARGETS).scores
    alone = [
        measure(network, images[i : i + 1], maps[i : i + 1], TARGETS[i : i + 1]).scores
        for i in range(4)
    ]
    torch.testing.assert_close(batch, torch.cat(alone))


@pytest.mark.parametrize("measure", [insertion, deletion, pixel_flipping])
@pytest.mark.parametrize("chunk", [2, 7, 100])
def test_scores_do_not_depend_on_perturbations_per_eval(measure, chunk, network, images, maps):
    torch.testing.assert_close(
        measure(network, images, maps, TARGETS, perturbations_per_eval=chunk).scores,
        measure(network, images, maps, TARGETS).scores,
    )


def test_perturbations_per_eval_bounds_the_images_in_a_forward_pass(network, images, maps):
    sizes = []

    def recording(batch):
        sizes.append(len(batch))
        return network(batch)

    insertion(recording, images, maps, TARGETS, n_points=11, perturbations_per_eval=3)
    assert sizes == [12, 12, 12, 8]


def test_additional_arguments_and_targets_follow_their_image(network, images, maps):
    shift = torch.arange(4.0)[:, None]

    def shifted(batch, offset, sign):
        return network(batch) + sign * offset * torch.arange(3.0)

    arguments = {"additional_forward_args": (shift, -1.0), "perturbations_per_eval": 5}
    batch = insertion(shifted, images, maps, TARGETS, **arguments).scores
    for i in range(4):
        one = slice(i, i + 1)
        alone = insertion(
            lambda x, i=i: network(x) - i * torch.arange(3.0), images[one], maps[one], TARGETS[one]
        )
        torch.testing.assert_close(batch[one], alone.scores)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=63, max_size=63))
def test_curves_ignore_monotone_transforms_of_the_map(network, images, values):
    relevance = torch.tensor(values, dtype=torch.float64).view(1, 1, 9, 7)
    for measure in (insertion, deletion):
        one = measure(network, images[:1], relevance, 1, n_points=9)
        other = measure(network, images[:1], relevance.exp() + 2, 1, n_points=9)
        assert torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("measure", [insertion, deletion, pixel_flipping, saco])
def test_the_model_and_the_random_state_are_left_alone(measure, network, images, maps):
    flags = [parameter.requires_grad for parameter in network.parameters()]
    state = torch.get_rng_state()
    inputs = images.clone().requires_grad_()
    scores = measure(network, inputs, maps, TARGETS)
    scores = scores.scores if isinstance(scores, Curve) else scores
    assert not scores.requires_grad
    assert not network.training
    assert flags == [parameter.requires_grad for parameter in network.parameters()]
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), state)


def test_pixel_flipping_flips_patches_by_their_mean_relevance():
    # Patches of 2 x 2 on 3 x 3 pixels: edge patches have 2, 2 and 1 pixels, and their means, not
    # their sums, decide. Order by hand: lower right (9), upper left (5), upper right (4), rest (1).
    relevance = torch.tensor([[5.0, 5, 4], [5, 5, 4], [1, 1, 9]])[None, None]
    curve = pixel_flipping(
        lambda x: x.sum((1, 2, 3)),
        torch.ones(1, 1, 3, 3),
        relevance,
        patch_size=2,
        score="regression",
    )
    assert curve.fractions.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert curve.scores.tolist() == [[9, 8, 4, 2, 0]]
    assert curve.aopc.item() == pytest.approx((0 + 1 + 5 + 7 + 9) / 5)


def test_pixel_flipping_of_single_pixels_is_deletion(network, images, maps):
    flipped = pixel_flipping(network, images, maps, TARGETS, patch_size=1)
    assert torch.equal(flipped.scores, deletion(network, images, maps, TARGETS).scores)


def test_scores_of_a_half_precision_model_are_single_precision():
    image = torch.full((1, 1, 20, 20), 2.0, dtype=torch.bfloat16)
    curve = deletion(lambda x: x.mean((1, 2, 3)), image, image, score="regression", n_points=401)
    assert curve.scores.dtype == curve.fractions.dtype == torch.float32
    assert len(curve.fractions.unique()) == 401
    assert curve.auc.item() == pytest.approx(1, rel=0.01)


def test_saco_is_one_where_salience_orders_the_influence():
    assert saco(linear_score, ONES, TRUE_MAP, baselines=0.0, n_groups=4, score="regression") == 1
    assert saco(linear_score, ONES, -TRUE_MAP, baselines=0.0, n_groups=4, score="regression") == -1


def test_saco_by_hand():
    # Saliences 8, 4, 2, 1 with influences .3, .4, .2, .1: of the pairs only (8, 4) is in the wrong
    # order. Differences: 4 (wrong), 6, 7, 2, 3, 1: (-4 + 19) / 23.
    relevance = torch.tensor([[[[4.0, 8.0], [2.0, 1.0]]]])
    value = saco(linear_score, ONES, relevance, baselines=0.0, n_groups=4, score="regression")
    assert value.item() == pytest.approx(15 / 23)


@pytest.mark.parametrize("factor", [1, -1])
def test_saco_counts_groups_of_the_same_influence_as_rightly_ordered(factor):
    """With d_i >= d_j the pair adds s_i - s_j, and the more salient group comes first."""

    def blind(images):
        return 0 * images.sum((1, 2, 3))

    value = saco(blind, ONES, factor * TRUE_MAP, baselines=0.0, n_groups=4, score="regression")
    assert value.item() == 1


@pytest.mark.parametrize("weights", [[1.0, 2.0], [2.0, 1.0]])
def test_saco_replaces_a_group_by_the_mean_of_each_stain_unless_told(weights):
    # Only the first stain, 4 and 3 with mean 3.5, is read: without the left pixel the score falls
    # by 0.5 w, without the right one it rises. So the left one has more influence in both cases;
    # a baseline of zero would reverse the first, the mean of all stains the second.
    image = torch.tensor([[[[4.0, 3.0]], [[50.0, 50.0]]]])
    relevance = torch.tensor([[[[3.0, 1.0]]]])

    def first_stain(images):
        return (images[:, 0] * torch.tensor(weights)).sum((1, 2))

    assert saco(first_stain, image, relevance, n_groups=2, score="regression").item() == 1
    assert saco(first_stain, image, -relevance, n_groups=2, score="regression").item() == -1


def test_saco_of_random_maps_is_about_zero_and_of_a_constant_map_zero():
    generator = torch.Generator().manual_seed(4)
    maps = torch.rand(400, 1, 2, 2, generator=generator)
    inputs = ONES.expand(400, 1, 2, 2)
    values = saco(linear_score, inputs, maps, baselines=0.0, n_groups=4, score="regression")
    assert values.mean().item() == pytest.approx(0, abs=3 * values.std().item() / 20)
    assert saco(linear_score, ONES, ONES, n_groups=4, score="regression").item() == 0


def test_saco_does_not_depend_on_batch_or_chunk(network, images, maps):
    batch = saco(network, images, maps, TARGETS)
    for i in range(4):
        one = slice(i, i + 1)
        alone = saco(network, images[one], maps[one], TARGETS[one], perturbations_per_eval=3)
        torch.testing.assert_close(batch[one], alone)


@pytest.mark.parametrize("measure", [insertion, deletion, pixel_flipping, saco])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attributions": torch.ones(1, 1, 3, 2)}, "attributions: expected .* as the inputs are"),
        ({"attributions": torch.ones(1, 2, 2)}, r"expected shape \(N, C, H, W\)"),
        ({"attributions": TRUE_MAP * float("nan")}, "attributions: expected finite values"),
        ({"baselines": torch.ones(3)}, "baselines: expected a shape broadcastable to"),
        ({"score": "logit"}, 'score: expected "logits" or "probabilities"'),
        (
            {"perturbations_per_eval": 0},
            "perturbations_per_eval: expected a whole number >= 1, got 0",
        ),
    ],
)
def test_bad_input_is_named(measure, change, message):
    arguments = {"attributions": TRUE_MAP, "score": "regression", **change}
    if measure is saco:
        arguments["n_groups"] = 2
    with pytest.raises(ValueError, match=message):
        measure(linear_score, ONES, **arguments)


def test_bad_numbers_are_named():
    with pytest.raises(ValueError, match="n_points: expected a whole number >= 2, got 1"):
        insertion(linear_score, ONES, TRUE_MAP, n_points=1)
    with pytest.raises(ValueError, match="patch_size: expected a whole number >= 1, got 0"):
        pixel_flipping(linear_score, ONES, TRUE_MAP, patch_size=0)
    with pytest.raises(ValueError, match="n_groups: expected 2 to 4, as many as pixels, got 5"):
        saco(linear_score, ONES, TRUE_MAP, n_groups=5)


def test_a_forward_func_with_several_outputs_needs_a_target(network, images, maps):
    with pytest.raises(ValueError, match="several scores per image"):
        insertion(network, images, maps)
