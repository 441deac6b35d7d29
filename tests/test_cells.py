"""Single cells: how they are cropped, explained and written back to their field."""

import fresh
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import BrightSquare, bright_images, small_cnn
from torch import Tensor, nn

import captum_pcim
from captum_pcim import PCIM, Factorised, PCIMWarning, PerStain
from captum_pcim.cells.crops import CellPlace, cell_places
from captum_pcim.cells.field import StitchedMap
from captum_pcim.explainer import DIAGNOSTICS

STEPS = 3
pytestmark = pytest.mark.filterwarnings("ignore::captum_pcim.PCIMWarning")


def fields(n=2, side=40, n_stains=3):
    """Images of noise with two square objects each, one of them at the border."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(n, n_stains, side, side, generator=generator)
    labels = torch.zeros(n, side, side, dtype=torch.int64)
    labels[:, 10:18, 12:22], labels[:, 30:40, 34:40] = 3, 7
    return images, labels


def explain(images, labels, network=None, size=16, **options):
    pcim = PCIM(network or small_cnn())
    return captum_pcim.explain_cells(pcim, images, labels, size=size, n_steps=STEPS, **options)


# ---- crops ---------------------------------------------------------------------------------------


def test_a_crop_is_centred_on_its_object():
    images, labels = fields(1)
    (first, _) = captum_pcim.crop_cells(images, labels, size=16)
    # Rows 10 to 17 and columns 12 to 21: centres 13.5 and 16.5.
    assert torch.equal(first, images[0, :, 6:22, 9:25])


@pytest.mark.parametrize(("size", "first"), [(3, 3), (4, 3), (5, 2), (6, 2)])
def test_where_no_pixel_is_the_middle_the_crop_lies_lower_and_further_right(size, first):
    labels = np.zeros((9, 9), np.int64)
    labels[3:6, 3:6] = 1
    (place,) = cell_places(labels, size)
    assert (place.x, place.y, place.area) == (4, 4, 9)
    assert (place.top, place.left) == (first, first)


def test_beyond_the_border_a_crop_is_background():
    images, labels = fields(1)
    (_, last) = captum_pcim.crop_cells(images, labels, size=16)
    # Rows 30 to 39 and columns 34 to 39: the crop begins at row 27 and column 29.
    assert torch.equal(last[:, :13, :11], images[0, :, 27:, 29:])
    background = images[0][:, labels[0] == 0].quantile(0.5, dim=1)
    for stain, value in zip(last, background, strict=True):
        assert stain[13:].unique().tolist() == pytest.approx([value.item()])
        assert stain[:, 11:].unique().tolist() == pytest.approx([value.item()])


def test_where_every_pixel_is_an_object_background_is_the_lowest_intensity():
    images = torch.arange(16.0).reshape(1, 1, 4, 4) + 3
    crop = captum_pcim.crop_cells(images, torch.eye(4, dtype=torch.int64)[None] + 1, size=3)
    assert crop.shape == (2, 1, 3, 3)
    labels = torch.ones(1, 4, 4, dtype=torch.int64)
    labels[0, 0, 0] = 2
    (_, corner) = captum_pcim.crop_cells(images, labels, size=3)
    assert corner[0].tolist() == [[3, 3, 3], [3, 3, 4], [3, 7, 8]]


def test_neighbours_are_masked_on_demand_and_nothing_else():
    images = torch.rand(1, 2, 12, 12)
    labels = torch.zeros(1, 12, 12, dtype=torch.int64)
    labels[0, 4:8, 4:6], labels[0, 4:8, 6:8] = 1, 2
    plain = captum_pcim.crop_cells(images, labels, size=8)[0]
    masked = captum_pcim.crop_cells(images, labels, size=8, mask_neighbours=True)[0]
    (place, _) = cell_places(labels[0].numpy(), 8)
    neighbour = labels[0, place.top : place.top + 8, place.left : place.left + 8] == 2
    assert neighbour.any()
    assert torch.equal(plain[:, ~neighbour], masked[:, ~neighbour])
    background = images[0][:, labels[0] == 0].quantile(0.5, dim=1)
    assert torch.allclose(
        masked[:, neighbour], background[:, None].expand(-1, int(neighbour.sum()))
    )


def test_crops_have_the_side_that_the_network_takes():
    images, labels = fields()
    assert captum_pcim.crop_cells(images, labels, size=16, scale=24).shape == (4, 3, 24, 24)
    flat = captum_pcim.crop_cells(torch.ones_like(images), labels, size=16, scale=10)
    assert torch.allclose(flat, torch.ones_like(flat))


# ---- explanations --------------------------------------------------------------------------------


def test_cells_are_explained_as_attribute_explains_their_crops():
    images, labels = fields()
    found = explain(images, labels, target=1)
    crops = captum_pcim.crop_cells(images, labels, size=16)
    expected = PCIM(small_cnn()).attribute(crops, target=1, n_steps=STEPS)
    torch.testing.assert_close(found.crops, expected)


@pytest.mark.parametrize("contrast", [["b"], "b", 1, np.int64(1), [1]])
def test_a_cell_is_told_from_the_class_or_classes_of_the_contrast(contrast):
    images, labels = fields()
    found = explain(images, labels, target="a", contrast=contrast, classes=["a", "b", "c"])
    crops = captum_pcim.crop_cells(images, labels, size=16)
    expected = PCIM(small_cnn()).attribute(crops, target=0, contrast=1, n_steps=STEPS)
    torch.testing.assert_close(found.crops, expected)


def test_the_size_of_batches_changes_nothing():
    images, labels = fields()
    one, all_at_once = (explain(images, labels, batch_size=n) for n in (1, 32))
    torch.testing.assert_close(one.crops, all_at_once.crops, atol=1e-5, rtol=0)


def test_batches_are_filled_across_images():
    sizes, network = [], small_cnn()

    def counting(inputs: Tensor) -> Tensor:
        sizes.append(len(inputs))
        return network(inputs)

    images, labels = fields(4)
    explain(images, labels, counting, batch_size=8)
    assert max(sizes) == 2 * 8  # all blends and all complements of the four images at once


def test_a_map_is_found_where_a_cells_network_looks():
    """The network looks at the middle of the crop, wherever that lies in the field."""
    square = bright_images(1)[0]
    images = torch.zeros(1, 3, 64, 64)
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    for number, (top, left) in enumerate([(0, 0), (20, 30), (48, 48)], 1):
        images[0, :, top : top + 16, left : left + 16] = square
        labels[0, top + 4 : top + 12, left + 4 : left + 12] = number
    pcim = PCIM(BrightSquare())
    found = captum_pcim.explain_cells(pcim, images, labels, size=16, target=1)
    own = pcim.attribute(square[None], target=1)[0]
    assert [row["Status"] for row in found.rows()] == ["done"] * 3
    assert own[0, 4:10, 4:10].mean() > 2 * own[0].mean()
    for top, left in [(0, 0), (20, 30), (48, 48)]:
        inside = found.attributions[0, :, top + 4 : top + 12, left + 4 : left + 12]
        torch.testing.assert_close(inside, own[:, 4:12, 4:12], atol=1e-4, rtol=0)


def test_one_row_a_cell_tells_what_the_network_and_the_map_say():
    images, labels = fields()
    found = explain(images, labels, classes=["a", "b", "c"], objects="Nuclei")
    rows = found.rows()
    assert [(row["ImageNumber"], row["ObjectNumber"]) for row in rows] == [
        (1, 3), (1, 7), (2, 3), (2, 7)
    ]  # fmt: skip
    crops = captum_pcim.crop_cells(images, labels, size=16)
    for row, crop in zip(rows, crops, strict=True):
        probabilities = small_cnn()(crop[None]).softmax(1)[0]
        assert row["Class"] == row["Predicted"] == "abc"[probabilities.argmax()]
        for name, value in zip("abc", probabilities, strict=True):
            assert row[f"Probability_{name}"] == pytest.approx(value.item(), abs=1e-6)
        assert set(DIAGNOSTICS) <= set(row)
    assert rows[0]["Nuclei_Location_Center_X"] == 16.5
    assert rows[0]["Nuclei_Location_Center_Y"] == 13.5
    assert rows[0]["Nuclei_AreaShape_Area"] == 80


def test_the_share_is_of_the_cells_own_map_and_the_enrichment_relative_to_its_area():
    images, labels = fields(1)
    found = explain(images, labels)
    row, weights = found.rows()[0], found.crops[0, 0].double()
    own = labels[0, 6:22, 9:25] == 3
    share = (weights[own].sum() / weights.sum()).item()
    assert row["Cells_Attribution_Share"] == pytest.approx(share)
    assert row["Cells_Attribution_Enrichment"] == pytest.approx(share / (80 / 256))
    assert row["Cells_Attribution_Mean"] == pytest.approx(weights[own].mean().item())


@pytest.mark.parametrize("isolation", [PerStain(), Factorised()])
def test_where_stains_have_weights_of_their_own_columns_name_them(isolation):
    images, labels = fields(1)
    pcim = PCIM(small_cnn(), isolation=isolation)
    names = ["DNA", "ER", "AGP"]
    found = captum_pcim.explain_cells(pcim, images, labels, size=16, stains=names, n_steps=STEPS)
    row = found.rows()[0]
    assert all(f"Cells_Attribution_Mean_{name}" in row for name in names)
    weighed = [name for name in row if name.startswith("Stain_Weight_")]
    factorised = isinstance(isolation, Factorised)
    assert weighed == [f"Stain_Weight_{name}" for name in names] * factorised


def test_a_table_of_pandas_has_a_row_a_cell():
    pytest.importorskip("pandas")
    images, labels = fields()
    assert len(explain(images, labels).to_dataframe()) == 4


def test_a_resized_map_fits_its_cell():
    images, labels = fields(1)
    found = explain(images, labels, scale=24)
    assert found.crops.shape == (2, 3, 16, 16)
    assert found.crops.min() >= 0 and found.crops.max() <= 1


def test_an_object_that_is_larger_than_its_crop_is_noted():
    images, labels = fields(1)
    notes = [row["Notes"] for row in explain(images, labels, size=6).rows()]
    assert "size: 55% of the object lies beyond its crop" in notes[0]


# ---- stitching -----------------------------------------------------------------------------------


def test_an_objects_own_pixels_win_and_others_have_the_largest_weight():
    labels = np.array([[1, 1, 0, 2, 2]])
    stitched = StitchedMap(labels, 1)
    one = CellPlace(1, 0.5, 0, 2, -1, -1, 4)  # columns -1 to 2, rows -1 to 2
    two = CellPlace(2, 3.5, 0, 2, -1, 1, 4)  # columns 1 to 4
    weights = np.zeros((1, 4, 4), np.float32)
    weights[0, 1] = [0.9, 0.1, 0.2, 0.3]
    stitched.add(one, weights)
    weights[0, 1] = [0.7, 0.6, 0.5, 0.4]
    stitched.add(two, weights)
    assert stitched.weights[0, 0].tolist() == pytest.approx([0.1, 0.2, 0.6, 0.5, 0.4])


@given(st.integers(0, 2**32 - 1), st.integers(1, 9))
@settings(deadline=None, max_examples=50)
def test_a_stitched_map_has_on_every_object_the_weights_of_its_own_crop(seed, size):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, (9, 11))
    places = cell_places(labels, size)
    maps = rng.random((len(places), 2, size, size)).astype(np.float32)
    order = rng.permutation(len(places))
    stitched = StitchedMap(labels, 2)
    for i in order:
        stitched.add(places[i], maps[i])
    for place, weights in zip(places, maps, strict=True):
        inside, _ = place.windows(labels.shape)
        mine = place.own_pixels(labels)
        here = labels[inside] == place.number
        np.testing.assert_array_equal(
            stitched.weights[:, inside[0], inside[1]][:, here], weights[:, mine]
        )
    again = StitchedMap(labels, 2)
    for place, weights in zip(places, maps, strict=True):
        again.add(place, weights)
    np.testing.assert_array_equal(stitched.weights, again.weights)


def test_what_lies_in_no_crop_has_no_weight():
    images, labels = fields(1)
    found = explain(images, labels)
    assert found.attributions.shape == images.shape
    assert found.attributions[0, :, 25, 5].tolist() == [0, 0, 0]


# ---- what goes wrong -----------------------------------------------------------------------------


def test_an_image_without_objects_has_no_rows_and_a_warning():
    images, labels = fields()
    labels[1] = 0
    with pytest.warns(PCIMWarning, match=r"labels: no object in images \[1\]"):
        found = explain(images, labels)
    assert [row["ImageNumber"] for row in found.rows()] == [1, 1]
    assert found.attributions[1].sum() == 0


def test_without_any_object_the_table_is_empty():
    images, labels = fields()
    with pytest.warns(PCIMWarning, match="no object"):
        found = explain(images, 0 * labels)
    assert found.rows() == []
    assert found.crops.shape == (0, 3, 16, 16)
    assert captum_pcim.crop_cells(images, 0 * labels, size=16, scale=8).shape == (0, 3, 8, 8)


class BreaksOnWhite(nn.Module):
    """Breaks on a crop that has a full pixel."""

    def __init__(self):
        super().__init__()
        self.network = small_cnn()

    def forward(self, inputs: Tensor) -> Tensor:
        if bool((inputs == 1).any()):
            raise RuntimeError("broken")
        return self.network(inputs)


def test_a_cell_that_breaks_the_network_fails_alone_with_its_reason():
    images, labels = fields()
    images[0, 0, 14, 16] = 1
    with pytest.warns(PCIMWarning, match="pcim: 1 of 4 cells failed, first: broken"):
        found = explain(images, labels, BreaksOnWhite().eval())
    assert [row["Status"] for row in found.rows()] == ["failed", "done", "done", "done"]
    assert "broken" in found.rows()[0]["Reason"]
    assert found.crops[0].sum() == 0


def test_a_network_that_breaks_on_every_cell_raises():
    images, labels = fields()
    with pytest.raises(RuntimeError, match="broken"):
        explain(torch.ones_like(images), labels, BreaksOnWhite().eval())


IMAGES, LABELS = fields()


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"labels": LABELS[:, :30]}, ValueError, r"labels: expected \(2, 40, 40\), got \(2, 30, 4"),
        ({"labels": LABELS.float()}, TypeError, "labels: expected whole numbers.*torch.float32"),
        ({"labels": LABELS > 0}, TypeError, "labels: expected whole numbers.*number them first"),
        ({"labels": LABELS - 1}, ValueError, "labels: expected numbers from 0, got -1"),
        ({"labels": LABELS.numpy()}, TypeError, "labels: expected a tensor, got ndarray"),
        ({"images": IMAGES.numpy()}, TypeError, "images: expected a tensor, got ndarray"),
        ({"images": IMAGES.half()}, TypeError, "images: expected float32 or float64, got torch.f"),
        ({"images": IMAGES[0]}, ValueError, r"images: expected \(N, C, H, W\), got \(3, 40, 40\)"),
        ({"images": IMAGES / 0}, ValueError, "images: expected finite values"),
        ({"size": 0}, ValueError, "size: expected a whole number >= 1, got 0"),
        ({"size": -3}, ValueError, "size: expected a whole number >= 1, got -3"),
        ({"size": 16.0}, ValueError, "size: expected a whole number >= 1, got 16.0"),
        ({"size": 41}, ValueError, "size: expected at most the image's shorter side, 40, got 41"),
        ({"scale": 0}, ValueError, "scale: expected a whole number >= 1, got 0"),
        ({"batch_size": 0}, ValueError, "batch_size: expected a whole number >= 1, got 0"),
        ({"stains": ["DNA"]}, ValueError, "stains: expected 3 names, one per stain, got 1"),
        ({"stains": ["DNA", "ER", "ER"]}, ValueError, "stains: expected no name twice"),
        ({"target": [0, 1]}, TypeError, "target: expected one class for all cells.*got list"),
    ],
)
def test_bad_input_is_refused_by_name(changes, error, said):
    arguments = {"images": IMAGES, "labels": LABELS, "size": 16, **changes}
    with pytest.raises(error, match=said):
        explain(arguments.pop("images"), arguments.pop("labels"), **arguments)


def test_a_network_is_no_explainer():
    with pytest.raises(TypeError, match=r"pcim: expected a PCIM, got Sequential"):
        captum_pcim.explain_cells(small_cnn(), IMAGES, LABELS, size=16)


def test_the_room_is_imported_when_it_is_asked_for(tmp_path):
    code = (
        "import sys, captum_pcim; before = 'captum_pcim.cells' in sys.modules;"
        "captum_pcim.explain_cells; print(before, 'captum_pcim.cells' in sys.modules)"
    )
    assert fresh.run(code, tmp_path).stdout.split() == ["False", "True"]
