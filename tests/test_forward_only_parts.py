"""The parts of the forward-only estimator: masks, and the surrogate that is learned from them."""

import torch
from torch.testing import assert_close

from captum_pcim.core.forward_only.masks import coarse_masks, masks_around, top_of

NODES = (1, 1, 40, 40)


def _generator():
    return torch.Generator().manual_seed(0)


def _masks(draw, n):
    return torch.cat([draw()[0][0] for _ in range(n)]).sigmoid()


def test_coarse_masks_mix_in_three_tenths_everywhere():
    generator, like = _generator(), [(torch.zeros(NODES),)]
    masks = _masks(lambda: coarse_masks(like, generator), 1500)
    assert_close(masks.mean((0, 1)), torch.full((40, 40), 0.3), rtol=0, atol=0.05)
    assert masks.min() >= 0.0199 and masks.max() <= 0.9801


def test_coarse_masks_are_shifted_at_random():
    """Nodes of a fixed grid would vary the most, and half of the way between them the least."""
    generator, like = _generator(), [(torch.zeros(NODES),)]
    spread = _masks(lambda: coarse_masks(like, generator), 1500).std(0)
    assert spread.max() < 1.25 * spread.min()


def test_coarse_masks_have_eight_cells_on_each_axis():
    generator, like = _generator(), [(torch.zeros(NODES),)]
    masks = _masks(lambda: coarse_masks(like, generator), 1500)[:, 0]
    centred = masks - masks.mean(0)

    def correlation(apart):
        one, other = centred[:, 20, 20], centred[:, 20, 20 + apart]
        return (one * other).mean() / (one.std() * other.std())

    assert correlation(2) > 0.5  # within a cell of 5 pixels
    assert abs(correlation(10)) < 0.1  # two cells away


def test_as_many_parameters_as_the_grid_has_nodes_are_drawn_one_by_one():
    generator, like = _generator(), [(torch.zeros(1, 1, 10, 10),)]
    masks = _masks(lambda: coarse_masks(like, generator), 20)
    assert_close(masks.unique(), torch.tensor([0.02, 0.98]))


def test_masks_around_an_estimate_take_2_to_40_percent_small_shares_as_often_as_large():
    generator, evidence = _generator(), [(torch.randn(NODES, generator=_generator()),)]
    masks = _masks(lambda: masks_around(evidence, generator), 1500)
    shares = (masks > 0.5).float().mean((1, 2, 3))
    assert 0.019 < shares.min() < 0.025 and 0.37 < shares.max() < 0.401
    middle = (0.02 * 0.4) ** 0.5  # of the logarithms
    assert 0.45 < (shares < middle).float().mean() < 0.55


def test_masks_around_an_estimate_follow_it_as_closely_as_its_noise():
    generator, evidence = _generator(), [(torch.randn(NODES, generator=_generator()),)]
    often = _masks(lambda: masks_around(evidence, generator), 600).mean(0).flatten()
    known = evidence[0][0].flatten()
    together = torch.corrcoef(torch.stack([often, known]))[0, 1]
    assert 0.8 < together < 0.99


def test_the_top_of_a_ranking_is_the_share_that_was_asked_for_and_keeps_its_order():
    ranking = torch.randn(2, 1, 10, 10, generator=_generator())
    (logits,) = top_of([(ranking,)], torch.tensor([0.1, 0.3]), 0.3)[0]
    assert (logits > 0).flatten(1).sum(1).tolist() == [10, 30]
    assert torch.equal(logits.flatten(1).argsort(1), ranking.flatten(1).argsort(1))


def test_a_logit_falls_by_one_where_the_ranking_falls_by_the_edge():
    ranking = torch.randn(1, 1, 10, 10, generator=_generator())
    for edge in (0.15, 0.3):
        (logits,) = top_of([(ranking,)], torch.tensor([0.2]), edge)[0]
        steps = ranking.std() * edge
        assert_close(logits.flatten().diff(), ranking.flatten().diff() / steps)
