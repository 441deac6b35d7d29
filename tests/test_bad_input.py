"""Bad input gets an error that names the argument, what was expected and what came."""

import numpy as np
import pytest
import torch
from networks import images, small_cnn
from torch import nn

from captum_pcim import PCIM, Autograd, ControlImages, ForwardOnly, PerStain, Smoothing
from captum_pcim.cells import explain_cells, measure
from captum_pcim.classifiers.embeddings import DistanceToControls
from captum_pcim.comparison import compare

INPUTS = images()


def _explain(inputs=INPUTS, target=0, network=None, **arguments):
    return PCIM(network or small_cnn()).attribute(inputs, target=target, n_steps=2, **arguments)


def _against(reference):
    return PCIM(small_cnn(), references=[reference]).attribute(INPUTS, target=0, n_steps=2)


def _with_a_masked_class(inputs):
    scores = small_cnn()(inputs)
    return torch.cat([scores[:, :2], torch.full_like(scores[:, 2:], -torch.inf)], 1)


def _with(value):
    inputs = INPUTS.clone()
    inputs[1, 0, 0, 0] = value
    return inputs


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (_with(float("nan")), ValueError, r"inputs: expected finite.*in images \[1\]"),
        (_with(-float("inf")), ValueError, r"inputs: expected finite.*in images \[1\]"),
        (INPUTS.int(), TypeError, r"inputs: expected floating-point values, got torch.int32"),
        (INPUTS > 0.5, TypeError, r"inputs: expected floating-point values, got torch.bool"),
        (INPUTS.to(torch.uint8), TypeError, r"inputs: .*got torch.uint8.*inputs.float\(\)"),
        (INPUTS.to(torch.complex64), TypeError, r"inputs: .*got torch.complex64"),
        (INPUTS[:0], ValueError, r"inputs: expected at least one image, got shape \(0, 3, 16"),
        (INPUTS[..., :0], ValueError, r"inputs: expected at least one image, got shape"),
        (torch.tensor(1.0), ValueError, r"inputs: expected at least one image, got shape \(\)"),
        (INPUTS.numpy(), TypeError, r"inputs: expected a tensor.*got ndarray"),
        ([INPUTS], TypeError, r"inputs: expected a tensor.*got list"),
        (None, TypeError, r"inputs: expected a tensor.*got NoneType"),
        ((), ValueError, r"inputs: expected at least one tensor, got an empty tuple"),
        ((INPUTS, INPUTS[:2]), ValueError, r"inputs\[1\]: expected 3 rows.*got 2"),
        ((INPUTS, INPUTS.long()), TypeError, r"inputs\[1\]: expected floating-point"),
    ],
)
def test_inputs(inputs, error, message):
    with pytest.raises(error, match=message):
        _explain(inputs)


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        (3, IndexError, r"target: expected classes from 0 to 2, got 3"),
        (torch.tensor([0, 1, 7]), IndexError, r"target: expected classes from 0 to 2, got 7"),
        ([0, 1, 7], IndexError, r"target: expected classes from 0 to 2, got 7"),
        ((3,), IndexError, r"target: expected classes from 0 to 2, got 3"),
        (-1, IndexError, r"target: expected classes from 0, got -1"),
        (torch.tensor([0, -1, 0]), IndexError, r"target: expected classes from 0, got -1"),
        ([0, -2, 0], IndexError, r"target: expected classes from 0, got -2"),
        ((-1,), IndexError, r"target: expected classes from 0, got -1"),
        (np.int64(-1), IndexError, r"target: expected classes from 0, got -1"),
        (1.0, TypeError, r"target: expected None, an int, .*got float"),
        (True, TypeError, r"target: expected None, an int, .*got bool"),
        ("cell", ValueError, "target: expected a class or 'predicted', got 'cell'"),
        (torch.tensor(1.0), TypeError, r"target: expected integer classes, .*float32"),
        (torch.tensor([True, False, True]), TypeError, r"target: .*torch.bool"),
        (np.array([0.0, 1.0, 2.0]), TypeError, r"target: expected integer classes, .*float64"),
        ([0.0, 1.9, 2.0], TypeError, r"target: expected whole numbers, got float"),
        ([True, False, True], TypeError, r"target: expected whole numbers, got bool"),
        ([0, (1,), 2], TypeError, r"target: expected whole numbers, got tuple"),
        ([[0], [1], [2]], TypeError, r"target: expected whole numbers, got list"),
        ([(0,), 1, (2,)], TypeError, r"target: expected a tuple.*got int"),
        ([(0,), (1,), (3,)], IndexError, r"target: expected numbers below \(3,\), got \(3,\)"),
        ([(0,), (1, 0), (2,)], ValueError, r"target: expected tuples of one length, got \[1, 2\]"),
        ([(0, 0)] * 3, AssertionError, r"target: \(0, 0\) has more elements"),
        ([0, 1], ValueError, r"target: expected 3 rows, one per image, got 2"),
        ([], ValueError, r"target: expected 3 rows, one per image, got 0"),
        (torch.tensor([0, 1]), ValueError, r"target: expected 3 rows, one per image, got 2"),
        (torch.zeros(3, 2).long(), ValueError, r"target: expected shape \(N,\) or \(N, 1\)"),
        (torch.zeros(0).long(), ValueError, r"target: expected 3 rows, one per image, got 0"),
        ((), ValueError, r"target: expected at least one number in a tuple"),
        ((0, 0), AssertionError, r"target: \(0, 0\) has more elements"),
        (None, ValueError, r"target: .*\(3, 3\), several scores per image"),
    ],
)
def test_targets(target, error, message):
    with pytest.raises(error, match=message):
        _explain(target=target)


