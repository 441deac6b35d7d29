"""What must hold for any images, targets, baselines and batches.

Tolerances: `ROUND_OFF` on weights, for what is the same sum in another order.
"""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import BrightSquare, bright_images, images, seeded
from scipy.stats import spearmanr
from torch import nn
from torch.testing import assert_close

from captum_pcim import (
    PCIM,
    Background,
    Constant,
    Factorised,
    LogArea,
    PerStain,
    Preservation,
    Removal,
    SharedOverStains,
    Smoothing,
)

ROUND_OFF = 5e-4  # pixels that rank alike may trade their values
STEPS = 4
# The price of many steps: at that of so few, more pixels rank alike.
TERMS = Preservation(), Removal(), LogArea(steps=STEPS)
N_CLASSES = 3

few = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def network(inputs):
    """Return three logits of any tensor: fixed, smooth, different for every pixel and class."""
    pixels = inputs.flatten(1)
    places = torch.arange(N_CLASSES * pixels.shape[1], dtype=pixels.dtype, device=pixels.device)
    filters = (7 * places + 1).cos().view(N_CLASSES, -1)
    return 3 * (pixels @ filters.T / pixels.shape[1] ** 0.5).tanh()


def _pcim(forward_func, **options):
    return PCIM(forward_func, objective=TERMS, **options)


