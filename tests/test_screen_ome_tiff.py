"""OME-TIFF files that hold all stains of a field: plates of them, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from screen_plates import STAINS, TESTS, config, contents, failures, pixels

from captum_pcim.images.pixel_size import pixel_size
from captum_pcim.images.read import ImageError, read_image
from captum_pcim.screen import run_screen
from captum_pcim.screen.maps import write_map
from captum_pcim.screen.plate import Field
from captum_pcim.screen.sources import find_fields

tifffile = pytest.importorskip("tifffile")


def read_stains(path, channels):
    return read_image([Path(path)], channels=channels)


PATTERN = r"(?P<plate>[^/]+)/(?P<well>\w\d\d)_f(?P<field>\d+)\.ome\.tif"


def write(path, image, axes="CYX", names=("ER", "Mito", "DNA"), **metadata):
    if names:
        metadata["Channel"] = {"Name": list(names)}
    tifffile.imwrite(path, image, ome=True, photometric="minisblack",
                     metadata={"axes": axes, **metadata})  # fmt: skip
    return str(path)


def stack(number):
    """The pixels of a field and a third stain, in another order than the network takes them."""
    dna, er = pixels(number)
    return np.stack([er, 255 - dna, dna])


def test_a_plate_of_multi_channel_files_gives_the_results_of_single_files(screen, tmp_path_factory):
    there = tmp_path_factory.mktemp("ome")
    (there / "images" / "P1").mkdir(parents=True)
    for number, field in enumerate(find_fields(config(screen, images={"labels": ""}).images), 1):
        write(there / "images" / "P1" / f"{field.well}_f{field.site}.ome.tif", stack(number))
    images = {"pattern": PATTERN, "labels": ""}
    assert run_screen(config(there, images=images)).computed == 6
    run_screen(config(screen, images={"labels": ""}))
    # Keys differ, as the files do; the previews of each field are the same.
    assert sorted(contents(there).values()) == sorted(contents(screen).values())


def test_a_stack_is_listed_and_the_flat_images_are_done(tmp_path, monkeypatch):
    monkeypatch.chdir(TESTS)
    (tmp_path / "images" / "P1").mkdir(parents=True)
    write(tmp_path / "images" / "P1" / "A01_f1.ome.tif", stack(1))
    image = np.stack([stack(1), stack(2)])
    write(tmp_path / "images" / "P1" / "A01_f2.ome.tif", image, "ZCYX")
    images = {"pattern": PATTERN, "labels": ""}
    assert run_screen(config(tmp_path, images=images)).computed == 1
    (reason,) = failures(tmp_path).values()
    assert "planes along z: 1, 2. Say which by z" in reason


@pytest.mark.parametrize("axes", ["CYX", "ZCYX", "TCZYX"])
def test_axes_of_length_one_do_not_matter(tmp_path, axes):
    image = stack(1).reshape([3 if a == "C" else 24 if a in "YX" else 1 for a in axes])
    path = write(tmp_path / "a.ome.tif", image, axes)
    np.testing.assert_array_equal(read_stains(path, STAINS), pixels(1))


@pytest.mark.parametrize("axes", ["TYX", "TCYX"])
def test_time_points_are_never_taken_for_stains(tmp_path, axes):
    image = pixels(1).reshape([2, *[1] * (len(axes) - 3), 24, 24])
    path = write(tmp_path / "a.ome.tif", image, axes, names=())
    with pytest.raises(ImageError, match=r"time points: 1, 2\. Say which by t"):
        read_stains(path, STAINS)


def test_several_images_in_a_file_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for number in (1, 2):
            file.write(pixels(number), metadata={"axes": "CYX"})
    with pytest.raises(ImageError, match="one image a file, the OME-TIFF has 2"):
        read_stains(str(tmp_path / "a.ome.tif"), STAINS)


def test_channels_without_names_are_taken_in_order(tmp_path):
    path = write(tmp_path / "a.ome.tif", pixels(1), names=())
    np.testing.assert_array_equal(read_stains(path, STAINS), pixels(1))


@pytest.mark.parametrize("names", [("DNA", "Mito"), ("DNA", "DNA")])
def test_a_missing_channel_is_named(tmp_path, names):
    path = write(tmp_path / "a.ome.tif", pixels(1), names=names)
    with pytest.raises(ImageError, match=f"no channel ER; the image has .*{names[1]}"):
        read_stains(path, STAINS)


def test_a_channel_that_two_have_the_name_of_is_refused(tmp_path):
    path = write(tmp_path / "a.ome.tif", pixels(1), names=("DNA", "DNA"))
    with pytest.raises(ImageError, match=r"more than one channel DNA"):
        read_stains(path, ["DNA"])


def rewritten(path, image, old, new, **options):
    """Writes a file whose XML has a part changed."""
    with tifffile.TiffFile(write(path, image, **options)) as file:
        xml = file.ome_metadata
    assert xml.count(old) == 1
    xml = xml.replace(old, new)
    tifffile.imwrite(path, image, photometric="minisblack", metadata=None, description=xml)
    return str(path)


def test_planes_are_found_where_the_xml_says(tmp_path):
    old = '<TiffData IFD="0" PlaneCount="2"/>'
    new = '<TiffData FirstC="1" IFD="0"/><TiffData FirstC="0" IFD="1"/>'
    path = rewritten(tmp_path / "a.ome.tif", pixels(1)[::-1], old, new, names=("DNA", "ER"))
    np.testing.assert_array_equal(read_stains(path, STAINS), pixels(1))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('SizeC="2"', 'SizeC="3"', "planes that the file does not have"),
        ('IFD="0"', 'IFD="7"', "planes that the file does not have"),
        ("<?xml", "<!DOCTYPE a [<!ENTITY b 'c'>]><?xml", "declares entities"),
        ("</Image>", "", "XML is damaged"),
    ],
)
def test_xml_that_lies_is_refused(tmp_path, old, new, said):
    path = rewritten(tmp_path / "a.ome.tif", pixels(1), old, new, names=("DNA", "ER"))
    with pytest.raises(ImageError, match=said):
        read_stains(path, STAINS)


def test_an_ordinary_tiff_gives_a_stain_a_page(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", pixels(1), photometric="minisblack")
    np.testing.assert_array_equal(read_stains(str(tmp_path / "a.tif"), STAINS), pixels(1))


def test_maps_have_the_pixel_size_of_their_image(tmp_path):
    zarr = pytest.importorskip("zarr", minversion="3")
    sizes = {"PhysicalSizeX": 0.65, "PhysicalSizeY": 1.3, "PhysicalSizeXUnit": "µm",
             "PhysicalSizeYUnit": "µm"}  # fmt: skip
    path = write(tmp_path / "a.ome.tif", stack(1), **sizes)
    weights = np.random.default_rng(0).random((2, 24, 24), np.float32)
    write_map(tmp_path / "map.zarr", weights, Field("P", "A01", "1", ((path,),)), STAINS)
    (found,) = zarr.open_group(tmp_path / "map.zarr", mode="r").attrs["ome"]["multiscales"]
    (transform,) = found["datasets"][0]["coordinateTransformations"]
    assert transform["scale"] == [1.0, 1.3, 0.65]
    assert [axis.get("unit") for axis in found["axes"]] == [None, "micrometer", "micrometer"]


def test_pixels_of_unknown_size_have_no_unit(tmp_path):
    path = write(tmp_path / "a.ome.tif", stack(1))
    assert pixel_size(Path(path)) is None
