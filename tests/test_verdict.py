"""Of several doubts the gravest is told, each once."""

import itertools
import warnings
from dataclasses import fields, replace

import pytest
import torch

from captum_pcim import PCIMWarning
from captum_pcim.core.verdict import EMPTY_SHARE, EXPLAINED, Doubts, is_empty

# From the gravest to the slightest, with a word of the verdict and whether it is warned of.
DOUBTS = {
    "no_evidence": ("nothing can be evidence", True),
    "no_gradient": ("no gradient reached", True),
    "not_finite": ("scores of blends were not finite", True),
    "rounded_up": ("1 to its last digits", True),
    "not_differentiable": ("gradients of some pixels", True),
    "reference_shows": ("already shows", True),
    "empty": ("next to no weight", True),
    "not_preserved": ("does not hold the class", False),
    "not_removed": ("complement still shows", False),
    "little_evidence": ("much as its references do", True),
}


def doubts(**said):
    """Doubts of two images with two references; all but what is said of the second are false."""
    none = torch.zeros(2, dtype=torch.bool)
    made = {field.name: none for field in fields(Doubts)} | {
        "reference_shows": none[:, None].expand(2, 2)
    }
    return replace(Doubts(**made), **said)


SECOND = torch.tensor([False, True])


def of_second(name):
    return {name: torch.stack([SECOND, ~SECOND & False], 1) if "shows" in name else SECOND}


def told(own):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        own.warn(["Blur", "Background"])
    return [w.message for w in caught]


def test_without_a_doubt_a_map_is_explained():
    assert doubts().verdicts() == (EXPLAINED, EXPLAINED)
    assert not told(doubts())


@pytest.mark.parametrize("name", DOUBTS)
def test_a_doubt_is_told_of_the_image_that_it_is_about(name):
    words, warned = DOUBTS[name]
    own = doubts(**of_second(name))
    first, second = own.verdicts()
    assert (first, words in second) == (EXPLAINED, True)
    assert [w.images for w in told(own)] == [(1,)] * warned
    assert all(isinstance(w, PCIMWarning) and words in w.note for w in told(own))


@pytest.mark.parametrize(("graver", "slighter"), [*itertools.pairwise(DOUBTS)])
def test_the_gravest_is_the_verdict(graver, slighter):
    own = doubts(**of_second(graver) | of_second(slighter))
    assert DOUBTS[graver][0] in own.verdicts()[1]


def test_of_an_image_without_evidence_nothing_else_is_told():
    every = {key: value for name in DOUBTS for key, value in of_second(name).items()}
    (only,) = told(doubts(**every))
    assert "nothing in them can be evidence" in str(only)


def test_every_reference_that_shows_the_class_is_named():
    shows = torch.tensor([[True, False], [True, True]])
    first, second = told(doubts(reference_shows=shows))
    assert (first.images, second.images) == ((0, 1), (1,))
    assert ("Blur" in str(first), "Background" in str(second)) == (True, True)


def test_further_references_of_one_kind_have_its_name():
    shows = torch.tensor([[False, False, True], [False, False, False]])
    (only,) = told(doubts(reference_shows=shows))
    assert "Background" in str(only)


def test_doubts_of_chunks_are_joined_in_order():
    own = Doubts.concatenate([doubts(), doubts(**of_second("empty"))])
    assert [verdict == EXPLAINED for verdict in own.verdicts()] == [True, True, True, False]


@pytest.mark.parametrize(("n_above", "empty"), [(0, True), (1, True), (2, False), (3, False)])
def test_a_map_is_empty_below_two_in_a_thousand_weights_above_one_half(n_above, empty):
    assert EMPTY_SHARE == 0.002
    first, second = torch.full((1, 1, 20, 25), 0.5), torch.zeros(1, 500)
    first.view(-1)[:n_above] = 0.51
    assert is_empty((first, second)).tolist() == [empty]
