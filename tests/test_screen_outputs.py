"""What people look at: tables of objects, heat maps, previews and the overview page."""

import html
import io
import os
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from screen_plates import TESTS, config, pixels, write_field, write_plate

from captum_pcim.cells.objects import column_names, measure_objects
from captum_pcim.screen import run_screen
from captum_pcim.screen.heat_map import draw_heat_map, plate_array
from captum_pcim.screen.previews import SIDE, image_preview, map_preview
from captum_pcim.screen.report import safe_name


def test_objects_are_measured_exactly():
    attributions = np.array([[[0.5, 0.25, 0.0], [1.0, 0.25, 0.0]]], np.float32)
    labels = np.array([[7, 2, 0], [7, 2, 0]])
    number, mean, total, share, largest = measure_objects(attributions, labels).T
    assert number.tolist() == [2, 7]
    assert mean.tolist() == [0.25, 0.75]
    assert total.tolist() == [0.5, 1.5]
    assert share.tolist() == [0.25, 0.75]
    assert largest.tolist() == [0.25, 1.0]


@given(st.integers(0, 2**32 - 1))
def test_objects_agree_with_one_by_one_measurement(seed):
    rng = np.random.default_rng(seed)
    attributions = rng.random((2, 6, 5), dtype=np.float32)
    labels = rng.integers(0, 4, (6, 5))
    measured = measure_objects(attributions, labels)
    for row in measured:
        for stain, plane in enumerate(attributions.astype(float)):
            inside = plane[labels == row[0]]
            expected = [inside.mean(), inside.sum(), inside.sum() / plane.sum(), inside.max()]
            np.testing.assert_allclose(row[1 + 4 * stain : 5 + 4 * stain], expected)
    assert measured[:, 0].tolist() == sorted(set(labels.ravel().tolist()) - {0})


def test_an_empty_map_has_no_shares_and_an_empty_label_image_no_rows():
    zeros = np.zeros((1, 2, 2), np.float32)
    assert measure_objects(zeros, np.ones((2, 2), np.int64)).tolist() == [[1, 0, 0, 0, 0]]
    assert measure_objects(zeros, np.zeros((2, 2), np.int64)).shape == (0, 5)


def test_columns_are_named_for_object_measure_and_stain():
    assert column_names("Nuclei", ["ER"]) == [
        "ObjectNumber",
        "Nuclei_Attribution_Mean_ER",
        "Nuclei_Attribution_Sum_ER",
        "Nuclei_Attribution_Share_ER",
        "Nuclei_Attribution_Max_ER",
    ]


def test_wells_lie_where_the_plate_has_them():
    array = plate_array({"A01": 0.1, "P24": 0.9, "B03": 0.5})
    assert array.shape == (16, 24)
    assert (array[0, 0], array[15, 23], array[1, 2]) == (0.1, 0.9, 0.5)
    assert np.isnan(array).sum() == 16 * 24 - 3


@pytest.mark.parametrize(
    ("well", "shape"), [("H12", (8, 12)), ("A13", (16, 24)), ("I01", (16, 24)), ("AF48", (32, 48))]
)
def test_the_smallest_plate_that_holds_all_wells_is_drawn(well, shape):
    assert plate_array({well: 1.0}).shape == shape


def test_a_heat_map_is_a_picture():
    with Image.open(io.BytesIO(draw_heat_map({"A01": 0.5}, "100 $ & <b>"))) as picture:
        assert picture.format == "PNG"


@pytest.mark.parametrize("shape", [(3, 300, 1000), (1, 20, 30), (2, 256, 256)])
def test_previews_are_at_most_256_pixels_and_keep_their_shape(shape):
    planes = np.random.default_rng(0).random(shape, dtype=np.float32)
    for picture in (image_preview(planes), map_preview(planes)):
        width, height = Image.open(io.BytesIO(picture)).size
        assert max(width, height) <= SIDE
        assert width / height == pytest.approx(shape[2] / shape[1], rel=0.05)


def test_rgb_is_shown_in_its_own_colours():
    planes = np.random.default_rng(0).random((3, 8, 8), dtype=np.float32)
    shown = np.asarray(Image.open(io.BytesIO(image_preview(planes, "rgb"))))
    assert np.abs(shown / 255 - np.moveaxis(planes, 0, -1)).max() < 1 / 255


def test_one_stain_is_shown_in_grey():
    planes = np.random.default_rng(0).random((1, 8, 8), dtype=np.float32)
    colours = np.asarray(Image.open(io.BytesIO(image_preview(planes))))
    assert (colours[..., 0] == colours[..., 1]).all() and (colours[..., 1] == colours[..., 2]).all()


