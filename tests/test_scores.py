"""From what a forward function returns to the log-odds of the target."""

import math
import re
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BrightSquare, bright_images
from torch.testing import assert_close

from captum_pcim import PCIM
from captum_pcim.core.score_checks import check_meaning, is_rounded_up
from captum_pcim.core.scores import MAX_LOG_ODDS, Calibration, between, read_scores, tempered
from captum_pcim.core.targets import check_target, select_classes

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]], dtype=torch.float64)
CLASSES = torch.tensor([0, 2])


def test_logits_become_probabilities_by_softmax():
    scores = read_scores(LOGITS, CLASSES, "logits")
    expected = LOGITS.softmax(1)
    assert_close(scores.probability, expected[[0, 1], CLASSES])
    assert_close(scores.log_probabilities, expected.log())


def test_log_probabilities_are_logits_too():
    from_logits = read_scores(LOGITS, CLASSES, "logits")
    from_log_probabilities = read_scores(LOGITS.log_softmax(1), CLASSES, "logits")
    assert_close(from_logits.log_odds, from_log_probabilities.log_odds)


def test_probabilities_are_read_as_they_are():
    scores = read_scores(LOGITS.softmax(1), CLASSES, "probabilities")
    assert_close(scores.log_odds, read_scores(LOGITS, CLASSES, "logits").log_odds)


def test_the_log_odds_of_two_probabilities_are_those_between_them():
    scores = read_scores(torch.tensor([[0.2, 0.8]]), torch.tensor([1]), "probabilities")
    assert_close(scores.log_odds, torch.tensor([4.0]).log())


@pytest.mark.parametrize("kind", ["logits", "binary_logits"])
def test_a_single_output_is_a_binary_logit(kind):
    logits = torch.tensor([[-2.0], [3.0]])
    scores = read_scores(logits, torch.tensor([0, 0]), kind)
    assert torch.equal(scores.log_odds, logits[:, 0])
    assert_close(scores.log_probabilities.exp().sum(1), torch.ones(2))


def test_a_single_probability_is_that_of_the_positive_class():
    scores = read_scores(torch.tensor([[0.25], [0.9]]), torch.tensor([0, 0]), "probabilities")
    assert_close(scores.probability, torch.tensor([0.25, 0.9]))


def test_binary_logits_ignore_the_other_outputs():
    one = read_scores(LOGITS, CLASSES, "binary_logits")
    other = read_scores(LOGITS.where(LOGITS == 3, 9.0), CLASSES, "binary_logits")
    assert one.log_odds[1] == other.log_odds[1] == 3


@pytest.mark.parametrize("n_outputs", [1, 2, 3])
@pytest.mark.parametrize("p", [0.0, 1.0])
def test_probabilities_of_exactly_0_and_1_have_finite_log_odds_and_gradients(n_outputs, p):
    rest = torch.full((1, n_outputs - 1), (1 - p) / max(1, n_outputs - 1))
    probabilities = torch.cat([torch.tensor([[p]]), rest], dim=1).requires_grad_()
    scores = read_scores(probabilities, torch.tensor([0]), "probabilities")
    (gradient,) = torch.autograd.grad(scores.log_odds.sum(), probabilities)
    assert torch.isfinite(scores.log_odds).all() and torch.isfinite(gradient).all()
    assert abs(float(scores.probability.detach()) - p) < 1e-12


@pytest.mark.parametrize("margin", [-1e4, -90.0, 90.0, 1e4])
def test_log_odds_are_exact_where_probabilities_have_rounded_to_0_or_1(margin):
    scores = read_scores(torch.tensor([[margin, 0.0]]), torch.tensor([0]), "logits")
    assert float(scores.log_odds) == margin


def test_half_precision_scores_are_read_in_float32_and_float64_stays():
    for given_dtype, read in [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ]:
        assert read_scores(LOGITS.to(given_dtype), CLASSES, "logits").log_odds.dtype == read


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1e5, 1e5), min_size=2, max_size=6), st.floats(-100, 100))
def test_adding_a_constant_to_all_logits_changes_nothing(row, constant):
    logits = torch.tensor([row], dtype=torch.float64)
    one, other = (read_scores(x, torch.tensor([0]), "logits") for x in (logits, logits + constant))
    assert_close(one.log_odds, other.log_odds, rtol=1e-9, atol=1e-6)


