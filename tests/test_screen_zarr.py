"""OME-Zarr plates in, OME-Zarr maps out."""

import os

import numpy as np
import pytest
from screen_plates import STAINS, TESTS, config, pixels

from captum_pcim.images.read import ImageError
from captum_pcim.screen import ConfigError, run_screen
from captum_pcim.screen.config import ImageSettings
from captum_pcim.screen.identity import stamp
from captum_pcim.screen.maps import write_map
from captum_pcim.screen.plate import Field
from captum_pcim.screen.sources import find_fields

zarr = pytest.importorskip("zarr", minversion="3")

WELLS = ("A/1", "B/12")
SCALE = [1.0, 0.65, 0.65]


def image_attributes(scale, channels=()):
    axes = [{"name": "c", "type": "channel"}]
    axes += [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    transform = [{"type": "scale", "scale": scale}]
    attributes = {
        "multiscales": [
            {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": transform}]}
        ]
    }
    if channels:
        attributes["omero"] = {"channels": [{"label": name} for name in channels]}
    return attributes


def put(group, attributes, version):
    found = {"ome": {"version": "0.5", **attributes}} if version == "0.5" else attributes
    group.attrs.update(found)


def write_zarr_plate(path, version="0.5", channels=("ER", "DNA", "Mito")):
    """Writes a plate of two wells with two fields each, stains in another order than asked."""
    zarr_format = 3 if version == "0.5" else 2
    root = zarr.create_group(path, zarr_format=zarr_format)
    rows, columns = [{"name": "A"}, {"name": "B"}], [{"name": "1"}, {"name": "12"}]
    wells = [{"path": well, "rowIndex": i, "columnIndex": i} for i, well in enumerate(WELLS)]
    plate = {"name": "Z1", "rows": rows, "columns": columns, "wells": wells, "version": version}
    put(root, {"plate": plate}, version)
    number = 0
    for well in WELLS:
        group = root.create_group(well)
        put(
            group, {"well": {"images": [{"path": "0"}, {"path": "1"}], "version": version}}, version
        )
        for site in ("0", "1"):
            number += 1
            image = group.create_group(site)
            put(image, image_attributes(SCALE, channels), version)
            dna, er = pixels(number)
            planes = {"DNA": dna, "ER": er, "Mito": 255 - dna}
            stack = np.stack([planes[name] for name in channels or STAINS])
            array = image.create_array("0", shape=stack.shape, chunks=(1, 24, 24), dtype="uint8")
            array[...] = stack
            labels = image.create_group("labels").create_group("cells")
            put(labels, image_attributes(SCALE), version)
            shape = (1, 24, 24)
            array = labels.create_array("0", shape=shape, chunks=shape, dtype="uint16")
            array[:, 8:16, 3:9] = 1
    return path


def zarr_config(folder, **changes):
    images = {"source": "ome_zarr", "path": str(folder / "plate.zarr"), "labels": "cells"}
    return config(folder, images=images, **changes)


@pytest.fixture
def screen(tmp_path, monkeypatch):
    monkeypatch.chdir(TESTS)
    return tmp_path


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_a_plate_is_explained_as_the_same_pixels_in_files_are(screen, version):
    write_zarr_plate(screen / "plate.zarr", version)
    fields = find_fields(zarr_config(screen).images)
    assert [(f.plate, f.well, f.site) for f in fields] == [
        ("Z1", "A01", "0"), ("Z1", "A01", "1"), ("Z1", "B12", "0"), ("Z1", "B12", "1"),
    ]  # fmt: skip
    from captum_pcim.screen.zarr_plate import read_field

    for number, field in enumerate(fields, start=1):
        np.testing.assert_array_equal(read_field(field.planes[0], STAINS), pixels(number))
    assert run_screen(zarr_config(screen)).failures == {}
    objects = (screen / "results" / "objects.csv").read_text().splitlines()
    assert len(objects) == 1 + 4


def test_channels_without_names_are_taken_in_order(screen):
    from captum_pcim.screen.zarr_plate import read_field

    write_zarr_plate(screen / "plate.zarr", channels=())
    field = find_fields(zarr_config(screen).images)[0]
    np.testing.assert_array_equal(read_field(field.planes[0], STAINS), pixels(1))
    with pytest.raises(ImageError, match=r"no channel DNA, ER, Golgi; the image has 2"):
        read_field(field.planes[0], [*STAINS, "Golgi"])


def test_a_missing_channel_is_named(screen):
    write_zarr_plate(screen / "plate.zarr", channels=("DNA", "Mito"))
    summary = run_screen(zarr_config(screen))
    assert len(summary.failures) == 4
    assert all("no channel ER" in reason for reason in summary.failures.values())


def test_a_changed_chunk_changes_the_stamp_and_changed_labels_the_labels(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    field = find_fields(zarr_config(screen).images)[0]
    before = stamp(field)
    os.utime(path / "A" / "1" / "0" / "0" / "c" / "0" / "0" / "0", (1, 1))
    middle = stamp(field)
    os.utime(path / "A" / "1" / "0" / "labels" / "cells" / "0" / "c" / "0" / "0" / "0", (1, 1))
    after = stamp(field)
    assert [one == other for one, other in zip(before, middle, strict=True)][3:] == [False, True]
    assert [one == other for one, other in zip(middle, after, strict=True)][3:] == [True, False]


def test_a_folder_of_plates_is_read_as_all_of_them(screen):
    plates = screen / "plates"
    plates.mkdir()
    for name in ("one.zarr", "two.zarr"):
        write_zarr_plate(plates / name)
        zarr.open_group(plates / name).attrs.update(
            {"ome": {"plate": {**zarr.open_group(plates / name).attrs["ome"]["plate"], "name": ""}}}
        )
    fields = find_fields(ImageSettings(str(plates), STAINS, source="ome_zarr"))
    assert [field.plate for field in fields] == ["one"] * 4 + ["two"] * 4


def test_what_is_no_plate_is_refused(screen):
    zarr.create_group(screen / "plate.zarr")
    with pytest.raises(ConfigError, match="no OME-Zarr plate"):
        find_fields(zarr_config(screen).images)


def test_a_plate_whose_wells_lie_elsewhere_is_refused(screen):
    group = zarr.open_group(write_zarr_plate(screen / "plate.zarr"))
    group.attrs["ome"] = {"plate": {"wells": [{"path": "../other/A/1"}]}}
    with pytest.raises(ConfigError, match="outside of it"):
        find_fields(zarr_config(screen).images)


def test_a_well_that_lists_no_images_is_named(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    zarr.open_group(path / "B" / "12").attrs["ome"] = {}
    with pytest.raises(ConfigError, match=r"B/12 lists no images"):
        find_fields(zarr_config(screen).images)


def test_an_image_that_is_not_finite_is_listed_and_left_out_of_the_windows(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    image = path / "A" / "1" / "0"
    array = zarr.create_array(
        image / "0", shape=(3, 24, 24), chunks=(1, 24, 24), dtype="float32", overwrite=True
    )
    array[...] = np.full((3, 24, 24), np.nan)
    summary = run_screen(zarr_config(screen, windows={"percentiles": [1, 99]}))
    assert [*summary.failures.values()] == [
        "ImageError: the image holds values that are not finite"
    ]
    assert summary.computed == 3


def test_maps_are_written_beside_the_image_at_its_scale(screen):
    write_zarr_plate(screen / "plate.zarr")
    attribution = {"isolation": "per_stain"}
    run_screen(zarr_config(screen, output={"maps": True}, attribution=attribution))
    maps = list((screen / "results" / "done").glob("*/*/map.zarr"))
    assert len(maps) == 4
    for path in maps:
        group = zarr.open_group(path, mode="r")
        assert group["0"].dtype == np.float16
        assert group["0"].shape == (2, 24, 24)
        assert group["0"].chunks == (1, 24, 24)
        (multiscale,) = group.attrs["ome"]["multiscales"]
        assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == SCALE
        values = group["0"][...]
        assert values.min() >= 0 and values.max() <= 1 and values.std() > 0


def test_a_map_holds_the_weights_as_float16(tmp_path):
    attributions = np.random.default_rng(0).random((2, 5, 7), dtype=np.float32)
    write_map(tmp_path / "map.zarr", attributions, Field("P", "A01", "1", ("x.png",)), STAINS)
    found = zarr.open_array(tmp_path / "map.zarr" / "0", mode="r")[...]
    np.testing.assert_array_equal(found, attributions.astype(np.float16))


def test_weights_that_all_stains_share_are_written_once(tmp_path):
    plane = np.random.default_rng(0).random((1, 5, 7), dtype=np.float32)
    field = Field("P", "A01", "1", ("x.png",))
    write_map(tmp_path / "map.zarr", np.repeat(plane, 2, axis=0), field, STAINS)
    found = zarr.open_array(tmp_path / "map.zarr" / "0", mode="r")[...]
    np.testing.assert_array_equal(found, plane.astype(np.float16))


def test_maps_follow_the_specification(tmp_path):
    models = pytest.importorskip("ome_zarr_models.v05.image")
    attributions = np.random.default_rng(0).random((2, 5, 7), dtype=np.float32)
    write_map(tmp_path / "map.zarr", attributions, Field("P", "A01", "1", ("x.png",)), STAINS)
    models.Image.from_zarr(zarr.open_group(tmp_path / "map.zarr", mode="r"))


def test_maps_are_read_by_ome_zarr(tmp_path):
    reader = pytest.importorskip("ome_zarr.reader")
    location = pytest.importorskip("ome_zarr.io")
    attributions = np.random.default_rng(0).random((2, 5, 7), dtype=np.float32)
    write_map(tmp_path / "map.zarr", attributions, Field("P", "A01", "1", ("x.png",)), STAINS)
    (node,) = reader.Reader(location.parse_url(tmp_path / "map.zarr"))()
    np.testing.assert_array_equal(np.asarray(node.data[0]), attributions.astype(np.float16))
    assert node.metadata["channel_names"] == STAINS
