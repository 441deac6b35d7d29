"""Stored maps are measured on masks that came after them, by command and in Python."""

import csv

import numpy as np
import pytest
import screen_networks
import torch
from PIL import Image
from screen_plates import LABELS, config, finished, no_litter, pixels, rows, write_toml

from captum_pcim import measure
from captum_pcim.cli.main import main
from captum_pcim.screen import run_screen

pytest.importorskip("zarr")
MAPS = {"maps": True}
NUCLEI = LABELS.replace("labels", "nuclei")


def save(path, labels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(labels, np.uint8)).save(path)


@pytest.fixture
def measured(screen, monkeypatch):
    """A finished screen with maps, masks of nuclei that came later, and a network that is gone."""
    run_screen(config(screen, output=MAPS))
    nuclei = np.zeros((24, 24))
    nuclei[10:14, 4:8], nuclei[10:14, 16:20] = 1, 2
    for labels in (screen / "images" / "P1").glob("*_labels.png"):
        save(labels.with_name(labels.name.replace("labels", "nuclei")), nuclei)

    def gone(*_):
        raise AssertionError("the network was run")

    monkeypatch.setattr(screen_networks.Linear, "forward", gone)
    return screen


def command(folder, *options):
    return main(["measure", "--config", str(write_toml(folder, output=MAPS)), *options])


def test_later_masks_are_measured_without_the_network_and_the_results_stay(measured, capsys):
    before = finished(measured)
    assert command(measured, "--nuclei", NUCLEI, "--ring", "2", "--bins", "3") == 0
    assert "12 objects measured, 0 images failed" in capsys.readouterr().out
    assert finished(measured) == before
    assert no_litter(measured)
    found = rows(measured, "measured")
    assert len(found) == 12
    for row in found:
        assert (row["Nuclei_AreaShape_Area"], row["Cytoplasm_AreaShape_Area"]) == ("16.0", "32.0")
        parts = (float(row[f"{p}_Attribution_ShareOfCells"]) for p in ("Nuclei", "Cytoplasm"))
        assert sum(parts) == pytest.approx(1)


def test_what_is_measured_is_what_the_table_of_objects_says(measured):
    command(measured, "--out", "again")
    for one, other in zip(rows(measured, "again"), rows(measured, "objects"), strict=True):
        for name in ("Metadata_Well", "Metadata_Site", "ImageNumber", "ObjectNumber"):
            assert one[name] == other[name]
        for name in ("Mean", "Sum", "Share", "Max"):  # maps are stored in half precision
            column = f"Cells_Attribution_{name}"
            assert float(one[column]) == pytest.approx(float(other[column]), rel=2e-3)


def test_other_objects_have_a_name_of_their_own(measured):
    assert command(measured, "--labels", NUCLEI, "--objects", "Nuclei", "--out", "nuclei") == 0
    (row, *_) = rows(measured, "nuclei")
    assert row["Nuclei_AreaShape_Area"] == "16"


def test_a_field_without_the_mask_is_told_and_the_others_are_measured(measured, capsys):
    (measured / "images" / "P1" / "A01_f1_nuclei.png").unlink()
    assert command(measured, "--nuclei", NUCLEI) == 1
    told = capsys.readouterr()
    assert "P1 A01 field 1: ImageError: nuclei: no label image" in told.err
    assert "10 objects measured, 1 images failed" in told.out


def test_masks_of_another_size_are_told(measured, capsys):
    save(measured / "images" / "P1" / "A01_f1_nuclei.png", np.ones((5, 5)))
    assert command(measured, "--nuclei", NUCLEI) == 1
    assert "expected the shape (24, 24), got (5, 5)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--nuclei", r"(?P<well>nothing)_(?P<field>\d)"], "nuclei: expected label images"),
        (["--out", "../elsewhere"], "out: expected a table's name of letters and digits"),
    ],
)
def test_what_cannot_be_started_is_refused_by_name(measured, capsys, options, said):
    assert command(measured, *options) == 2
    assert said in capsys.readouterr().err


def test_a_screen_without_maps_cannot_be_measured(screen, capsys):
    assert main(["measure", "--config", str(write_toml(screen))]) == 2
    assert "output.maps: expected true" in capsys.readouterr().err


def test_images_that_are_not_done_are_told(screen, capsys):
    run_screen(config(screen, output=MAPS), shard=(0, 2))
    assert command(screen) == 1
    told = capsys.readouterr()
    assert told.err.count("no stored map") == 1 and " and 2 more: " in told.err
    assert "6 objects measured, 3 images failed" in told.out


