"""The synthetic images: pairs, truth, and nothing else that tells the class."""

from dataclasses import fields

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from captum_pcim.synthetic import (
    HELD_OUT_SEED,
    brightfield,
    fluorescence,
    synthetic_brightfield,
    synthetic_fluorescence,
)
from captum_pcim.synthetic.cells import choose_cells
from captum_pcim.synthetic.optics import OFFSET, WINDOW, detect_pair

GENERATORS = {"fluorescence": synthetic_fluorescence, "brightfield": synthetic_brightfield}
MODULES = {"fluorescence": fluorescence, "brightfield": brightfield}
PHENOTYPES = [(kind, name) for kind, module in MODULES.items() for name in module.CLASS_NAMES[1:]]


@pytest.fixture(scope="module", params=GENERATORS)
def kind(request):
    return request.param


@pytest.fixture(scope="module")
def images(kind):
    return GENERATORS[kind](120, seed=HELD_OUT_SEED)


def tensors(images):
    """Every tensor field, in a type that torch can compare."""
    values = [getattr(images, field.name) for field in fields(images)]
    return [
        torch.from_numpy(v.numpy().astype(np.int64)) if v.dtype == torch.uint16 else v
        for v in values
        if isinstance(v, torch.Tensor)
    ]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


# what comes back


@pytest.mark.parametrize("size", [64, 200])
@pytest.mark.parametrize("stains", [1, 2, 5])
def test_shapes_and_types(size, stains):
    images = synthetic_fluorescence(3, size=size, stains=stains)
    shape = (3, stains, size, size)
    assert images.inputs.shape == images.counts.shape == images.counterfactual.shape == shape
    assert images.masks.shape == images.shortcut_masks.shape == (3, 1, size, size)
    assert images.cells.shape == images.nuclei.shape == (3, size, size)
    assert images.inputs.dtype == images.counterfactual.dtype == torch.float32
    assert images.counts.dtype == torch.uint16
    assert images.masks.dtype == images.cell_has_phenotype.dtype == torch.bool
    assert (
        images.labels.dtype == torch.int64
        and images.cells.dtype == images.nuclei.dtype == torch.int32
    )
    assert len(images.stain_names) == stains


def test_the_largest_field_holds_as_many_cells_as_the_label_table_has_room_for():
    images = synthetic_fluorescence(2, size=512, stains=2)
    present = images.cells.flatten(1).amax(1)
    assert (present > 200).all() and (present < images.cell_has_phenotype.shape[1]).all()


def test_inputs_are_the_counts_through_one_fixed_window(images):
    counts = torch.from_numpy(images.counts.numpy().astype(np.float32))
    expected = ((counts - OFFSET) / WINDOW).clamp(0, 1)
    torch.testing.assert_close(images.inputs, expected, rtol=0, atol=1e-6)


def test_labels_cycle_through_the_classes(images):
    assert images.labels[:8].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    assert len(images.class_names) == 4 and images.class_names[0] == "control"


@pytest.mark.parametrize(("kind_", "phenotype"), PHENOTYPES)
def test_one_phenotype_keeps_its_label(kind_, phenotype):
    images = GENERATORS[kind_](4, size=64, phenotype=phenotype)
    index = images.class_names.index(phenotype)
    assert images.labels.tolist() == [0, index, 0, index]


def test_one_stain_leaves_micronuclei_out():
    images = synthetic_fluorescence(6, stains=1)
    assert images.class_names == ("control", "translocation", "granules")
    assert images.labels.tolist() == [0, 1, 2, 0, 1, 2]


def test_the_same_seed_gives_the_same_images(kind):
    assert same(GENERATORS[kind](4, seed=7), GENERATORS[kind](4, seed=7))


def test_another_seed_gives_other_images(kind):
    a, b = GENERATORS[kind](1, seed=7), GENERATORS[kind](1, seed=8)
    assert not torch.equal(a.inputs, b.inputs)


def test_an_image_does_not_depend_on_how_many_are_drawn(kind):
    assert same(GENERATORS[kind](9, seed=7)[:4], GENERATORS[kind](4, seed=7))


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (2, [2]),
        (slice(1, 3), [1, 2]),
        ([3, 0], [3, 0]),
        (torch.tensor([True, False] * 3), [0, 2, 4]),
    ],
)
def test_indexing_selects_images_in_every_field(index, expected):
    images = synthetic_brightfield(6, size=64)
    chosen = images[index]
    assert len(chosen) == len(expected)
    whole = tensors(images)
    for part, full in zip(tensors(chosen), whole, strict=True):
        assert torch.equal(part, full[expected])


