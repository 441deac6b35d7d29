"""Full maps in the folder `maps`, read by the libraries that people read them with."""

import dataclasses
import json
import os
import re
from typing import get_args

import numpy as np
import pytest
from screen_plates import (
    HARMONY_XML,
    STAINS,
    TESTS,
    command_line,
    config,
    finished,
    no_litter,
    pixels,
    tables,
    write_field,
    write_plate,
    write_toml,
)

from captum_pcim.screen import ConfigError, run_screen
from captum_pcim.screen.report import safe_name
from captum_pcim.screen.settings import MapForm, OutputSettings

zarr = pytest.importorskip("zarr", minversion="3")
tifffile = pytest.importorskip("tifffile")
HOSTILE = "../P 1 <b>é"


@pytest.fixture(autouse=True)
def in_tests(monkeypatch):
    monkeypatch.chdir(TESTS)


@pytest.fixture
def screen(tmp_path):
    """A plate of two wells with two fields."""
    write_plate(tmp_path / "images", wells=("A01", "B02"))
    return tmp_path


def run(folder, form, **changes):
    return run_screen(config(folder, output={"maps": form}, **changes))


def stored(folder):
    """The maps of the results, by well and field."""
    found = {}
    for path in (folder / "results" / "done").glob("*/*/map.zarr"):
        group = zarr.open_group(path, mode="r")
        _, well, site = group.attrs["ome"]["multiscales"][0]["name"].split(" ")
        found[well, site] = np.asarray(group["0"][...], np.float32)
    return found


def files(folder):
    return {p.relative_to(folder / "results" / "maps").as_posix(): p.stat().st_mtime_ns
            for p in (folder / "results" / "maps").rglob("*.tif")}  # fmt: skip


# ---- TIFF ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("isolation", ["shared", "per_stain"])
def test_tiff_files_hold_the_maps_as_imagej_reads_them(screen, isolation):
    run(screen, "tiff", attribution={"isolation": isolation})
    assert set(files(screen)) == {f"P1/{w}_{f}.tif" for w in ("A01", "B02") for f in (1, 2)}
    for (well, site), weights in stored(screen).items():
        with tifffile.TiffFile(screen / "results" / "maps" / "P1" / f"{well}_{site}.tif") as file:
            read, told = file.asarray(), file.imagej_metadata
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read.reshape(weights.shape), weights)
        names = STAINS if isolation == "per_stain" else ["all stains"]
        labels = told["Labels"] if isolation == "per_stain" else [told["Labels"]]
        assert np.ravel(labels).tolist() == names
        assert (told["min"], told["max"]) == (0.0, 1.0)


def test_tiff_files_have_the_pixel_size_of_their_image(tmp_path):
    from captum_pcim.images.pixel_size import pixel_size
    from captum_pcim.screen.map_files import write_tiff
    from captum_pcim.screen.maps import StoredMap

    weights = np.random.default_rng(0).random((2, 8, 6), np.float32)
    write_tiff(tmp_path / "a.tif", StoredMap(weights, STAINS, (1.3, 0.65), "micrometer"), "ab")
    found = pixel_size(tmp_path / "a.tif")
    assert found is not None
    (height, width), unit = found
    assert unit == "micrometer"
    assert (height, width) == pytest.approx((1.3, 0.65), rel=1e-6)


@pytest.mark.parametrize("form", get_args(MapForm))
def test_the_pixel_size_that_the_microscope_tells_of_its_plate_arrives(tmp_path, form):
    from captum_pcim.images.pixel_size import pixel_size
    from captum_pcim.screen.zarr_plate import axes_of, scale_of

    if form == "ome_zarr":
        pytest.importorskip("ome_zarr")
    folder = tmp_path / "images" / "P1" / "Images"
    folder.mkdir(parents=True)
    (folder / "Index.idx.xml").write_text(HARMONY_XML)  # 0.6 by 0.5 micrometers
    for channel, plane in enumerate(pixels(1), 1):
        tifffile.imwrite(folder / f"r01c01f01p01-ch{channel}sk1fk1fl1.tiff", plane)
    images = {"pattern": "opera", "channels": ["1", "2"], "labels": ""}
    assert run(tmp_path, form, images=images).failures == {}
    if form == "tiff":
        found = pixel_size(tmp_path / "results" / "maps" / "P1" / "A01_01.tif")
        assert found is not None
        size, unit = found
        assert size == pytest.approx((0.6, 0.5), rel=1e-6) and unit == "micrometer"
        return
    for name in ("0", "0map"):
        path = str(plate_of(tmp_path) / "A" / "01" / name)
        assert scale_of(path) == pytest.approx([0.6, 0.5])
        assert [axis["unit"] for axis in axes_of(path)] == ["micrometer"] * 2


