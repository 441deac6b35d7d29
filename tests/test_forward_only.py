"""PCIM from forward passes alone: budgets, failures, repeatability, and finding the evidence."""

import numpy as np
import pytest
import torch
from networks import BrightSquare, bright_images, small_cnn
from torch.testing import assert_close

from captum_pcim import PCIM, Autograd, Constant, ForwardOnly, PerStain
from captum_pcim.core import problem
from captum_pcim.core.blending import blend_and_complement
from captum_pcim.metrics import average_precision

FEW = ForwardOnly(n_forwards=200)


class Counted:
    """An opaque function: no gradients, rows counted, and trouble after some of them."""

    def __init__(self, network, after=10**9, trouble=None):
        self.network = network
        self.after = after
        self.trouble = trouble
        self.rows = []

    @torch.no_grad()
    def __call__(self, inputs):
        self.rows.append(len(inputs))
        scores = self.network(inputs)
        return self.trouble(scores) if sum(self.rows) > self.after else scores


def _explain(forward, inputs, gradients=FEW, **arguments):
    return PCIM(forward, gradients=gradients, seed=3).attribute(inputs, target=1, **arguments)


def _fail(scores):
    raise ConnectionError("the service is gone")


@pytest.mark.parametrize("size", [(16, 16), (16, 24)])
def test_the_evidence_is_found_without_gradients(size):
    inputs = torch.zeros(2, 3, *size)
    inputs[..., :16, :16] = bright_images(2)
    network = BrightSquare()
    maps = _explain(Counted(network), inputs, ForwardOnly(), perturbations_per_eval=32)
    precision = average_precision(maps[:, :1], network.mask(inputs).expand(2, -1, -1, -1))
    assert precision.min() > 0.7  # the square holds 14 % or 9 % of the pixels


def test_with_one_weight_per_stain_the_stain_is_found():
    method = PCIM(Counted(BrightSquare()), gradients=ForwardOnly(600), isolation=PerStain())
    maps = method.attribute(bright_images(1), target=1, perturbations_per_eval=32)
    per_stain = maps[0, :, 4:10, 4:10].mean((1, 2))
    assert per_stain.argmax() == 0


def test_groups_of_a_feature_mask_are_told_apart_exactly():
    """Two groups hold the square's halves, a third everything else."""
    inputs = bright_images(2)
    groups = torch.full((1, 1, 16, 16), 2)
    groups[..., 4:10, 4:7], groups[..., 4:10, 7:10] = 0, 1
    maps = _explain(Counted(BrightSquare()), inputs, feature_mask=groups)
    assert torch.all(maps[:, 0, 4:10, 4:10].flatten(1).amin(1) > maps[:, 0, 0, 0])


@pytest.mark.parametrize("n_forwards", [100, 101, 202])
@pytest.mark.parametrize("perturbations", [1, 7])
def test_the_budget_is_kept_exactly_and_reported(n_forwards, perturbations):
    forward = Counted(BrightSquare())
    _, diagnostics = _explain(
        forward,
        bright_images(3),
        ForwardOnly(n_forwards),
        perturbations_per_eval=perturbations,
        return_diagnostics=True,
    )
    assert sum(forward.rows) == 3 * n_forwards
    assert diagnostics.n_forwards.tolist() == [n_forwards] * 3


def test_regression_keeps_the_budget_too():
    forward = Counted(lambda x: x.mean((1, 2, 3)))
    method = PCIM(forward, score="regression", gradients=ForwardOnly(100))
    _, diagnostics = method.attribute(bright_images(1), return_diagnostics=True)
    assert sum(forward.rows) == diagnostics.n_forwards.item() == 100


def test_without_diagnostics_their_passes_are_not_made_and_the_map_is_the_same():
    forward = Counted(BrightSquare())
    alone = _explain(forward, bright_images(1))
    assert sum(forward.rows) == 200 - 4  # two references, blend and complement
    together, _ = _explain(Counted(BrightSquare()), bright_images(1), return_diagnostics=True)
    assert torch.equal(alone, together)


@pytest.mark.parametrize(
    ("batch", "most"),
    [({"perturbations_per_eval": 4}, 12), ({"internal_batch_size": 2}, 2), ({}, 3)],
)
def test_no_call_of_the_network_is_larger_than_asked_for(batch, most):
    forward = Counted(BrightSquare())
    _explain(forward, bright_images(3), **batch)
    assert max(forward.rows) <= most