# the pair


def test_controls_equal_their_counterfactual_and_have_no_truth(images):
    control = images[images.labels == 0]
    assert torch.equal(control.inputs, control.counterfactual)
    assert not control.masks.any() and not control.cell_has_phenotype.any()


def test_outside_the_truth_the_pair_is_equal_bit_by_bit(images):
    outside = ~images.masks.expand_as(images.inputs)
    assert torch.equal(images.inputs[outside], images.counterfactual[outside])


def test_inside_the_truth_most_pixels_differ(images):
    differs = (images.inputs != images.counterfactual).any(dim=1, keepdim=True)
    assert differs[images.masks].double().mean() > 0.9


def test_every_positive_has_truth_and_an_affected_cell(images):
    positive = images[images.labels > 0]
    assert positive.masks.flatten(1).any(1).all()
    assert positive.cell_has_phenotype.any(1).all()


def test_only_some_cells_of_the_positive_images_are_affected(images):
    positive = images[images.labels > 0]
    present = positive.cells.flatten(1).amax(1)
    affected = positive.cell_has_phenotype.sum(1)
    assert (affected < present).double().mean() == 1


def test_a_nucleus_is_a_part_of_its_cell_and_cells_that_can_change_have_one(images):
    nuclei, cells = images.nuclei, images.cells
    assert torch.equal(nuclei[nuclei > 0], cells[nuclei > 0])
    for i, affected in enumerate(images.cell_has_phenotype):
        changed = torch.nonzero(affected).flatten()
        assert torch.isin(changed, nuclei[i].long()).all()
    share = (nuclei > 0).sum() / (cells > 0).sum()
    assert 0.1 < share < 0.4


def test_nuclei_are_what_the_nuclear_stain_shows():
    images = fluorescence.synthetic_fluorescence(8, size=96)
    for stain, nuclei, cells in zip(images.inputs[:, 1], images.nuclei, images.cells, strict=True):
        around = (cells > 0) & (nuclei == 0)
        assert stain[nuclei > 0].mean() > 3 * stain[around].mean()


def test_the_truth_covers_the_stated_share_of_the_field(images):
    share = images.masks.double().mean(dim=(1, 2, 3))
    for label in (1, 2, 3):
        covered = share[images.labels == label]
        assert 0.025 < covered.mean() < 0.12
        assert covered.max() < 0.25


def test_the_truth_lies_at_affected_cells(images):
    """Blur carries the change a little past the outline, never to another place."""
    for i in torch.nonzero(images.labels).flatten().tolist():
        affected = images.cell_has_phenotype[i][images.cells[i].long()]
        near = torch.nn.functional.max_pool2d(affected[None].float(), 13, 1, 6)
        assert not (images.masks[i] & (near == 0)).any()


# the phenotypes


def affected_sample(module, phenotype, seed, **kwargs):
    rng = np.random.default_rng(seed)
    sample = module.draw_sample(rng, 128, **kwargs)
    return rng, sample, choose_cells(rng, sample.cells, (1.0, 1.0))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("phenotype", ["translocation", "granules"])
def test_each_cell_keeps_its_reporter_mass(phenotype, seed):
    rng, sample, affected = affected_sample(fluorescence, phenotype, seed, stains=3)
    for cell in affected:
        after = fluorescence.with_phenotype(rng, sample, phenotype, np.array([cell]))
        change = (after.stains - sample.stains).astype(np.float64)
        own = sample.cells.labels == cell + 1
        assert np.abs(change).sum() > 0.2 * sample.reporter[cell].sum()
        assert abs(change.sum()) < 1e-4 * sample.reporter[cell].sum()
        assert not change[:, ~own].any() and not change[1:].any()
        assert (after.stains[0][own] > -1e-5).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_rounded_cell_keeps_its_volume(seed):
    rng, sample, affected = affected_sample(brightfield, "rounding", seed)
    for cell in affected:
        after = brightfield.with_phenotype(rng, sample, "rounding", np.array([cell]))
        change = (after - sample.thickness).astype(np.float64)
        assert abs(change.sum()) < 1e-4 * sample.parts[cell].sum()


@pytest.mark.parametrize("seed", range(5))
def test_translocation_moves_reporter_into_the_nucleus(seed):
    rng, sample, affected = affected_sample(fluorescence, "translocation", seed, stains=2)
    after = fluorescence.with_phenotype(rng, sample, "translocation", affected)
    for cell in affected:
        nucleus = sample.nuclei[cell] > 0.5
        window = sample.cells.window(cell)
        rest = sample.cells.own[cell] & (sample.nuclei[cell] == 0)
        ratio = after.stains[0][window][nucleus].mean() / after.stains[0][window][rest].mean()
        assert ratio > 1.5


