"""What a screen says of its images: before a run with --list, and after it."""

import csv
import shutil

import numpy as np
import pytest
from screen_plates import STAINS, command_line, pixels, rows, write_field, write_toml

from captum_pcim.images.read import ImageError
from captum_pcim.screen.planes import correct


def listed(toml, capsys):
    """The exit status and the lines of --list."""
    status = command_line(toml, "--list")
    return status, capsys.readouterr().out.splitlines()


def test_a_listing_says_what_would_be_done_and_does_nothing(screen, capsys):
    windows = {"fixed": {"DNA": [10, 50], "ER": [0, 200]}}
    status, lines = listed(write_toml(screen, windows=windows), capsys)
    assert status == 0
    assert lines == [
        f"images: folder {screen / 'images'}",
        "stain DNA: channel DNA",
        "stain ER: channel ER",
        "channels found: DNA, ER",
        "plates: 1",
        "plate P1: wells 3 (A01 to B01), fields 6, z 1, t 1, label images 6",
        "first image, P1 A01 field 1: 2 stains of 24 x 24, uint8, intensities 1 to 200, 2 objects",
        "windows of plate P1: DNA 10 to 50, ER 0 to 200",
    ]
    assert not (screen / "results").exists()


def test_a_listing_measures_the_first_windows(screen, capsys):
    _, lines = listed(write_toml(screen, windows={"percentiles": [0, 100]}), capsys)
    every = np.stack([pixels(number) for number in range(1, 7)], axis=1).reshape(2, -1)
    low, high = every.min(axis=1), every.max(axis=1)
    ends = zip(STAINS, low, high, strict=True)
    text = ", ".join(f"{stain} {one:g} to {other:g}" for stain, one, other in ends)
    assert f"windows of plate P1: {text}" in lines


def test_a_listing_tells_what_is_missing_first(screen, capsys):
    (screen / "images" / "P1" / "A01_f1_ER.png").unlink()
    (screen / "images" / "P1" / "A02_f1_labels.png").unlink()
    (screen / "images" / "P1" / "overview.png").touch()
    controls = {"wells": ["A01", "H12"]}
    status, lines = listed(write_toml(screen, controls=controls), capsys)
    assert status == 1
    assert lines[-4:] == [
        "missing: fields that cannot be read (no file for stain ER): 1, for example P1 A01 field 1",
        "missing: fields without a label image: 1, for example P1 A02 field 1",
        "missing: control wells without an image: 1, for example P1 H12",
        "ignored: images whose names do not fit the pattern: 1, for example P1/overview.png",
    ]


def test_results_that_lie_among_the_images_are_not_searched(screen, capsys):
    toml = write_toml(screen, output={"path": str(screen / "images" / "results")})
    assert command_line(toml) == 0
    assert command_line(toml) == 0
    assert "do not fit" not in capsys.readouterr().err


def test_masks_that_match_no_image_end_a_run_with_1_and_a_word(screen, capsys):
    labels = r"(?P<plate>[^/]+)/(?P<well>\w\d\d)_f(?P<field>\d+)_labels\.png"
    for path in (screen / "images" / "P1").glob("*_labels.png"):
        path.rename(path.with_name(path.name.replace("_f", "_f0")))
    toml = write_toml(screen, images={"labels": labels})
    assert command_line(toml) == 1
    said = capsys.readouterr().err
    assert "label images that match no image: 6, for example" in said
    assert "fields without a label image: 6, for example P1 A01 field 1" in said
    found = rows(screen)
    told = [(row["Status"], row["Notes"].split("; ")[0]) for row in found]
    assert told == [("done", "no label image")] * 6


def test_a_plate_that_calls_its_stains_otherwise_ends_a_run_with_1_and_a_word(screen, capsys):
    (screen / "images" / "P2").mkdir()
    for stain in STAINS:
        name = f"A01_f1_{stain}.png"
        shutil.copy(screen / "images" / "P1" / name, screen / "images" / "P2" / name.lower())
    assert command_line(write_toml(screen)) == 1
    told = "plates without an image of a stain that is asked for: 1, for example"
    assert f"{told} {screen / 'images' / 'P2'} (channels dna, er)" in capsys.readouterr().err


def test_images_that_fail_for_one_reason_are_told_together(screen, capsys):
    for well in ("A01", "A02"):
        (screen / "images" / "P1" / f"{well}_f1_ER.png").unlink()
    assert command_line(write_toml(screen)) == 1
    said = capsys.readouterr().err
    assert "P1 A01 field 1 and 1 more: ImageError: no file for stain ER" in said
    assert "cannot be read" not in said


