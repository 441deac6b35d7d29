"""The limits of what is taken, to the last value on either side."""

import math
import warnings

import numpy as np
import pytest
import torch

from captum_pcim.core.call import make_load, make_settings
from captum_pcim.core.checks import (
    check_baselines,
    check_callables,
    check_dtype,
    check_feature_mask,
    check_inputs,
    check_positive,
    check_scores,
    check_seed,
    is_number,
    shape_doubt,
)
from captum_pcim.core.gradients import Autograd, ForwardOnly, Load, takes_integers


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((6, 16, 16), "without a batch axis"),
        ((7, 16, 16), ""),
        ((6, 15, 16), ""),
        ((6, 16, 15), ""),
        ((1, 7, 7, 6), "channels last"),
        ((1, 7, 7, 7), ""),
        ((1, 6, 7, 6), ""),
        ((1, 7, 6, 6), ""),
        ((6, 16, 16, 16), ""),
        ((3, 16), ""),
    ],
)
def test_a_shape_is_doubted_where_it_looks_like_something_else(shape, told):
    doubt = shape_doubt(torch.zeros(shape))
    assert (told in doubt) if told else not doubt


@pytest.mark.parametrize(("n_bad", "told"), [(5, "[0, 1, 2, 3, 4]"), (6, "[0, 1, 2, 3, 4, ...]")])
def test_up_to_five_images_are_named(n_bad, told):
    scores = torch.zeros(9, 2)
    scores[:n_bad, 1] = math.nan
    with pytest.raises(ValueError) as refused:
        check_scores(scores)
    assert f"images {told};" in str(refused.value)


@pytest.mark.parametrize("values", [[len, 3], [3, len], 3, len])
def test_all_of_several_functions_have_to_be_functions(values):
    with pytest.raises(TypeError, match=r"^objective: expected a sequence of callables"):
        check_callables("objective", values, of="blends")


def test_functions_may_be_left_to_the_default_but_not_be_none_at_all():
    check_callables("objective", None, of="blends")
    check_callables("objective", [len, max, lambda x, y=1: x], of="blends")
    with pytest.raises(ValueError, match=r"^objective: expected at least one"):
        check_callables("objective", [], of="blends")


@pytest.mark.parametrize("value", [lambda: 0, lambda x, y: 0, lambda *, x: 0, torch.nn.ReLU])
def test_functions_take_one_argument(value):
    with pytest.raises(TypeError, match=r"^objective: expected (callables of one argument|ReLU)"):
        check_callables("objective", [len, value], of="blends")


