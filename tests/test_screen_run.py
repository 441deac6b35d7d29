"""Runs of a whole screen: what is done, what is kept, and that it does not matter who does it."""

import io
import itertools

import numpy as np
import pytest
from screen_plates import (
    command_line,
    config,
    contents,
    finished,
    pixels,
    rows,
    write_field,
    write_toml,
)

from captum_pcim.run_progress import Progress
from captum_pcim.screen import Store, Worker, collect, run_screen, run_shard
from captum_pcim.screen.identity import make_plan
from captum_pcim.screen.sources import find_fields


def test_a_screen_is_done_and_listed(screen):
    summary = run_screen(config(screen))
    assert (summary.total, summary.computed, summary.failures) == (6, 6, {})
    found = rows(screen)
    assert [row["Status"] for row in found] == ["done"] * 6
    assert [row["Class"] for row in found] == ["right", "left"] * 3
    for row in found:
        both = float(row["Probability_left"]) + float(row["Probability_right"])
        assert both == pytest.approx(1)
        assert float(row["full_probability"]) == pytest.approx(
            float(row[f"Probability_{row['Class']}"]), abs=1e-6
        )


def test_a_second_run_computes_nothing(screen):
    run_screen(config(screen))
    before = finished(screen)
    assert run_screen(config(screen)).computed == 0
    assert finished(screen) == before


def test_a_new_field_is_all_that_a_later_run_computes(screen):
    run_screen(config(screen))
    before = finished(screen)
    write_field(screen / "images" / "P1", "C01", "1", pixels(7))
    assert run_screen(config(screen)).computed == 1
    assert before.items() < finished(screen).items()


def test_a_changed_configuration_never_mixes_with_old_results(screen):
    run_screen(config(screen))
    old = rows(screen)
    assert run_screen(config(screen, attribution={"n_steps": 4})).computed == 6
    new = rows(screen)
    assert {row["n_steps"] for row in new} == {"4"}
    assert run_screen(config(screen)).computed == 0
    assert rows(screen) == old


def test_run_shard_does_what_is_missing_and_answers_for_every_key(screen):
    found = config(screen)
    plan = make_plan(found, find_fields(found.images), (0, 1))
    store = Store(found.output.path)
    worker = Worker(found, plan.plates, store)
    first = list(run_shard(plan.keys[:2], store, worker))
    before = finished(screen)
    second = list(run_shard(plan.keys, store, worker))
    assert [status.reason for status in first + second] == [""] * 8
    assert {status.sha for status in second} == {key.sha for key in plan.keys}
    assert before.items() < finished(screen).items()


def test_neither_workers_nor_shards_nor_order_change_a_byte(screen, tmp_path_factory):
    changes = {
        "controls": {"wells": ["A01", "A02"], "reference": "sample"},
        "run": {"batch_size": 1},
        "windows": {"percentiles": [1, 99]},
    }
    run_screen(config(screen, **changes))
    expected = contents(screen)
    assert len(expected) == 6 * 5  # images, each with map, picture, stains, outlines, objects
    parts = tmp_path_factory.mktemp("parts")
    (parts / "images").symlink_to(screen / "images")
    for index, workers in ((1, 0), (0, 2)):
        changes["run"]["workers"] = workers
        assert run_screen(config(parts, **changes), (index, 2)).computed == 3
    assert contents(parts) == expected


def test_a_shard_leaves_the_tables_to_collect(screen):
    run_screen(config(screen), shard=(0, 2))
    assert not (screen / "results" / "images.csv").exists()
    collect(config(screen))
    assert [row["Status"] for row in rows(screen)] == ["done", "missing"] * 3


def test_objects_are_listed_with_cellprofilers_names(screen):
    run_screen(config(screen))
    found = rows(screen, "objects")
    assert len(found) == 12
    assert list(found[0])[:7] == [
        "Metadata_Plate",
        "Metadata_Well",
        "Metadata_Site",
        "Metadata_Z",
        "Metadata_T",
        "ImageNumber",
        "ObjectNumber",
    ]
    assert list(found[0])[7:9] == [f"Cells_Location_Center_{axis}" for axis in "XY"]
    assert list(found[0])[9:] == [
        f"Cells_Attribution_{measure}" for measure in ("Mean", "Sum", "Share", "Max")
    ]
    assert [row["ObjectNumber"] for row in found] == ["1", "2"] * 6
    places = [tuple(float(row[f"Cells_Location_Center_{axis}"]) for axis in "XY") for row in found]
    assert places == [(5.5, 11.5), (17.5, 11.5)] * 6


def test_weights_of_their_own_are_measured_stain_by_stain(screen):
    run_screen(config(screen, attribution={"isolation": "per_stain"}))
    assert list(rows(screen, "objects")[0])[9:] == [
        f"Cells_Attribution_{measure}_{stain}"
        for stain, measure in itertools.product(("DNA", "ER"), ("Mean", "Sum", "Share", "Max"))
    ]