@pytest.mark.parametrize(
    ("batch", "most"),
    [
        ({"internal_batch_size": 1}, 2),  # a blend is made together with its complement
        ({"internal_batch_size": 2}, 2),
        ({"internal_batch_size": 5, "perturbations_per_eval": 14}, 4),
        ({"internal_batch_size": 64, "perturbations_per_eval": 6}, 3 * 6),
        ({"perturbations_per_eval": 6}, 3 * 6),
        ({}, 3 * 2),
    ],
)
def test_no_more_blends_are_made_at_once_than_go_through_the_network(monkeypatch, batch, most):
    made = []

    def noting(inputs, reference, weights):
        blends = blend_and_complement(inputs, reference, weights)
        made.append(len(blends))
        return blends

    monkeypatch.setattr(problem, "blend_and_complement", noting)
    _explain(BrightSquare(), bright_images(3), return_diagnostics=True, **batch)
    assert max(made) == most


def test_the_bound_on_blends_does_not_change_what_is_found():
    inputs = bright_images(3)
    expected, told = _explain(small_cnn(), inputs, return_diagnostics=True)
    for batch in ({"internal_batch_size": 2}, {"internal_batch_size": 5}):
        maps, diagnostics = _explain(small_cnn(), inputs, return_diagnostics=True, **batch)
        assert_close(maps, expected, rtol=0, atol=1e-3)
        assert torch.equal(diagnostics.n_forwards, told.n_forwards)


def test_a_map_depends_neither_on_batches_nor_on_other_images():
    inputs = bright_images(3)
    together = _explain(Counted(small_cnn()), inputs, perturbations_per_eval=6)
    alone = torch.cat([_explain(Counted(small_cnn()), x[None]) for x in inputs])
    assert_close(together, alone, rtol=0, atol=1e-3)


def test_a_seed_repeats_a_map_and_another_does_not():
    inputs = bright_images(1)
    first, again = (_explain(Counted(BrightSquare()), inputs) for _ in range(2))
    other = PCIM(Counted(BrightSquare()), gradients=FEW, seed=4).attribute(inputs, target=1)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16])
def test_integer_images_are_explained_and_reach_the_network_as_integers(dtype):
    seen = set()

    def forward(counts):
        seen.add(counts.dtype)
        return BrightSquare()(counts.float() / 255)

    inputs = (255 * bright_images(1)).round()
    maps = _explain(forward, inputs.to(dtype), ForwardOnly(), perturbations_per_eval=32)
    assert seen == {dtype}
    assert maps.dtype == torch.float32
    inside = BrightSquare().mask(inputs)
    assert average_precision(maps[:, :1], inside).item() > 0.7


def test_masked_integers_are_rounded_not_cut_off():
    seen = []
    inputs = torch.full((1, 1, 16, 16), 255, dtype=torch.uint8)
    method = PCIM(
        lambda x: seen.append(x) or torch.stack([x[:, 0, 0, 0], x[:, 0, 1, 1]], 1).float(),
        gradients=ForwardOnly(100),
        references=[Constant(254.6)],
    )
    method.attribute(inputs, target=1)
    assert torch.cat(seen).min() == 255


def test_autograd_refuses_integers():
    with pytest.raises(TypeError, match=r"inputs: expected floating-point.*uint8"):
        _explain(BrightSquare(), bright_images(1).to(torch.uint8), Autograd())


def test_auto_takes_autograd_where_it_can():
    inputs = bright_images(2)
    chosen = _explain(small_cnn(), inputs, "auto", n_steps=3)
    assert torch.equal(chosen, _explain(small_cnn(), inputs, Autograd(), n_steps=3))


@pytest.mark.parametrize(
    "forward",
    [
        Counted(BrightSquare()),
        lambda x: BrightSquare()(torch.from_numpy(x.numpy())),
        lambda x: BrightSquare()(torch.from_numpy(x.numpy())).numpy(),
        lambda x: small_cnn()(x.detach()),  # its parameters record gradients, its inputs do not
    ],
)
def test_auto_says_once_that_it_goes_on_without_gradients(forward):
    inputs = bright_images(1)
    with pytest.warns(UserWarning) as warned:
        maps = _explain(forward, inputs, "auto", perturbations_per_eval=32)
    said = "forward_func: not differentiable with respect to its inputs: "
    assert sum(str(w.message).startswith(said) for w in warned) == 1
    assert maps.flatten(1).std(1).min() > 0


def test_auto_spends_little_before_it_goes_on_without_gradients():
    forward = Counted(BrightSquare())
    with pytest.warns(UserWarning, match="not differentiable"):
        _explain(forward, bright_images(2), "auto", return_diagnostics=True)
    # The images; the first and a half blend, once with gradients recorded, once without.
    assert sum(forward.rows) <= 2 * 333 + 2 + 4