def test_a_second_run_writes_nothing_again_and_another_form_computes_nothing(screen):
    assert run(screen, True).computed == 4
    assert not (screen / "results" / "maps").exists()
    before = finished(screen)
    assert run(screen, "tiff").computed == 0
    written = files(screen)
    assert len(written) == 4
    assert run(screen, "tiff").computed == 0
    assert files(screen) == written
    assert finished(screen) == before and no_litter(screen)


def test_maps_of_changed_images_are_replaced_and_of_removed_ones_go(screen):
    run(screen, "tiff")
    before = files(screen)
    (screen / "results" / "maps" / "P1" / "mine.tif").write_bytes(b"someone's own")
    write_field(screen / "images" / "P1", "A01", "1", pixels(9))
    for path in (screen / "images" / "P1").glob("B02_f2_*"):
        path.unlink()
    run(screen, "tiff")
    after = files(screen)
    assert set(before) - set(after) == {"P1/B02_2.tif"}
    assert {name for name in before if after.get(name, 0) != before[name]} == {
        "P1/A01_1.tif", "P1/B02_2.tif",
    }  # fmt: skip
    assert "P1/mine.tif" in after


def test_a_file_that_was_cut_off_is_written_again(screen):
    run(screen, "tiff")
    path = screen / "results" / "maps" / "P1" / "A01_1.tif"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    run(screen, "tiff")
    assert path.read_bytes() == whole


def _hostile(screen):
    shown = ",".join(str(screen / "images" / "P1" / f"A01_f1_{stain}.png") for stain in STAINS)
    lines = [
        "Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA,FileName_ER",
        f"{HOSTILE},A01,a/b,{shown}",
        f"{HOSTILE},A01,a_b,{shown}",
    ]
    (screen / "load.csv").write_text("\n".join(lines), encoding="utf-8")
    return {"source": "load_file", "path": str(screen / "load.csv"), "labels": ""}


def test_hostile_names_stay_in_the_folder_and_apart(screen):
    run(screen, "tiff", images=_hostile(screen))
    assert set(files(screen)) == {
        f"{safe_name(HOSTILE)}/A01_{safe_name(site)}.tif" for site in ("a/b", "a_b")
    }
    assert len(files(screen)) == 2


def test_the_page_tells_of_every_form():
    page = (TESTS.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r'^\| `"(\w+)"` \| `maps/', page, re.MULTILINE)) == get_args(MapForm)


def test_the_page_tells_of_every_entry_of_output_and_its_default():
    page = (TESTS.parent / "docs" / "hci.md").read_text(encoding="utf-8")
    table = page.partition("<!-- begin output -->")[2].partition("<!-- end output -->")[0]
    told = dict(re.findall(r"^\| `(\w+)` \| `?([^|`]*?)`? ?\|", table, re.MULTILINE))
    settings = OutputSettings("results")
    expected = {f.name: getattr(settings, f.name) for f in dataclasses.fields(settings)}
    assert told == {**{name: json.dumps(value) for name, value in expected.items()}, "path": ""}


def test_a_form_that_is_unknown_is_refused(screen):
    with pytest.raises(ConfigError, match=r"output\.maps.*'png'"):
        config(screen, output={"maps": "png"})


# ---- OME-Zarr ------------------------------------------------------------------------------------


@pytest.fixture
def ome_zarr():
    return pytest.importorskip("ome_zarr")


def plate_of(screen, name="P1"):
    return screen / "results" / "maps" / f"{name}.zarr"


def test_a_plate_is_valid_by_yaozarrs(screen, ome_zarr):
    yaozarrs = pytest.importorskip("yaozarrs")
    run(screen, "ome_zarr")
    yaozarrs.validate_zarr_store(str(plate_of(screen)))


def test_ngio_finds_image_map_and_labels(screen, ome_zarr):
    ngio = pytest.importorskip("ngio")
    run(screen, "ome_zarr", attribution={"isolation": "per_stain"})
    plate = ngio.open_ome_zarr_plate(plate_of(screen))
    assert sorted(plate.get_wells()) == ["A/01", "B/02"]
    weights = stored(screen)
    for well, number in (("A01", 0), ("B02", 1)):
        for site in (1, 2):
            path = plate_of(screen) / well[0] / well[1:]
            image = ngio.open_ome_zarr_container(path / str(site - 1))
            assert image.channel_labels == STAINS
            np.testing.assert_array_equal(
                image.get_image().get_as_numpy(), pixels(2 * number + site)
            )
            labels = image.get_label("cells").get_as_numpy()
            assert np.unique(labels).tolist() == [0, 1, 2]
            found = ngio.open_ome_zarr_container(path / f"{site - 1}map")
            np.testing.assert_array_equal(
                found.get_image().get_as_numpy(), weights[well, str(site)]
            )
            assert found.channel_labels == [f"weight of {stain}" for stain in STAINS]