@pytest.mark.parametrize(
    ("value", "outside"),
    [(22.0, None), (22.1, "20.1"), (-20.0, None), (-20.1, "20.1"), (0.5, None), (2.0, None)],
)
def test_baselines_are_doubted_that_lie_ten_spans_outside_the_inputs(value, outside):
    inputs = torch.tensor([[0.0, 2.0], [1.0, 0.5]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_baselines(value, (inputs,))
    assert [f"lie {outside} outside" in str(w.message) for w in caught] == [True] * bool(outside)


def test_of_inputs_without_a_span_no_baseline_is_doubted():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_baselines(1e6, (torch.ones(2, 3),))


@pytest.mark.parametrize("seed", [0, -(2**63), 2**63 - 1, np.int64(7)])
def test_a_seed_has_63_bits_and_a_sign(seed):
    assert check_seed(seed) == int(seed)


@pytest.mark.parametrize("seed", [-(2**63) - 1, 2**63, True, 1.0, None])
def test_no_other_seed_is_taken(seed):
    with pytest.raises(ValueError, match=r"^seed: expected a whole number of at most 63 bits"):
        check_seed(seed)


@pytest.mark.parametrize("value", [1, 0.5, np.float32(2), np.int8(3)])
def test_numbers_are_numbers(value):
    assert is_number(value)


@pytest.mark.parametrize("value", [True, "1", None, 1j, torch.tensor(1.0)])
def test_what_is_none_is_not(value):
    assert not is_number(value)


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", None])
def test_a_count_is_a_whole_number_of_at_least_one(value):
    with pytest.raises(ValueError, match=r"^n: expected a whole number >= 1"):
        check_positive("n", value)


def test_the_least_count_is_taken():
    assert check_positive("n", 1) == 1
    assert check_positive("n", np.int16(2), least=2) == 2


@pytest.mark.parametrize("dtype", ["float32", torch.int64, torch.bool, 32])
def test_a_dtype_is_one_of_fractions(dtype):
    check_dtype("autocast_dtype", None)
    check_dtype("autocast_dtype", torch.bfloat16)
    with pytest.raises(ValueError, match=r"^autocast_dtype: expected a floating-point"):
        check_dtype("autocast_dtype", dtype)


def test_inputs_may_be_one_row_of_one_feature_and_integers_where_they_are_asked_for():
    assert check_inputs(torch.zeros(1, 1), integers=False)[0].shape == (1, 1)
    assert check_inputs(torch.zeros(1, 1, dtype=torch.uint8), integers=True)
    for refused in (torch.zeros(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.complex64)):
        with pytest.raises(TypeError, match="expected floating-point values"):
            check_inputs(refused, integers=True)


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_inputs_have_values(kind):
    made = torch.zeros(2, 2).to_sparse() if kind == "sparse" else torch.zeros(2, 2, device="meta")
    with pytest.raises(TypeError, match=f"expected a dense tensor with values, got a {kind} one"):
        check_inputs(made, integers=False)


@pytest.mark.parametrize("shape", [(1, 1, 1), (4, 1, 5), (1, 3, 5), (4, 3, 5)])
def test_baselines_have_a_size_of_one_or_that_of_the_inputs(shape):
    inputs = torch.zeros(4, 3, 5)
    (own,) = check_baselines(torch.ones(shape, dtype=torch.float64), (inputs,))
    assert own.shape == (shape[0], 3, 5)
    assert own.dtype == inputs.dtype


@pytest.mark.parametrize("shape", [(2, 3, 5), (4, 3), (4, 2, 5), (1, 4, 3, 5)])
def test_baselines_of_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match=r"^baselines: expected a shape broadcastable"):
        check_baselines(torch.ones(shape), (torch.zeros(4, 3, 5),))


def test_a_number_as_baseline_keeps_its_digits():
    (own,) = check_baselines(0.1, (torch.zeros(2, 3, dtype=torch.float64),))
    assert own.tolist() == [[0.1] * 3]


def test_groups_are_counted_without_gaps_over_all_inputs():
    masks = torch.tensor([[7, 3]]), torch.tensor([[3, 3, 0]])
    first, second = check_feature_mask(masks, (torch.zeros(2, 2), torch.zeros(2, 3)))
    assert (first.tolist(), second.tolist()) == ([[2, 1]], [[1, 1, 0]])


def test_groups_begin_at_zero():
    with pytest.raises(ValueError, match=r"^feature_mask: expected groups from 0, got -1"):
        check_feature_mask(torch.tensor([[0, -1]]), (torch.zeros(2, 2),))


@pytest.mark.parametrize("tolerance", [0, 0.999])
def test_tolerances_from_zero_to_below_one_are_taken(tolerance):
    settings = make_settings(2, 1e-9, tolerance, None)
    assert (settings.n_steps, settings.tolerance) == (2, tolerance)


@pytest.mark.parametrize(
    ("n_steps", "learning_rate", "tolerance"),
    [(1, 1.0, 0.0), (2, 0.0, 0.0), (2, math.inf, 0.0), (2, 1.0, 1.0), (2, 1.0, -1e-9), (2, "1", 0)],
)
def test_settings_beyond_the_limits_are_refused(n_steps, learning_rate, tolerance):
    with pytest.raises(ValueError, match=r"^(n_steps|learning_rate|tolerance): expected"):
        make_settings(n_steps, learning_rate, tolerance, None)


@pytest.mark.parametrize(
    ("load", "blends", "images"),
    [
        ((5, None, 1), 5, 5),
        ((5, None, 2), 5, 5),
        ((5, None, 3), 5, 5),
        ((5, None, 4), 10, 5),
        ((5, 1, 1), 1, 1),
        ((5, 2, 1), 1, 1),
        ((5, 3, 1), 1, 1),
        ((5, 4, 1), 2, 2),
        ((5, 9, 1), 4, 4),
        ((5, 100, 1), 5, 5),
        ((5, 12, 4), 6, 5),
    ],
)
def test_a_blend_and_its_complement_are_two_rows(load, blends, images):
    own = make_load(*load)
    assert own.blends_at_once == blends
    assert Autograd().images_at_once(own) == images
    assert ForwardOnly().images_at_once(own) == 5


def test_integers_are_taken_where_no_gradient_is_asked_for():
    assert [takes_integers(g, len) for g in ("auto", Autograd(), ForwardOnly())] == [
        True, False, True,
    ]  # fmt: skip
    assert not takes_integers("auto", torch.nn.Identity())


def test_steps_are_updates_of_autograd_and_passes_of_the_other():
    assert Autograd().n_updates(48) == 48
    assert ForwardOnly(n_forwards=70).n_updates(48) == 70
    assert Load(3, 2, 1).blends_at_once == 1