def test_the_weights_of_stains_are_in_the_table_where_maps_are_factorised(screen):
    run_screen(config(screen, attribution={"isolation": "factorised"}))
    for row in rows(screen):
        assert all(0 <= float(row[f"Stain_Weight_{stain}"]) <= 1 for stain in ("DNA", "ER"))


def test_the_bright_object_holds_the_evidence(screen):
    run_screen(config(screen, attribution={"n_steps": 30}))
    for one, two in zip(*[iter(rows(screen, "objects"))] * 2, strict=True):
        bright_left = int(one["ImageNumber"]) % 2 == 1
        left, right = (float(row["Cells_Attribution_Mean"]) for row in (one, two))
        assert (left > right) == bright_left


def test_a_fixed_target_is_explained_in_every_image(screen):
    run_screen(config(screen, model={"target": 1}))
    assert {row["Class"] for row in rows(screen)} == {"right"}


def test_images_of_different_sizes_are_all_done(screen):
    write_field(screen / "images" / "P1", "A01", "3", pixels(9, side=32))
    assert run_screen(config(screen)).failures == {}


def test_parquet_and_csv_say_the_same(screen):
    parquet = pytest.importorskip("pyarrow.parquet")
    run_screen(config(screen))
    written = {name: rows(screen, name) for name in ("images", "objects")}
    run_screen(config(screen, output={"table": "parquet"}))
    for name, own in written.items():
        table = parquet.read_table(screen / "results" / f"{name}.parquet").to_pylist()
        as_text = [{k: "" if v is None else str(v) for k, v in row.items()} for row in table]
        assert [
            {k: float(v) if _is_number(v) else v for k, v in row.items()} for row in as_text
        ] == [{k: float(v) if _is_number(v) else v for k, v in row.items()} for row in own]


def _is_number(text):
    return text.replace(".", "").replace("e-", "").isdigit()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_log_gets_how_far_a_run_is_in_whole_lines(screen, capsys):
    run_screen(config(screen))
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("0/6 images (0 %)")
    assert last.startswith("6/6 images (100 %)") and last.endswith("00:00 left")


def test_a_terminal_gets_how_far_a_run_is_in_one_line():
    terminal = Terminal()
    progress = Progress(2, terminal)
    progress.add(failed=False)
    progress.add(failed=True)
    progress.close()
    written = terminal.getvalue()
    assert written.count("\n") == 1
    assert "2/2 images (100 %)" in written.rpartition("\r")[2]
    assert written.endswith(", 1 failed\n")


def test_a_run_with_nothing_to_do_says_nothing(screen, capsys):
    run_screen(config(screen))
    capsys.readouterr()
    run_screen(config(screen))
    assert capsys.readouterr() == ("", "")


def test_images_that_an_earlier_run_has_done_are_not_among_those_to_do():
    terminal = Terminal()
    with Progress(3, terminal) as progress:
        progress.leave_out()
        progress.add(failed=False)
        progress.add(failed=False)
    assert "2/2 images (100 %)" in terminal.getvalue().rpartition("\r")[2]


def test_progress_tells_rate_and_time_left():
    progress = Progress(100, Terminal())
    state = {**progress.format_dict, "n": 25, "elapsed": 50, "rate": None, "postfix": "1 failed"}
    said = progress.format_meter(**state)
    assert said == "25/100 images (25 %),  0.50 images/s, 02:30 left, 1 failed"


@pytest.mark.parametrize("shard", ["2/2", "1", "-1/2", "a/b"])
def test_an_impossible_shard_is_refused(screen, shard, capsys):
    with pytest.raises(SystemExit) as ended:
        command_line(write_toml(screen), f"--shard={shard}")
    assert ended.value.code == 2
    assert "expected I/N" in capsys.readouterr().err


def test_a_missing_model_is_refused_before_anything_is_computed(screen, capsys):
    assert command_line(write_toml(screen, network="Nobody")) == 2
    assert "screen_networks:Nobody" in capsys.readouterr().err


def test_the_command_says_how_it_ended_and_where_to_look(screen, capsys):
    assert command_line(write_toml(screen)) == 0
    said = capsys.readouterr()
    assert said.out == f"6 of 6 images done, 6 in this run, 0 failed: {screen / 'results'}\n"
    assert said.err.splitlines()[-1].startswith("6/6 images (100 %)")


def test_every_map_lies_between_0_and_1(screen):
    run_screen(config(screen))
    for path in (screen / "results" / "done").glob("*/*/objects.npy"):
        measured = np.load(path)[:, 2:]  # the columns before are the place
        assert (measured[:, 1::4] >= 0).all() and (measured[:, 1::4] <= 1).all()
        assert (measured[:, 4::4] <= 1).all()