@pytest.mark.parametrize(
    ("baselines", "error", "message"),
    [
        (torch.zeros(3, 16, 16), ValueError, r"baselines: .*\(3, 3, 16, 16\).*got \(3, 16, 16\)"),
        (
            torch.zeros(2, 3, 16, 16),
            ValueError,
            r"baselines: expected a shape.*got \(2, 3, 16, 16\)",
        ),
        (torch.zeros(3, 3, 2, 1), ValueError, r"baselines: expected a shape.*got \(3, 3, 2, 1\)"),
        (torch.tensor(0.0), ValueError, r"baselines: expected a shape.*got \(\)"),
        (_with(float("nan")), ValueError, r"baselines: expected finite values"),
        (float("nan"), ValueError, r"baselines: expected finite values"),
        (float("inf"), ValueError, r"baselines: expected finite values"),
        ("blur", TypeError, r"baselines: expected a tensor or a number, got str"),
        (lambda x: x, TypeError, r"baselines: expected a tensor or a number, got function"),
        ((0, 0), ValueError, r"baselines: expected 1 tensors or numbers, one per input, got 2"),
    ],
)
def test_baselines(baselines, error, message):
    with pytest.raises(error, match=message):
        _explain(baselines=baselines)


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.zeros(1, 1, 16, 16), TypeError, r"feature_mask: expected an integer tensor.*float"),
        (torch.zeros(1, 1, 8, 8).long(), ValueError, r"feature_mask: .*got \(1, 1, 8, 8\)"),
        (torch.zeros(16, 16).long(), ValueError, r"feature_mask: .*as many axes, got \(16, 16\)"),
        (torch.zeros(2, 1, 16, 16).long(), ValueError, r"feature_mask: .*got \(2, 1, 16, 16\)"),
        (-torch.ones(1, 1, 16, 16).long(), ValueError, r"feature_mask: .*groups from 0, got -1"),
        (np.zeros((1, 1, 16, 16), int), TypeError, r"feature_mask: .*integer tensor, got ndarray"),
        ((torch.zeros(1).long(),) * 2, ValueError, r"feature_mask: expected 1 tensors, .*got 2"),
    ],
)
def test_feature_masks(mask, error, message):
    with pytest.raises(error, match=message):
        _explain(feature_mask=mask)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "2"])
@pytest.mark.parametrize("name", ["n_steps", "internal_batch_size"])
def test_counts(name, value):
    call = {"target": 0, "n_steps": 2, name: value}
    with pytest.raises(
        ValueError, match=rf"{name}: expected a whole number >= [12], got {value!r}"
    ):
        PCIM(small_cnn()).attribute(INPUTS, **call)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_learning_rates(value):
    with pytest.raises(ValueError, match="learning_rate: expected a number above 0, got"):
        _explain(learning_rate=value)


@pytest.mark.parametrize("value", [-0.1, 1.0, float("nan")])
def test_tolerances(value):
    with pytest.raises(ValueError, match=r"tolerance: expected a mean weight change in \[0, 1\)"):
        _explain(tolerance=value)


@pytest.mark.parametrize("name", ["score", "order"])
def test_choices_of_the_constructor(name):
    with pytest.raises(ValueError, match=rf'{name}: expected ".*" or ".*", got .other.'):
        PCIM(small_cnn(), **{name: "other"})


