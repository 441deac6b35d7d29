"""ROAD: imputation against a direct solve of the linear system, and scores worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve

from captum_pcim.metrics import road
from captum_pcim.metrics.road import impute


def solved_directly(image, removed):
    """The system of Rong et al. (2022), built pixel by pixel from its definition."""
    height, width = removed.shape
    unknown = {tuple(pixel): k for k, pixel in enumerate(np.argwhere(removed))}
    matrix, right = lil_matrix((len(unknown),) * 2), np.zeros((len(unknown), len(image)))
    for (y, x), k in unknown.items():
        for dy, dx in [(a, b) for a in (-1, 0, 1) for b in (-1, 0, 1) if (a, b) != (0, 0)]:
            if not (0 <= y + dy < height and 0 <= x + dx < width):
                continue
            weight = 1 / 12 if dy and dx else 1 / 6
            matrix[k, k] += weight
            if removed[y + dy, x + dx]:
                matrix[k, unknown[y + dy, x + dx]] -= weight
            else:
                right[k] += weight * image[:, y + dy, x + dx]
    filled = image.copy()
    filled[:, removed] = spsolve(matrix.tocsc(), right).reshape(right.shape).T
    return filled


def test_one_removed_pixel_becomes_the_weighted_mean_of_its_neighbours():
    image = torch.tensor([[1.0, 2, 3], [4, 0, 6], [7, 8, 9]])[None, None]
    removed = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    removed[..., 1, 1] = True
    # (2 + 4 + 6 + 8) / 6 + (1 + 3 + 7 + 9) / 12 = 20 / 6 + 20 / 12 = 5.
    assert impute(image, removed)[0, 0, 1, 1].item() == pytest.approx(5)
    removed = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    removed[..., 0, 0] = True
    # In the corner only 2 and 4 (weight 1/6) and the centre 0 (1/12) are left: 1 / (5/12).
    assert impute(image, removed)[0, 0, 0, 0].item() == pytest.approx(1 / (5 / 12))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(2, 13),
    st.integers(2, 17),
    st.integers(1, 3),
    st.floats(0.1, 0.95),
    st.integers(0, 99),
)
def test_imputation_equals_the_direct_solve(height, width, n_stains, fraction, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(2, n_stains, height, width, generator=generator, dtype=torch.float64)
    removed = torch.rand(2, 1, height, width, generator=generator) < fraction
    removed[:, :, -1, 0] = False
    filled = impute(images, removed, tolerance=1e-10)
    for image, mask, result in zip(images.numpy(), removed[:, 0].numpy(), filled, strict=True):
        np.testing.assert_allclose(result.numpy(), solved_directly(image, mask), atol=1e-7)


def test_default_tolerance_fills_a_wide_hole_to_a_hundredth_of_a_standard_deviation():
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(1, 1, 48, 48, generator=generator, dtype=torch.float64)
    removed = torch.zeros(1, 1, 48, 48, dtype=torch.bool)
    removed[..., 2:46, 2:46] = True
    expected = solved_directly(image[0].numpy(), removed[0, 0].numpy())
    np.testing.assert_allclose(impute(image, removed)[0].numpy(), expected, atol=0.01)


def test_pixels_that_remain_keep_their_values_and_linear_ramps_are_restored():
    y, x = torch.meshgrid(torch.arange(12.0), torch.arange(10.0), indexing="ij")
    ramp = (2 * x - y)[None, None]
    removed = torch.zeros(1, 1, 12, 10, dtype=torch.bool)
    removed[..., 3:8, 2:9] = True
    filled = impute(ramp, removed, tolerance=1e-8)
    assert torch.equal(filled[~removed], ramp[~removed])
    torch.testing.assert_close(filled, ramp, atol=1e-4, rtol=0)


def test_an_image_is_imputed_the_same_alone_and_in_a_batch():
    generator = torch.Generator().manual_seed(1)
    images = torch.randn(3, 2, 20, 14, generator=generator)
    removed = (
        torch.rand(3, 1, 20, 14, generator=generator)
        < torch.tensor([0.2, 0.6, 0.95])[:, None, None, None]
    )
    removed[..., 0, 0] = False
    alone = [impute(images[i : i + 1], removed[i : i + 1]) for i in range(3)]
    assert torch.equal(impute(images, removed), torch.cat(alone))


# A bright pixel in the middle of a dark image is the evidence; the score is the brightness.
SPOT = torch.zeros(1, 1, 5, 5)
SPOT[..., 2, 2] = 1


def brightness(images):
    return images.sum((1, 2, 3))


def test_morf_removes_the_spot_first_and_lerf_last():
    settings = {"percentages": (0, 4, 96), "noise": 0.0, "score": "regression"}
    morf = road(brightness, SPOT, SPOT, order="morf", **settings)
    torch.testing.assert_close(morf.fractions, torch.tensor([0, 0.04, 0.96]))
    # The spot is filled from its dark neighbours, and so is all that follows.
    torch.testing.assert_close(morf.scores, torch.tensor([[1.0, 0, 0]]), atol=1e-6, rtol=0)
    lerf = road(brightness, SPOT, SPOT, order="lerf", **settings)
    # 4 % is one pixel: after 24 of 25 only the spot remains, and fills the image.
    assert lerf.scores[0, 2].item() == pytest.approx(25, rel=1e-3)


def test_noise_is_relative_to_each_stain_and_repeats_with_the_seed():
    generator = torch.Generator().manual_seed(2)
    image = torch.randn(1, 1, 40, 40, generator=generator)
    inputs = torch.cat([image, 100 * image], dim=1)
    relevance = torch.rand(1, 1, 40, 40, generator=generator)

    def imputed(noise, seed=0):
        seen = []
        road(
            lambda x: seen.append(x) or x.sum((1, 2, 3)),
            inputs,
            relevance,
            percentages=(50,),
            noise=noise,
            seed=seed,
            score="regression",
        )
        return seen[0]

    difference = imputed(0.1) - imputed(0.0)
    changed = difference[0] != 0
    assert changed.float().mean().item() == pytest.approx(0.5, abs=0.01)
    for stain, scale in zip(range(2), (1, 100), strict=True):
        spread = difference[0, stain][changed[stain]].std().item()
        assert spread == pytest.approx(0.1 * scale, rel=0.1)
    assert torch.equal(imputed(0.1), imputed(0.1))
    assert not torch.equal(imputed(0.1), imputed(0.1, seed=1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_noise_does_not_depend_on_torchs_default_dtype(dtype):
    inputs = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(2))

    def imputed():
        seen = []
        road(lambda x: seen.append(x) or x.sum((1, 2, 3)), inputs, inputs, score="regression")
        return torch.cat(seen)

    found = imputed()
    torch.set_default_dtype(dtype)
    try:
        assert torch.equal(imputed(), found)
    finally:
        torch.set_default_dtype(torch.float32)


def test_scores_do_not_depend_on_batch_or_chunk():
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(3, 2, 10, 8, generator=generator)
    maps = torch.randint(0, 5, (3, 2, 10, 8), generator=generator).float()
    batch = road(lambda x: x.square().mean((1, 2, 3)), inputs, maps, score="regression")
    for i in range(3):
        alone = road(
            lambda x: x.square().mean((1, 2, 3)),
            inputs[i : i + 1],
            maps[i : i + 1],
            score="regression",
            perturbations_per_eval=4,
        )
        torch.testing.assert_close(batch.scores[i : i + 1], alone.scores)


def test_random_maps_score_alike_in_both_orders():
    generator = torch.Generator().manual_seed(4)
    inputs = torch.rand(100, 1, 8, 8, generator=generator)
    maps = torch.rand(100, 1, 8, 8, generator=generator)
    settings = {"score": "regression", "percentages": (30, 60)}
    morf = road(lambda x: x.var((1, 2, 3)), inputs, maps, order="morf", **settings).auc
    lerf = road(lambda x: x.var((1, 2, 3)), inputs, maps, order="lerf", **settings).auc
    gap = morf - lerf
    assert gap.mean().item() == pytest.approx(0, abs=3 * gap.std().item() / 10)


def test_the_random_state_is_left_alone():
    state = torch.get_rng_state()
    road(brightness, SPOT, SPOT, score="regression")
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "most"}, 'order: expected "morf" or "lerf", got'),
        ({"percentages": (50, 100)}, "percentages: expected ascending numbers from 0 to below 100"),
        ({"percentages": (50, 20)}, "percentages: expected ascending numbers"),
        ({"percentages": ()}, "percentages: expected ascending numbers"),
        ({"perturbations_per_eval": 0}, "perturbations_per_eval: expected a whole number >= 1"),
        ({"attributions": torch.ones(1, 1, 4, 5)}, "attributions: expected .* as the inputs are"),
    ],
)
def test_bad_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        road(brightness, SPOT, **{"attributions": SPOT, **change})
