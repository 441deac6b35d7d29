"""Adam on logits: rows that leave, proportions that stay."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from captum_pcim.core.adam import BETAS, Adam


def test_adam_of_one_logit_per_image_is_the_adam_of_torch():
    ours, theirs = torch.randn(3, 1), nn.Parameter(torch.empty(3, 1))
    theirs.data.copy_(ours)
    adam, reference = Adam([ours], 0.3), torch.optim.Adam([theirs], lr=0.3, betas=BETAS)
    for _ in range(10):
        gradient = torch.randn(3, 1)
        adam.step([ours], [gradient])
        theirs.grad = gradient
        reference.step()
        assert_close(ours, theirs.detach())


def test_adam_goes_on_for_some_rows_as_if_the_others_had_never_been():
    logits, gradients = torch.randn(3, 4), torch.randn(8, 3, 4)
    rows = torch.tensor([0, 2])
    together, alone = logits.clone(), logits[rows].clone()
    adam, adam_alone = Adam([together], 0.3), Adam([alone], 0.3)
    for gradient in gradients[:4]:
        adam.step([together], [gradient])
        adam_alone.step([alone], [gradient[rows]])
    adam.take(rows)
    together = together[rows]
    for gradient in gradients[4:, rows]:
        adam.step([together], [gradient])
        adam_alone.step([alone], [gradient])
    assert torch.equal(together, alone)


def test_logits_keep_half_of_their_gradients_proportions():
    logits, gradient = torch.zeros(2, 3), torch.tensor([[1.0, -2.0, 4.0], [300.0, 0.0, 100.0]])
    Adam([logits], 0.3).step([logits], [gradient])
    n_moving = torch.tensor([[3.0], [2.0]])
    over_image = (gradient.square().sum(1, keepdim=True) / n_moving).sqrt()
    expected = gradient.sign() * (gradient.abs() / over_image).sqrt()
    assert_close(logits, -0.3 * expected)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_gradients_that_are_not_finite_count_as_zero(bad):
    one, other = torch.zeros(2), torch.zeros(2)
    Adam([one], 0.3).step([one], [torch.tensor([bad, 1.0])])
    Adam([other], 0.3).step([other], [torch.tensor([0.0, 1.0])])
    assert torch.equal(one, other) and torch.isfinite(one).all()
