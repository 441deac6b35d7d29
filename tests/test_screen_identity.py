"""Keys change when anything behind a result does, and only then."""

import os
import shutil

import numpy as np
import pytest
import tifffile
from screen_plates import config, pixels, rows

from captum_pcim.screen import run_screen
from captum_pcim.screen.identity import evenly, make_plan, stamp
from captum_pcim.screen.sources import find_fields


def keys(folder, shard=(0, 1), **changes):
    found = config(folder, **changes)
    return [key.sha for key in make_plan(found, find_fields(found.images), shard).keys]


def test_keys_are_different_and_repeatable(screen):
    assert len(set(keys(screen))) == 6
    assert keys(screen) == keys(screen)


def test_moved_files_keep_their_keys(screen, tmp_path_factory):
    before = keys(screen)
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(screen / "images", elsewhere / "images")  # copies modification times
    assert keys(elsewhere) == before


@pytest.mark.parametrize("name", ["A02_f1_ER.png", "A02_f1_labels.png"])
def test_a_changed_file_changes_its_own_key_alone(screen, name):
    before = keys(screen)
    with open(screen / "images" / "P1" / name, "ab") as file:
        file.write(b"\0")
    changed = [one != other for one, other in zip(before, keys(screen), strict=True)]
    assert changed == [False, False, True, False, False, False]


def test_a_changed_control_changes_the_whole_plate(screen):
    controls = {"controls": {"wells": ["B01"]}}
    before = keys(screen, **controls)
    os.utime(screen / "images" / "P1" / "B01_f1_DNA.png", (1, 1))
    assert not set(before) & set(keys(screen, **controls))


def test_a_changed_configuration_changes_every_key(screen):
    assert not set(keys(screen)) & set(keys(screen, attribution={"n_steps": 4}))


def stacks(folder, axis):
    """A load file that numbers the plane and the time point itself, and its file of each stain."""
    first, second = pixels(1), pixels(2)
    (folder / "images").mkdir()
    for stain, name in enumerate(("DNA", "ER")):
        image = np.stack([first[stain], second[stain]])
        path = folder / "images" / f"A01_{name}.tif"
        tifffile.imwrite(path, image, imagej=True, metadata={"axes": f"{axis}YX"})
    columns = "FileName_DNA,FileName_ER,Metadata_Plate,Metadata_Well,Metadata_Z,Metadata_T"
    load_file = folder / "images" / "load.csv"
    load_file.write_text(f"{columns}\nA01_DNA.tif,A01_ER.tif,P1,A01,1,1\n")
    return {"path": str(load_file), "source": "load_file", "labels": ""}


@pytest.mark.parametrize(
    ("axis", "choices"), [("Z", [1, 2, "max", "mean"]), ("T", [1, 2])], ids=["plane", "time point"]
)
def test_another_plane_or_time_point_of_the_same_files_has_another_key(tmp_path, axis, choices):
    images = stacks(tmp_path, axis)
    found = [keys(tmp_path, images={**images, axis.lower(): choice}) for choice in choices]
    assert len({key for (key,) in found}) == len(choices)


def test_another_plane_is_computed_again_and_the_first_one_kept(small_screen):
    shutil.rmtree(small_screen / "images")
    images = stacks(small_screen, "Z")
    classes = []
    for z, computed in ((1, 1), (2, 1), ("max", 1), (1, 0)):
        summary = run_screen(config(small_screen, images={**images, "z": z}))
        assert (summary.computed, summary.failures) == (computed, {})
        classes.append(rows(small_screen)[0]["Predicted"])
    assert classes[0] == classes[3] != classes[1]


def test_a_plane_that_nobody_chose_is_no_part_of_a_key(screen):
    fields = find_fields(config(screen).images)
    assert [stamp(field)[:5] for field in fields] == [
        (field.plate, field.well, field.site, "1", "1") for field in fields
    ]
    assert {len(stamp(field)) for field in fields} == {5 + len(fields[0].files) + 1}


def test_changed_weights_change_every_key(screen):
    weights = screen / "weights.pt"
    model = {"model": {"path": str(weights)}}
    weights.write_bytes(b"one")
    before = keys(screen, **model)
    weights.write_bytes(b"two")
    assert not set(before) & set(keys(screen, **model))


def test_a_changed_package_version_changes_every_key(screen, monkeypatch):
    before = keys(screen)
    monkeypatch.setattr("captum_pcim.screen.identity.__version__", "0.0.0")
    assert not set(before) & set(keys(screen))


def test_shards_share_out_the_whole(screen):
    whole = keys(screen)
    parts = [keys(screen, (i, 4)) for i in range(4)]
    assert sorted(sha for part in parts for sha in part) == sorted(whole)
    assert parts[1] == whole[1::4]


def test_a_few_of_many_are_spread_evenly():
    assert evenly(list("abcdefgh"), 4) == tuple("aceg")
    assert evenly(list("abc"), 4) == tuple("abc")
