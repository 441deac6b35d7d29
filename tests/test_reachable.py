"""Modules that a forward function can reach, however they are held."""

import functools

import pytest
import torch
from torch import nn

from captum_pcim.core.reachable import check_mode, reachable_modules

GLOBAL = nn.Linear(1, 1)


def nested(module, depth):
    for _ in range(depth):
        module = [module]
    return module


@pytest.mark.parametrize(("depth", "found"), [(0, True), (11, True), (12, False)])
def test_a_function_is_looked_through_twelve_steps_deep(depth, found):
    module = nn.Linear(1, 1)
    held = nested(module, depth)
    assert (module in reachable_modules(lambda x: held).values()) is found


@pytest.mark.parametrize(("depth", "found"), [(10, True), (11, False)])
def test_a_list_in_a_module_counts_as_a_step(depth, found):
    holder, module = nn.Identity(), nn.Linear(1, 1)
    holder.parts = nested(module, depth)
    assert (module in reachable_modules(lambda x: holder).values()) is found


class Holder:
    def __init__(self, module):
        self.module = module

    def __call__(self, x):
        return self.module(x)

    def method(self, x):
        return self.module(x)


class Service:
    """Cannot be called itself."""

    def __init__(self, model):
        self.model = model

    def predict(self, x):
        return self.model(x)


def by_default(x, module=GLOBAL, *, other=None):
    return module(x)


def by_name(x):
    return GLOBAL(x)


def within(x):
    return (lambda y: GLOBAL(y))(x)


@functools.wraps(by_name)
def wrapped(x):
    return x


WAYS = {
    "the module itself": (GLOBAL, ""),
    "a partial function": (functools.partial(nn.Linear.forward, GLOBAL), "0"),
    "a keyword of one": (functools.partial(sorted, key=GLOBAL), "key"),
    "the function of one": (functools.partial(Holder(GLOBAL)), "func.module"),
    "a method": (Holder(GLOBAL).method, "__self__.module"),
    "a method of what is not callable": (Service(GLOBAL).predict, "__self__.model"),
    "an object within": (Service(Holder(GLOBAL)).predict, "__self__.model.module"),
    "containers in objects": (
        Service({"a": [Holder({"b": [Holder(({"c": GLOBAL},))]})]}).predict,
        "__self__.model.a.0.module.b.0.module.0.c",
    ),
    "a method of the module": (GLOBAL.forward, "__self__"),
    "an object": (Holder(GLOBAL), "module"),
    "a default": (by_default, "default 0"),
    "a global name": (by_name, "GLOBAL"),
    "a global name in a function within": (within, "GLOBAL"),
    "what is wrapped": (wrapped, "__wrapped__.GLOBAL"),
    "a dictionary": (Holder({"one": GLOBAL}), "module.one"),
    "a tuple": (Holder((3, GLOBAL)), "module.1"),
}


@pytest.mark.parametrize(("forward_func", "where"), WAYS.values(), ids=WAYS)
def test_a_module_is_found_and_told_by_where_it_stands(forward_func, where):
    assert reachable_modules(forward_func) == {where: GLOBAL}


def test_a_cell_that_is_still_empty_holds_nothing():
    def forward(x):
        return later(x)

    assert reachable_modules(forward) == {}
    later = GLOBAL
    assert reachable_modules(forward) == {"later": GLOBAL}


def test_what_holds_itself_is_looked_through_once():
    held = []
    held.extend([held, GLOBAL])
    assert [*reachable_modules(Holder(held)).values()] == [GLOBAL]


def test_parts_of_a_module_are_its_own_and_not_found_again():
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    assert reachable_modules(lambda x: (network, network[0])) == {"network": network}


def test_modules_in_a_list_of_a_module_are_told_with_its_path():
    network = nn.Sequential(nn.Linear(1, 1))
    network[0].experts = [GLOBAL]
    found = reachable_modules(lambda x: network)
    assert found == {"network": network, "network.0.experts.0": GLOBAL}


