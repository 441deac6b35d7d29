"""Verdicts against rivals, and how the rivals' forms are chosen."""

import math

import pytest
import torch

from benchmarks.fair.forms import mean_ranks
from benchmarks.fair.rivals import PLAIN, RIVALS, maps_of, rivals
from benchmarks.fair.verdicts import paired_interval, verdict
from captum_pcim.comparison import FORMS, Method
from captum_pcim.synthetic import LargeKernelCNN, SmallResNet


def _noisy(mean, seed):
    return mean + 0.1 * torch.randn(20, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize(
    ("own", "sign", "word"),
    [(0.9, 1, "first"), (0.2, 1, "behind"), (0.2, -1, "first"), (0.9, -1, "behind")],
)
def test_a_method_clearly_apart_is_first_or_behind_by_the_direction_of_the_metric(own, sign, word):
    found = verdict(_noisy(own, 0), {"a": _noisy(0.5, 1), "b": _noisy(0.55, 2)}, sign)
    assert found.word == word
    assert found.rival == ("b" if sign == 1 else "a")


def test_a_difference_that_may_be_chance_is_tied():
    assert verdict(_noisy(0.5, 0), {"a": _noisy(0.5, 1)}, 1).word == "tied"


def test_pairs_are_compared_so_what_images_share_does_not_count():
    shared = _noisy(0.0, 0) * 100
    rival = {"a": shared}
    assert verdict(shared + 0.01 + _noisy(0, 1) * 0.01, rival, 1).word == "first"


def test_images_without_an_answer_are_left_out_of_the_interval():
    low, high = paired_interval(torch.tensor([1.0, math.nan, 1.0]))
    assert (low, high) == (1, 1)


def test_forms_are_ranked_by_their_means_metric_by_metric():
    def scores(insertion, deletion):
        return {"insertion": torch.tensor([insertion]), "deletion": torch.tensor([deletion])}

    ranks = mean_ranks({"a": scores(0.9, 0.1), "b": scores(0.8, 0.3), "c": scores(0.7, 0.2)})
    assert ranks == {"a": 0, "b": 1.5, "c": 1.5}


@pytest.mark.parametrize("architecture", [SmallResNet, LargeKernelCNN])
def test_there_are_the_rivals_that_are_named(architecture):
    found = rivals(architecture(1, 2).eval())
    assert set(found) == set(RIVALS)
    assert set(found["DeepLift"]) == set(FORMS)
    assert set(found["Occlusion"]) == {PLAIN}


def test_what_forms_share_is_computed_once():
    calls = []

    def attribute(inputs, target):
        calls.append(len(inputs))
        return inputs - 0.5

    forms = {form: Method(attribute, reduce=form) for form in FORMS}
    maps = maps_of(forms, torch.rand(3, 2, 32, 32), torch.zeros(3, dtype=torch.long), batch_size=2)
    assert calls == [2, 1]
    assert not torch.equal(maps["abs"], maps["positive"])
