"""Diagnostics: a row per image, as a table, in part, and in files."""

import re
import sys
from dataclasses import fields

import pytest
import torch
from networks import images, small_cnn
from torch.testing import assert_close

from captum_pcim import PCIM, Diagnostics, Factorised

ONE_EACH = [
    "target",
    "full_probability",
    "preserved_probability",
    "removed_probability",
    "area",
    "leak_ratio",
    "n_steps",
    "n_forwards",
    "verdict",
]


@pytest.fixture(scope="module")
def diagnostics():
    pcim = PCIM(small_cnn(n_classes=3), isolation=Factorised())
    return pcim.attribute(images(4), target=1, n_steps=3, return_diagnostics=True)[1]


def assert_same(found, expected):
    for field in fields(Diagnostics):
        own, other = getattr(found, field.name), getattr(expected, field.name)
        if field.name == "verdict":
            assert own == other
        else:
            assert_close(own, other, rtol=0, atol=0)


def test_the_length_is_the_number_of_images(diagnostics):
    assert len(diagnostics) == 4


@pytest.mark.parametrize("index, rows", [(0, [0]), (-1, [3]), (slice(1, 3), [1, 2]),
    (slice(None, None, -1), [3, 2, 1, 0]), (slice(4, None), [])])  # fmt: skip
def test_an_index_selects_images_of_everything_that_is_told(diagnostics, index, rows):
    part = diagnostics[index]
    assert len(part) == len(rows)
    assert part.verdict == tuple(diagnostics.verdict[i] for i in rows)
    for field in fields(Diagnostics):
        if field.name not in ("verdict", "stain_weights"):
            assert_close(getattr(part, field.name), getattr(diagnostics, field.name)[rows])
    assert_close(part.stain_weights[0], diagnostics.stain_weights[0][rows])


def test_the_parts_of_a_loop_are_the_whole(diagnostics):
    assert_same(Diagnostics.concatenate(list(diagnostics)), diagnostics)


def test_there_is_no_fifth_image_of_four(diagnostics):
    with pytest.raises(IndexError):
        diagnostics[4]


def test_saved_with_its_maps_it_is_loaded_with_weights_only(diagnostics, tmp_path):
    torch.save({"maps": torch.ones(2), "diagnostics": diagnostics}, tmp_path / "found.pt")
    loaded = torch.load(tmp_path / "found.pt", weights_only=True)["diagnostics"]
    assert_same(loaded, diagnostics)


def test_the_data_frame_has_a_row_per_image_and_all_single_values(diagnostics):
    pytest.importorskip("pandas")
    frame = diagnostics.to_dataframe()
    assert frame.index.name == "image" and list(frame.columns) == ONE_EACH
    assert frame["leak_ratio"].tolist() == diagnostics.leak_ratio.tolist()
    assert frame["verdict"].tolist() == list(diagnostics.verdict)


def test_without_pandas_the_error_says_what_to_install(diagnostics, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'captum-pcim[pandas]'")):
        diagnostics.to_dataframe()


def test_printed_it_is_a_table_with_the_verdict_in_words(diagnostics):
    title, header, *rows = repr(diagnostics).splitlines()
    assert title == "Diagnostics of 4 images" and len(rows) == 4
    assert re.split(r"  +", header.strip()) == ["image", *(n.replace("_", " ") for n in ONE_EACH)]
    assert [row.split()[0] for row in rows] == ["0", "1", "2", "3"]
    for row, verdict, leak in zip(rows, diagnostics.verdict, diagnostics.leak_ratio, strict=True):
        assert row.endswith(verdict) and f" {leak:.3f} " in row


def test_a_notebook_shows_a_row_per_image(diagnostics):
    table = diagnostics._repr_html_()
    assert table.count("<tr>") == 5 and table.count("<th>") == 10
    assert all(f"<td>{verdict}</td>" in table for verdict in diagnostics.verdict)


def test_of_many_images_the_first_are_shown_and_the_others_counted(diagnostics):
    many = Diagnostics.concatenate([diagnostics] * 20)
    assert repr(many).splitlines()[-1] == "and 30 more images"
    assert many._repr_html_().endswith("<p>and 30 more images</p>")


@pytest.mark.parametrize(("n_images", "left_out"), [(50, 0), (51, 1)])
def test_fifty_images_are_shown(diagnostics, n_images, left_out):
    many = Diagnostics.concatenate([diagnostics] * 13)[:n_images]
    _, _, *rows = repr(many).splitlines()
    assert [row.split()[0] for row in rows[:50]] == [str(number) for number in range(50)]
    assert rows[50:] == [f"and {left_out} more images"] * left_out
    assert many._repr_html_().count("<tr>") == 51
