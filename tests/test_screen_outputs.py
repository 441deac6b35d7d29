"""What is told and shown of an image: the table of its objects, previews, file names."""

import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from captum_pcim.cells.objects import column_names, locate_objects, measure_objects
from captum_pcim.profiles import write_table
from captum_pcim.screen.page_profile import read_profiles
from captum_pcim.screen.previews import (
    OUTLINES_SIDE,
    SIDE,
    image_preview,
    map_preview,
    outlines_preview,
    stains_preview,
)
from captum_pcim.screen.report import safe_name
from captum_pcim.screen.store import Store


def test_objects_are_measured_exactly():
    attributions = np.array([[[0.5, 0.25, 0.0], [1.0, 0.25, 0.0]]], np.float32)
    labels = np.array([[7, 2, 0], [7, 2, 0]])
    number, mean, total, share, largest = measure_objects(attributions, labels).T
    assert number.tolist() == [2, 7]
    assert mean.tolist() == [0.25, 0.75]
    assert total.tolist() == [0.5, 1.5]
    assert share.tolist() == [0.25, 0.75]
    assert largest.tolist() == [0.25, 1.0]


def test_objects_lie_at_the_mean_of_their_pixels():
    labels = np.array([[7, 2, 0], [7, 2, 2]])
    assert locate_objects(labels).tolist() == [[4 / 3, 2 / 3], [0, 0.5]]
    assert locate_objects(np.zeros((2, 2), np.int64)).shape == (0, 2)


@pytest.mark.parametrize("shape", [(30, 40), (300, 1100), (512, 512)])
def test_outlines_are_drawn_of_every_object_and_keep_the_shape_of_the_image(shape):
    labels = np.zeros(shape, np.int64)
    labels[4:24, 4:16], labels[4:24, 16:28] = 1, 5
    drawn = np.asarray(Image.open(io.BytesIO(outlines_preview(labels))).convert("RGBA"))
    assert max(drawn.shape) <= OUTLINES_SIDE and drawn.shape[2] == 4
    assert drawn.shape[0] / drawn.shape[1] == pytest.approx(shape[0] / shape[1], rel=0.02)
    scale = drawn.shape[0] / shape[0]
    seen = drawn[..., 3] > 0
    assert seen.any()
    rows, columns = (np.flatnonzero(seen.any(axis=axis)) / scale for axis in (1, 0))
    assert rows.min() == pytest.approx(4, abs=3) and rows.max() == pytest.approx(24, abs=3)
    assert columns.min() == pytest.approx(4, abs=3) and columns.max() == pytest.approx(28, abs=3)
    middle = int(14 * scale), int(10 * scale)
    assert not seen[middle]


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
        "Nuclei_Location_Center_X",
        "Nuclei_Location_Center_Y",
        "Nuclei_Attribution_Mean_ER",
        "Nuclei_Attribution_Sum_ER",
        "Nuclei_Attribution_Share_ER",
        "Nuclei_Attribution_Max_ER",
    ]


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


def test_stains_lie_in_grey_one_below_another():
    planes = np.random.default_rng(0).random((3, 8, 6), dtype=np.float32)
    shown = np.asarray(Image.open(io.BytesIO(stains_preview(planes))))
    assert np.abs(shown / 255 - planes.reshape(24, 6)).max() < 1 / 255


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


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_words_of_a_plate_map_that_look_like_numbers_or_nothing_stand_on_the_page(tmp_path, suffix):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    words = ["DMSO", "7", "nan", "", "inf"]
    codes = ["007", "7", "", "012", "10"]
    table = pandas.DataFrame({
        "Metadata_Plate": "P1", "Metadata_Well": ["A01", "A02", "A03", "A04", "A05"],
        "Metadata_compound": words, "Metadata_dose": ["0", "1.5", "", "2", "1e3"],
        "Metadata_id": codes,
    })  # fmt: skip
    store = Store(tmp_path)
    (tmp_path / "profiles").mkdir()
    write_table(table, tmp_path / "profiles" / f"wells.{suffix}")
    found = read_profiles(store)
    assert (found.numbers, found.texts) == (
        ["Metadata_dose"], ["Metadata_compound", "Metadata_id"]
    )  # fmt: skip
    wells = found.of_plate("P1")["wells"]
    assert [wells[well] for well in sorted(wells)] == [
        [0, "DMSO", "007"], [1.5, "7", "7"], [None, "nan", None], [2, None, "012"],
        [1000, "inf", "10"],
    ]  # fmt: skip