def test_a_plate_is_a_screen_again(screen, ome_zarr):
    run(screen, "ome_zarr")
    from captum_pcim.screen.config import ImageSettings
    from captum_pcim.screen.planes import read_pixels
    from captum_pcim.screen.sources import survey

    images = ImageSettings(str(plate_of(screen)), STAINS, source="ome_zarr", acquisition="images",
                           labels="cells")  # fmt: skip
    found = survey(images).fields
    assert [(f.plate, f.well, f.site) for f in found] == [
        ("P1", w, s) for w in ("A01", "B02") for s in ("0", "1")
    ]
    np.testing.assert_array_equal(read_pixels(found[0], images), pixels(1))


def test_a_plate_is_written_once_and_only_changed_fields_again(screen, ome_zarr):
    run(screen, "ome_zarr")

    def arrays():
        return {p.parent.relative_to(plate_of(screen)).as_posix(): p.stat().st_ino
                for p in plate_of(screen).glob("*/*/*/zarr.json")}  # fmt: skip

    before = arrays()
    assert run(screen, "ome_zarr").computed == 0
    assert arrays() == before
    write_field(screen / "images" / "P1", "A01", "1", pixels(9))
    run(screen, "ome_zarr")
    after = arrays()
    assert {name for name in after if after[name] != before[name]} == {"A/01/0", "A/01/0map"}
    assert no_litter(screen)


def test_a_plate_of_a_hostile_name_keeps_it_in_its_metadata_alone(screen, ome_zarr):
    run(screen, "ome_zarr", images=_hostile(screen))
    path = plate_of(screen, safe_name(HOSTILE))
    assert zarr.open_group(path, mode="r").attrs["ome"]["plate"]["name"] == HOSTILE
    assert os.listdir(screen / "results" / "maps") == [path.name]


def damage(path):
    """What a failing disk does: the file's size and time stay, so that its result does."""
    before = path.stat()
    path.write_bytes(b"\0" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("name", ["A01_f2_DNA.png", "A01_f2_labels.png"])
@pytest.mark.parametrize("arguments", [[], ["--collect"]])
def test_an_image_that_is_damaged_by_now_is_told_and_its_map_is_kept(
    screen, ome_zarr, capsys, name, arguments
):
    run(screen, True)
    damage(screen / "images" / "P1" / name)
    toml = write_toml(screen, output={**tables(screen)["output"], "maps": "ome_zarr"})
    assert command_line(toml, *arguments) == 1
    told = capsys.readouterr().err
    assert "images that cannot be read any more" in told and "P1 A01 field 2" in told
    assert "Traceback" not in told
    well = zarr.open_group(plate_of(screen) / "A" / "01", mode="r").attrs["ome"]["well"]
    assert [image["path"] for image in well["images"]] == ["0", "0map", "1map"]
    assert no_litter(screen)


def test_a_plate_with_a_damaged_image_is_valid_and_complete_once_it_can_be_read(screen, ome_zarr):
    yaozarrs = pytest.importorskip("yaozarrs")
    run(screen, True)
    path = screen / "images" / "P1" / "A01_f1_DNA.png"
    whole, times = path.read_bytes(), path.stat()
    damage(path)
    (remark,) = run(screen, "ome_zarr").remarks
    assert remark.missing and remark.count == 1
    yaozarrs.validate_zarr_store(str(plate_of(screen)))
    path.write_bytes(whole)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert run(screen, "ome_zarr").remarks == []
    assert (plate_of(screen) / "A" / "01" / "0" / "zarr.json").is_file()


def colours_of(screen):
    image = zarr.open_group(plate_of(screen) / "A" / "01" / "0", mode="r").attrs["ome"]
    return [channel["color"] for channel in image["omero"]["channels"]]


def test_images_have_the_colours_of_the_pictures(screen, ome_zarr):
    run(screen, "ome_zarr")
    assert colours_of(screen) == ["FF00FF", "00FF00"]


def test_red_green_and_blue_stay_what_they_are(screen, ome_zarr):
    from PIL import Image

    for path in (screen / "images" / "P1").glob("*_DNA.png"):
        Image.open(path).save(str(path).replace("DNA", "blue"))
    images = {"stains": [*STAINS, "blue"]}
    run_screen(config(screen, images=images,
                      output={"maps": "ome_zarr", "colours": "rgb"}))  # fmt: skip
    assert colours_of(screen) == ["FF0000", "00FF00", "0000FF"]


def test_without_ome_zarr_the_command_says_how_to_get_it(screen, monkeypatch, capsys):
    import sys

    for name in ("ome_zarr", "ome_zarr.writer"):
        monkeypatch.setitem(sys.modules, name, None)
    toml = write_toml(screen, output={**tables(screen)["output"], "maps": "ome_zarr"})
    assert command_line(toml) == 2
    assert "captum-pcim[ome-zarr]" in capsys.readouterr().err
    assert len(finished(screen)) == 4
