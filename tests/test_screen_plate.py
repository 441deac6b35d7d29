"""Fields of view found in folders and load files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from screen_plates import HARMONY_XML, LABELS, STAINS, write_plate

from captum_pcim.images.walk import ELSEWHERE
from captum_pcim.images.wells import row_and_column, row_letters, well_name
from captum_pcim.screen.config import ConfigError, ImageSettings, ScreenConfig
from captum_pcim.screen.layouts import Layout
from captum_pcim.screen.sources import find_fields, survey


@given(st.integers(0, 31), st.integers(0, 47))
def test_a_wells_name_tells_its_row_and_column(row, column):
    name = well_name(row_letters(row), str(column + 1))
    assert row_and_column(name) == (row, column)


@pytest.mark.parametrize("text", ["b2", "B02", "B 2", "B-02", "B002"])
def test_a_well_is_written_one_way(text):
    assert well_name(text) == "B02"


def test_a_row_number_becomes_its_letter():
    assert well_name("16", "24") == "P24"


@pytest.mark.parametrize("row", ["0", "49", "859", "99999999"])
def test_a_row_number_of_no_plate_is_refused(row):
    with pytest.raises(ValueError, match=f"at most AV72, got '{row}5'"):
        well_name(row, "5")


@pytest.mark.parametrize("text", ["", "7", "ABC1", "A123", "A", "A00", "B0", "AW01", "A73", "ZZ99",
                                  "123456789"])  # fmt: skip
def test_what_is_no_well_is_refused(text):
    with pytest.raises(ValueError, match="expected a well such as B02"):
        well_name(text)


LEICA = "image--L0000--S00--U11--V02--J08--E00--O00--X01--Y00"


@pytest.mark.parametrize(
    ("vendor", "path", "well", "field", "channel"),
    [
        ("plain", "P1/B03_f2_DNA.png", "B03", "2", "DNA"),
        ("opera", "P1/Images/r02c03f07p01-ch4sk1fk1fl1.tiff", "B03", "07", "4"),
        ("imagexpress", "P1/Week1_B03_s4_w2E1A0B6AE-F1.tif", "B03", "4", "2"),
        ("cellvoyager", "P1/Exp_B03_T0001F002L01A02Z01C03.tif", "B03", "002", "03"),
        ("incell", "P1/B - 03(fld 5 wv DAPI - DAPI).tif", "B03", "5", "DAPI - DAPI"),
        ("incell", "P1/B - 3(fld 05 wv Cy3 - Cy3 z 12).tif", "B03", "05", "Cy3 - Cy3"),
        ("plain", "P1/b3_DNA.TIF", "B03", "1", "DNA"),
        ("imagexpress", "P1/9987_B03.TIF", "B03", "1", ""),
        ("imagexpress", "P1/9987_B03_w2.TIF", "B03", "1", "2"),
        ("imagexpress", "P1/x_B03_s1E78EB128-BD0D-4D94-A6AD-3FF28BB1B105.tif", "B03", "1", ""),
        ("imagexpress", "P1/x_B03_s12_w10E78EB128-BD0D-4D94.tif", "B03", "12", "10"),
        ("scanr", "x/data/B3--W00015--P00002--Z00000--T00000--DAPI.tif", "", "00002", "DAPI"),
        ("plain", "P1/A012_DNA.tif", "A12", "1", "DNA"),
        ("columbus", "P1/002012-3-001002004.tif", "B12", "3", "004"),
        ("cytation", "P1/A1_01_2_3_Texas Red_001.tif", "A01", "3", "Texas Red"),
        ("cytation", "P1/AF48_02_1_1_CY5_001.tif", "AF48", "1", "CY5"),
        ("squid", "P1/0/B2_1_0_Fluorescence_405_nm_Ex.tiff", "B02", "1", "Fluorescence_405_nm_Ex"),
        ("leica", f"{LEICA}--T0000--Z00--C01.ome.tif", "C12", "X01--Y00", "01"),
        ("cellomics", "x/AS_09125_050116030001_B03f05d2.TIF", "B03", "05", "2"),
    ],
)
def test_vendors_names_are_read(vendor, path, well, field, channel):
    name = Layout(vendor).read(path)
    assert (name.well, name.field, name.channel) == (well, field, channel)


@pytest.mark.parametrize(
    ("vendor", "path", "z", "t"),
    [
        ("opera", "Images/r02c03f07p04-ch4sk2fk1fl1.tiff", 4, 2),
        ("imagexpress", "TimePoint_3/ZStep_2/x_B03_s1_w1.TIF", 2, 3),
        ("imagexpress", "x_B03_s1_w1.TIF", None, None),
        ("cellvoyager", "x_B03_T0002F002L01A02Z05C03.tif", 5, 2),
        ("incell", "B - 3(fld 05 wv Cy3 - Cy3 z 12).tif", 12, None),
        ("scanr", "--W00015--P00002--Z00003--T00001--DAPI.tif", 3, 1),
        ("plain", "B03_f1_t2_z3_DNA.tif", 3, 2),
        ("columbus", "002012-3-001002004.tif", 2, 1),
        ("squid", "5/B2_1_7_BF_LED.tiff", 7, 5),
        ("leica", f"{LEICA}--T0002--Z03--C01.tif", 3, 2),
    ],
)
def test_planes_and_time_points_are_read_from_names(vendor, path, z, t):
    name = Layout(vendor).read(path)
    assert (name.z, name.t) == (z, t)


def folder(tmp_path, *names, **settings):
    """The survey of a folder of empty files."""
    for name in names:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    settings.setdefault("stains", ["1"])
    return survey(ImageSettings(str(settings.pop("path", tmp_path)), **settings))


def remarks(found):
    return {remark.what: (remark.count, remark.missing) for remark in found.remarks}


HARMONY = "P1__2026-01-05T10_00_00-Measurement 1"
OPERA = "r01c01f01p01-ch1sk1fk1fl1.tiff"


@pytest.mark.parametrize("inside", ["", HARMONY, f"{HARMONY}/Images"])
def test_a_plate_has_one_name_from_wherever_it_is_looked_at(tmp_path, inside):
    found = folder(
        tmp_path,
        f"project/{HARMONY}/Images/{OPERA}",
        path=tmp_path / "project" / inside,
        pattern="opera",
    )
    assert [field.plate for field in found.fields] == ["P1"]


def test_two_measurements_of_a_plate_keep_what_tells_them_apart(tmp_path):
    other = HARMONY.replace("Measurement 1", "Measurement 2")
    found = folder(
        tmp_path, f"{HARMONY}/Images/{OPERA}", f"{other}/Images/{OPERA}", pattern="opera"
    )
    assert [field.plate for field in found.fields] == [HARMONY, other]


def test_plates_of_one_name_are_told_apart_by_the_folder_above(tmp_path):
    found = folder(tmp_path, "day1/P1/A01_f1_1.tif", "day2/P1/A01_f1_1.tif")
    assert [field.plate for field in found.fields] == ["day1/P1", "day2/P1"]


def test_the_days_numbers_and_steps_of_imagexpress_are_no_plates(tmp_path):
    found = folder(
        tmp_path,
        "P1/2026-02-21/1334/TimePoint_1/ZStep_1/x_A01_s1_w1.tif",
        "P2/2026-02-21/1335/TimePoint_1/ZStep_1/x_A01_s1_w1.tif",
        pattern="imagexpress",
    )
    assert [field.plate for field in found.fields] == ["P1", "P2"]


def test_the_chambers_and_fields_of_leica_are_no_plates(tmp_path):
    inside = "P1/slide--S00/chamber--U11--V02/field--X01--Y00"
    found = folder(tmp_path, f"{inside}/{LEICA}--T0000--Z00--C01.tif", pattern="leica")
    assert [(field.plate, field.well) for field in found.fields] == [("P1", "C12")]


def test_a_channel_may_be_two_stains(tmp_path):
    found = folder(tmp_path, "A01_f1_1.tif", stains=STAINS, channels=["1", "1"])
    (field,) = found.fields
    assert field.files == ((str(tmp_path / "A01_f1_1.tif"),),) * 2


def test_plates_in_one_folder_are_told_apart_by_what_their_names_begin_with(tmp_path):
    found = folder(tmp_path, "x/P1_A01_s1_w1.tif", "x/P2_A01_s1_w1.tif", pattern="imagexpress")
    assert [field.plate for field in found.fields] == ["P1", "P2"]


def test_a_folder_for_each_stain_is_one_plate(tmp_path):
    found = folder(
        tmp_path, "P1/DNA/A01_f1_DNA.tif", "P1/ER/A01_f1_ER.tif", "P2/DNA/A01_f1_DNA.tif",
        "P2/ER/A01_f1_ER.tif", stains=STAINS,
    )  # fmt: skip
    assert [(field.plate, field.problem) for field in found.fields] == [("P1", ""), ("P2", "")]


@pytest.mark.parametrize(
    "inside", ["{well}", "Well {well}", "{well}/f{field}", "{well}/Site_0{field}"]
)
def test_folders_of_wells_and_of_their_fields_are_no_plates(tmp_path, inside):
    wells, fields = ("A01", "B02"), ("1", "2")
    names = [
        f"P1/{inside.format(well=well, field=field)}/{well}_f{field}_1.tif"
        for well in wells
        for field in fields
    ]
    found = folder(tmp_path, *names)
    assert [(f.plate, f.well, f.site) for f in found.fields] == [
        ("P1", well, field) for well in wells for field in fields
    ]


def test_a_plate_that_is_called_as_one_of_its_wells_stays_whole(tmp_path):
    found = folder(tmp_path, "A01/A01_f1_1.tif", "A01/B02_f1_1.tif", "2/C03_f2_1.tif")
    assert [field.plate for field in found.fields] == ["2", "A01", "A01"]


def test_links_are_followed_within_the_root_and_told_where_they_leave_it(tmp_path):
    for name in ("root/P1/A01_f1_1.tif", "root/store/P2/B02_f1_1.tif", "outside/P3/C03_f1_1.tif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "root" / "P2").symlink_to("store/P2")
    (tmp_path / "root" / "P3").symlink_to("../outside/P3")
    found = folder(tmp_path / "root")
    assert [(field.plate, field.well) for field in found.fields] == [("P1", "A01"), ("P2", "B02")]
    assert remarks(found) == {f"passed over ({ELSEWHERE})": (1, True)}


def test_what_is_passed_over_is_counted_with_an_example(tmp_path):
    found = folder(
        tmp_path, "P1/A01_f1_1.tif", "P1/._A01_f1_1.tif", ".git/P1/A02_f1_1.tif", "P1/notes.txt",
        "P1/overview.tif", "P1/A01_f1_9.tif", "P1/A01_f1_1_thumb.tif", "plate.zarr/0/A01_f1_1.tif",
    )  # fmt: skip
    assert len(found.fields) == 1
    assert remarks(found) == {
        "passed over (hidden)": (2, False),
        "passed over (thumbnail)": (1, False),
        "passed over (a Zarr store)": (1, False),
        "files that are no images": (1, False),
        "images whose names do not fit the pattern": (1, False),
        "images of channels that are not asked for": (1, False),
    }
    examples = {remark.example for remark in found.remarks}
    assert {"P1/notes.txt", "P1/overview.tif", "P1/A01_f1_9.tif", "plate.zarr"} < examples


@pytest.mark.parametrize(
    "entry", [{"z": 0}, {"z": "3"}, {"z": "min"}, {"t": 0}, {"illumination": "times"}]
)
def test_an_impossible_choice_is_refused_by_its_name(entry):
    (name,) = entry
    tables = {
        "images": {"path": "x", "stains": ["DNA"], **entry},
        "model": {"path": "x"},
        "output": {"path": "y"},
    }
    with pytest.raises(ConfigError, match=rf"images\.{name}"):
        ScreenConfig.from_dict(tables)


def opera(z, t=1, channel=1, field=1):
    return f"r01c01f{field:02d}p{z:02d}-ch{channel}sk{t}fk1fl1.tiff"


def test_several_planes_and_no_choice_are_an_error_that_names_them(tmp_path):
    with pytest.raises(ConfigError, match=r"planes along z: 1, 2\. Say which by z"):
        folder(tmp_path, opera(1), opera(2), pattern="opera")


def test_several_time_points_and_no_choice_are_an_error_that_names_them(tmp_path):
    with pytest.raises(ConfigError, match=r"time points: 1, 2\. Say which by t"):
        folder(tmp_path, opera(1), opera(1, t=2), pattern="opera")


@pytest.mark.parametrize(("z", "planes"), [(2, [2]), ("max", [1, 2]), ("mean", [1, 2])])
def test_the_files_of_the_planes_that_are_asked_for_are_taken(tmp_path, z, planes):
    found = folder(tmp_path, opera(1), opera(2), opera(1, t=2), pattern="opera", z=z, t=1)
    (field,) = found.fields
    assert field.files == (tuple(str(tmp_path / opera(plane)) for plane in planes),)
    assert (field.plane, field.time) == (str(z), "1")


def test_a_plane_that_one_field_lacks_fails_that_field_alone(tmp_path):
    names = (opera(1), opera(2), opera(1, field=2))
    found = folder(tmp_path, *names, pattern="opera", z="max")
    assert [field.problem for field in found.fields] == ["", "no file for stain 1 at plane 2"]


def test_planes_that_names_count_from_0_are_counted_from_1(tmp_path):
    names = [f"A1--W00001--P00001--Z0000{z}--T00000--1.tif" for z in (0, 1)]
    (field,) = folder(tmp_path, *names, pattern="scanr", z=2).fields
    assert field.files == ((str(tmp_path / names[1]),),)
    assert (field.plane, field.time) == ("2", "1")


def z_names(plate, planes, channel="1", axis="z"):
    return [f"{plate}/A01_f1_{axis}{number}_{channel}.tif" for number in planes]


@pytest.mark.parametrize(
    "beside",
    [
        z_names("P2", [0, 1]),
        z_names("P1", [0], channel="brightfield"),
        z_names("P1", [0, 1], channel="cells"),
    ],
    ids=["another plate", "an unwanted channel", "masks"],
)
def test_what_counts_from_0_beside_a_plate_leaves_its_planes_alone(tmp_path, beside):
    names = z_names("P1", [1, 2])
    labels = r"(?P<well>\w\d\d)_f(?P<field>\d)_z(?P<z>\d)_cells\.tif"
    field, *others = folder(tmp_path, *names, *beside, labels=labels, z=2).fields
    assert field.files == ((str(tmp_path / names[1]),),)
    assert [other.files for other in others] == [((str(tmp_path / "P2/A01_f1_z1_1.tif"),),)] * len(
        others
    )


def test_time_points_are_counted_plate_by_plate_and_it_is_said(tmp_path):
    names = [*z_names("P1", [0, 1], axis="t"), *z_names("P2", [1, 2], axis="t")]
    found = folder(tmp_path, *names, t=1)
    assert [field.files for field in found.fields] == [
        ((str(tmp_path / name),),) for name in (names[0], names[2])
    ]
    said = "plates whose time points count from 1, beside others' from 0: 1, for example P2"
    assert said in map(str, found.remarks)


@pytest.mark.parametrize(
    ("images", "masks", "mask_of_plane_2"),
    [([1, 2], [0, 1], 1), ([0, 1], [0, 1], 1), ([0, 1], [1, 2], 2), ([0, 1], [1], 1),
     ([1, 2], [1, 2], 2)],
)  # fmt: skip
def test_masks_are_counted_apart_but_for_the_first_that_is_missing(
    tmp_path, images, masks, mask_of_plane_2
):
    names = [*z_names("P1", images), *z_names("P1", masks, "cells")]
    labels = r"(?P<well>\w\d\d)_f(?P<field>\d)_z(?P<z>\d)_cells\.tif"
    (field,) = folder(tmp_path, *names, labels=labels, z=2).fields
    assert field.labels == str(tmp_path / z_names("P1", [mask_of_plane_2], "cells")[0])


STEPS = ("x_A01_s1_w1.tif", "ZStep_1/x_A01_s1_w1.tif", "ZStep_2/x_A01_s1_w1.tif")


@pytest.mark.parametrize(
    ("z", "files"), [("projection", STEPS[:1]), (2, STEPS[2:]), ("max", STEPS[1:])]
)
def test_the_microscopes_projection_is_no_plane(tmp_path, z, files):
    (field,) = folder(tmp_path, *STEPS, pattern="imagexpress", z=z).fields
    assert field.files == (tuple(str(tmp_path / name) for name in files),)


def test_step_0_of_imagexpress_is_its_projection(tmp_path):
    names = [name if "/" in name else f"ZStep_0/{name}" for name in STEPS]
    with pytest.raises(ConfigError, match="1, 2, and the microscope's own projection"):
        folder(tmp_path, *names, pattern="imagexpress")


@pytest.mark.parametrize(("number", "well"), [(1, "A01"), (13, "B01"), (96, "H12")])
def test_wells_of_scanr_that_have_numbers_are_counted_and_it_is_said(tmp_path, number, well):
    name = f"--W{number:05d}--P00001--Z00000--T00000--1.tif"
    found = folder(tmp_path, f"x/data/{name}", pattern="scanr")
    assert [(field.plate, field.well) for field in found.fields] == [("x", well)]
    assert any("row by row over 12 columns" in what for what in remarks(found))


MASKS = r"masks/(?P<well>\w\d\d)_f(?P<field>\d+)\.tif"


def test_masks_in_another_folder_belong_to_the_plate_around_them(tmp_path):
    found = folder(tmp_path, "P1/images/A01_f1_1.tif", "P1/masks/A01_f1.tif", labels=MASKS)
    (field,) = found.fields
    assert (field.plate, field.labels) == ("P1", str(tmp_path / "P1/masks/A01_f1.tif"))
    assert found.remarks == []


MASKS_OF_PLATES = r"(?P<plate>[^/]+)/cells/(?P<well>\w\d\d)_(?P<field>\d+)\.tif"


@pytest.mark.parametrize("order", [("P1", "P2"), ("P2", "P1")])
def test_masks_stay_with_the_plate_they_lie_in_where_folders_have_one_name(tmp_path, order):
    with_masks, without = order
    names = [f"{plate}/run1/A01_f1_1.tif" for plate in order]
    mask = f"{with_masks}/run1/cells/A01_1.tif"
    found = folder(tmp_path, *names, mask, labels=MASKS_OF_PLATES)
    labels = {field.plate: field.labels for field in found.fields}
    assert labels == {f"{with_masks}/run1": str(tmp_path / mask), f"{without}/run1": ""}


def test_a_mask_elsewhere_that_names_two_plates_is_told_and_given_to_neither(tmp_path):
    names = ["P1/run1/A01_f1_1.tif", "P2/run1/A01_f1_1.tif", "masks/run1/cells/A01_1.tif"]
    found = folder(tmp_path, *names, labels=MASKS_OF_PLATES)
    assert [field.labels for field in found.fields] == ["", ""]
    assert remarks(found)["label images that match no image"] == (1, True)


def test_a_mask_elsewhere_belongs_to_the_plate_that_it_names(tmp_path):
    names = ["P1/A01_f1_1.tif", "P2/A01_f1_1.tif", "masks/P2/cells/A01_1.tif"]
    found = folder(tmp_path, *names, labels=MASKS_OF_PLATES)
    assert [field.labels for field in found.fields] == ["", str(tmp_path / names[2])]


def test_masks_that_match_no_image_and_fields_without_a_mask_are_told(tmp_path):
    found = folder(tmp_path, "P1/images/A01_f01_1.tif", "P1/masks/A01_f1.tif", labels=MASKS)
    assert remarks(found) == {
        "label images that match no image": (1, True),
        "fields without a label image": (1, True),
    }
    assert "an image is P1 A01 field 01" in str(found.remarks[0])


MASKS_OF_PLANES = r"(?P<well>\w\d\d)_f(?P<field>\d)_t(?P<t>\d)_z(?P<z>\d)_cells\.tif"


@pytest.mark.parametrize("first", [0, 1])
def test_the_mask_of_the_plane_and_time_point_that_are_asked_for_is_taken(tmp_path, first):
    every = [f"A01_f1_t{t + first}_z{z + first}" for t in (0, 1) for z in (0, 1)]
    images, masks = [f"{name}_1.tif" for name in every], [f"{name}_cells.tif" for name in every]
    found = folder(tmp_path, *images, *masks, labels=MASKS_OF_PLANES, t=2, z=1)
    (field,) = found.fields
    assert field.labels == str(tmp_path / f"A01_f1_t{1 + first}_z{first}_cells.tif")
    assert remarks(found)["label images of other planes or time points"] == (3, False)


def test_a_mask_of_another_time_point_is_never_taken(tmp_path):
    names = ["A01_f1_t1_z1_1.tif", "A01_f1_t2_z1_1.tif", "A01_f1_t1_z1_cells.tif"]
    found = folder(tmp_path, *names, labels=MASKS_OF_PLANES, t=2)
    assert [field.labels for field in found.fields] == [""]
    assert remarks(found)["fields without a label image"] == (1, True)


def test_two_masks_of_a_field_are_refused(tmp_path):
    names = ("P1/A01_f1_1.tif", "P1/a/masks/A01_f1.tif", "P1/b/masks/A01_f1.tif")
    with pytest.raises(ConfigError, match="two label images"):
        folder(tmp_path, *names, labels=MASKS)


YOKOGAWA_MRF = """<?xml version="1.0"?>
<bts:MeasurementDetail xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
<bts:MeasurementChannel bts:Ch="1" bts:HorizontalPixelDimension="0.5"
 bts:VerticalPixelDimension="0.6"/></bts:MeasurementDetail>"""
YOKOGAWA_MES = """<?xml version="1.0"?>
<bts:MeasurementSetting xmlns:bts="http://www.yokogawa.co.jp/BTS/BTSSchema/1.0">
<bts:Channel bts:Ch="1" bts:Acquisition="Alexa 488" bts:Fluorophore=""/></bts:MeasurementSetting>"""


@pytest.mark.parametrize(
    ("pattern", "image", "files", "size"),
    [
        ("opera", f"P1/Images/{OPERA}", {"P1/Images/Index.idx.xml": HARMONY_XML}, (0.6, 0.5)),
        ("imagexpress", "P1/x_A01_s1_w1.tif", {"P1/x.HTD": '"WaveName1", "Alexa 488"'}, ()),
        (
            "cellvoyager",
            "P1/x_A01_T0001F001L01A01Z01C01.tif",
            {"P1/MeasurementDetail.mrf": YOKOGAWA_MRF, "P1/x.mes": YOKOGAWA_MES},
            (0.6, 0.5),
        ),
    ],
)
def test_the_instruments_own_files_name_channels_and_pixels(tmp_path, pattern, image, files, size):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = folder(tmp_path, image, pattern=pattern, channels=["Alexa 488"])
    (field,) = found.fields
    assert not field.problem
    assert field.pixel_size == pytest.approx(size)
    assert any("(Alexa 488)" in channel for channel in found.channels)
    assert found.remarks == []


NO_STAIN = "plates without an image of a stain that is asked for"


def test_a_plate_whose_instruments_file_is_missing_is_told_as_missing(tmp_path):
    for plate in ("PA", "PB"):
        (tmp_path / plate).mkdir()
    (tmp_path / "PA" / "Index.idx.xml").write_text(HARMONY_XML)
    names = [f"{plate}/{OPERA}" for plate in ("PA", "PB")]
    found = folder(tmp_path, *names, pattern="opera", stains=["Alexa 488"])
    assert [field.plate for field in found.fields] == ["PA"]
    told = next(remark for remark in found.remarks if remark.what == NO_STAIN)
    assert (told.count, told.missing) == (1, True)
    assert told.example == f"{tmp_path / 'PB'} (channels 1)"


@pytest.mark.parametrize("channels", [("dna", "er"), ("DAPI", "GFP")], ids=["case", "other"])
def test_a_plate_that_calls_every_stain_otherwise_is_told_as_missing(tmp_path, channels):
    names = [f"P1/A01_f1_{stain}.tif" for stain in STAINS]
    names += [f"P2/A01_f1_{channel}.tif" for channel in channels]
    found = folder(tmp_path, *names, stains=STAINS)
    assert remarks(found)[NO_STAIN] == (1, True)


@pytest.mark.parametrize("channels", [("dna", "er"), ("DNAA", "EER"), ("er",)])
def test_a_field_that_calls_every_stain_otherwise_fails(tmp_path, channels):
    names = [f"P1/A01_f1_{stain}.tif" for stain in STAINS]
    names += [f"P1/A02_f1_{channel}.tif" for channel in channels]
    found = folder(tmp_path, *names, stains=STAINS)
    assert [(field.well, field.problem) for field in found.fields] == [
        ("A01", ""), ("A02", "no file for stain DNA, ER"),
    ]  # fmt: skip
    unreadable = "fields that cannot be read (no file for stain DNA, ER)"
    assert remarks(found)[unreadable] == (1, True)


@pytest.mark.parametrize(
    "beside",
    [
        ["P1_masks/A01_f1_cells.tif"],
        ["P1/A01_f9_overview.tif"],
        ["P1/segmented/A01_f1_cells.tif", "P1/segmented/A01_f1_nuclei.tif"],
        ["P1/A01_f1_cells.tif", "P1/A01_f1_nuclei.tif"],
    ],
)
def test_other_channels_beside_the_stains_are_passed_over(tmp_path, beside):
    names = [f"P1/A01_f1_{stain}.tif" for stain in STAINS]
    found = folder(tmp_path, *names, *beside, stains=STAINS)
    assert [(field.plate, field.problem) for field in found.fields] == [("P1", "")]
    assert remarks(found) == {"images of channels that are not asked for": (len(beside), False)}


def test_of_folders_for_each_stain_one_may_be_asked_for(tmp_path):
    found = folder(tmp_path, "P1/DNA/A01_f1_DNA.tif", "P1/ER/A01_f1_ER.tif", stains=["DNA"])
    assert len(found.fields) == 1
    assert not any(remark.missing for remark in found.remarks)


def test_a_damaged_file_of_the_instrument_says_nothing(tmp_path):
    (tmp_path / "Images").mkdir()
    (tmp_path / "Images" / "Index.idx.xml").write_text("<broken")
    assert len(folder(tmp_path, f"Images/{OPERA}", pattern="opera").fields) == 1


def test_a_folder_gives_fields_in_plate_order(tmp_path):
    write_plate(tmp_path, wells=("B01", "A10", "A02"), sites=10)
    fields = find_fields(ImageSettings(str(tmp_path), STAINS, labels=LABELS))
    assert [f.well for f in fields[::10]] == ["A02", "A10", "B01"]
    assert [f.site for f in fields[:10]] == [str(site) for site in range(1, 11)]
    first = fields[0]
    assert first.files == tuple((str(tmp_path / "P1" / f"A02_f1_{s}.png"),) for s in STAINS)
    assert first.labels == str(tmp_path / "P1" / "A02_f1_labels.png")


def test_stains_come_in_the_networks_order_under_the_files_names(tmp_path):
    for channel in (1, 2):
        (tmp_path / f"r01c01f01p01-ch{channel}sk1fk1fl1.tiff").touch()
    images = ImageSettings(str(tmp_path), ["ER", "DNA"], channels=["2", "1"], pattern="opera")
    (field,) = find_fields(images)
    assert ["-ch2" in field.files[0][0], "-ch1" in field.files[1][0]] == [True, True]
    assert field.plate == tmp_path.name


def test_a_pattern_without_channel_means_all_stains_in_one_file(tmp_path):
    (tmp_path / "A01_1.tif").touch()
    pattern = r"(?P<well>\w\d\d)_(?P<field>\d)\.tif"
    (field,) = find_fields(ImageSettings(str(tmp_path), STAINS, pattern=pattern))
    assert (field.files, field.together) == (((str(tmp_path / "A01_1.tif"),),), True)


def test_a_missing_channel_leaves_its_place_empty(tmp_path):
    (write_plate(tmp_path, wells=("A01",), sites=1) / "P1" / "A01_f1_ER.png").unlink()
    (field,) = find_fields(ImageSettings(str(tmp_path), STAINS, labels=LABELS))
    assert field.files == ((str(tmp_path / "P1" / "A01_f1_DNA.png"),), ())
    assert field.problem == "no file for stain ER"


def test_two_files_for_one_plane_are_refused(tmp_path):
    for name in ("A01_f1_DNA.png", "A1_1_DNA.png"):
        (tmp_path / name).touch()
    with pytest.raises(ConfigError, match="two"):
        find_fields(ImageSettings(str(tmp_path), ["DNA"]))


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("(", "no regular expression"),
        (r"(?P<well>\w+)\.tif", r"groups field and well .*got \['well'\]"),
        (r"(?P<row>\d)(?P<field>\d)", "groups field and well"),
        ("operetta", "ready-made pattern among .*got 'operetta'"),
        (r"(?P<well>\w)(?P<field>\d)(?P<chanel>\w)", r"'channel'.*got \['chanel'\]"),
    ],
)
def test_a_useless_pattern_is_refused(tmp_path, pattern, said):
    with pytest.raises(ConfigError, match=rf"images\.pattern: .*{said}"):
        find_fields(ImageSettings(str(tmp_path), STAINS, pattern=pattern))


@pytest.mark.parametrize(
    ("name", "lacks"),
    [
        ("_f1_z1.tif", "no well"),
        ("A00_f1_z1.tif", "no well"),
        ("A123_f1_z1.tif", "no well"),
        ("A01_f1_zb.tif", "no number by the group z"),
    ],
)
def test_a_name_that_fits_but_says_nothing_is_counted_as_missing(tmp_path, name, lacks):
    pattern = r"(?P<well>\w+)?_f(?P<field>\d)_z(?P<z>\w)\.tif"
    found = folder(tmp_path, name, "B02_f1_z1.tif", pattern=pattern)
    assert [field.well for field in found.fields] == ["B02"]
    assert remarks(found) == {f"images whose names fit the pattern but tell {lacks}": (1, True)}


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("x_A01_s1_w1.tif", "images.pattern = 'imagexpress' would fit"),
        ("002012-3-001002004.tif", "images.pattern = 'columbus' would fit"),
        ("cells.tif", "describe the names by a regular expression"),
    ],
)
def test_where_no_name_fits_it_is_said_which_pattern_would(tmp_path, name, advice):
    with pytest.raises(ConfigError, match=advice):
        folder(tmp_path, name, pattern="opera")


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"source": "load_file", "pattern": "opera"}, "images.pattern: .*'folder'.*'load_file'"),
        ({"illumination": "divide"}, "images.illumination: .*'load_file'.*'folder'"),
        ({"acquisition": 1}, "images.acquisition: .*'ome_zarr'.*'folder'"),
        ({"objects": ""}, "images.objects: expected a name, got ''"),
        ({"stains": ["DNA", ""]}, r"images.stains: expected names, got \['DNA', ''\]"),
    ],
)
def test_an_entry_that_would_be_passed_over_is_refused(entries, said):
    with pytest.raises(ConfigError, match=said):
        ImageSettings(**{"path": "plate", "stains": STAINS, **entries})


@pytest.mark.parametrize("source", ["folder", "load_file", "ome_zarr"])
def test_a_path_of_the_wrong_kind_is_named(tmp_path, source):
    path = tmp_path if source == "load_file" else tmp_path / "load.csv"
    (tmp_path / "load.csv").touch()
    with pytest.raises(ConfigError, match=rf"images\.path: .* source = '{source}' takes a"):
        survey(ImageSettings(str(path), STAINS, source=source))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no image"):
        find_fields(ImageSettings(str(tmp_path), STAINS))


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        find_fields(ImageSettings(str(tmp_path / "nowhere"), STAINS))