@pytest.mark.parametrize(
    ("layer", "acts"),
    [
        (nn.BatchNorm1d(2), True),
        (nn.Dropout(), True),
        (nn.RReLU(), True),
        (nn.LSTM(2, 2, num_layers=2, dropout=0.1), True),
        (nn.LSTM(2, 2), False),
        (nn.MultiheadAttention(2, 1, dropout=0.1), True),
        (nn.MultiheadAttention(2, 1), False),
        (nn.LayerNorm(2), False),
        (type("StochasticDepth", (nn.Module,), {})(), True),
        (type("DropBlock2d", (nn.Module,), {})(), True),
        (type("DropoutStages", (nn.Sequential,), {})(), False),
        (type("Backdrop", (nn.Module,), {})(), False),
    ],
)
def test_training_mode_is_refused_of_layers_that_act_in_it(layer, acts):
    network = nn.Sequential(nn.Identity(), layer)
    check_mode(network.eval(), eval_mode=False)
    network.train()
    if not acts:
        check_mode(network, eval_mode=False)
        return
    kind = type(layer).__name__
    told = f"expected evaluation mode, but {kind} '1' is in training mode"
    for own, advice in ((network, "call model.eval"), (lambda x: network(x), "module that the")):
        place = told if own is network else told.replace("'1'", "'network.1'")
        with pytest.raises(ValueError, match=f"^forward_func: {place}.*{advice}"):
            check_mode(own, eval_mode=False)
    with pytest.raises(ValueError, match="eval_mode=True cannot reach it"):
        check_mode(network, eval_mode=True)


def test_batch_statistics_are_refused_in_either_mode():
    layer = nn.BatchNorm1d(2, track_running_stats=False)
    for mode in (True, False):
        with pytest.raises(ValueError, match=r"BatchNorm1d '\(the model\)' has none"):
            check_mode(layer.train(mode), eval_mode=False)


def test_tensors_and_libraries_are_no_place_to_look():
    assert reachable_modules(torch.relu) == {}
    assert reachable_modules(Holder(torch.zeros(1))) == {}


@pytest.mark.parametrize("eval_mode", [False, True])
def test_a_network_in_training_mode_is_refused_behind_a_method_too(eval_mode):
    service = Service(nn.Sequential(nn.BatchNorm2d(1), nn.Flatten()).train())
    with pytest.raises(ValueError, match=r"__self__\.model"):
        check_mode(service.predict, eval_mode)


class Learner:
    """A plain object that holds a network, another one, and an object that holds a third."""

    def __init__(self, model, other=None, service=None):
        self.model, self.other, self.service = model, other, service

    def predict(self, x):
        return self.model(x)


def test_networks_that_a_function_uses_by_an_attribute_of_an_object_are_found():
    model, inner = nn.Linear(1, 1), nn.Linear(1, 1)
    learner = Learner(model, service=Service(inner))
    uses = {
        "an attribute": (lambda x: learner.model(x), model),
        "a method": (lambda x: learner.predict(x), model),
        "an attribute of an attribute": (lambda x: learner.service.model(x), inner),
        "a method of an attribute": (lambda x: learner.service.predict(x), inner),
    }
    for how, (function, module) in uses.items():
        assert module in reachable_modules(function).values(), how


def test_networks_of_an_object_that_a_function_does_not_use_are_none_of_its_business():
    other = nn.BatchNorm1d(1).train()
    learner = Learner(nn.Linear(1, 1), other)
    check_mode(lambda x: learner.model(x), eval_mode=False)
    assert other not in reachable_modules(lambda x: learner.model(x)).values()
    with pytest.raises(ValueError, match="in training mode"):
        check_mode(lambda x: learner.other(x), eval_mode=False)


def test_what_a_replaced_forward_calls_is_found():
    module = nn.Sequential(nn.Linear(1, 1))
    plain = module[0].forward
    module[0].forward = lambda x: plain(x) / 2
    copied = nn.Sequential(nn.Identity())
    copied.forward = lambda x: plain(x)
    assert module[0] in reachable_modules(copied).values()


@pytest.mark.parametrize("kind", [nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d])
def test_instances_are_normalised_otherwise_in_training_mode_where_statistics_were_learned(kind):
    check_mode(kind(2, track_running_stats=True).eval(), eval_mode=False)
    check_mode(kind(2).train(), eval_mode=False)  # has none: both modes compute the same
    with pytest.raises(ValueError, match=f"{kind.__name__}.*leave learned statistics aside"):
        check_mode(kind(2, track_running_stats=True).train(), eval_mode=False)
