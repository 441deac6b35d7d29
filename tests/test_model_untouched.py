"""The model comes back exactly as it went in, whatever happens."""

import copy
import random

import numpy as np
import pytest
import torch
from networks import images, seeded
from torch import nn

from captum_pcim import PCIM
from captum_pcim.cells import explain_cells


class Network(nn.Module):
    """BatchNorm, Dropout, a hook, a frozen layer, a buffer it writes into and an old `.grad`."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Dropout2d(0.5)
        )
        self.head = nn.Linear(4, 3)
        self.register_buffer("n_calls", torch.zeros(()))
        self.fail_at = None
        self.error = RuntimeError
        self.features[0].weight.requires_grad_(False)
        self.head.weight.grad = torch.ones_like(self.head.weight)
        self.hook = self.head.register_forward_hook(lambda module, args, output: 2 * output)

    def forward(self, inputs):
        if self.fail_at is not None and self.n_calls >= self.fail_at:
            raise self.error("on purpose")
        self.n_calls += 1
        return self.head(self.features(inputs).mean((2, 3)))


@pytest.fixture(params=[True, False], ids=["train", "eval"])
def network(request):
    return seeded(Network).train(request.param)


def _state(network):
    modules = list(network.modules())
    return {
        "parameters": [p.detach().clone() for p in network.parameters()],
        "identities": [id(p) for p in (*network.parameters(), *modules)],
        "versions": [p._version for p in network.parameters()],
        "buffers": [b.clone() for b in network.buffers()],
        "requires_grad": [p.requires_grad for p in network.parameters()],
        "grad": [copy.deepcopy(p.grad) for p in network.parameters()],
        "training": [m.training for m in modules],
        "dropout": network.features[3].p,
        "hooks": [dict(m._forward_hooks) for m in modules],
        "other hooks": [(dict(m._backward_hooks), dict(m._forward_pre_hooks)) for m in modules],
        "random state": (torch.get_rng_state(), random.getstate(), str(np.random.get_state())),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


def _same(one, other):
    if isinstance(one, torch.Tensor):
        return isinstance(other, torch.Tensor) and torch.equal(one, other)
    if isinstance(one, list) or (isinstance(one, tuple) and len(one) < 10):
        return len(one) == len(other) and all(map(_same, one, other))
    return one == other


def _assert_untouched(network, before):
    after = _state(network)
    assert [name for name in before if not _same(before[name], after[name])] == []


def _explain(network, **arguments):
    return PCIM(network, eval_mode=True).attribute(
        images(size=8), target=1, n_steps=4, return_diagnostics=True, **arguments
    )


def test_after_success(network):
    before = _state(network)
    _explain(network)
    _assert_untouched(network, before)


@pytest.mark.parametrize("call", range(6))
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_after_an_exception_at_any_pass(network, call, error):
    """Pass 0 scores the images, 1 to 4 are the steps, 5 is for the diagnostics."""
    network.fail_at, network.error = call, error
    before = _state(network)
    with pytest.raises(error, match="on purpose"):
        _explain(network)
    _assert_untouched(network, before)


@pytest.mark.parametrize("step", range(4))
def test_after_an_interrupt_between_steps(network, step):
    calls = []

    class Interrupted:
        def __call__(self, blended):
            calls.append(step)
            if len(calls) > step:
                raise KeyboardInterrupt
            return blended.weights[0].mean((1, 2, 3))

    before = _state(network)
    with pytest.raises(KeyboardInterrupt):
        PCIM(network, objective=[Interrupted()], eval_mode=True).attribute(images(size=8), target=1)
    _assert_untouched(network, before)


def test_after_a_refused_call(network):
    before = _state(network)
    with pytest.raises(IndexError):
        PCIM(network, eval_mode=True).attribute(images(size=8), target=99)
    _assert_untouched(network, before)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_the_callers_grad_mode_is_kept(network, mode):
    with mode():
        before = _state(network)
        _explain(network)
        _assert_untouched(network, before)


def test_training_mode_is_refused_without_the_opt_in():
    network = seeded(Network).train()
    before = _state(network)
    with pytest.raises(ValueError, match="is in training mode"):
        PCIM(network).attribute(images(size=8), target=1)
    _assert_untouched(network, before)


def test_the_opt_in_explains_the_model_as_it_would_be_in_evaluation_mode():
    in_training, _ = _explain(seeded(Network).train())
    in_evaluation, _ = _explain(seeded(Network).eval())
    assert torch.equal(in_training, in_evaluation)


def test_random_numbers_after_the_call_are_those_that_would_have_come_without_it():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    PCIM(lambda x: x.flatten(1) + torch.randn(len(x), 1)).attribute(images(), target=0, n_steps=2)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    "write", [lambda b: b.add_(1), lambda b: b.data.add_(1), lambda b: b.numpy().__iadd__(1)]
)
def test_buffers_that_a_function_writes_into_are_given_back(write):
    """Writing through `.data` or NumPy leaves a tensor's version number as it was."""
    network = seeded(Network).eval()

    def forward(inputs):
        write(network.features[1].running_mean)
        return network(inputs)

    before = _state(network)
    PCIM(forward).attribute(images(size=8), target=1, n_steps=2)
    _assert_untouched(network, before)


