"""Intensities as the network was trained on them: the same words in all commands and screens."""

import csv
import json

import numpy as np
import pytest
import tifffile
from screen_plates import (
    command_line,
    config,
    failures,
    finished,
    pixels,
    rows,
    write_field,
    write_toml,
)
from test_classes import compare, explain
from test_screen_reading import samples

from captum_pcim.cli.main import main
from captum_pcim.images.intensities import measure, templates
from captum_pcim.images.stack import ImageError
from captum_pcim.images.windows import Window, WindowTable
from captum_pcim.screen import run_screen

NETWORK = "screen_networks:Linear"
NUMBERS = range(1, 7)
IMAGES = np.stack([pixels(number) for number in NUMBERS]).astype(np.float64)  # (N, C, H, W)
CONTROLS = IMAGES[:2]  # of well A01


EXPECTED = {
    "type": IMAGES / 255,
    "raw": IMAGES,
    "zscore image": (IMAGES - IMAGES.mean((2, 3), keepdims=True))
    / IMAGES.std((2, 3), keepdims=True),
    "zscore plate": (IMAGES - IMAGES.mean((0, 2, 3), keepdims=True))
    / IMAGES.std((0, 2, 3), keepdims=True),
    "zscore controls": (IMAGES - CONTROLS.mean((0, 2, 3), keepdims=True))
    / CONTROLS.std((0, 2, 3), keepdims=True),
}
for _over, _of, _axes in (
    ("image", IMAGES, (2, 3)),
    ("plate", IMAGES, (0, 2, 3)),
    ("controls", CONTROLS, (0, 2, 3)),
):
    _low, _high = np.percentile(_of, [1, 99], axis=_axes, keepdims=True)
    EXPECTED[f"percentiles {_over}"] = np.clip((IMAGES - _low) / (_high - _low), 0, 1)


@pytest.mark.parametrize("words", EXPECTED)
def test_the_words_give_what_they_say(screen, words):
    scale, _, over = words.partition(" ")
    windows = {"scale": scale} | ({"over": over} if over else {})
    if scale == "percentiles":
        windows["percentiles"] = [1, 99]
    controls = {"wells": ["A01"] if over == "controls" else [], "reference": "none"}
    found = samples(screen, windows=windows, controls=controls)
    inputs = np.stack([sample.inputs for sample in found.values()])
    np.testing.assert_allclose(inputs, EXPECTED[words], atol=2e-5)
    assert all(sample.reference is None for sample in found.values())


def window_columns(found):
    return [{k: float(v) for k, v in row.items() if k.startswith("Window_")} for row in found]


@pytest.mark.parametrize(
    ("windows", "options"),
    [
        ({}, []),
        ({"scale": "raw"}, ["--scale", "raw"]),
        (
            {"fixed": {"DNA": [1, 90], "ER": [2, 80]}},
            ["--window", "1", "90", "--window", "2", "80"],
        ),
        ({"scale": "percentiles"}, ["--scale", "percentiles"]),
        (
            {"percentiles": [2, 98], "over": "image"},
            ["--percentiles", "2", "98", "--over", "image"],
        ),
        ({"scale": "zscore"}, ["--scale", "zscore", "--over", "plate"]),
        (
            {"scale": "zscore", "over": "controls"},
            ["--scale", "zscore", "--over", "controls", "--controls", "P1/A01_*"],
        ),
    ],
)
def test_all_commands_apply_the_same_and_tell_it(small_screen, windows, options):
    controls = {"wells": ["A01"], "reference": "none"}
    run_screen(config(small_screen, windows=windows, controls=controls))
    expected = rows(small_screen)
    for found in (
        explain(small_screen, NETWORK, *options),
        compare(small_screen, NETWORK, *options, "--methods", "PCIM"),
    ):
        assert {row["scale"] for row in found} == {row["Scale"] for row in expected}
        for one, other in zip(window_columns(found), window_columns(expected), strict=True):
            assert one == pytest.approx(other, rel=1e-5)


