"""OME-Zarr plates in, OME-Zarr maps out."""

import json
import os
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from screen_plates import STAINS, TESTS, config, pixels

from captum_pcim.images.read import ImageError
from captum_pcim.images.walk import ELSEWHERE
from captum_pcim.screen import ConfigError, run_screen
from captum_pcim.screen.config import ImageSettings
from captum_pcim.screen.identity import stamp
from captum_pcim.screen.maps import write_map
from captum_pcim.screen.plate import Field
from captum_pcim.screen.sources import find_fields, survey
from captum_pcim.screen.zarr_plate import axes_of, read_field, read_labels, scale_of

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


def zarr_config(folder, acquisition=None, **changes):
    images = {"source": "ome_zarr", "path": str(folder / "plate.zarr"), "labels": "cells"}
    images |= changes.pop("images", {}) | ({"acquisition": acquisition} if acquisition else {})
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
    for number, field in enumerate(fields, start=1):
        np.testing.assert_array_equal(read_field(field.files[0][0], STAINS), pixels(number))
    assert run_screen(zarr_config(screen)).failures == {}
    objects = (screen / "results" / "objects.csv").read_text().splitlines()
    assert len(objects) == 1 + 4


def test_channels_without_names_are_taken_in_order(screen):
    write_zarr_plate(screen / "plate.zarr", channels=())
    field = find_fields(zarr_config(screen).images)[0]
    np.testing.assert_array_equal(read_field(field.files[0][0], STAINS), pixels(1))
    with pytest.raises(ImageError, match=r"no channel DNA, ER, Golgi; the image has 2"):
        read_field(field.files[0][0], [*STAINS, "Golgi"])


def test_a_missing_channel_is_named(screen):
    write_zarr_plate(screen / "plate.zarr", channels=("DNA", "Mito"))
    summary = run_screen(zarr_config(screen))
    assert len(summary.failures) == 4
    assert all("no channel ER" in reason for reason in summary.failures.values())


@pytest.mark.parametrize("version", ["0.4", "0.5"])
@pytest.mark.parametrize("names", [["ER", "DNA"], ["X", "Y", "ER", "DNA"]])
def test_names_that_are_not_as_many_as_the_channels_are_never_guessed_from(
    tmp_path, version, names
):
    array = np.zeros((3, 4, 5), np.uint16)
    path = array_image(tmp_path / "image.zarr", array, typed("cyx"), names, version)
    with pytest.raises(ImageError, match="which channel is which is not told: 3 channels"):
        read_field(path, STAINS)


@pytest.mark.parametrize("filled_with", [0, 100])
def test_an_image_whose_chunks_are_not_there_is_not_of_one_colour(tmp_path, filled_with):
    array = np.ones((2, 4, 5), np.uint16)
    path = array_image(tmp_path / "image.zarr", array, typed("cyx"))
    about = tmp_path / "image.zarr" / "0" / "zarr.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"fill_value": filled_with}))
    shutil.rmtree(tmp_path / "image.zarr" / "0" / "c")
    with pytest.raises(ImageError, match="none of its chunks is there"):
        read_field(path, STAINS)


@pytest.mark.parametrize("inside", ["A/1", "A/1/0"])
def test_metadata_that_are_damaged_are_a_row_of_their_own(screen, inside):
    write_zarr_plate(screen / "plate.zarr")
    (screen / "plate.zarr" / inside / "zarr.json").write_text("{")
    summary = run_screen(zarr_config(screen))
    reasons = {key.field.well: reason for key, reason in summary.failures.items()}
    assert list(reasons) == ["A01"] and "its metadata cannot be read" in reasons["A01"]


@pytest.mark.parametrize("text", ["{", '{"zarr_format": 3, "node_type": "group", "attributes": {}}',
    '{"zarr_format": 3, "node_type": "group", "attributes": {"ome": {"plate": [1]}}}'])  # fmt: skip
def test_a_plate_whose_metadata_are_none_is_named(screen, text):
    write_zarr_plate(screen / "plate.zarr")
    (screen / "plate.zarr" / "zarr.json").write_text(text)
    with pytest.raises(ConfigError, match=r"images\.path: .*plate\.zarr.* metadata"):
        find_fields(zarr_config(screen).images)


def test_label_images_of_another_name_are_told_where_the_asked_for_are_missing(screen):
    write_zarr_plate(screen / "plate.zarr")
    found = survey(zarr_config(screen, images={"labels": "nuclei"}).images)
    told = {remark.what: remark for remark in found.remarks}
    assert told["fields without a label image"].missing
    assert str(told["label images that are not called 'nuclei'"].example).endswith("1/0: cells")


