"""`captum-pcim compare` on real files."""

import csv
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from captum_pcim.cli.main import main

MODEL = """
import torch
from torch import nn

class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.head = nn.Linear(16, 2)
        with torch.no_grad():
            self.head.weight.copy_(torch.eye(2).repeat(1, 8) * torch.tensor([[0.0], [4.0]]))

    def forward(self, inputs):
        return self.head(self.pool(inputs).mean(1).flatten(1))
"""


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A folder with a model, three images of 16 x 16 pixels and their masks."""
    (tmp_path / "tiny_network.py").write_text(MODEL)
    monkeypatch.syspath_prepend(tmp_path)
    rng = np.random.default_rng(0)
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    for index in range(3):
        pixels = rng.integers(0, 255, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{index}.png")
        mask = np.zeros((16, 16), np.uint8)
        mask[: 4 + index, :8] = 7
        Image.fromarray(mask).save(tmp_path / "masks" / f"{index}.png")
    return tmp_path


def _compare(work, *arguments):
    arguments = arguments or ("--masks", str(work / "masks"))
    return main(
        ["compare", "--model", "tiny_network:Network", "--images", str(work / "images"),
         "--out", str(work / "out"), "--methods", "PCIM", "Saliency", "GradCam", "--layer", "pool",
         *arguments]
    )  # fmt: skip


def _rows(work):
    with open(work / "out" / "table.csv", newline="") as stream:
        return {row["method"]: row for row in csv.DictReader(stream)}


def test_methods_trivial_maps_and_chance_are_in_the_table(work):
    assert _compare(work) == 0
    assert set(_rows(work)) == {
        "PCIM", "Saliency", "GradCam", "random", "centre Gaussian", "edges", "raw intensity",
        "foreground", "chance level",
    }  # fmt: skip


def test_masks_are_found_by_name_and_anything_but_zero_is_truth(work):
    _compare(work)
    chance = float(_rows(work)["chance level"]["relevance_mass_accuracy"])
    assert chance == pytest.approx((4 + 5 + 6) * 8 / 3 / 256)


def test_without_masks_there_is_fidelity_alone(work):
    assert _compare(work, "--target", "1") == 0
    assert "insertion, blur" in _rows(work)["PCIM"]
    assert "average_precision" not in _rows(work)["PCIM"]


def test_grey_images_have_no_rgb(work, capsys):
    assert _compare(work, "--colours", "rgb") == 2
    assert "colours: rgb needs three channels, got 1" in capsys.readouterr().err


def test_figures_are_written(work):
    _compare(work)
    for name in ("maps.png", "curves.png"):
        with Image.open(work / "out" / name) as image:
            image.verify()


def test_a_torchscript_file_is_compared(work):
    from tiny_network import Network

    torch.jit.script(Network().eval()).save(str(work / "model.pt"))
    status = main(["compare", "--model", str(work / "model.pt"), "--trust",
                   "--images", str(work / "images"), "--out", str(work / "out"),
                   "--methods", "PCIM", "Occlusion"])  # fmt: skip
    assert status == 0
    assert float(_rows(work)["PCIM"]["forwards"]) > 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--target", "9"), "IndexError"),
        (("--target", "x"), "a class's number from 0 or 'predicted', got 'x'"),
        (("--methods", "Nope"), "methods: expected some of"),
        (("--layer", "nope"), "layer: the model has none named 'nope'"),
        (("--window", "5", "1"), "window: LOW must be below HIGH"),
        (("--images", "nowhere"), "nowhere"),
        (("--model", "nowhere.pt"), "model: neither a file nor module:factory"),
    ],
)
def test_bad_usage_is_told_in_one_line_and_nothing_is_compared(work, capsys, arguments, message):
    assert _compare(work, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("captum-pcim compare: error: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (work / "out" / "table.csv").exists()


def test_the_folder_of_the_images_is_not_written_to(work, capsys):
    assert _compare(work, "--out", str(work / "images")) == 2
    assert "out: must not be the folder of the images" in capsys.readouterr().err


def test_a_mask_is_read_as_labels_are(work, capsys):
    """Palette indices, not their colours; and colours that tell no object are refused."""
    mask = Image.fromarray(np.pad(np.full((4, 8), 1, np.uint8), ((0, 12), (0, 8))))
    palette = mask.convert("P")
    palette.putpalette([9, 9, 9, 0, 0, 0])  # the background is the brighter colour
    palette.putdata(list(mask.getdata()))
    palette.save(work / "masks" / "0.png")
    assert _compare(work) == 0
    chance = float(_rows(work)["chance level"]["relevance_mass_accuracy"])
    assert chance == pytest.approx((4 + 5 + 6) * 8 / 3 / 256)
    mask.convert("RGB").save(work / "masks" / "1.png")
    assert _compare(work) == 2
    assert "masks: '1.png': colours (RGB) do not tell object numbers" in capsys.readouterr().err


def test_without_gradients_the_methods_that_need_them_are_left_out_and_it_is_said(work, capsys):
    arguments = ["--forward-only", "40", "--methods", "PCIM", "Occlusion"]
    assert _compare(work, *arguments) == 0
    assert {"PCIM", "Occlusion"} < set(_rows(work))
    assert "PCIM takes 40 forward passes an image" in capsys.readouterr().err
    assert _compare(work, "--forward-only", "40") == 2  # Saliency is among its methods
    assert "methods: expected some of ['PCIM', 'Occlusion'" in capsys.readouterr().err


def test_masks_of_names_with_dots_are_found(work):
    stains, masks = work / "stains", work / "dotted"
    for folder, source, end in ((stains, "images", "_D"), (masks, "masks", "")):
        folder.mkdir()
        for number in "01":
            shutil.copy(work / source / f"{number}.png", folder / f"p1.0_{number}{end}.png")
    pattern = ["--stains", "{image}_{stain}.png", "D", "--methods", "PCIM"]
    assert _compare(work, "--images", str(stains), "--masks", str(masks), *pattern) == 0
    assert float(_rows(work)["chance level"]["relevance_mass_accuracy"]) > 0


def test_a_missing_mask_is_named(work, capsys):
    (work / "masks" / "1.png").unlink()
    assert _compare(work) == 2
    assert "masks: none for '1.png'" in capsys.readouterr().err


def test_two_masks_of_one_image_are_refused(work, capsys):
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(work / "masks" / "1.png.png")
    (work / "masks" / "1.png.png").rename(work / "masks" / "1.tif")
    assert _compare(work) == 2
    assert "masks: two are called '1'" in capsys.readouterr().err


def test_files_that_are_no_images_are_told(work, capsys):
    (work / "images" / "notes.txt").touch()
    _compare(work, "--target", "1")
    assert "no images: 1, for example 'notes.txt'" in capsys.readouterr().err


def test_images_of_two_sizes_are_refused(work, capsys):
    Image.fromarray(np.zeros((16, 20), np.uint8)).save(work / "images" / "3.png")
    assert _compare(work, "--target", "1") == 2
    assert "(1, 16, 16) for '0.png' and (1, 16, 20) for '3.png'" in capsys.readouterr().err


def test_a_broken_image_is_named(work, capsys):
    (work / "images" / "1.png").write_bytes(b"not an image")
    assert _compare(work) == 2
    assert "'1.png'" in capsys.readouterr().err