# ---- folders of maps -----------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path):
    """Two maps as `explain` writes them, one in a folder, and their label images."""
    (tmp_path / "maps" / "P1").mkdir(parents=True)
    np.save(tmp_path / "maps" / "a.npy", np.array([[3, 1], [0, 4]], np.float32))
    np.save(tmp_path / "maps" / "P1" / "b.npy", np.ones((2, 2), np.float32))
    save(tmp_path / "labels" / "a.png", [[1, 1], [0, 2]])
    save(tmp_path / "labels" / "P1" / "b.png", [[0, 0], [0, 5]])
    return tmp_path


def of_folder(folder, *options, table="table.csv"):
    status = main(["measure", "--maps", str(folder / "maps"), "--labels", str(folder / "labels"),
                   "--bins", "0", "--out", str(folder / table), *options])  # fmt: skip
    with open(folder / table, newline="") as stream:
        return status, list(csv.DictReader(stream))


def test_maps_of_a_folder_are_measured_exactly(folder):
    status, found = of_folder(folder)
    assert status == 0
    assert [(row["image"], row["ObjectNumber"]) for row in found] == [
        ("P1/b", "5"), ("a", "1"), ("a", "2")
    ]  # fmt: skip
    assert [float(row["Cells_Attribution_Share"]) for row in found] == [0.25, 0.5, 0.5]
    assert [float(row["Cells_Attribution_Enrichment"]) for row in found] == [1, 1, 2]


def test_the_folder_of_the_table_is_made(folder):
    assert of_folder(folder, table="new/table.csv")[1]


def test_a_folder_is_measured_as_in_python(folder):
    np.save(folder / "maps" / "a.npy", np.arange(8, dtype=np.float32).reshape(2, 2, 2))
    found = of_folder(folder, "--stains", "DNA", "ER")[1][1:]
    maps = torch.arange(8.0).reshape(1, 2, 2, 2)
    expected = measure(maps, torch.tensor([[[1, 1], [0, 2]]]), stains=["DNA", "ER"], bins=0)
    for row, own in zip(found, expected, strict=True):
        own.pop("ImageNumber")
        assert {name: float(row[name]) for name in own} == pytest.approx(own)


def test_maps_without_a_label_image_are_told(folder, capsys):
    (folder / "labels" / "a.png").unlink()
    status, found = of_folder(folder)
    assert (status, len(found)) == (1, 1)
    assert "a: ValueError: labels: no " in capsys.readouterr().err


@pytest.mark.parametrize("form", ["npy", "tiff"])
@pytest.mark.parametrize("kind", ["tif", "png"])
def test_the_maps_of_explain_find_label_images_of_the_images_names(tmp_path, kind, form):
    tifffile = pytest.importorskip("tifffile")
    images, cells = tmp_path / "images", tmp_path / "cells"
    images.mkdir(), cells.mkdir()
    labels = np.zeros((24, 24), np.uint8)
    labels[8:16, 8:16] = 3
    for folder, stored in ((images, pixels(1)[0]), (cells, labels)):
        if kind == "png":
            Image.fromarray(stored).save(folder / "img0.png")
        else:
            tifffile.imwrite(folder / "img0.tif", stored)
    command = ["explain", "--model", "screen_networks:Linear", "--images", str(images), "--steps",
               "3", "--map-format", form, "--out", str(tmp_path / "explained")]  # fmt: skip
    assert main(command) == 0
    table = tmp_path / "measured.csv"
    options = ["--labels", str(cells), "--out", str(table)]
    assert main(["measure", "--maps", str(tmp_path / "explained" / "maps"), *options]) == 0
    with open(table, newline="") as stream:
        (row,) = csv.DictReader(stream)
    assert (row["image"], row["ObjectNumber"]) == (f"img0.{kind}", "3")


def test_signed_maps_are_told(folder, capsys):
    np.save(folder / "maps" / "a.npy", -np.ones((2, 2), np.float32))
    assert of_folder(folder)[0] == 1
    assert "maps: expected (H, W) or (C, H, W), finite and from 0" in capsys.readouterr().err


def test_a_folder_without_maps_is_refused(tmp_path, capsys):
    options = ["--labels", "labels", "--out", str(tmp_path / "table.csv")]
    assert main(["measure", "--maps", str(tmp_path), *options]) == 2
    assert "maps: expected maps (.npy .tif .tiff)" in capsys.readouterr().err


def test_tiff_maps_are_read(folder):
    tifffile = pytest.importorskip("tifffile")
    (folder / "maps" / "a.npy").unlink()
    tifffile.imwrite(folder / "maps" / "a.tif", np.array([[3, 1], [0, 4]], np.float32))
    assert [row["Cells_Attribution_Sum"] for row in of_folder(folder)[1]] == ["1.0", "4.0", "4.0"]