def test_scores_of_the_first_images_are_not_taken_for_those_of_later_ones():
    """Memory runs out once, after the images were scored, and the chunks are halved."""
    inputs, calls = bright_images(4), []
    inputs[2:, 0] *= 0.6

    def once_out_of_memory(images):
        calls.append(len(images))
        if len(calls) == 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return BrightSquare()(images.detach())

    arguments = {"perturbations_per_eval": 32, "return_diagnostics": True}
    with pytest.warns(UserWarning, match="out of memory with 4 images at once"):
        _, diagnostics = _explain(once_out_of_memory, inputs, "auto", **arguments)
    own = BrightSquare()(inputs).softmax(1)[:, 1]
    assert_close(diagnostics.full_probability, own)


def test_a_failure_late_in_the_budget_does_not_lose_the_result():
    inputs = bright_images(2)
    forward = Counted(BrightSquare(), after=2 * 180, trouble=_fail)
    source = ForwardOnly(200, on_error="return")
    with pytest.warns(
        UserWarning, match="ConnectionError: the service is gone; returning"
    ) as warned:
        maps, diagnostics = _explain(forward, inputs, source, return_diagnostics=True)
    assert sum("the service is gone" in str(w.message) for w in warned) == 1
    inside = BrightSquare().mask(inputs).expand(2, -1, -1, -1)
    assert average_precision(maps[:, :1], inside).min() > 0.4
    assert diagnostics.n_forwards.min() >= 170 and diagnostics.n_forwards.max() <= 180
    assert diagnostics.preserved_probability.isnan().all()


def test_a_failure_raises_as_it_is_by_default():
    forward = Counted(BrightSquare(), after=180, trouble=_fail)
    with pytest.raises(ConnectionError, match="the service is gone"):
        _explain(forward, bright_images(1))


def test_a_failure_at_once_raises_even_where_results_are_to_be_returned():
    forward = Counted(BrightSquare(), after=0, trouble=_fail)
    with pytest.raises(ConnectionError):
        _explain(forward, bright_images(1), ForwardOnly(200, on_error="return"))


def test_scores_that_are_not_finite_raise():
    forward = Counted(BrightSquare(), after=50, trouble=lambda scores: scores * float("nan"))
    with pytest.raises(ValueError, match=r"forward_func: expected finite.*after \d+ passes"):
        _explain(forward, bright_images(1))


def test_masks_that_score_nan_are_left_out_where_results_are_to_be_returned():
    inputs = bright_images(1)
    every_third = {"calls": 0}

    def forward(x):
        every_third["calls"] += 1
        broken = every_third["calls"] > 4 and every_third["calls"] % 3 == 0
        return BrightSquare()(x) * (float("nan") if broken else 1.0)

    maps = _explain(Counted(forward), inputs, ForwardOnly(400, on_error="return"))
    assert maps.isfinite().all()
    assert average_precision(maps[:, :1], BrightSquare().mask(inputs)).item() > 0.4


def test_a_batch_size_that_changes_is_an_error():
    forward = Counted(BrightSquare(), after=50, trouble=lambda scores: scores[:-1])
    with pytest.raises(ValueError, match="forward_func: expected one row of scores per image"):
        _explain(forward, bright_images(2))


def test_scores_that_do_not_repeat_are_said():
    generator = np.random.default_rng(0)
    noisy = Counted(
        lambda x: BrightSquare()(x) + torch.from_numpy(generator.normal(size=(len(x), 2)))
    )
    with pytest.warns(UserWarning, match="differ by up to .* between two calls"):
        _explain(noisy, bright_images(1))


def test_scores_that_depend_on_the_place_in_the_batch_are_said():
    shift = Counted(
        lambda x: BrightSquare()(x) + torch.arange(len(x))[:, None] * torch.tensor([0, 1])
    )
    with pytest.warns(UserWarning, match="differ by up to"):
        _explain(shift, bright_images(2))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ForwardOnly(0), "n_forwards: expected a whole number"),
        (lambda: ForwardOnly(on_error="ignore"), 'on_error: expected "raise" or "return"'),
        (lambda: PCIM(small_cnn(), gradients="forward"), "gradients: expected 'auto', Autograd"),
        (
            lambda: _explain(small_cnn(), bright_images(1), ForwardOnly(20)),
            "n_forwards.*at least 40",
        ),
        (
            lambda: _explain(small_cnn(), bright_images(1), perturbations_per_eval=0),
            "perturbations_per_eval: expected a whole number",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