def test_a_changed_chunk_changes_the_stamp_and_changed_labels_the_labels(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    field = find_fields(zarr_config(screen).images)[0]
    before = stamp(field)
    os.utime(path / "A" / "1" / "0" / "0" / "c" / "0" / "0" / "0", (1, 1))
    middle = stamp(field)
    os.utime(path / "A" / "1" / "0" / "labels" / "cells" / "0" / "c" / "0" / "0" / "0", (1, 1))
    after = stamp(field)
    assert [one == other for one, other in zip(before, middle, strict=True)][-2:] == [False, True]
    assert [one == other for one, other in zip(middle, after, strict=True)][-2:] == [True, False]


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


def test_a_well_that_does_not_list_its_images_is_a_row_of_its_own(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    zarr.open_group(path / "B" / "12").attrs["ome"] = {}
    fields = find_fields(zarr_config(screen).images)
    assert [(f.well, f.problem) for f in fields] == [
        ("A01", ""), ("A01", ""), ("B12", "the well does not list its images"),
    ]  # fmt: skip


def test_a_listed_well_without_a_folder_is_a_row_and_an_empty_one_is_told(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    shutil.rmtree(path / "B" / "12")
    well = zarr.open_group(path / "A" / "1")
    well.attrs["ome"] = {"version": "0.5", "well": {"images": []}}
    found = survey(zarr_config(screen, images={"labels": ""}).images)
    assert [(f.well, f.problem) for f in found.fields] == [
        ("B12", "the plate lists the well, but it has no folder")
    ]
    assert "wells that list no image: 1, for example Z1 A01" in map(str, found.remarks)


def test_a_field_without_its_label_image_is_told(screen):
    path = write_zarr_plate(screen / "plate.zarr")
    shutil.rmtree(path / "A" / "1" / "0" / "labels")
    found = survey(zarr_config(screen).images)
    assert "fields without a label image: 1, for example Z1 A01 field 0" in map(str, found.remarks)
    assert len(found.fields) == 4


def test_a_plate_is_found_below_other_folders_and_other_stores_are_told(screen):
    (screen / "plates" / "day1").mkdir(parents=True)
    write_zarr_plate(screen / "plates" / "day1" / "one.zarr")
    zarr.create_group(screen / "plates" / "image.zarr")
    found = survey(ImageSettings(str(screen / "plates"), STAINS, source="ome_zarr"))
    assert len(found.fields) == 4
    assert [remark.what for remark in found.remarks] == ["Zarr stores that are no plate"]


def plates_in(screen, *paths, name=None):
    """Plates of one field below a folder, called by a name or by none."""
    for path in paths:
        store = write_zarr_plate(screen / "plates" / path)
        group = zarr.open_group(store)
        ome = group.attrs["ome"]
        ome["plate"] = {**ome["plate"], "name": name, "wells": [{"path": "A/1"}]}
        group.attrs["ome"] = ome
        image = {"version": "0.5", "well": {"images": [{"path": "0"}]}}
        zarr.open_group(store / "A" / "1").attrs["ome"] = image
    return ImageSettings(str(screen / "plates"), STAINS, source="ome_zarr")


@pytest.mark.parametrize("name", [None, "experiment"])
@pytest.mark.parametrize(
    ("paths", "called"),
    [
        (["d1/plate.zarr", "d2/plate.zarr"], ["d1/plate", "d2/plate"]),
        (["d1/a.zarr", "d1/b.zarr", "d2/c.zarr"], ["a", "b", "c"]),
        (["d/1/plate.zarr", "e/1/plate.zarr"], ["{}/d/1/plate", "{}/e/1/plate"]),
        (["plate", "plate.zarr"], ["plate", "plate.zarr"]),
    ],
)
def test_plates_of_one_name_are_told_apart_by_their_folders(screen, name, paths, called):
    images = plates_in(screen, *paths, name=name)
    expected = [one.format(images.path) for one in called]
    assert [field.plate for field in find_fields(images)] == expected


def test_a_plate_keeps_the_name_that_it_has_alone(screen):
    images = plates_in(screen, "d1/plate.zarr", name="experiment")
    plates_in(screen, "d2/plate.zarr", name="another")
    assert [field.plate for field in find_fields(images)] == ["another", "experiment"]


def test_links_to_plates_are_followed_inside_the_folder_once(screen):
    images = plates_in(screen, "d1/plate.zarr")
    (screen / "plates" / "loop").symlink_to(".")
    (screen / "plates" / "a_link.zarr").symlink_to("d1/plate.zarr")
    found = survey(images)
    assert [(field.plate, field.problem) for field in found.fields] == [("plate", "")]
    assert found.remarks == []


@pytest.mark.parametrize("target", ["other", "other/plate.zarr"])
def test_links_to_plates_outside_the_folder_are_told_and_not_followed(screen, target):
    images = plates_in(screen, "inside.zarr", "../other/plate.zarr")
    (screen / "plates" / "link.zarr").symlink_to(f"../{target}")
    found = survey(images)
    assert [field.plate for field in found.fields] == ["inside"]
    (remark,) = found.remarks
    assert remark.what == f"passed over ({ELSEWHERE})" and remark.missing


@pytest.mark.parametrize("inside", ["A", "A/1", "A/1/0"])
def test_a_well_or_an_image_that_is_linked_from_outside_is_a_failed_row(screen, inside):
    images = plates_in(screen, "plate.zarr")
    (screen / "outside").mkdir()
    there = screen / "plates" / "plate.zarr" / inside
    there.rename(screen / "outside" / "moved")
    there.symlink_to(screen / "outside" / "moved")
    assert [(f.well, f.problem) for f in find_fields(images)] == [("A01", ELSEWHERE)]


def test_labels_that_are_linked_from_outside_are_told_and_not_read(screen):
    images = replace(plates_in(screen, "plate.zarr"), labels="cells")
    there = screen / "plates" / "plate.zarr" / "A" / "1" / "0" / "labels" / "cells"
    there.rename(screen / "cells")
    there.symlink_to(screen / "cells")
    found = survey(images)
    assert [field.labels for field in found.fields] == [""]
    assert {remark.what for remark in found.remarks} == {
        f"passed over ({ELSEWHERE})", "fields without a label image",
    }  # fmt: skip


def test_results_that_lie_among_plates_are_not_searched(screen):
    images = plates_in(screen, "plate.zarr", "results/maps/plate.zarr")
    found = survey(images, str(screen / "plates" / "results"))
    assert [field.plate for field in found.fields] == ["plate"]


def array_image(path, array, axes, channels=(), version="0.5"):
    """An OME-Zarr image of an array whose axes are given as OME-Zarr has them."""
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2)
    scale = [{"type": "scale", "scale": [1.0] * len(axes)}]
    dataset = {"path": "0", "coordinateTransformations": scale}
    attributes = {"multiscales": [{"axes": axes, "datasets": [dataset]}]}
    if channels:
        attributes["omero"] = {"channels": [{"label": name} for name in channels]}
    put(group, attributes, version)
    made = group.create_array("0", shape=array.shape, chunks=array.shape, dtype=array.dtype)
    made[...] = array
    return str(path)


def typed(names):
    types = {"t": "time", "c": "channel"}
    return [{"name": name, "type": types.get(name.lower(), "space")} for name in names]


STACK = np.arange(2 * 2 * 3 * 4 * 5, dtype=np.uint16).reshape(2, 2, 3, 4, 5)  # t, c, z, y, x


@pytest.mark.parametrize(
    "axes",
    [
        typed("tczyx"),
        typed("TCZYX"),
        list("tczyx"),
        [{"name": name} for name in "TCZYX"],
        [
            {"name": "frame", "type": "time"},
            {"name": "stain", "type": "Channel"},
            *({"name": name, "type": "space"} for name in ("depth", "height", "width")),
        ],
    ],
    ids=["lower", "upper", "0.3", "untyped", "by type"],
)
def test_axes_are_known_by_their_type_in_any_case(tmp_path, axes):
    path = array_image(tmp_path / "a.zarr", STACK, axes, ("DNA", "ER"))
    np.testing.assert_array_equal(read_field(path, ["ER", "DNA"], z=3, t=2), STACK[1, [1, 0], 2])
    np.testing.assert_array_equal(read_field(path, ["DNA"], z="max", t=1)[0], STACK[0, 0].max(0))


def by_names(names, kind):
    return {"typed": typed(names), "untyped": [{"name": n} for n in names], "0.3": list(names)}[
        kind
    ]


@pytest.mark.parametrize("kind", ["typed", "untyped", "0.3"])
@pytest.mark.parametrize("names", ["tczxy", "xyzct", "yxczt", "tcyxz", "XYZCT"])
def test_axes_lie_where_their_names_say_in_any_order(tmp_path, kind, names):
    order = ["tczyx".index(name) for name in names.lower()]
    array = np.ascontiguousarray(STACK.transpose(order))
    path = array_image(tmp_path / "a.zarr", array, by_names(names, kind), ("DNA", "ER"))
    np.testing.assert_array_equal(read_field(path, ["ER", "DNA"], z=3, t=2), STACK[1, [1, 0], 2])
    assert [axis["name"] for axis in axes_of(path)] == ["y", "x"]


def test_labels_with_x_before_y_lie_as_their_image_does(tmp_path):
    labels = np.arange(6, dtype=np.uint16).reshape(2, 3)
    path = array_image(tmp_path / "a.zarr", labels.T.copy(), typed("xy"))
    np.testing.assert_array_equal(read_labels(path), labels)


def of_space(*names):
    return [{"name": name, "type": "space"} for name in names]


@pytest.mark.parametrize(
    "axes",
    [of_space("x", "height"), of_space("y", "x", "x"), of_space("x", "row", "column"),
     of_space("a", "b", "c", "d"), [*of_space("y", "x"), {"name": "y"}], typed("ccyx")],
)  # fmt: skip
def test_axes_that_do_not_tell_which_is_which_are_refused_by_their_names(tmp_path, axes):
    path = array_image(tmp_path / "a.zarr", np.ones([4] * len(axes), np.uint16), axes)
    with pytest.raises(ImageError, match=r"expected .*got the axes \[" + f"'{axes[0]['name']}'"):
        read_field(path, [])


def scaled(path, names, own=None, of_all=None):
    array_image(path, np.ones([4] * len(names), np.uint16), typed(names))
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    (multiscale,) = ome["multiscales"]
    for holder, scale in ((multiscale["datasets"][0], own), (multiscale, of_all)):
        holder["coordinateTransformations"] = [{"type": "scale", "scale": scale}] if scale else []
    group.attrs["ome"] = ome
    return str(path)


@pytest.mark.parametrize(
    ("names", "own", "of_all", "expected"),
    [
        ("cyx", [1, 0.5, 0.2], None, [0.5, 0.2]),
        ("cxy", [1, 0.2, 0.5], None, [0.5, 0.2]),
        ("yxc", [0.5, 0.2, 1], None, [0.5, 0.2]),
        ("xyz", [0.2, 0.5, 3], None, [0.5, 0.2]),
        ("cyx", [1, 1, 1], [1, 0.5, 0.2], [0.5, 0.2]),
        ("cyx", [1, 2, 2], [1, 0.25, 0.1], [0.5, 0.2]),
        ("cyx", None, [1, 0.5, 0.2], [0.5, 0.2]),
        ("cyx", None, None, [1, 1]),
    ],
)
def test_the_size_of_a_pixel_is_that_of_its_own_axes(tmp_path, names, own, of_all, expected):
    assert scale_of(scaled(tmp_path / "a.zarr", names, own, of_all)) == pytest.approx(expected)


def test_a_scale_of_other_axes_is_refused(tmp_path):
    with pytest.raises(ImageError, match=r"the scale \[0\.5, 0\.2\] is not one of the axes"):
        scale_of(scaled(tmp_path / "a.zarr", "cyx", [0.5, 0.2]))


def test_planes_and_time_points_to_choose_from_are_named(tmp_path):
    path = array_image(tmp_path / "a.zarr", STACK, typed("tczyx"), ("DNA", "ER"))
    with pytest.raises(ImageError, match="planes along z: 1, 2, 3"):
        read_field(path, STAINS)
    with pytest.raises(ImageError, match="time points: 1, 2"):
        read_field(path, STAINS, z=1)


@pytest.mark.parametrize("names", ["yx", "cyx", "zyx", "czyx", "tczyx"])
def test_labels_are_read_with_and_without_an_axis_of_channels(tmp_path, names):
    labels = np.array([[0, 70000], [1, 4000000000]], np.uint32)
    array = labels.reshape([1] * (len(names) - 2) + [2, 2])
    path = array_image(tmp_path / "a.zarr", array, typed(names))
    np.testing.assert_array_equal(read_labels(path), labels.astype(np.int64))


def test_labels_of_several_channels_are_refused(tmp_path):
    path = array_image(tmp_path / "a.zarr", np.ones((2, 4, 4), np.uint16), typed("cyx"))
    with pytest.raises(ImageError, match="one channel, this one 2"):
        read_labels(path)


def two_acquisitions(path):
    write_zarr_plate(path)
    group = zarr.open_group(path)
    ome = group.attrs["ome"]
    ome["plate"]["acquisitions"] = [{"id": 0, "name": "first"}, {"id": 1, "name": "second"}]
    group.attrs["ome"] = ome
    for well in WELLS:
        images = [{"path": str(i), "acquisition": i} for i in (0, 1)]
        zarr.open_group(path / well).attrs["ome"] = {"version": "0.5", "well": {"images": images}}


def test_an_acquisition_may_have_a_word_for_its_number(screen):
    two_acquisitions(screen / "plate.zarr")
    for path in (screen / "plate.zarr").rglob("zarr.json"):
        text = path.read_text()
        path.write_text(re.sub(r'("(?:id|acquisition)": )(\d)', r'\1"cycle\2"', text))
    fields = find_fields(zarr_config(screen, acquisition="cycle1").images)
    assert {field.site for field in fields} == {"1"}


@pytest.mark.parametrize("acquisition", [1, "second"])
def test_acquisitions_are_told_apart(screen, acquisition):
    two_acquisitions(screen / "plate.zarr")
    fields = find_fields(zarr_config(screen, acquisition=acquisition).images)
    assert [(f.well, f.site) for f in fields] == [("A01", "1"), ("B12", "1")]


@pytest.mark.parametrize("acquisition", [None, 7])
def test_acquisitions_to_choose_from_are_named(screen, acquisition):
    two_acquisitions(screen / "plate.zarr")
    with pytest.raises(ConfigError, match=r"the acquisitions 0 \(first\), 1 \(second\)"):
        find_fields(zarr_config(screen, acquisition=acquisition).images)


@pytest.mark.parametrize("compressor", ["zstd", "gzip", "blosc", "none"])
def test_a_chunk_that_is_cut_off_is_never_filled_up(tmp_path, compressor):
    codecs = {
        "zstd": zarr.codecs.ZstdCodec(),
        "gzip": zarr.codecs.GzipCodec(),
        "blosc": zarr.codecs.BloscCodec(),
        "none": None,
    }
    image = np.tile(np.arange(64, dtype=np.uint16), (1, 64, 1))
    path = tmp_path / "a.zarr"
    array_image(path, image, typed("cyx"))
    array = zarr.create_array(
        path / "0", shape=image.shape, chunks=image.shape, dtype=image.dtype,
        compressors=codecs[compressor], overwrite=True,
    )  # fmt: skip
    array[...] = image
    chunk = path / "0" / "c" / "0" / "0" / "0"
    whole = chunk.read_bytes()
    for part in (0, len(whole) // 2, len(whole) - 1):
        chunk.write_bytes(whole[:part])
        with pytest.raises(ImageError, match="cannot be read"):
            read_field(str(path), ["DNA"])


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
    write_map(tmp_path / "map.zarr", attributions, Field("P", "A01", "1", (("x.png",),)), STAINS)
    found = zarr.open_array(tmp_path / "map.zarr" / "0", mode="r")[...]
    np.testing.assert_array_equal(found, attributions.astype(np.float16))


def test_weights_that_all_stains_share_are_written_once(tmp_path):
    plane = np.random.default_rng(0).random((1, 5, 7), dtype=np.float32)
    field = Field("P", "A01", "1", (("x.png",),))
    write_map(tmp_path / "map.zarr", np.repeat(plane, 2, axis=0), field, STAINS)
    found = zarr.open_array(tmp_path / "map.zarr" / "0", mode="r")[...]
    np.testing.assert_array_equal(found, plane.astype(np.float16))


def test_maps_follow_the_specification(tmp_path):
    models = pytest.importorskip("ome_zarr_models.v05.image")
    attributions = np.random.default_rng(0).random((2, 5, 7), dtype=np.float32)
    write_map(tmp_path / "map.zarr", attributions, Field("P", "A01", "1", (("x.png",),)), STAINS)
    models.Image.from_zarr(zarr.open_group(tmp_path / "map.zarr", mode="r"))


def test_maps_are_read_by_ome_zarr(tmp_path):
    reader = pytest.importorskip("ome_zarr.reader")
    location = pytest.importorskip("ome_zarr.io")
    attributions = np.random.default_rng(0).random((2, 5, 7), dtype=np.float32)
    write_map(tmp_path / "map.zarr", attributions, Field("P", "A01", "1", (("x.png",),)), STAINS)
    (node,) = reader.Reader(location.parse_url(tmp_path / "map.zarr"))()
    np.testing.assert_array_equal(np.asarray(node.data[0]), attributions.astype(np.float16))
    assert node.metadata["channel_names"] == STAINS