def test_images_of_different_stains_are_not_measured_together():
    one, other = np.zeros((1, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    with pytest.raises(ImageError, match=r"the images have \[1, 2\] stains"):
        measure(templates("zscore"), [one, other])


def write_table(path, *lines):
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_windows_of_each_plate_are_read_from_a_table(screen):
    write_field(screen / "images" / "P2", "H01", "1", pixels(1))
    table = write_table(
        screen / "windows.csv", "Metadata_Plate,Stain,Low,High",
        "P1,DNA,0,100", "P1,ER,0,200", "P2,DNA,10,20", "P2,ER,0,50",
    )  # fmt: skip
    found = samples(screen, windows={"table": table})
    for place, high in ((("A01", "1"), [100, 200]), (("H01", "1"), [20, 50])):
        low = np.array([10 if high[0] == 20 else 0, 0])[:, None, None]
        span = np.array(high)[:, None, None] - low
        expected = np.clip((pixels(1) - low) / span, 0, 1)
        np.testing.assert_allclose(found[place].inputs, expected, atol=1e-6)


def test_means_and_deviations_in_a_table_are_not_clipped(screen):
    table = write_table(screen / "windows.csv", "Stain,Mean,SD", "DNA,50,10", "ER,60,20")
    first = samples(screen, windows={"table": table})["A01", "1"]
    expected = (pixels(1) - np.array([50, 60])[:, None, None]) / np.array([[[10]], [[20]]])
    np.testing.assert_allclose(first.inputs, expected, atol=1e-5)
    options = ["--table", table]
    told = explain(screen, NETWORK, *options)[0]
    assert (told["scale"], told["Window_Low_DNA"], told["Window_High_ER"]) == ("table", "50", "80")


def test_a_plate_that_the_table_lacks_fails_by_name_and_no_other(screen):
    write_field(screen / "images" / "P2", "H01", "1", pixels(1))
    table = write_table(
        screen / "w.csv", "Metadata_Plate,Stain,Low,High", "P1,DNA,0,9", "P1,ER,0,9"
    )
    run_screen(config(screen, windows={"table": table}))
    (reason,) = failures(screen).values()
    assert "no window for stain DNA of plate 'P2'" in reason


@pytest.mark.parametrize(
    "lines",
    [("Stain,Low", "DNA,1"), ("Low,High", "1,2"), ("Stain,Low,High", "DNA,9,1"),
     ("Stain,Low,High", "DNA,1,2", "DNA,1,3"), ("Stain,Mean,SD", "DNA,1,0"),
     ("Stain,Low,High", "DNA,1,5,2,5"), ("Stain,Low,High,Mean,SD", "DNA,1,2,3,4"),
     ("Stain,Low,High", "DNA,1"), ("Stain,Low,High,low", "DNA,1,2,1"),
     ("Stain,Channel,Low,High", "DNA,ER,1,2")],
)  # fmt: skip
def test_a_table_that_says_nothing_clear_is_refused(tmp_path, lines):
    with pytest.raises(ImageError, match=r"w\.csv: (line \d: |has columns twice: )"):
        WindowTable(write_table(tmp_path / "w.csv", *lines))


def test_blanks_about_cells_of_a_table_and_lines_of_commas_say_nothing(tmp_path):
    lines = ["Metadata_Plate, Stain ,Low,High,,", "P1 , DNA ,1,2,,,", ",,,,,"]
    table = WindowTable(write_table(tmp_path / "w.csv", *lines))
    assert table.of("P1", ["DNA"]) == table.of(" P1", ["DNA "]) == [Window(1, 2)]


def test_a_table_of_one_stain_serves_no_other(tmp_path, capsys):
    (tmp_path / "images").mkdir()
    tifffile.imwrite(tmp_path / "images" / "a.tif", pixels(1).astype(np.uint16))
    for stains, lines in ((1, ["DNA,0,9"]), (3, ["DNA,0,9", "ER,0,9", "Mito,0,9"])):
        table = write_table(tmp_path / "w.csv", "Stain,Low,High", *lines)
        said = f"table: expected windows of 2 stains, as the image has, got {stains}"
        for command, status in (("explain", 1), ("compare", 2)):
            out = str(tmp_path / f"{command}{stains}")
            options = ["--images", str(tmp_path / "images"), "--table", table, "--out", out]
            assert main([command, "--model", NETWORK, *options]) == status
            assert said in capsys.readouterr().err


@pytest.mark.parametrize("command", [[], ["--list"]])
def test_a_table_that_is_none_ends_a_screen_before_it_begins(screen, capsys, command):
    write_table(screen / "w.csv", "Stain,Low,High", "DNA,9,1")
    assert command_line(write_toml(screen, windows={"table": "w.csv"}), *command) == 2
    assert "windows.table: " in capsys.readouterr().err
    assert command_line(write_toml(screen, windows={"table": "no.csv"}), *command) == 2
    assert "no.csv" in capsys.readouterr().err


GIVEN = [
    {"fixed": {"DNA": [0, 100], "ER": [0, 200]}},
    {"scale": "zscore", "over": "image"},
    {"scale": "raw"},
    {"table": "windows.csv"},
]


@pytest.mark.parametrize("windows", GIVEN)
def test_a_field_more_recomputes_nothing_where_windows_are_given(screen, windows):
    write_table(screen / "windows.csv", "Stain,Low,High", "DNA,0,9", "ER,0,9")
    toml = write_toml(screen, windows=windows)
    assert command_line(toml) == 0
    before = finished(screen)
    write_field(screen / "images" / "P1", "B02", "1", pixels(9))
    assert command_line(toml) == 0
    assert before.items() < finished(screen).items() and len(finished(screen)) == 7


@pytest.mark.parametrize("scale", ["percentiles", "zscore"])
def test_images_of_several_types_have_no_window_in_common(screen, scale):
    write_field(screen / "images" / "P1", "B02", "1", pixels(9).astype(np.uint16) * 200)
    every = config(screen, windows={"scale": scale})
    assert set(failures_of(run_screen(every))) == {
        "plate P1: the images hold uint16, uint8, which have no window in common: measure over "
        "each image, or keep them apart"
    }
    assert run_screen(config(screen, windows={"scale": scale, "over": "image"})).failures == {}


def failures_of(summary):
    return [reason.removeprefix("ImageError: ") for reason in summary.failures.values()]


@pytest.mark.parametrize("scale", ["percentiles", "zscore"])
def test_measured_windows_are_written_as_a_table_that_can_be_given(screen, scale):
    run_screen(config(screen, windows={"scale": scale}))
    expected = window_columns(rows(screen))
    table = screen / "given.csv"
    (screen / "results" / "windows.csv").rename(table)
    write_field(screen / "images" / "P1", "B02", "1", pixels(9))
    run_screen(config(screen, windows={"table": str(table)}))
    for one, other in zip(window_columns(rows(screen)), expected, strict=False):
        assert one == pytest.approx(other)


def test_a_table_with_semicolons_is_read_and_one_that_is_no_text_is_refused(tmp_path):
    path = write_table(tmp_path / "windows.csv", "Stain;Low;High", "DNA;0;100")
    assert WindowTable(path).of("P1", ["DNA"]) == [Window(0, 100)]
    (tmp_path / "windows.csv").write_bytes("Stain,Low,High\nä,0,1\n".encode("latin-1"))
    with pytest.raises(ImageError, match="no CSV file in UTF-8"):
        WindowTable(path)


def test_a_new_row_of_another_plate_recomputes_nothing(screen):
    toml = write_toml(screen, windows={"table": "w.csv"})
    lines = ["Metadata_Plate,Stain,Low,High", "P1,DNA,0,9", "P1,ER,0,9"]
    write_table(screen / "w.csv", *lines)
    command_line(toml)
    before = finished(screen)
    write_table(screen / "w.csv", *lines, "P2,DNA,0,9", "P2,ER,0,9")
    command_line(toml)
    assert finished(screen) == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--scale", "raw", "--window", "1", "2"], "window: expected with --scale fixed"),
        (["--scale", "zscore", "--window", "1", "2"], "window: expected with --scale fixed"),
        (["--scale", "percentiles", "--window", "1", "2"], "window: expected ends in percent"),
        (["--percentiles", "1", "9", "--window", "1%", "9%"], "no --percentiles beside them"),
        (["--scale", "zscore", "--controls", "A*"], "with --over controls, got none"),
        (
            ["--scale", "raw", "--over", "image"],
            "over: expected with --scale percentiles or zscore",
        ),
        (["--scale", "table"], "scale: 'table' expects --table"),
        (["--scale", "fixed"], "scale: 'fixed' expects --window"),
        (["--scale", "zscore", "--over", "controls"], "'controls' expects --controls"),
        (["--scale", "zscore", "--over", "controls", "--controls", "X*"], "is named like 'X*'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(screen, capsys, options, said):
    assert explain(screen, NETWORK, *options) == 2
    assert compare(screen, NETWORK, *options) == 2
    assert capsys.readouterr().err.count(said) == 2


def test_an_image_more_is_measured_with_the_others_and_they_are_done_anew(screen):
    """What is measured over a folder is part of every map of it."""
    options = ["--scale", "zscore"]
    before = explain(screen, NETWORK, *options)
    write_field(screen / "images" / "P1", "B02", "1", pixels(9) // 2)
    after = explain(screen, NETWORK, *options)
    assert before[0]["Window_Low_DNA"] != after[0]["Window_Low_DNA"]
    manifest = json.loads((screen / "out" / "manifest.json").read_text())
    assert len(manifest["images"]) == 7
    with open(screen / "out" / "diagnostics.csv", newline="") as stream:
        told = {row["Window_Low_DNA"] for row in csv.DictReader(stream) if row["status"] == "ok"}
    assert len(told) == 1