def _random(shape, seed, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(shape, generator=generator, dtype=torch.float64).to(dtype)


shapes = st.tuples(
    st.integers(1, 4), st.integers(1, 3), st.lists(st.integers(1, 18), min_size=0, max_size=3)
).map(lambda drawn: (drawn[0], drawn[1], *drawn[2]))
seeds = st.integers(0, 1000)
target_forms = st.sampled_from(
    [list, tuple, np.array, torch.tensor, lambda t: torch.tensor(t)[:, None]]
).map(lambda form: (lambda t: [(c,) for c in t]) if form is tuple else form)
baseline_forms = st.sampled_from(
    [
        lambda inputs: None,
        lambda inputs: 0,
        lambda inputs: 0.3,
        lambda inputs: inputs[:1] / 2,
        lambda inputs: inputs.flip(-1),
    ]
)


@few
@given(
    shapes,
    seeds,
    st.sampled_from([torch.float32, torch.float64]),
    target_forms,
    baseline_forms,
    st.sampled_from([SharedOverStains(), PerStain(), Factorised()]),
    st.integers(1, 9),
    st.randoms(use_true_random=False),
)
def test_an_image_gets_the_same_map_in_any_batch_order_and_chunk(
    shape, seed, dtype, target_form, baseline_form, isolation, internal_batch_size, random
):
    inputs = _random(shape, seed, dtype)
    n = len(inputs)
    classes = [random.randrange(N_CLASSES) for _ in range(n)]
    baselines = baseline_form(inputs)
    pcim = _pcim(network, isolation=isolation)

    def explain(rows, **arguments):
        own = baselines
        if isinstance(baselines, torch.Tensor) and len(baselines) == n:
            own = baselines[rows]
        target = target_form([classes[i] for i in rows])
        return pcim.attribute(inputs[rows], own, target, n_steps=STEPS, **arguments)

    together = explain(list(range(n)))
    assert together.shape == inputs.shape and together.dtype == dtype
    assert ((together >= 0) & (together <= 1)).all()

    order = random.sample(range(n), n)
    shuffled = explain(order, internal_batch_size=internal_batch_size)
    assert_close(shuffled, together[order], rtol=0, atol=ROUND_OFF)
    one = [random.randrange(n)]
    assert_close(explain(one), together[one], rtol=0, atol=ROUND_OFF)


@few
@given(seeds, st.integers(1, 6), st.floats(0.001, 0.1))
def test_early_stop_depends_on_no_other_image(seed, internal_batch_size, tolerance):
    inputs = _random((4, 2, 8, 8), seed)
    call = {"target": 1, "n_steps": 15, "tolerance": tolerance, "return_diagnostics": True}
    together, diagnostics = _pcim(network).attribute(inputs, **call)
    chunked, own = _pcim(network).attribute(inputs, internal_batch_size=internal_batch_size, **call)
    assert torch.equal(diagnostics.n_steps, own.n_steps)
    assert_close(together, chunked, rtol=0, atol=ROUND_OFF)


@few
@given(seeds, st.floats(-50, 50))
def test_a_constant_added_to_the_logits_of_an_image_changes_nothing(seed, constant):
    inputs = _random((2, 1, 6, 6), seed, torch.float64)
    explain = [
        _pcim(f).attribute(inputs, target=2, n_steps=STEPS)
        for f in (network, lambda x: network(x) + constant)
    ]
    assert_close(*explain, rtol=0, atol=ROUND_OFF)


@few
@given(seeds, st.floats(3, 1000))
def test_the_scale_of_logits_changes_nothing_once_all_images_are_certain(seed, scale):
    inputs = bright_images(n=2, seed=seed)
    certain = BrightSquare(scale=60.0)
    explain = [
        _pcim(f).attribute(inputs, target=1, n_steps=STEPS)
        for f in (certain, lambda x: scale * certain(x))
    ]
    # All logits are divided by another number, so that more than the order of a sum changes.
    assert_close(*explain, rtol=0, atol=2 * ROUND_OFF)


@few
@given(seeds, st.permutations(range(N_CLASSES)))
def test_the_order_of_classes_means_nothing(seed, order):
    inputs = _random((2, 1, 6, 6), seed)
    plain = _pcim(network).attribute(inputs, target=order[0], n_steps=STEPS)
    permuted = _pcim(lambda x: network(x)[:, order]).attribute(inputs, target=0, n_steps=STEPS)
    assert_close(plain, permuted, rtol=0, atol=ROUND_OFF)


@few
@given(seeds, st.permutations(range(3)))
def test_the_order_of_stains_means_nothing(seed, order):
    inputs = _random((2, 3, 8, 8), seed)
    back = np.argsort(order).tolist()
    for isolation in (SharedOverStains(), PerStain(), Factorised()):
        plain = _pcim(network, isolation=isolation).attribute(inputs, target=1, n_steps=STEPS)
        permuted = _pcim(lambda x: network(x[:, back]), isolation=isolation).attribute(
            inputs[:, order], target=1, n_steps=STEPS
        )
        assert_close(permuted, plain[:, order], rtol=0, atol=ROUND_OFF)


@few
@given(seeds, st.sampled_from([(2,), (3,), (2, 3)]))
def test_a_mirrored_image_has_the_mirrored_map(seed, axes):
    inputs = _random((2, 1, 18, 20), seed, torch.float64)
    plain = _pcim(network).attribute(inputs, target=1, n_steps=STEPS)
    mirrored = _pcim(lambda x: network(x.flip(axes))).attribute(
        inputs.flip(axes), target=1, n_steps=STEPS
    )
    assert_close(mirrored, plain.flip(axes), rtol=0, atol=ROUND_OFF)


@pytest.fixture(scope="module")
def on_a_torus():
    """A convolutional network whose borders meet, so that it does not know where things are."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 3),
        )
    ).eval()


@few
@given(seeds, st.integers(-9, 9), st.integers(-9, 9))
def test_a_shifted_image_has_the_shifted_map(on_a_torus, seed, down, right):
    """Exactly so without smoothing, whose grid and borders stay where they are."""
    inputs = _random((1, 1, 12, 12), seed)
    references = [Background(), Constant(0.2)]
    pcim = _pcim(on_a_torus, smoothing=Smoothing(0), references=references)
    plain = pcim.attribute(inputs, target=1, n_steps=STEPS)
    shifted = pcim.attribute(inputs.roll((down, right), (2, 3)), target=1, n_steps=STEPS)
    assert_close(shifted, plain.roll((down, right), (2, 3)), rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("shift", [1, 3, 7])
def test_a_shifted_object_has_a_shifted_map_with_smoothing_too(shift):
    """Up to the grid: weights of the default smoothing move with the object to within 0.1."""
    inputs = torch.zeros(1, 1, 48, 48)
    inputs[..., 16:24, 16:24] = 1.0

    def explain(shift):
        square = BrightSquare(16, 16 + shift, 8)
        return _pcim(square).attribute(inputs.roll(shift, 3), target=1)

    difference = explain(shift) - explain(0).roll(shift, 3)
    assert difference[..., 8:-8].abs().max() < 0.1


@few
@given(seeds, st.integers(0, 9), st.integers(0, 9), st.integers(2, 7))
def test_pixels_that_the_network_ignores_get_the_background_weight_and_no_more(
    seed, top, left, side
):
    square = BrightSquare(top, left, side)
    inputs = 0.1 * images(n=1, seed=seed)
    inputs[:, :, top : top + side, left : left + side] += 0.9
    pcim = _pcim(square, smoothing=Smoothing(0), references=[Constant(0.0)])
    attributions = pcim.attribute(inputs, target=1)
    mask = square.mask(inputs).expand_as(inputs)
    ignored, evidence = attributions[~mask], attributions[mask]
    assert ignored.max() - ignored.min() < 1e-6
    assert ignored.max() < 0.1
    assert ignored.max() < evidence.min()


@few
@given(seeds)
def test_with_smoothing_ignored_pixels_far_from_evidence_get_the_background_weight(seed):
    inputs = bright_images(n=1, size=32, seed=seed)
    attributions = _pcim(BrightSquare()).attribute(inputs, target=1)
    assert attributions[..., 20:, 20:].max() < 0.1
    assert attributions[..., 20:, 20:].max() < attributions[..., 5:9, 5:9].min()


def test_different_seeds_agree(planted):
    """Maps whose references are sampled with different seeds rank the pixels alike."""
    network, inputs, targets, _ = planted
    maps = [
        _pcim(network, order="sample", seed=seed).attribute(inputs[1:], target=targets[1:])
        for seed in range(3)
    ]
    for i in range(2):
        for one, other in ((0, 1), (0, 2), (1, 2)):
            ranks = spearmanr(maps[one][i, 0].flatten(), maps[other][i, 0].flatten()).statistic
            assert ranks > 0.8


@few
@given(seeds, st.integers(0, 3))
def test_the_same_seed_gives_the_same_map_bit_by_bit(seed, own_seed):
    inputs = _random((2, 1, 8, 8), seed)
    maps = [
        _pcim(network, order="sample", seed=own_seed).attribute(inputs, target=1, n_steps=STEPS)
        for _ in range(2)
    ]
    assert torch.equal(*maps)
