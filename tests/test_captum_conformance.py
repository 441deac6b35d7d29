"""PCIM is a Captum attribution: its forms, its tools and its own test configurations."""

import copy
import functools
import inspect
import io

import matplotlib
import numpy as np
import pytest
import torch
from captum._utils.common import _select_targets
from captum.attr import FeatureAblation, NoiseTunnel, PerturbationAttribution
from captum.attr import visualization as captum_visualization
from captum.metrics import infidelity, infidelity_perturb_func_decorator, sensitivity_max
from networks import BrightSquare, bright_images, images, small_cnn
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIM
from captum_pcim.core.targets import check_target, select_classes

matplotlib.use("Agg")
STEPS = 5
BLENDS_AT_ONCE = 200  # of networks that forward passes alone explain
CAPTUMS_TOLERANCE = 1e-4


def _explain(inputs, target=1, network=None, **arguments):
    return PCIM(network or small_cnn()).attribute(inputs, target=target, n_steps=STEPS, **arguments)


# Form


def test_it_is_a_perturbation_attribution():
    assert isinstance(PCIM(small_cnn()), PerturbationAttribution)


def test_its_arguments_come_in_captums_order():
    own = list(inspect.signature(PCIM.attribute).parameters)
    captums = list(inspect.signature(FeatureAblation.attribute).parameters)
    assert own[:6] == captums[:6]
    assert {"internal_batch_size", "show_progress"} <= set(own)


def test_what_captum_does_not_have_is_keyword_only():
    parameters = inspect.signature(PCIM.attribute).parameters.values()
    keyword_only = {p.name for p in parameters if p.kind is p.KEYWORD_ONLY}
    assert {"n_steps", "learning_rate", "tolerance", "return_diagnostics"} <= keyword_only


def test_its_name_is_pcim():
    assert PCIM.get_name() == PCIM(small_cnn()).get_name() == "PCIM"


def test_it_has_no_convergence_delta():
    assert PCIM(small_cnn()).has_convergence_delta() is False


def test_tools_can_call_what_the_usage_log_wraps():
    inputs = images()
    unwrapped = PCIM.attribute.__wrapped__(PCIM(small_cnn()), inputs, target=1, n_steps=STEPS)
    assert torch.equal(unwrapped, _explain(inputs))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("as_tuple", [False, True])
def test_maps_come_in_the_form_dtype_and_device_of_the_inputs(dtype, as_tuple):
    inputs = images().to(dtype)
    attributions = _explain((inputs,) if as_tuple else inputs, network=small_cnn().to(dtype))
    if as_tuple:
        assert isinstance(attributions, tuple) and len(attributions) == 1
        (attributions,) = attributions
    assert isinstance(attributions, torch.Tensor)
    assert attributions.shape == inputs.shape
    assert attributions.dtype == dtype and attributions.device == inputs.device


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.to(memory_format=torch.channels_last),
        lambda x: x.transpose(2, 3),
        lambda x: x.expand(3, -1, -1, -1),
        lambda x: x[..., ::2],
    ],
    ids=["channels last", "transposed", "expanded", "strided"],
)
def test_maps_are_contiguous_and_the_same_however_inputs_lie_in_memory(change):
    inputs = change(images(n=1))
    attributions = _explain(inputs)
    assert attributions.is_contiguous()
    assert_close(attributions, _explain(inputs.contiguous()), rtol=0, atol=1e-5)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_it_works_in_any_grad_mode(mode):
    expected = _explain(images())
    with mode():
        assert torch.equal(_explain(images()), expected)


def test_it_works_when_everything_was_made_in_inference_mode():
    expected = _explain(images(), baselines=images(seed=3))
    with torch.inference_mode():
        network, inputs, baselines = small_cnn(), images(), images(seed=3)
        assert torch.equal(_explain(inputs, network=network, baselines=baselines), expected)
    assert torch.equal(_explain(inputs, network=network, baselines=baselines), expected)


def test_additional_arguments_made_in_inference_mode_work():
    with torch.inference_mode():
        inputs, scale, factor = images(), torch.rand(3, 1), torch.tensor([2.0, 3.0, 1.0, 5.0, 7.0])
    network = small_cnn(n_classes=5)
    attributions = _explain(
        inputs,
        network=lambda x, scale, factor: network(x) * scale * factor,
        additional_forward_args=(scale, factor),
    )
    assert attributions.shape == inputs.shape