def test_unsure_networks_are_not_tempered():
    scale = tempered(torch.tensor([-MAX_LOG_ODDS, -1.0, 0.0, 3.0, MAX_LOG_ODDS])).scale
    assert torch.equal(scale, torch.ones(5, 1))


@settings(max_examples=30, deadline=None)
@given(st.floats(MAX_LOG_ODDS, 1e30), st.sampled_from([-1, 1]))
def test_very_confident_networks_are_brought_to_the_same_log_odds(log_odds, sign):
    odds = torch.tensor([sign * log_odds], dtype=torch.float64)
    assert_close(float(tempered(odds)(odds.unsqueeze(1))), sign * MAX_LOG_ODDS)


def test_regression_scores_are_log_odds_of_4_on_the_image_and_minus_4_on_the_references():
    empty, image = torch.tensor([2.0, 5.0]), torch.tensor([10.0, -1.0])
    calibration = between(empty, image)
    assert_close(calibration(image.unsqueeze(1)), torch.full((2, 1), 4.0))
    assert_close(calibration(empty.unsqueeze(1)), torch.full((2, 1), -4.0))


def test_an_image_that_scores_as_its_references_do_has_a_finite_calibration():
    calibration = between(torch.ones(1), torch.ones(1))
    assert torch.isfinite(calibration.scale).all()


def test_a_calibration_follows_its_image_through_repeats_and_selections():
    calibration = Calibration(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [2.0]]))
    scores = torch.tensor([[5.0], [5.0], [7.0], [7.0]])
    assert calibration(scores).flatten().tolist() == [5, 8, 7, 12]
    assert calibration.take(torch.tensor([1]))(scores[:1]).item() == 8


def test_halves_are_blends_and_complements():
    first, second = read_scores(LOGITS, CLASSES, "logits").halves()
    assert_close(
        torch.cat([first.log_odds, second.log_odds]).sigmoid(), LOGITS.softmax(1)[[0, 1], CLASSES]
    )


OUTPUTS = torch.arange(24.0).view(2, 3, 4)


@pytest.mark.parametrize(
    ("output", "target", "expected"),
    [
        (OUTPUTS[:, :, 0], 1, [4, 16]),
        (OUTPUTS[:, :, 0], (1,), [4, 16]),
        (OUTPUTS[:, :, 0], torch.tensor(1), [4, 16]),
        (OUTPUTS[:, :, 0], torch.tensor([1]), [4, 16]),
        (OUTPUTS[:, :, 0], torch.tensor([2, 0]), [8, 12]),
        (OUTPUTS[:, :, 0], torch.tensor([2, 0], dtype=torch.int32), [8, 12]),
        (OUTPUTS, (1, 3), [7, 19]),
        (OUTPUTS, [(1, 3), (0, 2)], [7, 14]),
        (OUTPUTS[:, 0, 0], None, [0, 12]),
        (OUTPUTS[:, :1, 0], None, [0, 12]),
        (OUTPUTS[:, :1, 0], 0, [0, 12]),
    ],
)
def test_every_form_of_target_selects_its_score(output, target, expected):
    scores, classes = select_classes(output, check_target(target, len(output)))
    assert scores.ndim == 2
    assert scores.gather(1, classes[:, None]).flatten().tolist() == expected


@pytest.mark.parametrize("target", [[(0, 3), (1, 4)], [(0, 3), (3, 0)]], ids=str)
def test_numbers_outside_the_output_are_named_before_a_gpu_would_abort_over_them(target):
    message = re.escape(f"target: expected numbers below (3, 4), got {target[1]}")
    with pytest.raises(IndexError, match=message):
        PCIM(lambda x: x[:, :3, :4, 0] * 5).attribute(bright_images(), target=target, n_steps=2)