def test_photon_pairs_have_the_mean_and_variance_of_poisson():
    """Thinned or added photons are again Poisson; the read noise adds its own variance."""
    rng = np.random.default_rng(0)
    render = np.full((1, 400, 400), 0.3, np.float32)
    altered = render.copy()
    altered[:, :200], altered[:, 200:] = 0.1, 0.5
    photons = 1000.0
    _, counts = detect_pair(rng, render, altered, photons)
    for half, level in ((counts[0, :200], 0.1), (counts[0, 200:], 0.5)):
        ordinary = half[half < np.quantile(half, 0.999)].astype(float)  # without hot pixels
        assert abs(ordinary.mean() - OFFSET - level * WINDOW) < 0.005 * WINDOW
        expected = level * photons * (WINDOW / photons) ** 2
        assert abs(ordinary.var() / expected - 1) < 0.04


# nothing else tells the class


@pytest.mark.parametrize("kind_", GENERATORS)
def test_the_counterfactual_is_the_same_whatever_the_class(kind_):
    """The exact argument: scene and noise are drawn without looking at the class.

    Everything outside the truth is the counterfactual's, so nothing outside can tell the class,
    but through where the truth is.
    """
    sets = [GENERATORS[kind_](8, seed=3, phenotype=name) for name in MODULES[kind_].CLASS_NAMES[1:]]
    for other in sets[1:]:
        assert torch.equal(other.counterfactual, sets[0].counterfactual)
        assert torch.equal(other.cells, sets[0].cells)


def test_no_global_quantity_tells_the_class(kind):
    """Positives against their own counterfactuals, which are distributed as controls are.

    0.5 is no information. Micronuclei add a little DNA to the nuclear stain; every other phenotype
    keeps the mass of what it moves.
    """
    images = GENERATORS[kind](400, size=64, seed=HELD_OUT_SEED)
    background = (images.cells == 0)[:, None]
    quantities = {
        "mean": lambda pixels, free: pixels.mean((2, 3)),
        "median": lambda pixels, free: pixels.flatten(2).median(2).values,
        "background": lambda pixels, free: (pixels * free).sum((2, 3)) / free.sum((2, 3)),
    }
    for label in (1, 2, 3):
        part = images[images.labels == label]
        free = background[images.labels == label]
        for name, quantity in quantities.items():
            pair = [quantity(x, free) for x in (part.inputs, part.counterfactual)]
            for stain in range(pair[0].shape[1]):
                score = torch.cat([values[:, stain] for values in pair])
                auc = roc_auc_score([1] * len(part) + [0] * len(part), score)
                assert 0.44 < auc < 0.56, (part.class_names[label], name, stain)


# the shortcut


def test_without_a_shortcut_its_mask_is_empty(images):
    assert not images.shortcut_masks.any()


def test_the_shortcut_marks_the_first_phenotype_and_has_its_own_truth(kind):
    plain = GENERATORS[kind](120, size=64, seed=5)
    planted = GENERATORS[kind](120, size=64, seed=5, shortcut=True)
    marked = planted.shortcut_masks.flatten(1).any(1)
    assert marked[planted.labels == 1].double().mean() > 0.85
    assert marked[planted.labels != 1].double().mean() < 0.15
    assert torch.equal(plain.inputs[~marked], planted.inputs[~marked])
    corner = planted.shortcut_masks[marked]
    assert not corner[..., 12:, :].any() and not corner[..., :, 12:].any()


def test_the_shortcut_is_in_both_images_of_the_pair(kind):
    planted = GENERATORS[kind](24, size=64, seed=5, shortcut=True)
    outside = ~planted.masks.expand_as(planted.inputs)
    assert torch.equal(planted.inputs[outside], planted.counterfactual[outside])


# bad input


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n: expected at least 1 image, got 0"),
        ({"n": 1, "size": 63}, "size: expected 64 to 512 pixels, got 63"),
        ({"n": 1, "size": 513}, "size: expected 64 to 512 pixels, got 513"),
        ({"n": 1, "stains": 6}, "stains: expected 1 to 5, got 6"),
        ({"n": 1, "phenotype": "control"}, "phenotype: expected one of .*got 'control'"),
        ({"n": 1, "stains": 1, "phenotype": "micronuclei"}, "phenotype: expected one of"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        synthetic_fluorescence(**arguments)