def test_an_image_smaller_than_the_smoothing():
    with pytest.raises(ValueError, match=r"smoothing: expected sigma below .*shorter side"):
        PCIM(small_cnn(), smoothing=Smoothing(20)).attribute(INPUTS, target=0)


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm2d(3),
        nn.SyncBatchNorm(3),
        nn.Dropout(0.1),
        nn.Dropout2d(0.1),
        nn.AlphaDropout(0.1),
        nn.RReLU(),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_networks_whose_training_mode_couples_images_or_is_random(layer):
    network = nn.Sequential(layer, small_cnn()).train()
    with pytest.raises(ValueError, match=rf"forward_func: .*{type(layer).__name__} '0' is in tr"):
        _explain(network=network)


@pytest.mark.parametrize(
    "layer",
    [nn.LSTM(4, 4, 2, dropout=0.1), nn.GRU(4, 4, 2, dropout=0.1), nn.MultiheadAttention(4, 1, 0.1)],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_with_dropout_inside(layer):
    with pytest.raises(ValueError, match=rf"forward_func: .*{type(layer).__name__}.*training mode"):
        _explain(network=nn.Sequential(layer, small_cnn()).train())


def test_batch_statistics_even_in_evaluation_mode():
    network = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), small_cnn()).eval()
    with pytest.raises(ValueError, match=r"forward_func: expected running statistics.*BatchNorm2d"):
        _explain(network=network)


def test_training_mode_without_such_layers_is_fine():
    network = small_cnn()
    assert torch.equal(_explain(network=network.train()), _explain(network=small_cnn()))


@pytest.mark.parametrize(
    ("forward", "error", "message"),
    [
        (
            lambda x: x.mean(),
            ValueError,
            r"forward_func: .* one row .*3 rows, got shape \(\)",
        ),
        (lambda x: x.flatten(1)[:2], ValueError, r"forward_func: .*3 rows, got shape \(2, 768\)"),
        (lambda x: (x.flatten(1), 0), TypeError, r"forward_func: .*tensor of scores, got tuple"),
        (lambda x: {"logits": x}, TypeError, r"forward_func: .*tensor of scores, got dict"),
        (lambda x: None, TypeError, r"forward_func: .*tensor of scores, got NoneType"),
        (lambda x: x.flatten(1) / 0, ValueError, r"forward_func: expected finite.*\[0, 1, 2\]"),
    ],
)
def test_forward_functions(forward, error, message):
    with pytest.raises(error, match=message):
        _explain(network=forward)


@pytest.mark.parametrize(
    "forward",
    [
        lambda x: x.detach().numpy().reshape(len(x), -1),
        lambda x: x.flatten(1).long(),
        lambda x: x.detach().flatten(1),
        lambda x: (3 * x.flatten(1)).round().detach(),
        torch.no_grad()(lambda x: 3 * x.flatten(1)),
    ],
)
def test_forward_functions_without_gradients_where_autograd_is_insisted_on(forward):
    with pytest.raises(ValueError, match=r"forward_func: .*autograd can differentiate"):
        PCIM(forward, gradients=Autograd()).attribute(INPUTS, target=0)


def test_nothing_is_left_behind_by_a_refused_call():
    """The same object explains good input after bad."""
    pcim = PCIM(small_cnn())
    expected = pcim.attribute(INPUTS, target=0, n_steps=2)
    for bad in (INPUTS.int(), INPUTS[:0], _with(float("nan"))):
        with pytest.raises((TypeError, ValueError)):
            pcim.attribute(bad, target=0)
    assert torch.equal(pcim.attribute(INPUTS, target=0, n_steps=2), expected)


@pytest.mark.parametrize(
    "call, step",
    [
        (lambda: _explain(inputs=images().numpy(), target=1), r"pass torch\.from_numpy\(inputs\)"),
        (lambda: _explain(inputs=images() * torch.nan, target=1), "torch.nan_to_num"),
        (lambda: _explain(target=None), "PCIM.attribute also takes 'predicted'"),
        (lambda: _explain(network=lambda x: x, target=1), r"as in \(class, y, x\)"),
        (lambda: _explain(network=lambda x: [x], target=1), "wrap it in a function that picks"),
        (
            lambda: _explain(network=lambda x: x.mean((0, 2, 3))[:2], target=1),
            "keep the batch axis",
        ),
        (lambda: _explain(network=lambda x: x[..., 0, 0] / 0, target=1), "scaled as the network"),
        (lambda: _explain(network=_with_a_masked_class), r"masked out .*scores.clamp\(min=-1e4\)"),
    ],
    ids=["arrays", "gaps", "no target", "a map", "a list", "no batch axis", "no numbers", "masked"],
)
def test_an_error_says_the_next_step(call, step):
    with pytest.raises((TypeError, ValueError), match=step):
        call()