def test_the_class_axis_stays_whole_beside_the_target():
    scores, _ = select_classes(OUTPUTS, (1, 3))
    assert torch.equal(scores, OUTPUTS[:, :, 3])


def test_no_target_is_refused_where_there_are_several_scores():
    with pytest.raises(ValueError, match=r"target: .*\(2, 3\), several scores .* got None"):
        select_classes(OUTPUTS[:, :, 0], None)


def test_a_target_that_leaves_several_scores_per_image_is_refused():
    with pytest.raises(ValueError, match="target: expected one score per image, but 1 leaves"):
        select_classes(OUTPUTS, 1)


def test_a_tuple_longer_than_the_output_is_refused_as_in_captum():
    with pytest.raises(AssertionError, match=r"target: \(1, 0, 0\) has more elements"):
        select_classes(OUTPUTS[:, :, 0], (1, 0, 0))


def _map(forward, score, target=1):
    return PCIM(forward, score=score).attribute(bright_images(), target=target, n_steps=10)


def test_the_same_network_gives_the_same_map_whatever_its_scores_are_called():
    network = BrightSquare()
    logits = _map(network, "logits")
    assert_close(logits, _map(lambda x: network(x).log_softmax(1), "logits"), rtol=0, atol=1e-4)
    assert_close(logits, _map(lambda x: network(x).softmax(1), "probabilities"), rtol=0, atol=1e-2)
    one_logit = _map(lambda x: network(x)[:, 1], "logits", target=None)
    assert_close(logits, one_logit, rtol=0, atol=1e-4)
    assert_close(
        one_logit, _map(lambda x: network(x)[:, 1:], "binary_logits", target=0), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_regression_map_shows_what_carries_the_quantity_up_or_down(sign):
    network = BrightSquare()
    inputs = bright_images()
    inside = network.mask(inputs).expand_as(inputs)
    attributions = _map(lambda x: 100 + sign * network(x)[:, 1], "regression", target=None)
    assert attributions[inside].min() > attributions[~inside].median()
    assert attributions[inside].mean() > 0.5 > 0.4 > attributions[~inside].mean()


def test_softmax_probabilities_passed_as_logits_are_warned_of():
    network = BrightSquare()
    with pytest.warns(UserWarning, match='score: .*look like probabilities.*"probabilities"'):
        _map(lambda x: network(x).softmax(1), "logits")


def test_an_unknown_kind_of_score_is_refused():
    with pytest.raises(ValueError, match=r'score: expected "logits" or .*, got .softmax.'):
        PCIM(BrightSquare(), score="softmax")


def test_log_odds_of_more_than_float32_holds_are_still_finite():
    odds = read_scores(torch.tensor([[3e38, -3e38]]), torch.tensor([0]), "logits").log_odds
    scores = torch.tensor([[3e38, -3e38]])
    calibrated = read_scores(scores, torch.tensor([0]), "logits", tempered(odds))
    assert math.isfinite(float(calibrated.log_odds))


TINY, EPS = torch.finfo(torch.float32).tiny, torch.finfo(torch.float32).eps


@pytest.mark.parametrize(
    ("rows", "kind", "rounded"),
    [
        ([[1.0, 0.0, 0.0], [1.0, TINY / 2, TINY / 2], [0.0, 1.0, 0.0]], "probabilities", [1, 0, 0]),
        ([[1.0, 0.0], [1.0, TINY], [1.0, TINY / 2]], "probabilities", [1, 0, 1]),
        ([[1.0], [1 - 4 * EPS], [1 - 3 * EPS]], "probabilities", [1, 0, 1]),
        ([[1.0, 1.0], [1 - 4 * EPS, 1.0], [1 - 3 * EPS, 0.5]], "binary_probabilities", [1, 0, 1]),
        ([[1.0, 0.0], [90.0, 0.0], [1.0, 1.0]], "logits", [0, 0, 0]),
        ([[1.0], [90.0], [1.0]], "binary_logits", [0, 0, 0]),
        ([[1.0], [90.0], [1.0]], "regression", [0, 0, 0]),
    ],
)
def test_a_probability_is_rounded_up_where_what_it_lacks_is_lost(rows, kind, rounded):
    classes = torch.zeros(3, dtype=torch.int64)
    assert is_rounded_up(torch.tensor(rows), classes, kind).int().tolist() == rounded


LOOKS_LIKE = [
    ("logits", [[0.2, 0.8], [0.5, 0.505]], "probabilities (in [0, 1], summing to 1)"),
    ("logits", [[0.2, 0.8], [0.5, 0.52]], "probabilities (all in [0, 1])"),
    ("logits", [[0.0], [1.0]], "probabilities (all in [0, 1])"),
    ("logits", [[0.0, 0.0], [0.0, 0.0]], ""),
    ("logits", [[0.2, 0.8], [0.5, 1.01]], ""),
    ("logits", [[-0.01, 0.8], [0.5, 0.9]], ""),
    ("logits", [[20.0, 80.0], [50.5, 50.0]], "percentages (summing to 100)"),
    ("logits", [[20.0, 81.5], [50.0, 50.0]], "percentages (all in [0, 100])"),
    ("logits", [[0.0, 50.0]], "percentages (all in [0, 100])"),
    ("logits", [[0.0, 49.0]], ""),
    ("logits", [[0.0, 101.0]], ""),
    ("logits", [[-20.0, 120.0]], ""),
    ("logits", [[30.0], [100.0]], "percentages (all in [0, 100])"),
    ("binary_logits", [[0.2, 0.9], [0.5, 0.7]], "probabilities (all in [0, 1])"),
    ("binary_logits", [[20.0, 80.0], [50.0, 50.0]], "percentages (summing to 100)"),
    ("binary_logits", [[0.2, 1.1]], ""),
    ("probabilities", [[0.2, 0.8], [0.5, 0.505]], ""),
    ("probabilities", [[0.2], [1.0009]], ""),
    ("probabilities", [[-0.0009], [1.0]], ""),
    ("binary_probabilities", [[0.2, 0.2], [0.9, 0.9]], ""),
    ("regression", [[20.0, 80.0]], ""),
    ("regression", [[0.2, 0.8]], ""),
]


@pytest.mark.parametrize(("kind", "rows", "looks_like"), LOOKS_LIKE)
def test_scores_that_look_like_another_kind_are_told(kind, rows, looks_like):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_meaning(torch.tensor(rows), kind)
    told = [str(w.message).partition("the scores look like ")[2] for w in caught]
    assert [text.startswith(f"{looks_like};") for text in told] == [True] * bool(looks_like)


@pytest.mark.parametrize(
    ("rows", "means"),
    [
        ([[30.0], [100.0]], 'use score="probabilities" and scores divided by 100'),
        ([[0.0, 50.0]], 'use score="binary_probabilities" and scores divided by 100'),
        ([[0.0], [1.0]], 'use score="probabilities"'),
        ([[0.2, 0.2]] * 2, ""),
        ([[0.2, 0.3]] * 2, 'use score="binary_probabilities"'),
    ],
)
def test_the_kind_that_fits_is_named(rows, means):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_meaning(torch.tensor(rows), "logits")
    assert [str(w.message).endswith(means) for w in caught] == [True] * bool(means)


@pytest.mark.parametrize(
    ("kind", "rows", "told"),
    [
        ("probabilities", [[0.2], [1.002]], 'use score="logits"'),
        ("probabilities", [[-0.002], [1.0]], 'use score="logits"'),
        ("binary_probabilities", [[0.2, 1.002]], 'use score="logits"'),
        ("probabilities", [[20.0, 80.0]], "divide them by 100"),
        ("probabilities", [[0.5, 0.52]], "do not sum to 1"),
    ],
)
def test_scores_that_are_no_probabilities_are_refused(kind, rows, told):
    with pytest.raises(ValueError, match=f"^score: .*{told}"):
        check_meaning(torch.tensor(rows), kind)
