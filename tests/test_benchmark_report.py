"""How benchmarks write, average and split."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.bootstrap import Estimate, estimate
from benchmarks.quality.tables import leaders
from benchmarks.results import write_section
from benchmarks.sets.real_data import split


def test_a_section_is_replaced_and_the_rest_left_alone(tmp_path):
    path = tmp_path / "docs" / "benchmarks.md"
    write_section("one", "first", path)
    write_section("two", "second", path)
    path.write_text(path.read_text() + "\nby hand\n")
    before = path.read_text()
    write_section("one", "changed", path)
    assert path.read_text() == before.replace("first", "changed")


def test_writing_the_same_section_twice_changes_nothing(tmp_path):
    path = tmp_path / "benchmarks.md"
    write_section("one", "text", path)
    before = path.read_text()
    write_section("one", "text", path)
    assert path.read_text() == before


def test_damaged_marks_are_refused_and_nothing_is_written(tmp_path):
    path = tmp_path / "benchmarks.md"
    path.write_text("<!-- begin one -->\nno end\n")
    with pytest.raises(ValueError, match="do not come in one pair"):
        write_section("one", "text", path)
    assert path.read_text() == "<!-- begin one -->\nno end\n"


def test_an_estimate_leaves_out_images_without_an_answer():
    found = estimate(torch.tensor([1.0, math.nan, 3.0]))
    assert (found.mean, found.n) == (2.0, 2)
    assert estimate(torch.tensor([math.nan])).n == 0


def test_the_interval_is_that_of_the_mean():
    scores = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    found = estimate(scores)
    half_width = 1.96 * scores.std() / 20
    assert found.low == pytest.approx(float(scores.mean() - half_width), abs=0.02)
    assert found.high == pytest.approx(float(scores.mean() + half_width), abs=0.02)


def test_leaders_are_the_best_and_those_inside_its_interval():
    scores = {
        "best": Estimate(0.9, 0.8, 1.0, 10),
        "inside": Estimate(0.8, 0.1, 1.0, 10),
        "below": Estimate(0.79, 0.1, 1.0, 10),
        "no answer": Estimate(math.nan, math.nan, math.nan, 0),
    }
    assert leaders(scores, lower_is_better=False) == {"best", "inside"}
    assert leaders(scores, lower_is_better=True) == {"best", "inside", "below"}


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(0, 5))
def test_a_split_deals_everything_out_once_with_each_class_in_proportion(classes, seed):
    parts = split(classes, {"a": 0.5, "b": 0.25, "c": 0.25}, seed)
    assert sorted(i for part in parts.values() for i in part) == list(range(len(classes)))
    for label in set(classes):
        count = sum(classes[i] == label for i in parts["a"])
        assert abs(count - classes.count(label) / 2) <= 0.5
