"""How benchmarks average, split, keep their tables and fill the pages with them."""

import math
import re
from datetime import date

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from benchmarks import figures, page
from benchmarks.bootstrap import estimate
from benchmarks.results import RESULTS, Spread, Table, leaders, names, read, write
from benchmarks.sets.real_data import split

MADE = {"command": "python -m x", "date": "2026-11-25", "versions": "torch 2, 1 threads"}
TABLE = Table(
    "A title",
    ["method", "score, mean ↑", "passes"],
    [
        ["PCIM, fast", Spread("0.900", "0.850", "0.950"), "97 / 96"],
        ["other", Spread("0.860", "0.500", "0.910"), "1 / 1"],
        ["third", Spread("0.849", "0.500", "0.990"), "1 / 1"],
        ["chance level", "0.950", ""],
    ],
    "Two\nlines.",
    **MADE,
)


def test_a_table_is_read_as_it_was_written(tmp_path):
    write("room/one", TABLE, tmp_path)
    assert names(tmp_path) == ["room/one"]
    found = read("room/one", tmp_path)
    assert (found.columns, found.rows) == (TABLE.columns, TABLE.rows)
    assert (found.title, found.note, found.origin()) == (TABLE.title, "Two lines.", TABLE.origin())


def test_other_tools_find_a_column_for_the_figure_and_for_each_end(tmp_path):
    lines = write("one", TABLE, tmp_path).read_text().splitlines()
    assert all(line.startswith("# ") for line in lines[:5])
    assert lines[5] == 'method,"score, mean ↑","score, mean ↑ low","score, mean ↑ high",passes'
    assert lines[6] == '"PCIM, fast",0.900,0.850,0.950,97 / 96'


def test_a_table_says_what_made_it():
    table = Table("", ["a"], [])
    assert table.command.startswith("python")
    assert table.date == str(date.today())
    assert f"torch {torch.__version__}" in table.versions


def test_leaders_are_the_best_and_those_inside_its_interval():
    cells = [row[1] for row in TABLE.rows]
    assert leaders(cells, "score ↑") == {0, 1}
    assert leaders(cells, "score ↓") == {0, 1, 2}
    assert leaders(cells, "score") == set()
    assert leaders([Spread("", "", "")], "score ↑") == set()


def test_markdown_shows_the_rows_and_columns_asked_for_under_their_names():
    shown = TABLE.markdown(
        {"method": "way", "score, mean ↑": "score"}, {"other": "other", "PCIM, fast": "PCIM"}, False
    )
    assert shown.splitlines()[0] == "| way | score |"
    assert shown.splitlines()[2:] == ["| PCIM | **0.900** |", "| other | **0.860** |"]
    with pytest.raises(KeyError, match="no row absent"):
        TABLE.markdown(rows={"absent": ""})


def test_a_page_is_filled_from_the_result_files_and_from_nothing_else():
    text = (
        "a <!-- result: quality/development_fluorescence; PCIM; mass accuracy ↑ -->9<!-- end --> b"
        "\n<!-- results: speed/early_stop\ncolumns: setting; passes saved = saved\n"
        "without: origin\n-->\nold\n<!-- end results -->\nc"
    )
    once = page.filled(text)
    mass = read("quality/development_fluorescence").column("mass accuracy ↑")["PCIM"]
    assert f"-->{mass.figure}<!-- end --> b" in once
    assert "old" not in once and "| setting | saved |" in once and once.endswith("\nc")
    assert page.filled(once) == once


def test_what_a_block_asks_for_wrongly_is_refused():
    with pytest.raises(ValueError, match="expected columns, rows or without, got colums"):
        page.block("speed/early_stop\ncolums: tolerance")


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_the_figures_of_a_page_are_those_of_the_result_files(path):
    text = path.read_text(encoding="utf-8")
    assert page.filled(text) == text, "bring it up to date: python -m benchmarks.page --write"


@pytest.mark.parametrize("name", ["README.md", "benchmarks.md"])
def test_no_figure_of_three_digits_is_typed_by_hand(name):
    (path,) = (path for path in page.PAGES if path.name == name)
    text = path.read_text(encoding="utf-8")
    by_hand = page.INLINE.sub("", page.BLOCK.sub("", text))
    assert not re.findall(r"\b\d+\.\d{3}\b", by_hand)


def test_the_page_of_summaries_stays_short():
    (path,) = (path for path in page.PAGES if path.name == "benchmarks.md")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("name", figures.DRAWN)
def test_a_figure_was_drawn_from_the_result_file_as_it_is(name):
    result, _ = figures.DRAWN[name]
    with Image.open(figures.FIGURES / f"{name}.png") as image:
        assert image.text[figures.SOURCE] == figures.digest(result), "python -m benchmarks.figures"


def test_the_appendix_shows_every_result_file_with_its_origin():
    text = page.appendix()
    assert names()
    for name in names():
        assert f"`{name}.csv`" in text
        assert read(name).origin() in text


def test_every_result_file_says_what_made_it_and_has_as_many_cells_in_every_row():
    for name in names():
        table = read(name)
        assert table.command.startswith("python -m benchmarks.")
        assert (RESULTS / f"{name}.csv").read_text().count("\n# ") == 4
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", table.date)
        assert "torch" in table.versions and "threads" in table.versions
        assert {len(row) for row in table.rows} == {len(table.columns)}


def test_an_estimate_leaves_out_images_without_an_answer():
    found = estimate(torch.tensor([1.0, math.nan, 3.0]))
    assert (found.mean, found.n) == (2.0, 2)
    assert estimate(torch.tensor([math.nan])).n == 0
    assert str(estimate(torch.tensor([math.nan]))) == ""


def test_the_interval_is_that_of_the_mean():
    scores = torch.randn(400, generator=torch.Generator().manual_seed(0)).double()
    found = estimate(scores)
    half_width = 1.96 * scores.std() / 20
    assert found.low == pytest.approx(float(scores.mean() - half_width), abs=0.02)
    assert found.high == pytest.approx(float(scores.mean() + half_width), abs=0.02)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=60), st.integers(0, 5))
def test_a_split_deals_everything_out_once_with_each_class_in_proportion(classes, seed):
    parts = split(classes, {"a": 0.5, "b": 0.25, "c": 0.25}, seed)
    assert sorted(i for part in parts.values() for i in part) == list(range(len(classes)))
    for label in set(classes):
        count = sum(classes[i] == label for i in parts["a"])
        assert abs(count - classes.count(label) / 2) <= 0.5
