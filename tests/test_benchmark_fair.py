"""Verdicts against rivals, and how the rivals' forms are chosen."""

import math

import pytest
import torch

from benchmarks.fair.__main__ import (
    OWN,
    check_rivals,
    published_verdicts,
    verdict_table,
    with_published_rows,
)
from benchmarks.fair.everyone import everyone_table
from benchmarks.fair.forms import mean_ranks
from benchmarks.fair.instruments import HEADLINES
from benchmarks.fair.places import place_table, places
from benchmarks.fair.rivals import PLAIN, RIVALS, maps_of, rivals
from benchmarks.fair.verdicts import Verdict, paired_interval, verdict
from benchmarks.results import Spread, Table, write
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


def test_a_published_verdict_reads_as_it_was():
    found = Verdict("behind", 0.935, 0.943, "NoiseTunnel, IntegratedGradients")
    assert Verdict.read(str(found)) == found


@pytest.mark.parametrize("text", ["", "beaten 0.1: Lime 0.2"])
def test_what_is_no_verdict_is_refused(text):
    with pytest.raises(ValueError, match="expected a verdict"):
        Verdict.read(text)


def _verdicts(word):
    return dict.fromkeys(HEADLINES, Verdict(word, 0.5, 0.25, "Lime"))


def test_sets_that_are_not_run_keep_their_verdicts_if_they_were_measured_alike(tmp_path):
    published = {"one": _verdicts("tied"), "two": _verdicts("first")}
    write("fair/verdicts", verdict_table(published, "12  images"), tmp_path)
    assert published_verdicts("12 images", tmp_path) == published
    assert published_verdicts("8 images", tmp_path) == {}
    assert published_verdicts("12 images", tmp_path / "other") == {}


def test_equal_means_share_their_places():
    means = {"a": 0.3, "b": 0.5, "c": 0.3, "d": 0.1}
    assert places(means, 1) == {"b": 1, "a": 2.5, "c": 2.5, "d": 4}
    assert places(means, -1) == {"d": 1, "a": 2.5, "c": 2.5, "b": 4}


def test_the_method_of_the_best_mean_place_comes_first():
    columns = [m + {1: " ↑", -1: " ↓"}[sign] for m, sign in HEADLINES.items()]
    methods = (OWN, *RIVALS)
    rows = [
        [name, *(f"{1 - sign * at / 100}" for sign in HEADLINES.values()), "-0.5"]
        for at, name in enumerate(methods)
    ]
    table = place_table([Table("cell", ["method", *columns, "randomised, rank"], rows)] * 2)
    assert [row[0] for row in table.rows] == list(methods)
    assert list(table.rows[0]) == [OWN, "1.0", "1.0", "1.0", "0.50"]


def _means(note="12 images", **insertion):
    columns = [m + {1: " ↑", -1: " ↓"}[sign] for m, sign in HEADLINES.items()]
    rows = [
        [name, *(Spread.of(sign * mean, 0, 1) for sign in HEADLINES.values())]
        for name, mean in insertion.items()
    ]
    return Table("cell", ["method", *columns], rows, note)


def test_methods_that_are_not_run_keep_their_rows_and_those_that_are_get_new_ones(tmp_path):
    write("fair/cell", _means(PCIM=0.5, Lime=0.6, RISE=0.4), tmp_path)
    table = with_published_rows(_means(PCIM=0.7, Lime=0.8), "fair/cell", tmp_path)
    shown = {row[0]: row[1].figure for row in table.rows}
    assert shown == {"PCIM": "0.700", "Lime": "0.800", "RISE": "0.400"}


def test_rows_that_were_measured_otherwise_are_not_kept(tmp_path):
    write("fair/cell", _means("8 images", RISE=0.4), tmp_path)
    new = _means(PCIM=0.7)
    assert with_published_rows(new, "fair/cell", tmp_path) == new
    assert with_published_rows(new, "fair/other", tmp_path) == new


def test_a_verdict_needs_the_scores_of_the_best_rival():
    table = _means(PCIM=0.9, Lime=0.5, RISE=0.4)
    check_rivals(table, {"PCIM": {}, "Lime": {}})
    with pytest.raises(SystemExit, match=r"cell: run \['Lime'\] too"):
        check_rivals(table, {"PCIM": {}, "RISE": {}})


def test_every_method_is_judged_against_the_best_of_all_others():
    mean = {"PCIM": 0.9, "Lime": 0.5, "RISE": 0.1}
    columns = ["method", *HEADLINES]
    published = Table("cell", columns, [[m, *[v] * len(HEADLINES)] for m, v in mean.items()], "")
    of_images = {m: _noisy(v, i) for i, (m, v) in enumerate(mean.items())}
    kept = {name: dict.fromkeys(HEADLINES, scores) for name, scores in of_images.items()}
    higher = sum(sign == 1 for sign in HEADLINES.values())
    lower = len(HEADLINES) - higher

    def behind(kept):
        table = everyone_table({"cell": published}, {"cell": kept})
        return {row[0]: (row[3].split()[0], row[4]) for row in table.rows}

    assert behind(kept) == {
        "PCIM": (str(lower), len(HEADLINES)),
        "RISE": (str(higher), len(HEADLINES)),
        "Lime": (str(len(HEADLINES)), len(HEADLINES)),
    }
    # Without the images of the best other there is nothing to judge by.
    assert behind({"PCIM": kept["PCIM"], "Lime": kept["Lime"]}) == {
        "PCIM": ("0", higher),
        "Lime": (str(higher), higher),
    }
