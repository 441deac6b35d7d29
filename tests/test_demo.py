"""The demo: both modalities, every method, table and figure on the disk."""

import csv

import pytest
from PIL import Image
from test_cli_main import without_fcntl

from captum_pcim.cli.demo import recognised_images
from captum_pcim.cli.main import main
from captum_pcim.synthetic import load_cnn

METHODS = [
    "PCIM",
    "IntegratedGradients",
    "IntegratedGradients, smoothed",
    "Occlusion",
    "Grad-CAM",
    "random",
]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """The folder of a demo on one image of each kind, as on Windows; in printed.txt its words."""
    folder = tmp_path_factory.mktemp("demo")
    ended = without_fcntl("demo", "--images", 1, "--out", folder)
    assert (ended.status, ended.stderr) == (0, "")
    (folder / "printed.txt").write_text(ended.stdout)
    return folder


def test_the_table_has_every_method_on_both_modalities_and_the_chance_level(out):
    with open(out / "table.csv", newline="") as stream:
        rows = list(csv.DictReader(stream))
    for modality in ("fluorescence", "brightfield"):
        methods = [row["method"] for row in rows if row["images"] == modality]
        assert methods == [*METHODS, "chance level"]


def test_the_table_tells_scores_passes_and_seconds(out):
    with open(out / "table.csv", newline="") as stream:
        row = next(csv.DictReader(stream))
    # The image, the probe, two references and what may stand in for them, blends and complements.
    assert 0 < float(row["forward passes"]) <= 1 + 1 + 2 + 5 + 96
    assert float(row["seconds"]) > 0
    for name in ("insertion", "deletion", "mass accuracy", "average precision"):
        assert 0 <= float(row[name]) <= 1


def test_the_text_is_the_printed_table(out):
    assert (out / "printed.txt").read_text().startswith((out / "table.txt").read_text())


def test_the_figure_is_an_image(out):
    with Image.open(out / "maps.png") as image:
        image.load()
        assert image.width > image.height > 100


def test_only_images_of_a_phenotype_are_explained():
    images = recognised_images(load_cnn("fluorescence"), "fluorescence", 2)
    assert len(images) == 2
    assert bool((images.labels > 0).all())
    assert bool(images.masks.flatten(1).any(1).all())


def test_fewer_than_one_image_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["demo", "--images", "0", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "--images: expected a whole number above 0, got '0'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
