"""The parts of the forward-only estimator: masks, and the surrogate that is learned from them."""

import pytest
import torch
from networks import BrightSquare, bright_images, prepared
from torch.testing import assert_close

from captum_pcim.core.forward_only import surrogate
from captum_pcim.core.forward_only.masks import EDGE, random_masks, top_of
from captum_pcim.core.forward_only.surrogate import FAINT, Observations, evidence, features, learn

SHAPE = (1, 1, 40, 40)


def _generator():
    return torch.Generator().manual_seed(0)


def _masks(evidence, n):
    generator = _generator()
    return torch.cat([random_masks([(evidence,)], generator)[0][0] for _ in range(n)])


def test_masks_take_2_to_40_percent_small_shares_as_often_as_large():
    masks = _masks(torch.zeros(SHAPE), 1500)
    shares = (masks > 0.5).float().mean((1, 2, 3))
    assert 0.019 < shares.min() < 0.025 and 0.37 < shares.max() < 0.401
    middle = (0.02 * 0.4) ** 0.5  # of the logarithms
    assert 0.45 < (shares < middle).float().mean() < 0.55


def test_masks_that_know_nothing_take_every_place_alike():
    """Nodes of a fixed grid would vary the most, and half of the way between them the least."""
    often = (_masks(torch.zeros(SHAPE), 3000) > 0.5).float().mean((0, 1))
    expected = 0.38 / torch.log(torch.tensor(20.0))  # mean of the shares
    assert_close(often, torch.full((40, 40), float(expected)), rtol=0, atol=0.06)


def test_masks_have_eight_cells_on_each_axis():
    centred = _masks(torch.zeros(SHAPE), 1500)[:, 0]
    centred = centred - centred.mean(0)

    def correlation(apart):
        one, other = centred[:, 20, 20], centred[:, 20, 20 + apart]
        return (one * other).mean() / (one.std() * other.std())

    assert correlation(2) > 0.5  # within a cell of 5 pixels
    assert abs(correlation(12)) < 0.15  # more than two cells away


def test_masks_around_evidence_follow_it_as_closely_as_their_noise():
    evidence = torch.randn(SHAPE, generator=_generator())
    often = _masks(evidence, 600).mean(0).flatten()
    together = torch.corrcoef(torch.stack([often, evidence.flatten()]))[0, 1]
    assert 0.8 < together < 0.99


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_the_top_of_a_ranking_is_the_share_that_was_asked_for_and_keeps_its_order(share):
    ranking = torch.randn(2, 1, 10, 10, generator=_generator(), dtype=torch.float64)
    (factors,) = top_of([(ranking,)], share)[0]
    assert (factors >= 0.5).flatten(1).sum(1).tolist() == [100 * share + 1] * 2
    assert torch.equal(factors.flatten(1).argsort(1), ranking.flatten(1).argsort(1))


def test_a_logit_falls_by_one_where_the_ranking_falls_by_the_edge():
    ranking = torch.randn(1, 1, 10, 10, generator=_generator(), dtype=torch.float64)
    (factors,) = top_of([(ranking,)], 0.2)[0]
    steps = EDGE * ranking.std()
    assert_close(factors.logit().flatten().diff(), ranking.flatten().diff() / steps)


@torch.no_grad()
def _observed(problem, images, n):
    """Score random masks of one image, as the sampler does."""
    generator, nothing = _generator(), torch.zeros(1, 1, 16, 16)
    weights = torch.cat([random_masks([(nothing,)], generator)[0][0] for _ in range(n)])
    rows = images.take(torch.zeros(n, dtype=torch.int64))
    preserved, removed = problem.scores(rows, (weights,), 0).halves()
    return Observations(
        [f[None] for f in features(rows, (weights,), 0)],
        preserved.log_odds[None],
        removed.log_odds[None],
        torch.zeros(n, dtype=torch.int64),
    )


def test_pixels_count_as_far_as_they_are_from_the_reference():
    inputs = torch.zeros(1, 3, 16, 16)
    inputs[..., 8:] = 2  # half of the pixels, so in units of the image's it is the root of 2
    _, images = prepared(BrightSquare(), inputs)
    (cells,) = features(images, (torch.ones(1, 1, 16, 16),), 0)
    assert_close(cells[..., :8], torch.full((1, 1, 16, 8), FAINT))
    assert_close(cells[..., 8:], torch.full((1, 1, 16, 8), (2 + FAINT**2) ** 0.5))


def test_a_complement_mixes_in_what_its_blend_leaves():
    _, images = prepared(BrightSquare(), bright_images(2))
    weights = torch.rand(2, 1, 16, 16, generator=_generator())
    kept, left, both = (
        features(images, (w,), 0)[0] for w in (weights, 1 - weights, torch.ones_like(weights))
    )
    assert_close(kept + left, both)


@torch.no_grad()
def test_the_surrogate_foresees_masks_that_it_has_not_seen():
    problem, images = prepared(BrightSquare(), bright_images(1))
    learned_problem, learned = learn(problem, images, _observed(problem, images, 150))
    n = 50
    generator, nothing = torch.Generator().manual_seed(1), torch.zeros(1, 1, 16, 16)
    unseen = torch.cat([random_masks([(nothing,)], generator)[0][0] for _ in range(n)])
    rows = torch.zeros(n, dtype=torch.int64)
    expected = problem.scores(images.take(rows), (unseen,), 0).log_odds
    found = learned_problem.scores(learned.take(rows), (unseen,), 0).log_odds
    assert (found - expected).square().mean() < 0.15 * expected.var()


def test_evidence_is_where_the_network_looks():
    network = BrightSquare()
    problem, images = prepared(network, bright_images(1))
    _, learned = learn(problem, images, _observed(problem, images, 150))
    known = evidence(learned)[0][0]
    inside = network.mask(known)
    assert known[inside].min() > known[~inside].mean() + 1  # standard deviations


@pytest.mark.parametrize("size", [1e-15, 1e15, 1e30, 3e38])
def test_the_contrast_of_a_pixel_is_in_units_of_its_images_however_large(size):
    inputs, reference = torch.rand(2, 3, 4, 5), -torch.rand(2, 3, 4, 5)
    weights = torch.ones(2, 1, 4, 5)
    plain = surrogate._contrast(inputs, reference, weights)
    assert_close(surrogate._contrast(size * inputs, size * reference, weights), plain)
