"""Adam on logits: rows that leave, proportions that stay."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from captum_pcim.core.adam import BETAS, Adam
from captum_pcim.core.moments import moments

RATE = 0.3


def _trained(logits, gradients, widths=None):
    """Return what some steps make of logits, (N, logits)."""
    logits = logits.clone()
    adam = Adam(logits, widths or [logits.shape[1]], RATE)
    for of_step, gradient in zip(moments(len(gradients), logits), gradients, strict=True):
        adam.step(logits, gradient.clone(), of_step.adam)
    return logits


def test_adam_of_one_logit_per_image_is_the_adam_of_torch():
    ours, theirs = torch.randn(3, 1), nn.Parameter(torch.empty(3, 1))
    theirs.data.copy_(ours)
    adam, reference = Adam(ours, [1], RATE), torch.optim.Adam([theirs], lr=RATE, betas=BETAS)
    for of_step in moments(10, ours):
        gradient = torch.randn(3, 1)
        adam.step(ours, gradient.clone(), of_step.adam)
        theirs.grad = gradient
        reference.step()
        assert_close(ours, theirs.detach())


def test_adam_goes_on_for_some_rows_as_if_the_others_had_never_been():
    logits, gradients, rows = torch.randn(3, 4), torch.randn(8, 3, 4), torch.tensor([0, 2])
    together, of_step = logits.clone(), moments(8, logits)
    adam = Adam(together, [4], RATE)
    for step in range(4):
        adam.step(together, gradients[step].clone(), of_step[step].adam)
    adam.take(rows)
    together = together[rows]
    for step in range(4, 8):
        adam.step(together, gradients[step, rows], of_step[step].adam)
    assert torch.equal(together, _trained(logits[rows], gradients[:, rows]))


def test_grids_side_by_side_are_trained_as_if_each_were_alone():
    logits, gradients = torch.randn(3, 9), torch.randn(6, 3, 9) * torch.logspace(-3, 3, 9)
    together = _trained(logits, gradients, [2, 3, 4])
    parts = zip(logits.split([2, 3, 4], 1), gradients.split([2, 3, 4], 2), strict=True)
    assert_close(together, torch.cat([_trained(*part) for part in parts], 1))


def test_logits_keep_half_of_their_gradients_proportions():
    gradient = torch.tensor([[1.0, -2.0, 4.0], [300.0, 0.0, 100.0]])
    logits = _trained(torch.zeros(2, 3), [gradient])
    n_moving = torch.tensor([[3.0], [2.0]])
    over_image = (gradient.square().sum(1, keepdim=True) / n_moving).sqrt()
    expected = gradient.sign() * (gradient.abs() / over_image).sqrt()
    assert_close(logits, -RATE * expected)


def test_groups_that_are_not_in_the_image_do_not_count():
    logits, gradients = torch.randn(3, 4), torch.randn(6, 3, 4)
    absent = torch.full((3, 2), -torch.inf)
    together = _trained(torch.cat([logits, absent], 1), F.pad(gradients, (0, 2)))
    assert_close(together[:, :4], _trained(logits, gradients))
    assert torch.equal(together[:, 4:], absent)
