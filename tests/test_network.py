"""How the network is called: how many rows at once, in which precision, and what it may return."""

import pytest
import torch
from networks import seeded
from torch import nn
from torch.testing import assert_close

from captum_pcim.core.network import CallArguments, Network, frozen_view, outer_autocast

CPU = torch.device("cpu")
ROWS = torch.arange(7.0)[:, None] + torch.tensor([0.0, 0.25])
NOTHING = CallArguments.of(None, (), 7, CPU)


class Calls(list):
    """A function that notes how many rows, and of which dtype, each call was given."""

    def __call__(self, inputs, *additional):
        self.append((len(inputs), inputs.dtype))
        return inputs.sum(1, keepdim=True) + sum(a[:, None] for a in additional)


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(None, [7]), (8, [7]), (7, [7]), (6, [6, 1]), (3, [3, 3, 1]), (1, [1] * 7)],
)
def test_no_more_rows_are_given_at_once_than_the_network_takes(most, sizes):
    calls = Calls()
    factors = torch.arange(7.0)
    arguments = CallArguments.of(None, (factors,), 7, CPU)
    scores = Network(calls, (torch.float32,)).taking(most)((ROWS,), arguments)
    assert [n for n, _ in calls] == sizes
    assert_close(scores, ROWS.sum(1, keepdim=True) + factors[:, None])


@pytest.mark.parametrize("n_rows", [1, 2, 3, 4, 5, 6, 7])
def test_a_program_of_three_rows_is_given_three(n_rows):
    layer = seeded(lambda: nn.Linear(2, 4)).eval()
    program = torch.export.export(layer, (torch.zeros(3, 2),)).module()
    network = Network(program, (torch.float32,))
    assert network.static_rows == 3
    assert_close(network((ROWS[:n_rows],), NOTHING), layer(ROWS[:n_rows]))


def test_a_program_of_any_batch_is_given_all_rows():
    layer = seeded(lambda: nn.Linear(2, 4)).eval()
    shapes = ({0: torch.export.Dim("n", min=1, max=64)},)
    program = torch.export.export(layer, (torch.zeros(3, 2),), dynamic_shapes=shapes).module()
    assert Network(program, (torch.float32,)).static_rows is None


@pytest.mark.parametrize(
    ("dtypes", "autocast", "rounding"),
    [
        ((torch.float32,), None, 0.01),
        ((torch.float64, torch.float32), None, 0.01),
        ((torch.int32,), None, 0.01),
        ((torch.float16,), None, 0.05),
        ((torch.float32, torch.bfloat16), None, 0.05),
        ((torch.uint8,), None, 0.05),
        ((torch.float32,), torch.bfloat16, 0.05),
    ],
)
def test_what_is_computed_in_half_precision_rounds_more(dtypes, autocast, rounding):
    network = Network(len, dtypes, autocast)
    assert network.rounding == rounding
    assert network.taking(3).rounding == rounding
    assert network.outside_autocast().most_rows is None


def test_outside_autocast_the_network_is_the_same_otherwise():
    calls = Calls()
    network = Network(calls, (torch.float64,), torch.bfloat16, most_rows=4).outside_autocast()
    network((ROWS,), NOTHING)
    assert network.autocast_dtype is None
    assert calls == [(4, torch.float64), (3, torch.float64)]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.uint8, [0.0, 0.0, 2.0, 2.0, 255.0]),
        (torch.int8, [-128.0, 0.0, 2.0, 2.0, 127.0]),
        (torch.float16, [-300.0, 0.5, 1.5, 2.25, 300.0]),
    ],
)
def test_blends_are_rounded_to_integers_within_their_range(dtype, expected):
    given = []
    network = Network(lambda x: given.append(x) or x.float(), (dtype,))
    network((torch.tensor([[-300.0], [0.5], [1.5], [2.25], [300.0]]),), NOTHING)
    assert given[0].dtype == dtype
    assert given[0].flatten().tolist() == expected


@pytest.mark.parametrize(
    ("returned", "error", "told"),
    [
        (lambda x: [1.0] * len(x), TypeError, "got list"),
        (lambda x: None, TypeError, "got NoneType"),
        (lambda x: x.sum(), ValueError, r"7 rows, got shape \(\)"),
        (lambda x: x[:6], ValueError, r"7 rows, got shape \(6, 2\)"),
        (lambda x: x[None], ValueError, r"7 rows, got shape \(1, 7, 2\)"),
    ],
)
def test_a_network_returns_one_row_of_scores_per_image(returned, error, told):
    with pytest.raises(error, match=f"^forward_func: expected .*{told}"):
        Network(returned, (torch.float32,))((ROWS,), NOTHING)


def test_what_has_a_row_per_image_follows_it_and_all_else_is_passed_on():
    per_image, two = torch.arange(7.0), torch.arange(2.0)
    arguments = CallArguments.of(torch.arange(7), (per_image, two, "word"), 7, CPU)
    assert arguments.per_image == (True, False, False)
    some = arguments.take(torch.tensor([5, 1]))
    assert (some.target.tolist(), some.additional[0].tolist()) == ([5, 1], [5.0, 1.0])
    assert (some.additional[1].tolist(), some.additional[2]) == ([0.0, 1.0], "word")
    assert arguments.take(slice(2, 4)).target.tolist() == [2, 3]
    assert some.twice.target.tolist() == [5, 1, 5, 1]
    assert some.repeat(3).additional[0].tolist() == [5.0, 1.0] * 3


def test_a_view_shares_parameters_that_need_no_gradient_and_is_put_into_evaluation_mode():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    view = frozen_view(model, eval_mode=True)
    assert isinstance(view, nn.Sequential)
    assert not any(parameter.requires_grad for parameter in view.parameters())
    assert view[0].weight.data_ptr() == model[0].weight.data_ptr()
    assert view[1].running_mean.data_ptr() != model[1].running_mean.data_ptr()
    assert (view.training, view[1].training, model.training) == (False, False, True)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_unless_it_is_asked_for_a_view_keeps_its_mode():
    view = frozen_view(nn.Dropout().train())
    assert isinstance(view, nn.Dropout)
    assert view.training


def test_an_open_autocast_is_found():
    assert outer_autocast(CPU) is None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert outer_autocast(CPU) == torch.bfloat16
