"""Screens of networks that take crops of single cells."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from screen_networks import Linear
from screen_plates import (
    LABELS,
    STAINS,
    command_line,
    config,
    contents,
    failures,
    finished,
    no_litter,
    pixels,
    rows,
    write_field,
    write_toml,
)

from captum_pcim import PCIM, explain_cells
from captum_pcim.explainer import DIAGNOSTICS
from captum_pcim.screen import ConfigError, run_screen
from captum_pcim.screen.sources import survey_screen

CELLS = {"size": 12}


def cell_screen(folder, network="Linear", **changes):
    return config(folder, network, **{"cells": CELLS, **changes})


def write_labels(folder, well, site, labels):
    path = folder / "images" / "P1" / f"{well}_f{site}_labels.png"
    Image.fromarray(labels.astype(np.uint8)).save(path)


def test_every_cell_of_every_field_has_a_row(screen):
    assert run_screen(cell_screen(screen)).failures == {}
    found = rows(screen, "cells")
    assert len(found) == 6 * 2
    assert list(found[0])[:6] == [
        "Metadata_Plate", "Metadata_Well", "Metadata_Site", "Metadata_Z", "Metadata_T",
        "ImageNumber",
    ]  # fmt: skip
    assert {*DIAGNOSTICS, "Probability_left", "Probability_right"} <= set(found[0])
    first = found[0]
    assert (first["Metadata_Well"], first["ObjectNumber"], first["Status"]) == ("A01", "1", "done")
    # Rows 8 to 15 and columns 3 to 8.
    assert float(first["Cells_Location_Center_X"]) == 5.5
    assert float(first["Cells_Location_Center_Y"]) == 11.5
    assert first["Cells_AreaShape_Area"] == "48"


def test_a_screens_cells_are_those_of_the_python_call(screen):
    run_screen(cell_screen(screen, cells={"size": 12, "scale": 16, "mask_neighbours": True}))
    images = torch.from_numpy(np.stack([pixels(i) for i in range(1, 7)]).astype(np.float32) / 255)
    labels = torch.zeros(6, 24, 24, dtype=torch.int64)
    labels[:, 8:16, 3:9], labels[:, 8:16, 15:21] = 1, 2
    expected = explain_cells(
        PCIM(Linear()), images, labels, size=12, scale=16, mask_neighbours=True, batch_size=2,
        n_steps=3, classes=["left", "right"], stains=STAINS,
    )  # fmt: skip
    for found, own in zip(rows(screen, "cells"), expected.rows(), strict=True):
        for name, value in own.items():
            if isinstance(value, float):
                assert float(found[name]) == pytest.approx(value, abs=1e-4), name
            else:
                assert found[name] == str(value), name


def test_the_map_of_a_field_is_stitched_and_measured_as_any_other(screen):
    zarr = pytest.importorskip("zarr")
    run_screen(cell_screen(screen, output={"maps": True}))
    (row, *_) = rows(screen, "images")
    weights = zarr.open(screen / "results" / row["Result"] / "map.zarr", mode="r")["0"][:]
    labels = np.zeros((24, 24))
    labels[8:16, 3:9], labels[8:16, 15:21] = 1, 2
    # Crops of 12 pixels about columns 5.5 and 17.5 reach from 0 to 11 and from 12 to 23.
    assert weights[0, :6].max() == weights[0, 18:].max() == 0
    own = [o for o in rows(screen, "objects") if o["ImageNumber"] == row["ImageNumber"]]
    for found in own:
        inside = weights[0].astype(float)[labels == int(found["ObjectNumber"])]
        mean = float(found["Cells_Attribution_Mean"])
        assert mean == pytest.approx(inside.mean(), abs=1e-3)


def test_a_field_tells_the_commonest_class_and_the_means_of_its_cells(screen):
    run_screen(cell_screen(screen))
    for image in rows(screen):
        own = [c for c in rows(screen, "cells") if c["ImageNumber"] == image["ImageNumber"]]
        assert image["Count_Cells"] == "2"
        assert image["Class"] in {cell["Class"] for cell in own}
        for name in ("Probability_left", "full_probability", "area"):
            mean = np.mean([float(cell[name]) for cell in own])
            assert float(image[name]) == pytest.approx(mean)


def test_a_field_without_objects_is_done_and_noted(screen):
    write_labels(screen, "A01", 1, np.zeros((24, 24)))
    assert run_screen(cell_screen(screen)).failures == {}
    (empty, *others) = rows(screen)
    assert (empty["Status"], empty["Count_Cells"], empty["Class"]) == ("done", "0", "")
    assert empty["Notes"] == "labels: no object"
    assert all(other["Count_Cells"] == "2" for other in others)
    assert len(rows(screen, "cells")) == 10


def test_a_screen_without_any_object_has_an_empty_table(screen):
    for well in ("A01", "A02", "B01"):
        for site in (1, 2):
            write_labels(screen, well, site, np.zeros((24, 24)))
    assert run_screen(cell_screen(screen)).failures == {}
    assert rows(screen, "cells") == []


def test_a_field_without_a_label_image_fails_with_the_reason(screen):
    (screen / "images" / "P1" / "A01_f1_labels.png").unlink()
    run_screen(cell_screen(screen))
    assert failures(screen) == {"A01 1": "ImageError: no label image to find cells by"}


def test_a_field_that_is_smaller_than_a_crop_fails_with_the_reason(screen):
    write_field(screen / "images" / "P1", "A02", 1, pixels(3, side=40))
    run_screen(cell_screen(screen, cells={"size": 30}))
    reasons = failures(screen)
    assert set(reasons) == {"A01 1", "A01 2", "A02 2", "B01 1", "B01 2"}
    expected = "ImageError: cells.size: expected at most the image's 24 pixels, got 30"
    assert set(reasons.values()) == {expected}


def test_a_cell_that_breaks_the_network_fails_alone(screen):
    image = pixels(3)
    image[0, 6, 0] = 255  # the first pixel of the first cell's crop
    write_field(screen / "images" / "P1", "A02", 1, image)
    assert run_screen(cell_screen(screen, "NotANumber")).failures == {}
    bad = [cell for cell in rows(screen, "cells") if cell["Status"] == "failed"]
    assert [(cell["Metadata_Well"], cell["ObjectNumber"]) for cell in bad] == [("A02", "1")]
    assert "not finite" in bad[0]["Reason"]
    (noted,) = [row for row in rows(screen) if "cells: 1 of 2 failed" in row["Notes"]]
    assert (noted["Metadata_Well"], noted["Metadata_Site"]) == ("A02", "1")


def test_a_field_whose_cells_all_fail_fails(screen):
    run_screen(cell_screen(screen, "Gluttonous"))
    assert len(failures(screen)) == 6


def test_a_screen_of_cells_is_resumed_and_gives_the_same_files(screen, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    (other / "images").symlink_to(screen / "images")
    run_screen(cell_screen(screen, run={"batch_size": 1}), shard=(0, 2))
    half = finished(screen)
    assert len(half) == 3
    run_screen(cell_screen(screen, run={"batch_size": 1}))
    assert half.items() <= finished(screen).items()
    run_screen(cell_screen(other, run={"batch_size": 1}))
    assert contents(screen) == contents(other)
    assert no_litter(screen)
    table = (screen / "results" / "cells.csv").read_text()
    assert table == (other / "results" / "cells.csv").read_text()


def test_processes_share_the_work(screen):
    assert run_screen(cell_screen(screen, run={"workers": 2, "batch_size": 2})).failures == {}
    assert len(rows(screen, "cells")) == 12


def test_other_crops_are_other_results(screen):
    keys = {cell_screen(screen, cells={"size": size}).digest() for size in (8, 12)}
    keys |= {
        cell_screen(screen, cells={"size": 8, **more}).digest()
        for more in ({"scale": 16}, {"mask_neighbours": True}, {"scale": 8})
    }
    assert len(keys) == 4  # a scale of the crop's own size is none


def test_renamed_objects_and_classes_keep_their_results(screen):
    run_screen(cell_screen(screen))
    before = finished(screen)
    images = {"path": str(screen / "images"), "stains": STAINS, "labels": LABELS}
    renamed = cell_screen(
        screen, images={**images, "objects": "Nuclei"}, model={"classes": ["low", "high"]}
    )
    run_screen(renamed)
    assert finished(screen) == before
    (cell, *_) = rows(screen, "cells")
    assert cell["Class"] in ("low", "high")
    assert "Nuclei_Attribution_Share" in cell


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": {"labels": ""}}, r"images.labels: expected label images, as there are \[cells"),
        ({"cells": {"size": -1}}, "cells.size: expected at least 1, got -1"),
        ({"cells": {"scale": 64}}, "cells.size: expected at least 1, got 0"),
        ({"cells": {"size": 8.5}}, "cells.size: .*integer, got 8.5"),
        ({"cells": {"sizes": 8}}, "cells.sizes: expected one of"),
        ({"controls": {"wells": ["A01"]}}, "controls.reference: expected 'none'"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=said):
        cell_screen(tmp_path, **changes)


def test_the_list_says_how_cells_are_cropped(screen, capsys):
    toml = write_toml(screen, cells={"size": 12, "scale": 64})
    assert command_line(toml, "--list") == 0
    assert "cells: crops of 12 pixels about every object, resized to 64" in capsys.readouterr().out


def test_the_results_of_whole_fields_are_not_touched_by_the_entry(screen):
    assert config(screen).digest() == config(screen, cells={}).digest()
    assert len(survey_screen(config(screen)).fields) == 6


def test_what_is_kept_of_a_cell_holds_no_names(screen):
    run_screen(cell_screen(screen))
    text = next((screen / "results" / "done").glob("*/*/cells.json")).read_text()
    assert not re.search("left|right|Cells|DNA", text)
    assert {cell["number"] for cell in json.loads(text)} == {1, 2}


def test_tables_of_an_earlier_configuration_are_not_left_beside_new_ones(screen):
    """Profiles take the cells where there are any, and CSV before Parquet."""
    pytest.importorskip("pyarrow")
    for changes, expected in (
        ({"cells": {"size": 12}}, {"images.csv", "objects.csv", "cells.csv"}),
        ({}, {"images.csv", "objects.csv"}),
        ({"images": {"labels": ""}, "output": {"table": "parquet"}}, {"images.parquet"}),
    ):
        run_screen(config(screen, **changes))
        tables = (
            path for end in ("csv", "parquet") for path in (screen / "results").glob(f"*.{end}")
        )
        assert {path.name for path in tables} == expected


def test_a_parquet_table_of_cells_has_types(screen):
    pytest.importorskip("pyarrow")
    from pyarrow import parquet

    run_screen(cell_screen(screen, output={"table": "parquet"}))
    (row, *_) = parquet.read_table(screen / "results" / "cells.parquet").to_pylist()
    assert (row["ObjectNumber"], row["Cells_AreaShape_Area"]) == (1, 48)
    assert isinstance(row["Probability_left"], float)