def test_changes_of_the_model_between_calls_are_seen():
    """The view of the model is made anew for each call and shares its parameters."""
    network = seeded(Network).eval()
    pcim = PCIM(network)
    first = pcim.attribute(images(size=8), target=1, n_steps=4)
    with torch.no_grad():
        network.head.weight.mul_(-3)
    second = pcim.attribute(images(size=8), target=1, n_steps=4)
    assert not torch.equal(first, second)


def test_parameters_are_not_copied():
    seen = []
    network = seeded(Network).eval()
    network.hook.remove()
    network.head.register_forward_hook(lambda module, *_: seen.append(module.weight.data_ptr()))
    PCIM(network).attribute(images(size=8), target=1, n_steps=2)
    assert set(seen) == {network.head.weight.data_ptr()}


def test_no_parameter_gradient_is_computed():
    seen = []
    network = seeded(Network).eval()
    network.head.register_forward_hook(lambda module, *_: seen.append(module.weight.requires_grad))
    PCIM(network).attribute(images(size=8), target=1, n_steps=2)
    assert set(seen) == {False} and network.head.weight.requires_grad


def _replaced_forward(module):
    plain = module.forward
    module.forward = lambda inputs: plain(inputs) / 1.5


@pytest.mark.parametrize("part", ["the model", "a part of it"])
def test_a_forward_that_was_replaced_leaves_no_trace(part):
    network = seeded(Network).eval()
    _replaced_forward(network if part == "the model" else network.features)
    before = copy.deepcopy(network.state_dict())
    PCIM(network).attribute(images(2), target=1, n_steps=3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize("part", ["the model", "a part of it"])
def test_what_evaluation_mode_cannot_reach_behind_a_replaced_forward_is_refused(part):
    network = seeded(Network).train()
    _replaced_forward(network if part == "the model" else network.features)
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(ValueError, match="eval_mode=True cannot reach it"):
        PCIM(network, eval_mode=True).attribute(images(2), target=1, n_steps=3)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_an_ensemble_whose_base_has_no_values_is_explained():
    # As in torch's tutorial of ensembles: the base is on "meta", its parameters are handed in.
    members = [seeded(lambda: nn.BatchNorm2d(3).eval(), seed) for seed in (0, 1)]
    parameters, buffers = torch.func.stack_module_state(members)
    base = copy.deepcopy(members[0]).to("meta")

    def one(parameters, buffers, inputs):
        return torch.func.functional_call(base, (parameters, buffers), (inputs,)).mean((2, 3))

    def ensemble(inputs):
        return torch.func.vmap(one, in_dims=(0, 0, None))(parameters, buffers, inputs).mean(0)

    maps = PCIM(ensemble).attribute(images(2), target=1, n_steps=3)
    assert maps.isfinite().all()


def test_cells_are_predicted_in_the_mode_that_was_asked_for_and_the_network_stays():
    network = seeded(Network).train()
    before = copy.deepcopy(network.state_dict())
    labels = torch.zeros(1, 16, 16, dtype=torch.int64)
    labels[:, 2:7, 2:7], labels[:, 9:15, 8:14] = 1, 2
    call = {"size": 8, "n_steps": 3}
    found = explain_cells(PCIM(network, eval_mode=True), images(1), labels, **call)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    expected = explain_cells(PCIM(network.eval()), images(1), labels, **call)
    assert found.rows() == expected.rows()
