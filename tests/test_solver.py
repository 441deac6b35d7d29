"""The batched optimiser: images never meet, finished images leave, every pass is counted."""

import gc
import warnings

import pytest
import torch
from networks import BrightSquare, bright_images, images, prepared, small_cnn
from torch import nn
from torch.testing import assert_close

from captum_pcim import (
    PCIM,
    Area,
    Autograd,
    Background,
    Blur,
    Constant,
    PCIMWarning,
    Preservation,
    Removal,
    Smoothing,
)
from captum_pcim.core.blending import blend
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.problem import HELD_SHARE, Settings
from captum_pcim.core.solver import solve

STEPS = 20
ROUND_OFF = 1e-5


class Counting(nn.Module):
    """Counts the rows of every pass through a network."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.rows: list[int] = []

    def __deepcopy__(self, memo):
        raise TypeError("stays the one that counts")

    def forward(self, inputs):
        self.rows.append(len(inputs))
        return self.network(inputs)


def _ruinous(blended):
    """A price of area that no pixel is worth, in the last steps only."""
    return (1e4 if blended.progress > 0.8 else 1.0) * mean_weight(blended.weights)


@pytest.mark.parametrize("level", [0.0, 0.3])
def test_weights_that_lost_the_class_to_any_reference_are_not_taken(level):
    network, inputs, references = BrightSquare(), bright_images(), [Constant(0.0), Constant(level)]
    pcim = PCIM(network, objective=[Preservation(), Removal(), _ruinous], references=references)
    weights = pcim.attribute(inputs, target=1, n_steps=60)
    half = HELD_SHARE * network(inputs).softmax(1)[:, 1]
    for reference in references:
        kept, left = (blend(inputs, reference(inputs)[0], w) for w in (weights, 1 - weights))
        # Each step sees one reference: what is known of the other is a step old.
        assert (network(kept).softmax(1)[:, 1] >= 0.7 * half).all()
        assert (network(left).softmax(1)[:, 1] <= 1.5 * half).all()


def test_weights_that_leave_the_class_in_the_complement_are_not_taken():
    """Two squares show the class, one is enough: once it is left out the other stays unseen."""

    def either(inputs):
        squares = torch.stack([inputs[:, 0, 2:6, 2:6], inputs[:, 0, 10:14, 10:14]], 1)
        odds = 20 * (squares.flatten(2).mean(2).amax(1) - 0.5)
        return torch.stack([torch.zeros_like(odds), odds], 1)

    def one_square_only(blended):
        late = 1e3 if blended.progress > 0.8 else 0.0
        return late * blended.weights[0][:, :, 10:14, 10:14].mean((1, 2, 3))

    inputs = torch.zeros(1, 1, 16, 16)
    inputs[..., 2:6, 2:6], inputs[..., 10:14, 10:14] = 1.0, 0.98
    objective = [Preservation(), Removal(), Area(1, 1), one_square_only]
    pcim = PCIM(either, objective=objective, references=[Constant(0.0)], smoothing=Smoothing(0))
    weights = pcim.attribute(inputs, target=1)
    assert weights[..., 10:14, 10:14].mean() > 0.4


def _explain(network, inputs, target=1, **arguments):
    arguments = {"n_steps": STEPS, "return_diagnostics": True, **arguments}
    return PCIM(network).attribute(inputs, target=target, **arguments)


def test_every_image_is_explained_as_if_it_were_alone():
    inputs, targets = images(n=4), torch.tensor([0, 1, 2, 1])
    together, diagnostics = _explain(small_cnn(), inputs, targets)
    for i in range(4):
        alone, own = _explain(small_cnn(), inputs[i : i + 1], targets[i : i + 1])
        assert_close(together[i : i + 1], alone, rtol=0, atol=ROUND_OFF)
        assert_close(diagnostics.loss_history[i], own.loss_history[0], rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("internal_batch_size", [1, 2, 3, 4, 7, 100])
def test_chunks_change_neither_maps_nor_diagnostics(internal_batch_size):
    inputs, targets = images(n=5), torch.tensor([0, 1, 2, 1, 0])
    whole, diagnostics = _explain(small_cnn(), inputs, targets)
    maps, own = _explain(small_cnn(), inputs, targets, internal_batch_size=internal_batch_size)
    assert_close(maps, whole, rtol=0, atol=ROUND_OFF)
    assert_close(own.loss_history, diagnostics.loss_history, rtol=0, atol=ROUND_OFF)
    assert torch.equal(own.n_forwards, diagnostics.n_forwards)


@pytest.mark.parametrize("internal_batch_size", [1, 2, 3, 4, 6])
def test_the_network_never_sees_more_rows_than_internal_batch_size(internal_batch_size):
    network = Counting(small_cnn())
    _explain(network, images(n=5), n_steps=2, internal_batch_size=internal_batch_size)
    assert max(network.rows) == internal_batch_size // 2 * 2 or internal_batch_size == 1
    assert max(network.rows) <= internal_batch_size


def test_the_passes_of_each_image_are_told_as_they_are():
    network = Counting(small_cnn())
    _, diagnostics = _explain(network, images(n=5))
    assert int(diagnostics.n_forwards.sum()) == sum(network.rows)


def test_the_passes_of_regression_are_told_as_they_are():
    network = Counting(small_cnn(n_classes=1))
    pcim = PCIM(network, score="regression")
    _, diagnostics = pcim.attribute(images(), n_steps=4, return_diagnostics=True)
    assert int(diagnostics.n_forwards.sum()) == sum(network.rows)


def test_without_diagnostics_no_pass_is_spent_on_them():
    network = Counting(small_cnn())
    references = [Background(), Blur()]
    PCIM(network, references=references).attribute(images(n=5), target=0, n_steps=4)
    # The images; the first and a half blend of it; two references; even blends and complements with
    # each, and those of the steps.
    assert network.rows == [5, 2, 5, 5] + [10] * (2 + 4)


@pytest.fixture(scope="module")
def early():
    """Three images stopped early; nothing is in the second one, so it comes to rest first."""
    network, inputs = Counting(BrightSquare()), bright_images(n=3)
    inputs[1] = 0.05
    maps, diagnostics = _explain_early(network, inputs)
    return network, inputs, maps, diagnostics


def _explain_early(network, inputs):
    objective = [Preservation(), Removal(), Area(1.0, 10.0)]
    pcim = PCIM(network, objective=objective, references=[Background(), Blur()])
    settings = {"n_steps": 60, "learning_rate": 0.5, "tolerance": 0.002}
    return pcim.attribute(inputs, target=1, return_diagnostics=True, **settings)


def test_early_stop_ends_images_at_steps_of_their_own(early):
    _, _, _, diagnostics = early
    assert diagnostics.n_steps[1] < diagnostics.n_steps[[0, 2]].min()
    assert diagnostics.n_steps.max() < 60


def test_finished_images_leave_the_batch(early):
    network, _, _, diagnostics = early
    assert int(diagnostics.n_forwards.sum()) == sum(network.rows)
    per_step = network.rows[6:-2]
    assert per_step == sorted(per_step, reverse=True) and per_step[-1] < per_step[0]


def test_losses_end_where_the_image_was_finished(early):
    _, _, _, diagnostics = early
    told = torch.isfinite(diagnostics.loss_history)
    assert torch.equal(told.sum(1), diagnostics.n_steps)
    assert all(row[:n].all() for row, n in zip(told, diagnostics.n_steps, strict=True))


def test_images_stopped_early_are_explained_as_if_they_were_alone(early):
    _, inputs, maps, diagnostics = early
    for i in range(3):
        alone, own = _explain_early(BrightSquare(), inputs[i : i + 1])
        assert own.n_steps[0] == diagnostics.n_steps[i]
        assert_close(maps[i : i + 1], alone, rtol=0, atol=ROUND_OFF)


def test_what_held_the_class_follows_its_image_when_others_leave():
    """The first image has no evidence: it leaves at once, and never held the class."""
    inputs, gain = bright_images(), torch.tensor([[0.0], [1.0]])

    def forward(inputs, gain):
        return gain * BrightSquare()(inputs)

    # Five references in seven steps: what is known of three is from before the first image left.
    references = [Constant(0.02 * level) for level in range(5)]
    pcim = PCIM(forward, objective=[Preservation(), Removal()], references=references)
    call = {"target": 1, "n_steps": 7, "tolerance": 1e-4, "return_diagnostics": True}
    together, diagnostics = pcim.attribute(inputs, additional_forward_args=gain, **call)
    alone, _ = pcim.attribute(inputs[1:], additional_forward_args=gain[1:], **call)
    assert diagnostics.n_steps.tolist() == [5, 7]
    assert_close(together[1:], alone, rtol=0, atol=ROUND_OFF)


def test_a_tolerance_that_is_never_met_changes_nothing():
    full, _ = _explain(BrightSquare(), bright_images(), n_steps=60)
    early, diagnostics = _explain(BrightSquare(), bright_images(), n_steps=60, tolerance=1e-9)
    assert torch.equal(full, early)
    assert (diagnostics.n_steps == 60).all()


def test_additional_arguments_and_groups_follow_their_image_when_others_leave():
    """The offset of each image is its own; the one it would get by mistake stops it elsewhere."""
    network, inputs = BrightSquare(), bright_images(n=3)
    offset = torch.tensor([[0.0, 9.0], [0.0, -9.0], [0.0, 2.0]])
    constant = torch.ones(2)

    def forward(inputs, offset, constant):
        assert constant.shape == (2,)
        return network(inputs) + offset

    mask = torch.stack([torch.arange(256).view(1, 16, 16) // size for size in (16, 32, 8)])
    controls = 0.1 * images(n=3, seed=9)
    call = {"target": [1, 0, 1], "n_steps": 60, "tolerance": 0.01, "return_diagnostics": True}
    together, diagnostics = PCIM(forward).attribute(
        inputs,
        controls,
        additional_forward_args=(offset, constant),
        feature_mask=mask,
        internal_batch_size=4,
        **call,
    )
    assert len(diagnostics.n_steps.unique()) > 1
    for i in range(3):
        one = slice(i, i + 1)
        call["target"] = [1, 0, 1][i]
        alone, _ = PCIM(forward).attribute(
            inputs[one],
            controls[one],
            additional_forward_args=(offset[one], constant),
            feature_mask=mask[one],
            **call,
        )
        assert_close(together[one], alone, rtol=0, atol=ROUND_OFF)


def test_memory_that_runs_out_halves_the_chunk_and_warns_once():
    network = BrightSquare()

    def too_large_for_four_rows(inputs):
        if len(inputs) > 4:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return network(inputs)

    inputs = bright_images(n=7)
    with pytest.warns(UserWarning) as warned:
        maps = PCIM(too_large_for_four_rows).attribute(inputs, target=1, n_steps=3)
    said = "internal_batch_size: out of memory with 7 images at once"
    assert sum(str(w.message).startswith(said) for w in warned) == 1
    assert_close(maps, PCIM(network).attribute(inputs, target=1, n_steps=3), rtol=0, atol=ROUND_OFF)


def test_memory_that_does_not_hold_one_image_raises():
    def never_enough(inputs):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    with pytest.warns(UserWarning), pytest.raises(torch.cuda.OutOfMemoryError):
        PCIM(never_enough).attribute(bright_images(n=4), target=1, n_steps=3)


def test_other_errors_of_the_network_come_through_as_they_are():
    def broken(inputs):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        PCIM(broken).attribute(bright_images(n=4), target=1, n_steps=3)


def test_losses_fall_where_the_price_of_area_does_not_rise():
    pcim = PCIM(BrightSquare(), objective=[Preservation(), Removal(), Area(3.0, 3.0)])
    _, diagnostics = pcim.attribute(bright_images(), 0.0, 1, return_diagnostics=True)
    losses = diagnostics.loss_history
    assert (losses[:, -1] < losses[:, 0]).all()


def test_an_ordinary_map_is_explained_without_a_word():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PCIMWarning)
        _, diagnostics = PCIM(BrightSquare()).attribute(
            bright_images(), target=1, return_diagnostics=True
        )
    assert set(diagnostics.verdict) == {"explained"}


def test_weights_that_no_gradient_reached_are_told_whatever_the_reason():
    """The gradient is there when it is asked for, and gone in the optimisation."""
    network, n_asked = BrightSquare(), 0

    def loses_its_gradient(inputs):
        def given(gradient):
            nonlocal n_asked
            n_asked += 1
            return gradient if n_asked == 1 else 0 * gradient

        inputs = inputs * 1
        if inputs.requires_grad:
            inputs.register_hook(given)
        return network(inputs)

    inputs = bright_images(2)
    with pytest.warns(PCIMWarning, match=r"no gradient reached the weights of images \[0, 1\]"):
        _, diagnostics = PCIM(loses_its_gradient, gradients=Autograd()).attribute(
            inputs, target=1, n_steps=6, return_diagnostics=True
        )
    assert diagnostics.verdict == ("no gradient reached the weights",) * 2


def test_no_graph_survives_the_call():
    attributions, diagnostics = _explain(small_cnn(), images().requires_grad_())
    assert attributions.grad_fn is None and not attributions.requires_grad
    assert not diagnostics.loss_history.requires_grad


def test_smoothing_and_chunks_do_not_interact():
    pcim = PCIM(small_cnn(), smoothing=Smoothing(2.0))
    whole = pcim.attribute(images(n=4), target=0, n_steps=12)
    chunked = pcim.attribute(images(n=4), target=0, n_steps=12, internal_batch_size=2)
    assert_close(whole, chunked, rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize(
    ("n_steps", "tolerance", "told"), [(7, 0.0, 7), (7, 1e-9, 7), (12, 0.999, 5), (2, 0.999, 2)]
)
def test_every_step_that_is_taken_is_told(n_steps, tolerance, told):
    steps = []
    problem, chunk = prepared(BrightSquare(), bright_images())
    settings = Settings(n_steps, 0.5, tolerance)
    solution = solve(problem, chunk, settings, lambda: steps.append(len(steps)))
    assert len(steps) == told
    assert solution.n_steps.tolist() == [told] * 2
    assert solution.n_forwards.tolist() == [2 * told + 2] * 2
    assert solution.loss_history.isfinite().sum(1).tolist() == [told] * 2


@pytest.mark.parametrize("options", [{}, {"tolerance": 0.01, "return_diagnostics": True}], ids=str)
def test_a_call_leaves_no_tensor_to_the_garbage_collector(options):
    """Cycles would hold the memory of a batch until Python next looks for them."""
    pcim, inputs = PCIM(small_cnn()), images()

    def n_tensors():
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

    pcim.attribute(inputs, target=1, n_steps=4)
    gc.collect()
    before = n_tensors()
    gc.disable()
    try:
        pcim.attribute(inputs, target=1, n_steps=12, **options)
        assert n_tensors() == before
    finally:
        gc.enable()


@pytest.mark.skipif(torch.__version__ < "2.4", reason="gives up captures from torch 2.4 on")
def test_cuda_graphs_change_nothing_on_the_cpu():
    inputs, target = images(), [0, 1, 2]
    plain = PCIM(small_cnn()).attribute(inputs, target=target, n_steps=8)
    pcim = PCIM(small_cnn(), gradients=Autograd(cuda_graphs=True))
    assert torch.equal(pcim.attribute(inputs, target=target, n_steps=8), plain)


def test_cuda_graphs_need_a_torch_that_lets_go_of_a_failed_capture(monkeypatch):
    monkeypatch.setattr(torch, "__version__", "2.3.1+cu121")
    with pytest.raises(ValueError, match=r"gradients: expected torch 2\.4 or newer .* 2\.3\.1"):
        Autograd(cuda_graphs=True)