UNSIGNED = [np.uint8, np.uint16, np.uint32, np.uint64, ">i4"]


@pytest.mark.parametrize("dtype", UNSIGNED, ids=str)
def test_targets_and_contrasts_are_whole_numbers_of_any_type(dtype):
    classes = np.array([0, 1, 2])
    expected = _explain(target=classes, contrast=np.roll(classes, 1))
    found = _explain(target=classes.astype(dtype), contrast=np.roll(classes, 1).astype(dtype))
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.int16, torch.int32], ids=str)
def test_groups_and_object_numbers_are_whole_numbers_of_any_type(dtype):
    groups = (torch.arange(256) // 64).view(1, 1, 16, 16)
    assert torch.equal(_explain(feature_mask=groups.to(dtype)), _explain(feature_mask=groups))
    labels = groups[:, 0].repeat(3, 1, 1)
    assert measure(INPUTS, labels.to(dtype)) == measure(INPUTS, labels)


@pytest.mark.parametrize("number", [np.float32(0.5), np.int64(1), np.float64(0.25), True])
def test_a_baseline_is_any_number(number):
    assert torch.equal(_explain(baselines=number), _explain(baselines=float(number)))


def _unfitted(scorer):
    return scorer(nn.Sequential(nn.Flatten(), nn.Linear(768, 4)).eval())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: _explain(target=np.array(["a", "b", "c"])), "target: .*got an array of <U1"),
        (lambda: _explain(target=np.zeros(3)), "target: .*got an array of float64"),
        (lambda: _explain(baselines=INPUTS[:1].to_sparse()), "baselines: expected a dense tensor"),
        (
            lambda: _explain(network=lambda x: small_cnn()(x) * 1j),
            "real, dense scores, got .*compl",
        ),
        (lambda: _explain(network=lambda x: small_cnn()(x).to_sparse()), "scores, got a sparse"),
        (
            lambda: _explain(network=nn.LazyConv2d(4, 3)),
            "some modules are lazy and have seen no im",
        ),
        (lambda: PCIM(_unfitted(DistanceToControls)), "DistanceToControls: expected controls"),
        (lambda: ControlImages(INPUTS[:0]), "ControlImages, got none"),
        (lambda: ControlImages(INPUTS.numpy()), "ControlImages expected a tensor, got ndarray"),
        (lambda: _against(lambda x: x[None][:0]), r"references: .*got \(0, 3, 3, 16, 16\)"),
        (lambda: _against(lambda x: x[None] * 1j), "references: expected real values, got torch.c"),
        (
            lambda: PCIM(small_cnn(), isolation=PerStain),
            "isolation: expected Isolation or None, got",
        ),
        (
            lambda: PCIM(small_cnn(), gradients=ForwardOnly),
            r"gradients: expected 'auto', Autograd\(\)",
        ),
        (lambda: _explain(baselines=INPUTS * 1j), "baselines: .*got a tensor of torch.complex64"),
        (
            lambda: _explain(torch.nested.as_nested_tensor(list(INPUTS))),
            "inputs: expected a dense tensor with values, got a nested one",
        ),
        (
            lambda: compare({"PCIM": PCIM(small_cnn())}, INPUTS, "predicted"),
            "target: .*'predicted'",
        ),
    ],
)
def test_what_else_cannot_be_read_is_named(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.parametrize("name", ["baselines", "internal_batch_size", "return_diagnostics"])
def test_explain_cells_names_the_arguments_of_attribute_that_it_does_not_take(name):
    labels = torch.ones(3, 16, 16, dtype=torch.int64)
    with pytest.raises(TypeError, match=f"{name}: explain_cells takes no such argument"):
        explain_cells(PCIM(small_cnn()), INPUTS, labels, size=8, **{name: 1})


def test_more_than_three_spatial_axes_are_refused_where_they_cannot_be_pooled():
    pcim = PCIM(lambda x: x.flatten(1)[:, :2], gradients=ForwardOnly(60))
    with pytest.raises(ValueError, match="inputs: expected 1 to 3 spatial axes for ForwardOnly"):
        pcim.attribute(torch.rand(2, 1, 2, 4, 8, 8), target=1)