def test_inputs_that_require_gradients_get_none():
    inputs = images().requires_grad_()
    attributions = _explain(inputs)
    assert not attributions.requires_grad and inputs.grad is None
    assert torch.equal(attributions, _explain(images()))


def test_inputs_inside_a_graph_leave_the_graph_as_it_is():
    leaf = images().requires_grad_()
    inputs = leaf * 2
    _explain(inputs)
    inputs.sum().backward()
    assert (leaf.grad == 2).all()


def test_additional_arguments_of_any_kind_are_passed_on():
    network, seen = small_cnn(), []

    def forward(inputs, per_image, constant, flag, name, nothing, mapping):
        seen.append((len(per_image) == len(inputs), constant.shape, flag, name, nothing, mapping))
        return network(inputs) + per_image

    constant, mapping = torch.ones(7), {"a": 1}
    arguments = torch.zeros(3, 3), constant, True, "name", None, mapping
    attributions = _explain(images(), network=forward, additional_forward_args=arguments)
    assert set(map(str, seen)) == {str((True, constant.shape, True, "name", None, mapping))}
    assert torch.equal(attributions, _explain(images()))


def test_one_additional_argument_needs_no_tuple():
    network, scale = small_cnn(), torch.full((3, 1), 2.0)
    alone = _explain(images(), network=lambda x, s: network(x) * s, additional_forward_args=scale)
    assert torch.equal(alone, _explain(images(), network=lambda x: network(x) * 2))


def test_networks_of_several_inputs_get_one_map_each():
    network = small_cnn()
    inputs = images(), torch.rand(3, 5)
    maps = _explain(inputs, network=lambda x, y: network(x) + y[:, :3])
    assert [m.shape for m in maps] == [x.shape for x in inputs]


# Targets


@pytest.mark.parametrize(
    "target",
    [
        1,
        (1,),
        torch.tensor(1),
        torch.tensor([1]),
        torch.tensor([0, 1, 2]),
        [0, 1, 2],
        [(0,), (1,), (2,)],
    ],
    ids=str,
)
def test_targets_mean_what_they_mean_in_captum(target):
    output = torch.randn(3, 4)
    scores, classes = select_classes(output, check_target(target, len(output)))
    assert torch.equal(scores.gather(1, classes[:, None])[:, 0], _select_targets(output, target))


def test_targets_of_any_integer_type_mean_the_same():
    # In Captum it depends on torch: before 2.4 its gather takes int64 only.
    target = torch.tensor([0, 1, 2], dtype=torch.int32)
    assert torch.equal(select_classes(torch.randn(3, 4), check_target(target, 3))[1], target.long())


@pytest.mark.parametrize("target", [(1, 2), [(0, 1), (1, 2), (3, 0)]], ids=str)
def test_tuple_targets_mean_what_they_mean_in_captum(target):
    output = torch.randn(3, 4, 5)
    scores, classes = select_classes(output, check_target(target, len(output)))
    assert torch.equal(scores.gather(1, classes[:, None])[:, 0], _select_targets(output, target))


@pytest.mark.parametrize(
    "target",
    [
        np.array([0, 1, 2]),
        np.array([0, 1, 2], dtype=np.uint8),
        list(np.array([0, 1, 2])),
        [torch.tensor(0), torch.tensor(1), torch.tensor(2)],
        torch.tensor([[0], [1], [2]]),
        torch.tensor([0, 1, 2], dtype=torch.uint8),
    ],
    ids=lambda target: f"{type(target).__name__} {np.shape(target)}",
)
def test_targets_that_captum_refuses_but_that_say_what_they_mean_are_understood(target):
    assert torch.equal(_explain(images(), target), _explain(images(), [0, 1, 2]))


@pytest.mark.parametrize("target", [np.int64(1), np.array(1), np.array([1]), torch.tensor([[1]])])
def test_one_class_for_all_images_may_be_any_whole_number(target):
    assert torch.equal(_explain(images(), target), _explain(images(), 1))


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_networks_with_one_score_need_no_target(shape):
    network = small_cnn(n_classes=1)
    alone = _explain(images(), None, lambda x: network(x).view(shape))
    assert torch.equal(alone, _explain(images(), 0, network))


# Tools


