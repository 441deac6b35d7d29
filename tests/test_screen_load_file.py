"""Fields of view that load files list."""

import csv
import gzip

import pytest
from screen_plates import STAINS

from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.sources import find_fields, survey

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
    assert fields[0].files == ((str(tmp_path / "raw" / "d1.tif"),), ("/data/e1.tif",))
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
    with pytest.raises(
        ConfigError, match=r"FileName_Mito; the channels are \['OrigDNA', 'OrigER'\]"
    ):
        find_fields(images)


def test_a_rows_number_is_kept_in_whatever_order_the_fields_come(tmp_path):
    rows = [{**ROWS[0], "Metadata_Well": well} for well in ("C03", "A01", "B02")]
    fields = find_fields(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))
    assert [(field.well, field.number) for field in fields] == [("A01", 2), ("B02", 3), ("C03", 1)]


@pytest.mark.parametrize("url", ["file:///data/a%20b%25.tif", "file:/data/a%20b%25.tif"])
def test_urls_are_decoded(tmp_path, url):
    rows = [{**ROWS[0], "URL_OrigER": url}]
    (field,) = find_fields(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))
    assert field.files[1] == ("/data/a b%.tif",)


def test_an_empty_cell_fails_its_row_alone(tmp_path):
    rows = [{**ROWS[0], "FileName_OrigDNA": ""}, ROWS[1]]
    fields = find_fields(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))
    assert [field.problem for field in fields] == ["no file for stain DNA", ""]


@pytest.mark.parametrize(
    ("path", "place"),
    [("s3://bucket/images", "s3://bucket"), ("file://server/share", "file://server")],
)
def test_files_elsewhere_are_told_once_and_clearly(tmp_path, path, place):
    rows = [{**row, "PathName_OrigDNA": path} for row in ROWS]
    found = survey(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))
    (remark,) = found.remarks
    assert remark.count == 2 and remark.missing
    assert f"not on this machine but at {place}: copy them" in str(remark)


def test_other_metadata_columns_are_kept(tmp_path):
    rows = [{**row, "Metadata_Batch": "7", "Metadata_Compound": "DMSO"} for row in ROWS]
    field = find_fields(ImageSettings(write_csv(tmp_path / "load.csv", rows), **LOAD_FILE))[0]
    assert field.metadata == (("Metadata_Batch", "7"), ("Metadata_Compound", "DMSO"))


def test_a_compressed_load_file_gives_the_same_fields(tmp_path):
    write_csv(tmp_path / "load.csv", ROWS)
    packed = tmp_path / "load.csv.gz"
    packed.write_bytes(gzip.compress((tmp_path / "load.csv").read_bytes()))
    assert find_fields(ImageSettings(str(packed), **LOAD_FILE)) == find_fields(
        ImageSettings(str(tmp_path / "load.csv"), **LOAD_FILE)
    )


@pytest.mark.parametrize("kind", ["FileName", "URL"])
def test_illumination_images_are_never_passed_over_in_silence(tmp_path, kind):
    path = write_csv(tmp_path / "load.csv", [{**ROWS[0], f"{kind}_IllumDNA": "dna.npy"}])
    with pytest.raises(ConfigError, match=r"images.illumination: .*'divide' or 'subtract'"):
        find_fields(ImageSettings(path, **LOAD_FILE))
    (field,) = find_fields(ImageSettings(path, **LOAD_FILE, illumination="none"))
    assert (field.illumination, field.problem) == ((), "")
    (field,) = find_fields(ImageSettings(path, **LOAD_FILE, illumination="divide"))
    assert field.problem == "no illumination image for stain ER"


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"Frame_OrigER": "1"}, r"line 3: Frame_OrigER is 1; .* save every plane as a file"),
        ({"Image_Series_OrigDNA": "2"}, "line 3: Series_OrigDNA is 2; "),
        ({"ObjectsFrame_Cells": "1.0"}, "line 3: ObjectsFrame_Cells is 1; "),
        ({"Frame_IllumDNA": "1"}, "line 3: Frame_IllumDNA is 1; "),
    ],
)
def test_planes_of_a_file_that_columns_choose_are_not_read_as_its_first(tmp_path, columns, said):
    path = write_csv(tmp_path / "load.csv", [{**ROWS[0], **dict.fromkeys(columns, "0")},
                                             {**ROWS[1], **columns}])  # fmt: skip
    corrected = {"illumination": "divide"} if "Frame_IllumDNA" in columns else {}
    with pytest.raises(ConfigError, match=said):
        find_fields(ImageSettings(path, **LOAD_FILE, **corrected))


@pytest.mark.parametrize("value", ["", "0", "0.0"])
def test_columns_that_choose_the_first_plane_or_one_of_another_stain_change_nothing(
    tmp_path, value
):
    rows = [{**row, "Frame_OrigDNA": value, "Series_OrigDNA": value, "Frame_Mito": "3",
             "Frame_IllumDNA": "3"} for row in ROWS]  # fmt: skip
    found = find_fields(ImageSettings(write_csv(tmp_path / "more.csv", rows), **LOAD_FILE))
    plain = find_fields(ImageSettings(write_csv(tmp_path / "load.csv", ROWS), **LOAD_FILE))
    assert [field.files for field in found] == [field.files for field in plain]


