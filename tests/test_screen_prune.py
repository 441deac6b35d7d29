"""What recomputes a map and what does not, and removing what no configuration lists."""

import shutil

import pytest
from screen_plates import command_line, config, finished, rows, write_field, write_toml

from captum_pcim.screen import run_screen

CHANGES = [
    {"images": {"objects": "Nuclei"}},
    {"images": {"stains": ["one", "two"], "channels": ["DNA", "ER"]}},
    {"output": {"previews": False}},
    {"output": {"table": "parquet"}},
    {"model": {"classes": ["control", "hit"]}},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_what_changes_no_map_recomputes_none(screen, changes):
    run_screen(config(screen))
    before = finished(screen)
    assert run_screen(config(screen, **changes)).computed == 0
    assert finished(screen) == before


def test_renamed_objects_and_classes_are_renamed_in_the_tables(screen):
    run_screen(config(screen))
    changed = config(screen, images={"objects": "Nuclei"}, model={"classes": ["control", "hit"]})
    run_screen(changed)
    assert "Nuclei_Attribution_Mean" in rows(screen, "objects")[0]
    assert {row["Class"] for row in rows(screen)} == {"control", "hit"}


def test_previews_that_are_switched_on_later_are_of_later_images(screen):
    run_screen(config(screen, output={"previews": False}))
    write_field(screen / "images" / "P1", "B02", "1", 255 - _blank())
    assert run_screen(config(screen)).computed == 1
    page = (screen / "results" / "plates" / "P1.html").read_text()
    assert page.count('"picture": "stains.png"') == 1


def _blank():
    import numpy as np

    return np.zeros((2, 24, 24), np.uint8)


def test_maps_that_are_switched_on_later_are_made_for_all_and_stay_when_switched_off(screen):
    pytest.importorskip("zarr", minversion="3")
    run_screen(config(screen))
    assert run_screen(config(screen, output={"maps": True})).computed == 6
    assert len(list((screen / "results" / "done").glob("*/*/map.zarr"))) == 6
    before = finished(screen)
    assert len(before) == 6
    assert run_screen(config(screen)).computed == 0
    assert finished(screen) == before


def test_pruning_removes_results_of_changed_and_removed_images_alone(screen, capsys):
    toml = write_toml(screen)
    command_line(toml)
    before = finished(screen)
    for path in (screen / "images" / "P1").glob("A02_f1_*"):
        path.unlink()
    command_line(toml)
    assert finished(screen) == before
    capsys.readouterr()
    assert command_line(toml, "--prune") == 0
    assert capsys.readouterr().out.startswith("1 results removed, ")
    assert finished(screen).items() < before.items() and len(finished(screen)) == 5
    assert {row["Status"] for row in rows(screen)} == {"done"}
    assert list((screen / "results" / "tmp").iterdir()) == []


def test_pruning_keeps_what_the_other_configurations_list(screen):
    toml = write_toml(screen)
    command_line(toml)
    other = write_toml(screen, attribution={"n_steps": 4}).rename(screen / "other.toml")
    toml = write_toml(screen)
    command_line(other)
    both = finished(screen)
    assert len(both) == 12
    assert command_line(toml, "--prune", str(other)) == 0
    assert finished(screen) == both
    assert command_line(toml, "--prune") == 0
    assert len(finished(screen)) == 6


def test_nothing_is_pruned_where_the_images_are_not_there(screen):
    toml = write_toml(screen)
    command_line(toml)
    before = finished(screen)
    (screen / "images").rename(screen / "elsewhere")
    assert command_line(toml, "--prune") == 2
    (screen / "images").mkdir()
    assert command_line(toml, "--prune") == 2
    assert finished(screen) == before


def test_pruning_refuses_configurations_of_other_results(screen, capsys):
    toml = write_toml(screen)
    other = write_toml(screen, output={"path": str(screen / "more")}).rename(screen / "o.toml")
    toml = write_toml(screen)
    assert command_line(toml, "--prune", str(other)) == 2
    assert "output.path: expected one results folder" in capsys.readouterr().err


def test_pages_and_pictures_of_removed_plates_go(screen):
    write_field(screen / "images" / "P1-2", "H01", "1", _blank())
    run_screen(config(screen))
    assert (screen / "results" / "plates" / "P1-2.html").exists()
    shutil.rmtree(screen / "images" / "P1-2")
    run_screen(config(screen))
    left = {path.name for path in (screen / "results" / "plates").iterdir()}
    assert left == {"P1.html"}
