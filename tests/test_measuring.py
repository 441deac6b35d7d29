"""Maps measured on objects, compartments and radial bins, without the network."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_pcim import measure
from captum_pcim.cells.regions import compartments, radial_bins
from captum_pcim.metrics import object_shares

seeds = st.integers(0, 2**32 - 1)


def image(rows, dtype=torch.float32):
    """One image or label image of rows of numbers, (1, 1, H, W) or (1, H, W)."""
    pixels = torch.tensor(rows, dtype=dtype)
    return pixels[None, None] if dtype.is_floating_point else pixels[None]


def labelled(rows):
    return image(rows, torch.int64)


def random_fields(seed, planes=2):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.rand(2, planes, 9, 8, generator=generator)
    cells = torch.randint(0, 4, (2, 9, 8), generator=generator)
    nuclei = torch.randint(0, 2, (2, 9, 8), generator=generator)
    return maps, cells, nuclei


# ---- by hand -------------------------------------------------------------------------------------


def test_objects_and_compartments_are_measured_exactly():
    maps = image([[4, 2, 0, 1], [1, 1, 0, 1]])
    cells = labelled([[5, 5, 0, 2], [5, 5, 0, 2]])
    nuclei = labelled([[1, 0, 0, 0], [0, 0, 0, 7]])
    two, five = measure(maps, cells, nuclei, bins=0)
    assert five == {
        "ImageNumber": 1,
        "ObjectNumber": 5,
        "Cells_Location_Center_X": 0.5,
        "Cells_Location_Center_Y": 0.5,
        "Cells_AreaShape_Area": 4,
        "Cells_Attribution_Mean": 2,
        "Cells_Attribution_Sum": 8,
        "Cells_Attribution_Share": 0.8,
        "Cells_Attribution_Max": 4,
        "Cells_Attribution_Enrichment": 1.6,  # .8 of the map on half of the area
        "Nuclei_AreaShape_Area": 1,
        "Nuclei_Attribution_Mean": 4,
        "Nuclei_Attribution_Sum": 4,
        "Nuclei_Attribution_Share": 0.4,
        "Nuclei_Attribution_Max": 4,
        "Nuclei_Attribution_Enrichment": 3.2,  # .4 on an eighth
        "Nuclei_Attribution_ShareOfCells": 0.5,
        "Nuclei_Attribution_EnrichmentOverCells": 2,  # half of the cell's on a quarter of it
        "Cytoplasm_AreaShape_Area": 3,
        "Cytoplasm_Attribution_Mean": pytest.approx(4 / 3),
        "Cytoplasm_Attribution_Sum": 4,
        "Cytoplasm_Attribution_Share": 0.4,
        "Cytoplasm_Attribution_Max": 2,
        "Cytoplasm_Attribution_Enrichment": pytest.approx(0.4 / (3 / 8)),
        "Cytoplasm_Attribution_ShareOfCells": 0.5,
        "Cytoplasm_Attribution_EnrichmentOverCells": pytest.approx(0.5 / 0.75),
    }
    assert two["Nuclei_Attribution_ShareOfCells"] == 0.5


def test_stains_are_told_apart_where_their_weights_differ():
    maps = torch.cat([image([[3, 0]]), image([[1, 4]])], dim=1)
    (row,) = measure(maps, labelled([[1, 0]]), stains=["DNA", "ER"], bins=0)
    assert row["Cells_Attribution_StainShare_DNA"] == 0.75
    assert row["Cells_Attribution_StainShare_ER"] == 0.25
    assert row["Cells_Attribution_Share_DNA"] == 1
    assert row["Cells_Attribution_Share_ER"] == 0.2


def test_weights_that_all_stains_share_are_told_once():
    (row,) = measure(image([[3, 0]]).expand(1, 2, 1, 2), labelled([[1, 0]]), bins=0)
    assert row["Cells_Attribution_Sum"] == 3
    assert not any("StainShare" in name for name in row)


def test_a_ring_about_nuclei_is_cytoplasm_within_the_width():
    cells = np.array([[1, 1, 1, 1, 2, 2, 0]])
    nuclei = np.array([[0, 9, 0, 0, 0, 9, 9]])
    *_, ring = compartments(cells, nuclei, ring=1)
    assert (ring.name, ring.within) == ("Ring", True)
    assert ring.labels.tolist() == [[1, 0, 1, 0, 2, 0, 0]]


def test_a_ring_about_objects_lies_outside_all_and_belongs_to_the_nearest():
    cells = np.array([[1, 0, 0, 0, 0, 2, 0]])
    (ring,) = compartments(cells, ring=2)
    assert (ring.name, ring.within) == ("Ring", False)
    assert ring.labels.tolist() == [[0, 1, 1, 2, 2, 0, 2]]


def test_distances_of_a_ring_are_straight():
    cells = np.zeros((5, 5), np.int64)
    cells[2, 2] = 1
    (ring,) = compartments(cells, ring=1)
    assert ring.labels.tolist() == [
        [0, 0, 0, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_radial_bins_go_from_the_centre_to_the_edge():
    """A square of 5: c / (c + e) is 0 in the middle, 1 / 3 and .41 about it, from 2 / 3 outside."""
    labels = np.zeros((7, 7), np.int64)
    labels[1:6, 1:6] = 4
    bins = radial_bins(labels, 4)
    assert bins[1:6, 1:6].tolist() == [
        [2, 2, 2, 2, 2],
        [2, 1, 1, 1, 2],
        [2, 1, 0, 1, 2],
        [2, 1, 1, 1, 2],
        [2, 2, 2, 2, 2],
    ]
    assert set(bins[labels == 0]) == {-1}


def test_the_border_of_the_image_is_an_edge_of_an_object():
    assert radial_bins(np.ones((3, 3), np.int64), 2).tolist() == [[1, 1, 1], [1, 0, 1], [1, 1, 1]]


def test_radial_bins_are_measured_exactly():
    maps = image([[1, 1, 1], [1, 2, 1], [1, 1, 1]])
    (row,) = measure(maps, labelled([[1, 1, 1], [1, 1, 1], [1, 1, 1]]), bins=2)
    assert row["Cells_Attribution_FracAtD_1of2"] == pytest.approx(0.2)
    assert row["Cells_Attribution_MeanFrac_1of2"] == pytest.approx(0.2 * 9)
    assert row["Cells_Attribution_FracAtD_2of2"] == pytest.approx(0.8)
    assert row["Cells_Attribution_MeanFrac_2of2"] == pytest.approx(0.8 / (8 / 9))


# ---- properties ----------------------------------------------------------------------------------


@given(seeds)
@settings(deadline=None, max_examples=40)
def test_shares_of_parts_add_up_to_1(seed):
    maps, cells, nuclei = random_fields(seed)
    for row in measure(maps, cells, nuclei, stains=["DNA", "ER"]):
        for stain in ("DNA", "ER"):
            of_cells = (
                row[f"{part}_Attribution_ShareOfCells_{stain}"] for part in ("Nuclei", "Cytoplasm")
            )
            assert sum(of_cells) == pytest.approx(1)
            bins = (row[f"Cells_Attribution_FracAtD_{stain}_{i}of4"] for i in range(1, 5))
            assert sum(bins) == pytest.approx(1)
        stains = (row[f"Cells_Attribution_StainShare_{stain}"] for stain in ("DNA", "ER"))
        assert sum(stains) == pytest.approx(1)


@given(seeds, st.floats(0.01, 1))
@settings(deadline=None, max_examples=40)
def test_a_uniform_map_is_enriched_nowhere(seed, weight):
    maps, cells, nuclei = random_fields(seed, planes=1)
    for row in measure(torch.full_like(maps, weight), cells, nuclei, ring=2):
        found = [
            value
            for name, value in row.items()
            if "Enrichment" in name or "MeanFrac" in name
            if not math.isnan(value)
        ]
        assert found == pytest.approx([1] * len(found))


@given(seeds)
@settings(deadline=None, max_examples=40)
def test_shares_of_objects_are_those_of_the_metric(seed):
    maps, cells, _ = random_fields(seed, planes=1)
    expected = object_shares(maps, cells)
    for row in measure(maps, cells, bins=0):
        share = expected[row["ImageNumber"] - 1, row["ObjectNumber"]].item()
        assert row["Cells_Attribution_Share"] == pytest.approx(share, abs=1e-6)


@given(seeds)
@settings(deadline=None, max_examples=20)
def test_the_numbers_of_objects_do_not_matter(seed):
    maps, cells, nuclei = random_fields(seed)
    high = torch.where(cells > 0, cells * 1000, 0)
    for one, other in zip(measure(maps, cells, nuclei), measure(maps, high, nuclei), strict=True):
        one, other = dict(one), dict(other)
        assert 1000 * one.pop("ObjectNumber") == other.pop("ObjectNumber")
        assert one == pytest.approx(other, nan_ok=True)


# ---- nothing there -------------------------------------------------------------------------------


def test_shares_of_nothing_have_no_value():
    (row,) = measure(image([[0, 0]]), labelled([[1, 0]]), labelled([[0, 0]]), bins=0)
    assert row["Cells_Attribution_Share"] == 0
    assert math.isnan(row["Cells_Attribution_Enrichment"])
    assert row["Nuclei_AreaShape_Area"] == 0
    assert math.isnan(row["Nuclei_Attribution_Mean"])
    assert math.isnan(row["Nuclei_Attribution_ShareOfCells"])


def test_an_image_without_objects_has_no_rows():
    assert measure(image([[1, 1]]), labelled([[0, 0]]), ring=3) == []


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        (
            {"attributions": image([[-1, 1]])},
            ValueError,
            "attributions: expected weights from 0, g",
        ),
        (
            {"attributions": image([[1]])},
            ValueError,
            r"labels: expected \(1, 1, 1\), got \(1, 1, 2",
        ),
        (
            {"attributions": np.ones((1, 1, 1, 2))},
            TypeError,
            "attributions: expected a tensor, got",
        ),
        ({"labels": image([[1, 0]])}, TypeError, "labels: expected whole numbers"),
        ({"nuclei": labelled([[1]])}, ValueError, r"nuclei: expected \(1, 1, 2\), got \(1, 1, 1\)"),
        ({"stains": ["DNA", "ER"]}, ValueError, "stains: expected 1 names, one per stain, got 2"),
        (
            {"attributions": torch.rand(1, 2, 1, 2), "stains": ["DNA", "DNA"]},
            ValueError,
            "stains: expected no name twice, got",
        ),
        (
            {"nuclei": labelled([[1, 0]]), "objects": "Cytoplasm"},
            ValueError,
            "objects: expected another name than those of their parts, got 'Cytoplasm'",
        ),
        ({"ring": -1}, ValueError, "ring: expected a whole number >= 0, got -1"),
        ({"bins": 2.5}, ValueError, "bins: expected a whole number >= 0, got 2.5"),
    ],
)
def test_bad_input_is_refused_by_name(changes, error, said):
    arguments = {"attributions": image([[1, 1]]), "labels": labelled([[1, 0]]), **changes}
    with pytest.raises(error, match=said):
        measure(**arguments)


def test_stored_maps_of_half_precision_are_measured():
    maps = image([[0.5, 0.25]])
    rows = (measure(kind, labelled([[1, 2]]), bins=0) for kind in (maps, maps.half()))
    assert next(rows) == next(rows)