@pytest.mark.parametrize("name", ["load.csv", "load.parquet"])
def test_a_load_file_that_is_none_is_refused(tmp_path, name):
    pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(b"\x89PNG\xff\xfe\0")
    with pytest.raises(ConfigError, match=f"{name} is no"):
        find_fields(ImageSettings(str(tmp_path / name), **LOAD_FILE))


HEADER = "FileName_OrigDNA,FileName_OrigER,Metadata_Plate,Metadata_Well,Metadata_Site\n"
FIRST, SECOND = "d1.tif,e1.tif,P9,B02,1\n", "d2.tif,e2.tif,P9,B02,2\n"
FILES = {**LOAD_FILE, "labels": ""}


def written(tmp_path, text):
    (tmp_path / "load.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return find_fields(ImageSettings(str(tmp_path / "load.csv"), **FILES))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", ", "),
        lambda text: text.replace("\n", " \n"),
        lambda text: text + "\n,,,,\n",
    ],
    ids=["crlf", "bom", "semicolons", "tabs", "blanks", "trailing-blanks", "empty-rows"],
)
def test_the_dialect_of_a_csv_file_does_not_matter(tmp_path, change):
    text = HEADER + FIRST + SECOND
    assert written(tmp_path, change(text)) == written(tmp_path, text)


def test_numbers_beside_an_empty_cell_of_a_parquet_column_stay_whole(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = [{**ROWS[0], "Metadata_Site": 1.0, "Metadata_Plate": 20.0, "Metadata_Dose": 0.5}]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "load.parquet")
    (field,) = find_fields(ImageSettings(str(tmp_path / "load.parquet"), **LOAD_FILE))
    assert (field.plate, field.site) == ("20", "1")
    assert field.metadata == (("Metadata_Dose", "0.5"),)


@pytest.mark.parametrize(
    ("written_as", "site"), [("1.0", "1"), ("10.0", "10"), ("1.5", "1.5"), ("1.0.0", "1.0.0")]
)
def test_whole_numbers_that_pandas_wrote_as_floats_are_whole_in_csv_too(tmp_path, written_as, site):
    (field,) = written(tmp_path, HEADER + "d1.tif,e1.tif,P9,B02," + written_as + "\n")
    assert field.site == site


def test_commas_that_end_a_row_as_spreadsheets_write_them_are_no_cells(tmp_path):
    header = HEADER.replace("\n", ",,\n")
    (field,) = written(tmp_path, header + "d1.tif,e1.tif,P9,B02,2,,,\n")
    assert (field.plate, field.well, field.site, field.metadata) == ("P9", "B02", "2", ())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEADER + FIRST + "d,2.tif,e2.tif,P9,B02,2\n", "line 3: expected 5 cells, got 6; quote"),
        (HEADER + FIRST + "d2.tif,e2.tif,P9,XYZ,2\n", "line 3: expected a well .*'XYZ'"),
        (HEADER + FIRST + FIRST, "two images are P9 B02 field 1: .*; a load file has one row"),
        (HEADER.replace("OrigER", "OrigDNA") + FIRST, r"columns twice: \['FileName_OrigDNA'\]"),
        (HEADER, "no load file with a row: expected columns such as"),
        ("", "no load file with a row"),
        ((HEADER + FIRST).encode("utf-16"), "save it as UTF-8"),
        ((HEADER + FIRST.replace("d1", "\xe4")).encode("latin-1"), "save it as UTF-8"),
    ],
)
def test_a_damaged_load_file_is_refused_with_what_to_do(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        written(tmp_path, text)


def test_a_column_of_label_images_that_there_is_not_is_named_with_those_there_are(tmp_path):
    path = write_csv(tmp_path / "load.csv", ROWS)
    with pytest.raises(ConfigError, match=r"ObjectsFileName_Nuclei; its label .*\['Cells'\]"):
        find_fields(ImageSettings(path, **{**LOAD_FILE, "labels": "Nuclei"}))


@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"PathName_OrigDNA": r"C:\data\plate"}, "C:\\"),
        ({"PathName_OrigDNA": r"\\server\share"}, r"\\server"),
        ({"URL_OrigER": "file:///D:/plate/e1.tif"}, "D:/"),
    ],
)
def test_files_on_a_drive_of_windows_are_told(tmp_path, row, place):
    path = write_csv(tmp_path / "load.csv", [{**ROWS[0], **row}])
    (field,) = find_fields(ImageSettings(path, **LOAD_FILE))
    assert f"not on this machine but at {place}: copy them" in field.problem


def test_a_relative_path_of_windows_is_read(tmp_path):
    path = write_csv(tmp_path / "load.csv", [{**ROWS[0], "PathName_OrigDNA": r"raw\day1"}])
    (field,) = find_fields(ImageSettings(path, **LOAD_FILE))
    assert field.files[0] == (str(tmp_path / "raw" / "day1" / "d1.tif"),)