@pytest.mark.parametrize(("factor", "shift"), [(4000, 0), (2, -1)])
def test_previews_of_raw_intensities_and_z_scores_show_the_image(factor, shift):
    planes = np.random.default_rng(0).random((2, 8, 8), dtype=np.float32)
    planes[:, 0, 0], planes[:, 0, 1] = 0, 1
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(image_preview(planes * factor + shift)))),
        np.asarray(Image.open(io.BytesIO(image_preview(planes)))),
    )


def test_file_names_stay_in_their_folder_and_apart():
    assert safe_name("P1") == "P1"
    names = [safe_name(text) for text in ("a/b", "a\\b", "../b", "a b", "", "P" * 300)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[\w-]+", name) for name in names)


NASTY = "<script>document.title='broken'</script>&\"'"


@pytest.fixture(scope="module")
def screen(tmp_path_factory):
    """A finished screen of two plates, one with a hostile name, one image of it damaged."""
    folder = tmp_path_factory.mktemp("screen")
    write_plate(folder / "images", sites=6)
    (folder / "load.csv").write_text(_load_file(folder))
    before = os.getcwd()
    os.chdir(TESTS)
    try:
        run_screen(
            config(
                folder,
                images={"source": "load_file", "path": str(folder / "load.csv"), "labels": ""},
                model={"classes": ["left", NASTY]},
            )
        )
    finally:
        os.chdir(before)
    return folder / "results"


def _load_file(folder):
    write_field(folder / "images" / "P1", "C01", "1", pixels(7))
    (folder / "images" / "P1" / "C01_f1_ER.png").write_bytes(b"no image")
    lines = ["Metadata_Plate,Metadata_Well,Metadata_Site,FileName_DNA,FileName_ER"]
    quoted = '"' + NASTY.replace('"', '""') + '"'
    for plate in ("P1", quoted):
        for dna in sorted((folder / "images" / "P1").glob("*_DNA.png")):
            well, site, _ = dna.name.split("_")
            er = str(dna).replace("DNA", "ER")
            lines.append(f"{plate},{well},{site[1:]},{dna},{er}")
    return "\n".join(lines)


def pages(folder):
    return {path: path.read_text(encoding="utf-8") for path in folder.rglob("*.html")}


def test_the_overview_links_to_a_page_for_each_plate(screen):
    text = (screen / "overview.html").read_text()
    links = re.findall(r'href="([^"]+)"', text)
    assert len(links) == 2
    assert all((screen / link).is_file() for link in links)


def test_pages_load_nothing_and_run_nothing(screen):
    for text in pages(screen).values():
        assert "<script" not in text.lower()
        assert "http://" not in text and "https://" not in text
        assert all(source.startswith("data:") for source in re.findall(r'src="([^"]{9})', text))
        assert "default-src 'none'" in text


def test_names_are_escaped(screen):
    everything = "".join(pages(screen).values())
    assert NASTY not in everything
    assert html.escape(NASTY) in everything


def test_a_page_shows_wells_examples_of_each_class_and_failures(screen):
    text = (screen / "plates" / "P1.html").read_text()
    assert "19 images, 18 done, 1 failed, 0 missing" in text
    assert text.count("most certain") == text.count("least certain") == 2
    assert text.count("<figure>") == 2 * 8
    assert "ImageError" in text
    for well in ("A01", "A02", "B01"):
        assert f"<td>{well}</td><td>6/6</td>" in text
    assert "<td>C01</td><td>0/1</td>" in text


def test_every_class_has_a_heat_map_file(screen):
    found = {path.name for path in (screen / "plates").glob("P1-*.png")}
    assert found == {"P1-left.png", f"P1-{safe_name(NASTY)}.png"}


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_pages_open_in_a_browser_with_every_picture(screen, tmp_path):
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={tmp_path}", "--window-size=1100,2400", "--hide-scrollbars",
    ]  # fmt: skip
    page = next(path for path in pages(screen) if path.name.startswith("_script"))
    picture = tmp_path / "page.png"
    ended = subprocess.run(
        [CHROMIUM, *flags, "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=100, check=True,
    )  # fmt: skip
    assert "<title>Plate &lt;script&gt;" in ended.stdout
    subprocess.run(
        [CHROMIUM, *flags, f"--screenshot={picture}", page.as_uri()],
        capture_output=True, timeout=100, check=True,
    )  # fmt: skip
    colours = np.asarray(Image.open(picture).convert("RGB")).reshape(-1, 3)
    # The heat map's yellow and the maps' bright orange are there only if the pictures were drawn.
    assert (np.abs(colours - [254, 232, 56]).max(axis=1) < 12).sum() > 100