def test_sensitivity_max_is_zero_where_nothing_is_perturbed():
    pcim, inputs = PCIM(small_cnn()), images()
    sensitivity = sensitivity_max(
        pcim.attribute,
        inputs,
        perturb_func=lambda x, radius: x,
        target=torch.tensor([0, 1, 2]),
        n_perturb_samples=2,
        n_steps=STEPS,
        internal_batch_size=4,
    )
    assert_close(sensitivity, torch.zeros(3), rtol=0, atol=CAPTUMS_TOLERANCE)


def test_sensitivity_max_is_the_largest_relative_change_of_the_map():
    inputs = images()
    explain = PCIM(small_cnn()).attribute
    options = {"baselines": torch.zeros(3, 3, 16, 16), "target": 1, "n_steps": STEPS}
    sensitivity = sensitivity_max(
        explain, inputs, perturb_func=lambda x, r: x * 0.9, n_perturb_samples=1, **options
    )
    before, after = explain(inputs, **options), explain(inputs * 0.9, **options)
    expected = (after - before).flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)
    assert_close(sensitivity, expected, rtol=0, atol=1e-3)


def test_infidelity_is_lower_for_the_map_than_for_its_opposite():
    network, inputs = BrightSquare(scale=4.0), bright_images()
    attributions = PCIM(network).attribute(inputs, target=1)

    @infidelity_perturb_func_decorator(True)
    def blank_a_row(inputs):
        rows = torch.randint(16, (len(inputs),))
        return inputs.where(torch.arange(16)[:, None] != rows.view(-1, 1, 1, 1), 0.0)

    def score(attributions):
        return infidelity(
            network,
            blank_a_row,
            inputs,
            attributions,
            target=1,
            n_perturb_samples=40,
            normalize=True,
        )

    assert score(attributions).shape == (2,)
    assert (score(attributions) < score(1 - attributions)).all()


@pytest.mark.parametrize("nt_type", ["smoothgrad", "smoothgrad_sq", "vargrad"])
def test_noise_tunnel_without_noise_gives_the_map_itself(nt_type):
    inputs, targets = images(), torch.tensor([0, 1, 2])
    tunnel = NoiseTunnel(PCIM(small_cnn()))
    attributions = tunnel.attribute(
        inputs, nt_type=nt_type, nt_samples=2, stdevs=0.0, target=targets, n_steps=STEPS
    )
    plain = _explain(inputs, targets)
    expected = {"smoothgrad": plain, "smoothgrad_sq": plain**2, "vargrad": 0 * plain}[nt_type]
    assert_close(attributions, expected, rtol=0, atol=CAPTUMS_TOLERANCE)


def test_noise_tunnel_in_batches_keeps_baselines_with_their_images():
    inputs, baselines = images(), images(seed=3)
    attributions = NoiseTunnel(PCIM(small_cnn())).attribute(
        inputs,
        nt_samples=4,
        nt_samples_batch_size=2,
        stdevs=0.0,
        baselines=baselines,
        target=1,
        n_steps=STEPS,
    )
    plain = _explain(inputs, baselines=baselines)
    assert_close(attributions, plain, rtol=0, atol=CAPTUMS_TOLERANCE)


def test_noise_tunnel_with_noise_keeps_weights_between_0_and_1():
    attributions = NoiseTunnel(PCIM(small_cnn())).attribute(
        images(), nt_samples=2, stdevs=0.1, target=1, n_steps=STEPS
    )
    assert ((attributions >= 0) & (attributions <= 1)).all()


def _as_picture(tensor):
    return tensor.permute(1, 2, 0).numpy()


@pytest.mark.parametrize("sign", ["positive", "absolute_value", "all"])
def test_visualize_image_attr_shows_the_map(sign):
    inputs = bright_images(n=1)
    attributions = PCIM(BrightSquare()).attribute(inputs, target=1)
    figure, axes = captum_visualization.visualize_image_attr(
        _as_picture(attributions[0]), method="heat_map", sign=sign, use_pyplot=False
    )
    shown = np.asarray(axes.images[0].get_array())
    assert shown.shape == (16, 16)
    assert shown[4:10, 4:10].min() > shown[12:, 12:].max()
    figure.savefig(io.BytesIO(), format="png")


