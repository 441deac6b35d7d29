"""``captum-pcim explain`` on real files: what it writes, what it refuses, and how it goes on."""

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from captum_pcim import PCIM, PerStain
from captum_pcim.cli.main import main
from captum_pcim.visualize.composite import MAP_COLOUR, MAP_OPACITY

FACTORY = """
import time
import torch
from torch import nn

class Bright(nn.Module):
    '''Class 1 is as likely as the centre is bright.'''

    def forward(self, images):
        centre = images[..., 8:16, 8:16].flatten(1).mean(1)
        return torch.stack([torch.zeros_like(centre), 20 * centre - 5], dim=1)

class Slow(Bright):
    def forward(self, images):
        time.sleep(0.005)
        return super().forward(images)

class NotANumber(Bright):
    '''No score where the first pixel is white.'''

    def forward(self, images):
        broken = images[:, :, 0, 0].mean(1, keepdim=True) == 1
        return super().forward(images).masked_fill(broken, torch.nan)

class OneByOne(Bright):
    def forward(self, images):
        if len(images) > 1:
            raise RuntimeError("one image at a time")
        return super().forward(images)

class Angry(Bright):
    def forward(self, images):
        raise RuntimeError("two\\nlines")

class Interrupted(Bright):
    def forward(self, images):
        raise KeyboardInterrupt
"""
MODEL = "pcim_cli_networks:Bright"