def write_load_file(folder, **columns):
    """A load file of the plate's images, in the reverse of their order."""
    found = sorted((folder / "images" / "P1").glob("*_DNA.png"), reverse=True)
    written = []
    for path in found:
        well, site, _ = path.stem.split("_")
        place = {"Metadata_Plate": "P1", "Metadata_Well": well, "Metadata_Site": site[1:]}
        files = {f"FileName_{stain}": f"{well}_{site}_{stain}.png" for stain in STAINS}
        folders = {f"PathName_{stain}": "images/P1" for stain in STAINS}
        labels = {
            "ObjectsFileName_Cells": f"{well}_{site}_labels.png",
            "ObjectsPathName_Cells": "images/P1",
        }
        written.append({**place, **files, **folders, **labels, **columns})
    with open(folder / "load.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, list(written[0]))
        writer.writeheader()
        writer.writerows(written)
    return {"source": "load_file", "path": str(folder / "load.csv"), "labels": "Cells"}


@pytest.mark.parametrize("table", ["images", "objects"])
def test_rows_and_metadata_of_a_load_file_are_in_every_table(screen, table):
    images = write_load_file(screen, Metadata_Compound="DMSO", Metadata_Z="4")
    assert command_line(write_toml(screen, images=images)) == 0
    found = {
        (row["Metadata_Well"], row["Metadata_Site"]): row["ImageNumber"]
        for row in rows(screen, table)
    }
    places = [(well, site) for well in ("B01", "A02", "A01") for site in ("2", "1")]
    assert found == {place: str(number) for number, place in enumerate(places, start=1)}
    assert {row["Metadata_Compound"] for row in rows(screen, table)} == {"DMSO"}
    assert {(row["Metadata_Z"], row["Metadata_T"]) for row in rows(screen, table)} == {("4", "1")}


def test_files_that_a_load_file_names_and_that_are_not_there_are_listed(screen, capsys):
    images = write_load_file(screen)
    (screen / "images" / "P1" / "A01_f1_ER.png").unlink()
    _, lines = listed(write_toml(screen, images=images), capsys)
    (told,) = [line for line in lines if line.startswith("missing: files that are named")]
    assert told.endswith("A01_f1_ER.png")


def test_an_illumination_image_changes_what_the_network_sees(screen, capsys):
    light = np.full((24, 24), 2.0)
    np.save(screen / "light.npy", light)
    columns = {f"FileName_Illum{stain}": "light.npy" for stain in STAINS}
    images = write_load_file(screen, **columns) | {"illumination": "divide"}
    windows = {"percentiles": [0, 100]}
    _, lines = listed(write_toml(screen, images=images, windows=windows), capsys)
    every = np.stack([np.rint(pixels(number) / 2) for number in range(1, 7)], axis=1)
    low, high = every[0].min(), every[0].max()
    assert any(f"DNA {low:g} to {high:g}" in line for line in lines)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_illumination_is_corrected_as_cellprofiler_does(dtype):
    largest = np.iinfo(dtype).max if np.issubdtype(dtype, np.integer) else 1.0
    scaled = np.array([[0.1, 0.5], [0.9, 1.0]])
    stain = (scaled * largest).astype(dtype)
    light = np.array([[1.0, 1.25], [2.0, 4.0]])
    tolerance = 1.0 if np.issubdtype(dtype, np.integer) else 1e-6
    divided = correct(stain, light, divide=True)
    assert divided.dtype == dtype
    np.testing.assert_allclose(divided, scaled / light * largest, atol=tolerance)
    background = np.array([[0.2, 0.2], [0.3, 0.0]])
    expected = np.clip(scaled - background, 0, 1) * largest
    subtracted = correct(stain, background, divide=False)
    np.testing.assert_allclose(subtracted, expected, atol=tolerance)


def test_an_illumination_image_that_does_not_fit_is_refused():
    with pytest.raises(ImageError, match=r"is \(2, 2\), the image \(3, 3\)"):
        correct(np.ones((3, 3), np.uint8), np.ones((2, 2)), divide=True)
    with pytest.raises(ImageError, match="not above 0"):
        correct(np.ones((2, 2), np.uint8), np.zeros((2, 2)), divide=True)


def test_a_plate_without_any_control_well_fails_row_by_row_and_says_so(screen, capsys):
    write_field(screen / "images" / "P2", "C01", "1", pixels(7))
    toml = write_toml(screen, controls={"wells": ["A01"]})
    assert command_line(toml) == 1
    statuses = [(row["Metadata_Plate"], row["Status"]) for row in rows(screen)]
    assert statuses == [("P1", "done")] * 6 + [("P2", "failed")]
    assert "control wells without an image: 1, for example P2 A01" in capsys.readouterr().err