def test_visualize_image_attr_multiple_shows_the_map_beside_the_image():
    inputs = bright_images(n=1)
    attributions = PCIM(BrightSquare()).attribute(inputs, target=1)
    figure, axes = captum_visualization.visualize_image_attr_multiple(
        _as_picture(attributions[0]),
        _as_picture(inputs[0]),
        methods=["original_image", "heat_map", "blended_heat_map", "masked_image"],
        signs=["all", "positive", "positive", "positive"],
        use_pyplot=False,
    )
    assert len(axes) == 4 and all(len(ax.images) for ax in axes)
    figure.savefig(io.BytesIO(), format="png")


# Captum's own test configurations, run as in its tests/attr/test_targets.py and
# test_hook_removal.py


def _configurations():
    module = pytest.importorskip("captum.testing.attr.helpers.test_config")
    return [c for c in module.config if FeatureAblation in c["algorithms"]]


def _names():
    try:
        return [c["name"] for c in _configurations()]
    except pytest.skip.Exception:
        return []


def _configuration(name):
    config = copy.deepcopy(next(c for c in _configurations() if c["name"] == name))
    arguments = dict(config["attribute_args"])
    arguments.pop("perturbations_per_eval", None)
    return config["model"], arguments, bool(config.get("noise_tunnel"))


def _attribute(model, arguments, noise_tunnel):
    attribution = PCIM(model)
    if noise_tunnel:
        attribution = NoiseTunnel(attribution)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1234)
        return attribution.attribute(
            **arguments, n_steps=STEPS, perturbations_per_eval=BLENDS_AT_ONCE
        )


@functools.cache
def _explained(name):
    """Return the maps of a configuration and how many hooks its model has afterwards."""
    model, arguments, noise_tunnel = _configuration(name)
    return _as_tuple(_attribute(model, arguments, noise_tunnel)), _n_hooks(model)


def _rows(argument, i, n):
    """Return what belongs to one example, in the forms that Captum takes."""
    if isinstance(argument, tuple):
        return tuple(_rows(element, i, n) for element in argument)
    has_rows = isinstance(argument, (torch.Tensor, list)) and len(argument) == n
    return argument[i : i + 1] if has_rows else argument


def _as_tuple(value):
    return value if isinstance(value, tuple) else (value,)


@pytest.mark.filterwarnings("ignore:score")  # Captum's convolutional model ends in a softmax
@pytest.mark.parametrize("name", _names())
def test_captums_configurations_give_each_example_what_it_gets_alone(few_forwards, name):
    model, arguments, noise_tunnel = _configuration(name)
    n = len(_as_tuple(arguments["inputs"])[0])
    together, _ = _explained(name)
    for i in range(n):
        own = {
            key: value if key.startswith("nt_") or key == "stdevs" else _rows(value, i, n)
            for key, value in arguments.items()
        }
        if isinstance(own["target"], torch.Tensor) and own["target"].numel() == 1:
            own["target"] = int(own["target"])
        alone = _as_tuple(_attribute(model, own, noise_tunnel))
        for whole, single in zip(together, alone, strict=True):
            assert whole.shape[1:] == single.shape[1:]
            assert_close(whole[i : i + 1], single, rtol=0, atol=CAPTUMS_TOLERANCE)


def _n_hooks(model):
    kinds = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
    return sum(len(getattr(module, kind)) for module in model.modules() for kind in kinds)


@pytest.mark.filterwarnings("ignore:score")
@pytest.mark.parametrize("name", _names())
def test_captums_configurations_leave_no_hooks(few_forwards, name):
    _, n_hooks = _explained(name)
    assert n_hooks == 0


@pytest.mark.parametrize("name", _names())
def test_captums_configurations_leave_no_hooks_after_an_impossible_target(name):
    model, arguments, noise_tunnel = _configuration(name)
    arguments["target"] = (9999,) * 20
    with pytest.raises(AssertionError):
        _attribute(model, arguments, noise_tunnel)
    assert _n_hooks(model) == 0


@pytest.mark.filterwarnings("ignore:score")
@pytest.mark.parametrize("name", _names())
def test_captums_configurations_give_the_same_under_data_parallel(few_forwards, name):
    model, arguments, noise_tunnel = _configuration(name)
    alone, _ = _explained(name)
    wrapped = _as_tuple(_attribute(nn.DataParallel(model), arguments, noise_tunnel))
    assert all(map(torch.equal, alone, wrapped))
