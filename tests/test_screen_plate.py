"""Fields of view found in folders and load files."""

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen_plates import LABELS, STAINS, write_plate

from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.plate import (
    PATTERNS,
    row_and_column,
    row_letters,
    well_name,
)
from captum_pcim.screen.sources import find_fields


@given(st.integers(0, 31), st.integers(0, 47))
def test_a_wells_name_tells_its_row_and_column(row, column):
    name = well_name(row_letters(row), str(column + 1))
    assert row_and_column(name) == (row, column)


@pytest.mark.parametrize("text", ["b2", "B02", "B 2", "B-02", "B002"])
def test_a_well_is_written_one_way(text):
    assert well_name(text) == "B02"


def test_a_row_number_becomes_its_letter():
    assert well_name("16", "24") == "P24"


@pytest.mark.parametrize("text", ["", "7", "ABC1", "A123", "A"])
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ConfigError, match="well"):
        well_name(text)


@pytest.mark.parametrize(
    ("vendor", "path", "well", "field", "channel"),
    [
        ("plain", "P1/B03_f2_DNA.png", "B03", "2", "DNA"),
        ("opera", "P1/Images/r02c03f07p01-ch4sk1fk1fl1.tiff", "B03", "07", "4"),
        ("imagexpress", "P1/Week1_B03_s4_w2E1A0B6AE-F1.tif", "B03", "4", "2"),
        ("cellvoyager", "P1/Exp_B03_T0001F002L01A02Z01C03.tif", "B03", "002", "03"),
        ("incell", "P1/B - 03(fld 5 wv DAPI - DAPI).tif", "B03", "5", "DAPI - DAPI"),
    ],
)
def test_vendors_names_are_read(vendor, path, well, field, channel):
    groups = re.fullmatch(f"(?:.*/)?{PATTERNS[vendor]}", path).groupdict()
    found = groups.get("well") or (groups["row"], groups["col"])
    assert well_name(*([found] if isinstance(found, str) else found)) == well
    assert (groups["field"], groups["channel"]) == (field, channel)


def test_a_folder_gives_fields_in_plate_order(tmp_path):
    write_plate(tmp_path, wells=("B01", "A10", "A02"), sites=10)
    fields = find_fields(ImageSettings(str(tmp_path), STAINS, labels=LABELS))
    assert [f.well for f in fields[::10]] == ["A02", "A10", "B01"]
    assert [f.site for f in fields[:10]] == [str(site) for site in range(1, 11)]
    first = fields[0]
    assert first.planes == tuple(str(tmp_path / "P1" / f"A02_f1_{s}.png") for s in STAINS)
    assert first.labels == str(tmp_path / "P1" / "A02_f1_labels.png")


def test_stains_come_in_the_networks_order_under_the_files_names(tmp_path):
    for channel in (1, 2):
        (tmp_path / f"r01c01f01p01-ch{channel}sk1fk1fl1.tiff").touch()
    images = ImageSettings(str(tmp_path), ["ER", "DNA"], channels=["2", "1"], pattern="opera")
    (field,) = find_fields(images)
    assert ["-ch2" in field.planes[0], "-ch1" in field.planes[1]] == [True, True]
    assert field.plate == tmp_path.name


def test_a_pattern_without_channel_means_all_stains_in_one_file(tmp_path):
    (tmp_path / "A01_1.tif").touch()
    pattern = r"(?P<well>\w\d\d)_(?P<field>\d)\.tif"
    (field,) = find_fields(ImageSettings(str(tmp_path), STAINS, pattern=pattern))
    assert field.planes == (str(tmp_path / "A01_1.tif"),)


def test_a_missing_channel_leaves_its_place_empty(tmp_path):
    (write_plate(tmp_path, wells=("A01",), sites=1) / "P1" / "A01_f1_ER.png").unlink()
    (field,) = find_fields(ImageSettings(str(tmp_path), STAINS, labels=LABELS))
    assert field.planes == (str(tmp_path / "P1" / "A01_f1_DNA.png"), "")


def test_two_files_for_one_plane_are_refused(tmp_path):
    for name in ("A01_f1_DNA.png", "A1_1_DNA.png"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="two"):
        find_fields(ImageSettings(str(tmp_path), ["DNA"]))


@pytest.mark.parametrize("pattern", ["(", r"(?P<well>\w+)\.tif", r"(?P<row>\d)(?P<field>\d)"])
def test_a_useless_pattern_is_refused(tmp_path, pattern):
    with pytest.raises(ConfigError, match=r"images\.pattern"):
        find_fields(ImageSettings(str(tmp_path), STAINS, pattern=pattern))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no image"):
        find_fields(ImageSettings(str(tmp_path), STAINS))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_fields(ImageSettings(str(tmp_path / "nowhere"), STAINS))


ROWS = [
    {
        "Metadata_Plate": "P9",
        "Metadata_Well": "b2",
        "Metadata_Site": str(site),
        "FileName_OrigDNA": f"d{site}.tif",
        "PathName_OrigDNA": "raw",
        "URL_OrigER": f"file:/data/e{site}.tif",
        "ObjectsFileName_Cells": f"c{site}.png",
        "ObjectsPathName_Cells": "/labels",
    }
    for site in (1, 2)
]
LOAD_FILE = {
    "source": "load_file",
    "stains": STAINS,
    "channels": ["OrigDNA", "OrigER"],
    "labels": "Cells",
}


def write_csv(path, rows):
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


@pytest.mark.parametrize("prefix", ["", "Image_"])
def test_a_load_file_is_read_in_cellprofilers_columns(tmp_path, prefix):
    rows = [
        {key if key.startswith("Metadata") else prefix + key: value for key, value in row.items()}
        for row in ROWS
    ]
    fields = find_fields(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))
    assert [(f.plate, f.well, f.site) for f in fields] == [("P9", "B02", "1"), ("P9", "B02", "2")]
    assert fields[0].planes == (str(tmp_path / "raw" / "d1.tif"), "/data/e1.tif")
    assert fields[0].labels == "/labels/c1.png"


def test_a_parquet_load_file_gives_the_same_fields_as_csv(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "load.parquet")
    assert find_fields(ImageSettings(str(tmp_path / "load.parquet"), **LOAD_FILE)) == find_fields(
        ImageSettings(write_csv(tmp_path / "load.csv", ROWS), **LOAD_FILE)
    )


def test_a_load_file_without_a_column_names_line_and_column(tmp_path):
    rows = [{**ROWS[0]}, {**ROWS[1], "Metadata_Well": ""}]
    with pytest.raises(ConfigError, match=r"line 3: .*Metadata_Well"):
        find_fields(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))


def test_a_load_file_without_the_stains_says_what_it_expected(tmp_path):
    images = ImageSettings(write_csv(tmp_path / "load.csv", ROWS), ["Mito"], source="load_file")
    with pytest.raises(ConfigError, match="FileName_Mito"):
        find_fields(images)


@pytest.mark.parametrize("name", ["load.csv", "load.parquet"])
def test_a_load_file_that_is_none_is_refused(tmp_path, name):
    pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"\x89PNG\xff\xfe\0")
    with pytest.raises(ConfigError, match=f"{name} is no"):
        find_fields(ImageSettings(str(tmp_path / name), **LOAD_FILE))