@pytest.fixture(autouse=True)
def working_folder(tmp_path, monkeypatch):
    (tmp_path / "pcim_cli_networks.py").write_text(FACTORY)
    monkeypatch.delitem(sys.modules, "pcim_cli_networks", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    return tmp_path


@pytest.fixture(autouse=True)
def one_thread():
    """Networks this small are slower on several, above all on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def bright(seed=0, shape=(24, 24)):
    image = np.random.default_rng(seed).integers(0, 40, shape, np.uint8)
    image[8:16, 8:16] += 150
    return image


def png(array):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, "PNG")
    return stream.getvalue()


def write_images(folder, count=3):
    for i in range(count):
        (folder / "images" / f"{i}.png").write_bytes(png(bright(i)))


def explain(*options, model=MODEL, steps="4"):
    return main(
        [
            "explain",
            "--model",
            model,
            "--images",
            "images",
            "--out",
            "out",
            "--steps",
            steps,
            *options,
        ]
    )


def rows(out="out"):
    with open(f"{out}/diagnostics.csv", newline="", encoding="utf-8") as file:
        return {row["image"]: row for row in csv.DictReader(file)}


def files(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def test_every_image_gets_a_map_an_overlay_and_a_row(working_folder):
    write_images(working_folder)
    (working_folder / "images" / "well").mkdir()
    tifffile.imwrite(working_folder / "images" / "well" / "a.tif", bright(7))
    assert explain() == 0
    names = ["0.png", "1.png", "2.png", "well/a.tif"]
    assert files(working_folder / "out") == {
        "diagnostics.csv",
        "manifest.json",
        *(f"maps/{name}.npy" for name in names),
        *(f"overlays/{name}.png" for name in names),
    }
    assert list(rows()) == names


def test_the_map_and_the_row_are_what_pcim_gives(working_folder):
    write_images(working_folder, 2)
    explain(steps="6")
    from pcim_cli_networks import Bright

    images = torch.stack([torch.from_numpy(bright(i))[None] / 255 for i in range(2)])
    expected, diagnostics = PCIM(Bright().eval()).attribute(
        images, target=1, n_steps=6, return_diagnostics=True
    )
    for i, row in enumerate(rows().values()):
        weights = np.load(f"out/maps/{i}.png.npy")
        assert weights.dtype == np.float32 and weights.shape == (24, 24)
        np.testing.assert_allclose(weights, expected[i, 0].numpy(), atol=1e-6)
        assert (row["target"], row["predicted"], row["status"]) == ("1", "1", "ok")
        assert row["n_steps"] == "6"
        for name in ("full_probability", "preserved_probability", "removed_probability", "area"):
            value = getattr(diagnostics, name)[i].item()
            assert float(row[name]) == pytest.approx(value, rel=1e-4), name


def test_a_given_target_is_explained(working_folder):
    write_images(working_folder, 1)
    explain("--target", "0")
    row = rows()["0.png"]
    assert (row["target"], row["predicted"]) == ("0", "1")


@pytest.mark.parametrize("kind", ["script.pt", "export.pt2"])
def test_model_files_give_the_maps_of_the_module(working_folder, kind):
    write_images(working_folder, 2)
    from pcim_cli_networks import Bright

    module = Bright().eval()
    if kind == "script.pt":
        torch.jit.trace(module, torch.rand(2, 1, 24, 24)).save(kind)
    else:
        batch = torch.export.Dim("batch", min=1, max=64)
        sample = torch.rand(2, 1, 24, 24)
        torch.export.save(
            torch.export.export(module, (sample,), dynamic_shapes=({0: batch},)), kind
        )
    assert explain() == 0
    options = ["--model", kind, "--trust", "--images", "images", "--out", "2", "--steps", "4"]
    assert main(["explain", *options]) == 0
    for name in ("0.png.npy", "1.png.npy"):
        np.testing.assert_allclose(
            np.load(f"2/maps/{name}"), np.load(f"out/maps/{name}"), atol=1e-5
        )


def test_the_overlay_shows_the_image_where_the_map_is_0_and_colour_where_it_is_1(working_folder):
    write_images(working_folder, 1)
    explain(steps="40")
    overlay = np.asarray(Image.open("out/overlays/0.png.png")).astype(int)
    weights = np.load("out/maps/0.png.npy")
    assert overlay.shape == (24, 24, 3)
    colourful = overlay.max(axis=2) - overlay.min(axis=2)
    assert (colourful[weights < 1e-3] <= 1).all()
    assert (colourful[weights > 0.9] > 50).all() and (weights > 0.9).any()


def test_rgb_is_drawn_in_its_own_colours_under_the_map(working_folder):
    photograph = np.dstack([bright(i) for i in range(3)])
    photograph[0] = 200, 40, 10
    (working_folder / "images" / "0.png").write_bytes(png(photograph))
    assert explain("--colours", "rgb") == 0
    weights = np.load("out/maps/0.png.npy")[..., None] * MAP_OPACITY
    expected = (1 - weights) * photograph + weights * 255 * np.array(MAP_COLOUR)
    assert np.abs(np.asarray(Image.open("out/overlays/0.png.png")) - expected).max() <= 0.51


def test_a_grey_image_has_no_rgb_and_nothing_of_it_is_written(working_folder):
    write_images(working_folder, 1)
    assert explain("--colours", "rgb") == 1
    assert "expected 'rgb' for three stains" in rows()["0.png"]["reason"]
    assert files(working_folder / "out") == {"diagnostics.csv", "manifest.json"}


def test_stains_of_one_file_each_are_the_channels_in_the_given_order(working_folder):
    stains = {"DAPI": bright(1), "GFP": np.zeros((24, 24), np.uint8)}
    for stain, image in stains.items():
        (working_folder / "images" / f"A01_{stain}.png").write_bytes(png(image))
    assert explain("--stains", "{image}_{stain}.png", "GFP", "DAPI", "--per-stain") == 0
    from pcim_cli_networks import Bright

    image = torch.from_numpy(np.stack([stains["GFP"], stains["DAPI"]]))[None] / 255
    expected = PCIM(Bright().eval(), isolation=PerStain()).attribute(image, target=1, n_steps=4)
    weights = np.load("out/maps/A01.npy")
    np.testing.assert_allclose(weights, expected[0].numpy(), atol=1e-6)


def test_a_missing_stain_is_reported(working_folder):
    (working_folder / "images" / "A01_DAPI.png").write_bytes(png(bright()))
    assert explain("--stains", "{image}_{stain}.png", "DAPI", "GFP") == 1
    assert rows()["A01"]["reason"] == "no file for stain GFP"


def test_a_window_replaces_the_division_by_the_largest_value(working_folder):
    write_images(working_folder, 1)
    explain("--window", "0", "40")
    assert float(rows()["0.png"]["full_probability"]) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("brightest", [4095, 60000])
def test_a_camera_of_fewer_bits_than_its_files_is_noticed(working_folder, capsys, brightest):
    image = np.full((24, 24), 100, np.uint16)
    image[8:16, 8:16] = brightest
    tifffile.imwrite(working_folder / "images" / "camera.tif", image)
    assert explain() == 0
    said = f"the brightest pixel is {brightest} of 65535"
    assert (said in capsys.readouterr().err) == (brightest == 4095)


def test_the_report_counts_the_verdicts_of_the_table(working_folder, capsys):
    write_images(working_folder)
    assert explain() == 0
    told = capsys.readouterr().out.splitlines()
    for verdict, number in Counter(row["verdict"] for row in rows().values()).items():
        assert f"{number} of them: {verdict}" in told


def test_maps_can_be_tiff(working_folder):
    write_images(working_folder, 1)
    explain("--map-format", "tiff")
    weights = tifffile.imread("out/maps/0.png.tif")
    assert weights.dtype == np.float32 and weights.shape == (24, 24)


def write_stack(path):
    """Planes along z of a grey image, as ImageJ writes them."""
    tifffile.imwrite(path, np.stack([bright(i) for i in range(3)]), imagej=True,
                     metadata={"axes": "ZYX"})  # fmt: skip


def test_planes_along_z_are_never_taken_for_stains(working_folder):
    write_stack("images/stack.tif")
    assert explain() == 1
    assert rows()["stack.tif"]["reason"].startswith("planes along z: 1, 2, 3. Say which by z")


def test_the_plane_or_projection_that_is_asked_for_is_explained(working_folder):
    write_stack("images/stack.tif")
    (working_folder / "images" / "flat.png").write_bytes(
        png(np.max([bright(i) for i in range(3)], axis=0))
    )
    assert explain("--z", "max") == 0
    flat, projected = (np.load(f"out/maps/{name}.npy") for name in ("flat.png", "stack.tif"))
    np.testing.assert_allclose(projected, flat, atol=1e-6)


def test_images_of_several_sizes_are_all_explained(working_folder):
    for i, shape in enumerate([(24, 24), (30, 20), (24, 24), (20, 30)]):
        (working_folder / "images" / f"{i}.png").write_bytes(png(bright(i, shape)))
    assert explain() == 0
    assert np.load("out/maps/1.png.npy").shape == (30, 20)
    assert np.load("out/maps/3.png.npy").shape == (20, 30)


def test_maps_do_not_depend_on_the_batch_size(working_folder):
    write_images(working_folder, 3)
    explain()
    main(["explain", "--model", MODEL, "--images", "images", "--out", "2", "--steps", "4",
          "--batch-size", "1"])  # fmt: skip
    for i in range(3):
        one, many = np.load(f"2/maps/{i}.png.npy"), np.load(f"out/maps/{i}.png.npy")
        np.testing.assert_allclose(one, many, atol=1e-5)


def test_a_model_of_one_image_at_a_time_is_served(working_folder):
    write_images(working_folder, 2)
    assert explain(model="pcim_cli_networks:OneByOne") == 0


def test_bad_files_fail_with_their_reason_and_the_others_are_done(working_folder, capsys):
    write_images(working_folder, 2)
    whole = png(bright(5, (64, 64)))
    (working_folder / "images" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (working_folder / "images" / "text.jpg").write_text("not an image")
    (working_folder / "images" / "notes.txt").write_text("notes")
    (working_folder / "secret.png").write_bytes(png(bright()))
    (working_folder / "images" / "link.png").symlink_to("../secret.png")
    assert explain() == 1
    status = {name: row["status"] for name, row in rows().items()}
    assert status == {
        "0.png": "ok", "1.png": "ok", "cut.png": "error", "link.png": "error",
        "notes.txt": "skipped", "text.jpg": "error",
    }  # fmt: skip
    assert all(row["reason"] for row in rows().values() if row["status"] != "ok")
    assert "link.png" not in "".join(files(working_folder / "out"))
    assert "'cut.png': cannot be read" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_an_unreadable_file_fails_with_the_reason(working_folder):
    write_images(working_folder, 2)
    (working_folder / "images" / "0.png").chmod(0)
    assert explain() == 1
    assert "Permission" in rows()["0.png"]["reason"] and rows()["1.png"]["status"] == "ok"


def test_an_image_without_finite_scores_fails_alone(working_folder):
    write_images(working_folder, 3)
    image = bright(1)
    image[0, 0] = 255
    (working_folder / "images" / "1.png").write_bytes(png(image))
    assert explain(model="pcim_cli_networks:NotANumber") == 1
    assert [row["status"] for row in rows().values()] == ["ok", "error", "ok"]
    assert "not finite" in rows()["1.png"]["reason"]


def test_an_error_of_the_model_is_told_in_one_line(working_folder):
    write_images(working_folder, 1)
    assert explain(model="pcim_cli_networks:Angry") == 1
    assert rows()["0.png"]["reason"] == "RuntimeError: two lines"


HOSTILE_NAMES = [
    "new\nline.png", "carriage\rreturn.png", "--overwrite.png", "=1+1.png", "@a.png",
    '"quoted",.png',
    "$(touch exploded).png", "..png", "....png", "%s{0}.png", "\u00fcn\u00ef \U0001f52c.png",
    "\u202egnp.png", "\x1b[31mred.png", "C:\\a.png", "~.png", " .png", "x" * 240 + ".png",
]  # fmt: skip


def test_hostile_names_are_names(working_folder):
    for i, name in enumerate(HOSTILE_NAMES):
        (working_folder / "images" / name).write_bytes(png(bright(i)))
    before = files(working_folder)
    assert explain() == 0
    assert {name for name, row in rows().items() if row["status"] == "ok"} == {
        name for name in HOSTILE_NAMES if not name.startswith(".")
    }
    outside = {name for name in files(working_folder) - before if not name.startswith("out/")}
    assert {name for name in outside if "__pycache__" not in name} == set()


def test_a_name_too_long_for_its_map_fails_alone(working_folder):
    write_images(working_folder, 1)
    (working_folder / "images" / ("x" * 251 + ".png")).write_bytes(png(bright()))
    assert explain() == 1
    assert rows()["x" * 251 + ".png"]["status"] == "error" and rows()["0.png"]["status"] == "ok"


def test_names_that_are_not_unicode_are_written_escaped(working_folder):
    name = os.fsdecode(b"\xff.png")
    (working_folder / "images" / name).write_bytes(png(bright()))
    assert explain() == 0
    assert list(rows()) == ["\\udcff.png"]
    assert (working_folder / "out" / "maps" / f"{name}.npy").is_file()


def test_a_link_in_the_out_folder_is_not_followed_out_of_it(working_folder):
    write_images(working_folder, 1)
    (working_folder / "elsewhere").mkdir()
    (working_folder / "out").mkdir()
    (working_folder / "out" / "maps").symlink_to("../elsewhere")
    assert explain() == 1
    assert "outside the folder" in rows()["0.png"]["reason"]
    assert not list((working_folder / "elsewhere").iterdir())


def test_a_second_run_does_only_what_is_missing(working_folder):
    write_images(working_folder, 2)
    explain()
    done = working_folder / "out" / "maps" / "0.png.npy"
    stamp = done.stat().st_mtime_ns
    (working_folder / "images" / "2.png").write_bytes(png(bright(2)))
    (working_folder / "out" / "maps" / "1.png.npy").unlink()
    assert explain() == 0
    assert done.stat().st_mtime_ns == stamp
    assert len(rows()) == 3 and np.load("out/maps/1.png.npy").shape == (24, 24)


def test_images_that_are_gone_keep_their_maps_and_are_not_counted(working_folder, capsys):
    write_images(working_folder, 3)
    explain()
    capsys.readouterr()
    (working_folder / "images" / "1.png").rename(working_folder / "1.png")
    assert explain() == 0
    told = capsys.readouterr().out
    assert told.startswith("2 images explained, 0 failed")
    assert "1 maps of earlier runs, whose images are not among these" in told
    assert [row["status"] for row in rows().values()] == ["ok", "absent", "ok"]
    assert "not among the images of the last run" in rows()["1.png"]["reason"]
    stamp = os.stat("out/maps/1.png.npy").st_mtime_ns
    (working_folder / "1.png").rename(working_folder / "images" / "1.png")
    assert explain() == 0
    assert os.stat("out/maps/1.png.npy").st_mtime_ns == stamp
    assert [row["status"] for row in rows().values()] == ["ok"] * 3


def test_a_changed_image_is_done_again(working_folder):
    write_images(working_folder, 1)
    explain()
    before = np.load("out/maps/0.png.npy")
    (working_folder / "images" / "0.png").write_bytes(png(np.roll(bright(0), 4)))
    explain()
    assert not np.array_equal(np.load("out/maps/0.png.npy"), before)


def test_the_old_map_of_an_image_that_now_fails_is_gone(working_folder):
    write_images(working_folder, 1)
    explain()
    (working_folder / "images" / "0.png").write_bytes(b"damaged")
    assert explain() == 1
    assert rows()["0.png"]["status"] == "error"
    assert files(working_folder / "out") == {"diagnostics.csv", "manifest.json"}


@pytest.mark.parametrize("names", [["a", "b", "c"], ["a"], ["a", "a"]])
def test_names_that_fit_no_class_are_refused_where_nothing_is_left_to_do_too(
    working_folder, capsys, names
):
    write_images(working_folder, 1)
    explain("--classes", "dim", "bright")
    before = (working_folder / "out" / "diagnostics.csv").read_bytes()
    assert explain("--classes", *names) == 2
    assert "classes: expected 2 different names" in capsys.readouterr().err
    assert (working_folder / "out" / "diagnostics.csv").read_bytes() == before


def test_too_few_steps_are_refused_before_maps_are_replaced(working_folder, capsys):
    write_images(working_folder, 1)
    explain()
    before = files(working_folder / "out")
    with pytest.raises(SystemExit):
        explain("--overwrite", steps="1")
    assert "expected a whole number above 1, got '1'" in capsys.readouterr().err
    assert files(working_folder / "out") == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (["--target", "0"], "target"),
        (["--steps", "5"], "steps"),
        (["--window", "0", "9"], "window"),
        (["--model", "pcim_cli_networks:Slow"], "model"),
    ],
)
def test_other_settings_need_another_folder(working_folder, capsys, change, named):
    write_images(working_folder, 1)
    explain()
    before = (working_folder / "out" / "diagnostics.csv").read_bytes()
    assert explain(*change) == 2
    assert f"other settings ({named})" in capsys.readouterr().err
    assert (working_folder / "out" / "diagnostics.csv").read_bytes() == before


def test_overwrite_replaces_everything_of_the_other_settings(working_folder):
    write_images(working_folder, 2)
    explain()
    (working_folder / "images" / "1.png").unlink()
    assert explain("--map-format", "tiff", "--overwrite") == 0
    assert files(working_folder / "out") == {
        "diagnostics.csv", "manifest.json", "maps/0.png.tif", "overlays/0.png.png",
    }  # fmt: skip


@pytest.mark.parametrize(
    "content", ["", "[]", '{"settings": {}}', '{"settings": {}, "images": {"a": 1}}']
)
def test_a_damaged_manifest_is_a_clear_error(working_folder, capsys, content):
    write_images(working_folder, 1)
    (working_folder / "out").mkdir()
    (working_folder / "out" / "manifest.json").write_text(content)
    assert explain() == 2
    assert "is not a manifest" in capsys.readouterr().err


def start(*options):
    command = "import sys; from captum_pcim.cli.main import main; sys.exit(main())"
    arguments = ["explain", "--images", "images", "--out", "out", "--batch-size", "1", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", command, *arguments], stderr=subprocess.PIPE, env=environment
    )


def wait_for_maps(folder, count):
    deadline = time.monotonic() + 60
    while len(list((folder / "out").rglob("*.npy"))) < count:
        assert time.monotonic() < deadline, "no maps"
        time.sleep(0.005)


def test_a_killed_run_leaves_whole_files_and_is_taken_up_again(working_folder):
    write_images(working_folder, 12)
    process = start("--model", "pcim_cli_networks:Slow", "--steps", "10")
    wait_for_maps(working_folder, 2)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stderr.close()
    maps = list((working_folder / "out").rglob("*.npy"))
    assert 2 <= len(maps) < 12
    assert all(np.load(path).shape == (24, 24) for path in maps)
    done = json.loads((working_folder / "out" / "manifest.json").read_text())["images"]
    stamps = {name: os.stat(f"out/maps/{name}.npy").st_mtime_ns for name in done}
    # The table follows the manifest, so a kill between the two leaves it a batch behind, no more.
    assert stamps and set(rows()) <= set(done)

    assert explain("--batch-size", "4", model="pcim_cli_networks:Slow", steps="10") == 0
    assert {name: os.stat(f"out/maps/{name}.npy").st_mtime_ns for name in done} == stamps
    assert [row["status"] for row in rows().values()] == ["ok"] * 12
    assert len(files(working_folder / "out")) == 2 + 2 * 12


def test_maps_of_two_settings_never_mix_where_two_runs_meet_in_a_folder(working_folder, capsys):
    write_images(working_folder, 12)
    assert explain("--out", "2") == 0
    process = start("--model", "pcim_cli_networks:Slow", "--steps", "200")
    manifest = working_folder / "out" / "manifest.json"
    deadline = time.monotonic() + 60
    while not manifest.is_file():
        assert time.monotonic() < deadline, "no manifest"
        time.sleep(0.005)
    assert explain() == 2
    assert "was written with other settings (model, steps)" in capsys.readouterr().err
    assert explain("--overwrite") == 0
    said = process.communicate()[1].decode()
    assert process.returncode == 2
    assert "out: another run writes to 'out' with other settings (model, steps)" in said
    assert {row["n_steps"] for row in rows().values()} == {"4"}
    for i in range(12):
        one, other = np.load(f"out/maps/{i}.png.npy"), np.load(f"2/maps/{i}.png.npy")
        np.testing.assert_array_equal(one, other)


def test_temporary_files_of_a_killed_run_are_removed(working_folder):
    write_images(working_folder, 1)
    (working_folder / "out" / "maps").mkdir(parents=True)
    (working_folder / "out" / "maps" / ".tmp-1-abcd").write_bytes(b"half")
    explain()
    assert not list((working_folder / "out").rglob(".tmp-*"))


def test_an_interrupt_ends_with_its_own_status(working_folder, capsys):
    write_images(working_folder, 1)
    assert explain(model="pcim_cli_networks:Interrupted") == 130
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "missing"], "images: expected a folder, got 'missing'"),
        (["--model", "missing.pt"], "neither a file"),
        (["--window", "9", "1"], "LOW must be below HIGH"),
        (["--target", "x"], "a class's number from 0 or 'predicted', got 'x'"),
        (["--target", "-1"], "a class's number from 0 or 'predicted', got '-1'"),
        (["--stains", "{image}.png", "1"], "{image} and {stain}"),
        (["--device", "no such device"], "device"),
        (["--out", "images/0.png"], "File exists"),
        (["--out", "images"], "must not be the folder of the images"),
    ],
)
def test_what_cannot_start_ends_with_status_2(working_folder, capsys, options, message):
    write_images(working_folder, 1)
    assert explain(*options) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (working_folder / "out").exists()


@pytest.mark.parametrize("options", [["--steps", "0"], ["--batch-size", "-1"]])
def test_impossible_arguments_end_with_status_2(options, capsys):
    with pytest.raises(SystemExit) as exit_:
        explain(*options)
    assert exit_.value.code == 2
    assert "expected a" in capsys.readouterr().err


def test_a_class_that_the_model_lacks_fails_with_the_reason(working_folder):
    write_images(working_folder, 1)
    assert explain("--target", "7") == 1
    assert "target: expected classes from 0 to 1, got 7" in rows()["0.png"]["reason"]


def test_a_folder_without_images_is_an_error(working_folder, capsys):
    (working_folder / "images" / "notes.txt").write_text("notes")
    assert explain() == 2
    assert "no images in 'images': files that are no images: 1" in capsys.readouterr().err


def test_files_that_fit_no_stain_are_told_with_an_example(working_folder, capsys):
    for name in ("a_DNA.png", "a_ER.png", "b_DNA.PNG"):
        (working_folder / "images" / name).write_bytes(png(bright()[..., 0]))
    explain("--stains", "{image}_{stain}.png", "DNA", "ER", steps="2")
    told = "no images: 1, for example 'b_DNA.PNG': does not match the stains' pattern"
    assert told in capsys.readouterr().err


def test_a_folder_of_damaged_files_is_gone_through_without_a_crash(working_folder, capfd):
    dice = random.Random(0)
    stream = io.BytesIO()
    tifffile.imwrite(stream, bright().astype(np.uint16) * 257, compression="zlib")
    for i in range(60):
        suffix, data = dice.choice([(".png", png(bright())), (".tif", stream.getvalue())])
        position, noise = dice.randrange(len(data)), dice.randbytes(dice.randint(0, 6))
        damaged = data[:position] + noise
        if dice.random() < 0.5:
            damaged += data[position + len(noise) :]
        (working_folder / "images" / f"{i:02}{suffix}").write_bytes(damaged)
    write_images(working_folder, 1)
    assert explain("--batch-size", "32", steps="2") == 1
    assert rows()["0.png"]["status"] == "ok" and len(rows()) == 61
    assert all(row["reason"] for row in rows().values() if row["status"] == "error")
    assert "Traceback" not in capfd.readouterr().err


def test_a_log_gets_how_far_a_run_is(working_folder, capsys):
    write_images(working_folder, 3)
    explain(steps="2")
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("0/3 images") and last.startswith("3/3 images (100 %)")
    write_images(working_folder, 4)
    explain(steps="2")
    assert capsys.readouterr().err.splitlines()[-1].startswith("1/1 images (100 %)")


def test_pickles_given_as_model_are_not_run(working_folder, capsys):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, ("exploded",)

    write_images(working_folder, 1)
    torch.save(Bomb(), "model.pt")
    assert explain(model="model.pt") == 2
    assert explain("--state-dict", "model.pt") == 2
    assert "refused" in capsys.readouterr().err
    assert not (working_folder / "exploded").exists()
