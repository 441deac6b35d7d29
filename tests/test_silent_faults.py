"""No map that is wrong without a word: explained right, refused, or warned of."""

import functools
import random
import warnings

import numpy as np
import pytest
import torch
from networks import BrightSquare, bright_images, images, small_cnn
from torch import nn
from torch.testing import assert_close

from captum_pcim import (
    PCIM,
    Area,
    Autograd,
    Background,
    Blur,
    Constant,
    ControlImages,
    ForwardOnly,
    PCIMWarning,
    Preservation,
)
from captum_pcim.core.reachable import reachable_modules
from captum_pcim.core.references import default_references

net = BrightSquare()


class Rounds(nn.Module):
    """A network that rounds its input, as one that takes integers does."""

    def forward(self, x):
        return net((x * 255).round() / 255)


class Hidden(nn.Module):
    """A module that calls another one without gradients, and keeps it where nobody looks."""

    def __init__(self, network):
        super().__init__()
        self.parts = [network]

    def forward(self, x):
        with torch.no_grad():
            scores = self.parts[0](x)
        return scores + 0 * next(self.parts[0].parameters(), torch.zeros(1)).sum()


WITHOUT_GRADIENT = {
    "rounding in a function": lambda x: net((x * 255).round() / 255),
    "rounding in a module": Rounds(),
    "rounding in TorchScript": torch.jit.trace(Rounds(), bright_images(2)),
    "a cast to integers": lambda x: net((x * 255).to(torch.uint8).float() / 255),
    "rounded scores": lambda x: net(x).round(),
    "a threshold": lambda x: net((x > 0.5).float()),
    "an inner no_grad": Hidden(net),
    "NaN gradients": lambda x: net(x) + (0 * x).sqrt().sum((1, 2, 3))[:, None],
    "infinite gradients": lambda x: net(x) + 0 * (0 * x).sqrt().sum((1, 2, 3))[:, None],
}


@pytest.mark.parametrize("forward_func", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT)
def test_a_network_without_gradient_is_explained_from_forward_passes_and_it_is_said(forward_func):
    inputs = bright_images(1)
    with pytest.warns(PCIMWarning, match=r"^forward_func: not differentiable .*: .*333 forward"):
        weights = PCIM(forward_func).attribute(inputs, target=1)
    inside = net.mask(inputs)[:, 0]
    assert weights[:, 0][inside].mean() > 5 * weights[:, 0][~inside].mean()


@pytest.mark.parametrize("forward_func", WITHOUT_GRADIENT.values(), ids=WITHOUT_GRADIENT)
def test_a_network_without_gradient_is_refused_where_autograd_is_insisted_on(forward_func):
    with pytest.raises(ValueError, match=r"^forward_func: .*autograd.*ForwardOnly"):
        PCIM(forward_func, gradients=Autograd()).attribute(bright_images(1), target=1)


PARTLY_HIDDEN = {
    "half of the scores": lambda x: 0.5 * net(x) + 0.5 * net(x.detach()),
    "most of the scores": lambda x: 0.1 * net(x) + 0.9 * net(x.detach()),
    "a share of each pixel": lambda x: net(0.3 * x + 0.7 * x.detach()),
    "the side of the evidence": lambda x: net(torch.cat([x[..., :8].detach(), x[..., 8:]], 3)),
    "a rounded branch": lambda x: net(x) + 2 * net((x * 255).round() / 255),
}


@pytest.mark.parametrize("forward_func", PARTLY_HIDDEN.values(), ids=PARTLY_HIDDEN)
def test_a_part_that_hides_from_autograd_is_warned_of(forward_func):
    with pytest.warns(PCIMWarning, match="^forward_func: .*seems to hide from autograd"):
        PCIM(forward_func).attribute(bright_images(2), target=1, n_steps=4)


def test_a_network_that_hides_nothing_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*hide from autograd", category=PCIMWarning)
        for forward_func in (net, small_cnn(), lambda x: net(x).tanh(), lambda x: 100 * net(x)):
            PCIM(forward_func).attribute(images(2), target=1, n_steps=2)


def test_what_only_fails_while_gradients_are_recorded_is_named():
    def forward(x):
        return torch.from_numpy(net(x).numpy())

    with pytest.warns(PCIMWarning, match="fails where gradients are recorded .*numpy"):
        PCIM(forward).attribute(bright_images(1), target=1)


@pytest.mark.parametrize("factor", [0.0, 1.0], ids=["NaN", "infinite"])
def test_pixels_without_a_finite_gradient_are_told_of_in_whatever_image_they_are(factor):
    inputs = bright_images(2)
    inputs[1, 0, 0, 0] = 2.0

    def forward(x):
        bad = x > 1.5
        roots = torch.where(bad, x - x.detach(), torch.ones_like(x)).sqrt() - (~bad).float()
        return net(x) + factor * roots.sum((1, 2, 3))[:, None]

    with pytest.warns(PCIMWarning, match=r"^forward_func: gradients of images \[1\] were NaN"):
        maps, found = PCIM(forward).attribute(inputs, target=1, return_diagnostics=True)
    assert found.verdict == ("explained", "gradients of some pixels were not finite")
    inside = net.mask(inputs)[0, 0]
    assert maps[1, 0][inside].min() > maps[1, 0][~inside].max()


# Modes


def in_training():
    return nn.Sequential(nn.BatchNorm2d(3), small_cnn()).train()


def wrappers():
    module = in_training()

    class Owner:
        def __init__(self):
            self.network = module

        def __call__(self, x):
            return self.network(x)

        def scores(self, x):
            return self.network(x)

    yield "closure", module, lambda x: module(x)
    yield "default value", module, lambda x, m=module: m(x)
    yield "partial", module, functools.partial(lambda m, x: m(x), module)
    yield "callable object", module, Owner()
    yield "method of an object", module, Owner().scores
    yield "method of the module", module, module.forward
    yield "scripted", module, torch.jit.script(nn.Sequential(nn.BatchNorm2d(3), nn.Dropout(0.5)))
    yield "list in a module", module, Hidden(module)


@pytest.mark.parametrize("which", range(8))
def test_training_mode_is_found_wherever_it_can_be_reached_and_nothing_is_touched(which):
    _, module, forward_func = list(wrappers())[which]
    before = [buffer.clone() for buffer in module.buffers()]
    with pytest.raises(ValueError, match=r"^forward_func: .*training mode.*eval"):
        PCIM(forward_func).attribute(images(), target=0)
    assert all(torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True))


def test_modules_are_found_by_where_they_stand():
    module = nn.Linear(1, 1)
    found = reachable_modules(functools.partial(lambda x, parts: x, parts={"a": [module]}))
    assert list(found) == ["parts.a.0"] and found["parts.a.0"] is module


@pytest.mark.parametrize("wrap", [torch.jit.script, lambda m: m.forward, lambda m: m])
def test_evaluation_mode_is_honoured_where_it_can_be(wrap):
    torch.manual_seed(0)
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1))
    module = nn.Sequential(module, nn.Flatten())
    inputs = images()
    expected = PCIM(module.eval()).attribute(inputs, target=1, n_steps=4)
    module.train()
    before = [buffer.clone() for buffer in module.buffers()]
    attributions = PCIM(wrap(module), eval_mode=True).attribute(inputs, target=1, n_steps=4)
    assert torch.allclose(attributions, expected, atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(before, module.buffers(), strict=True))


def test_what_was_traced_in_training_mode_is_refused_by_what_it_does():
    torch.manual_seed(0)
    module = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 3), nn.Flatten()).train()
    traced = torch.jit.trace(module, images(), check_trace=False).eval()
    with pytest.raises(ValueError, match=r"scores of each image alone|training mode"):
        PCIM(traced).attribute(images() * torch.tensor([1.0, 5.0, 9.0]).view(3, 1, 1, 1), target=0)


def test_what_the_rest_of_the_batch_decides_is_found_where_the_network_is_sure_of_the_image():
    """The image scores alike whatever stands beside it; its blends do not."""

    def forward(x):
        normalised = nn.functional.batch_norm(x, None, None, training=True)
        odds = 6 * (1.5 * normalised[:, 0, 4:10, 4:10].mean((1, 2))).tanh()
        return torch.stack([0 * odds, odds], 1)

    with pytest.raises(ValueError, match=r"^forward_func: .*scores of each image alone.* gradient"):
        PCIM(forward).attribute(bright_images(1), target=1)


def test_rows_that_go_one_by_one_are_alone():
    def forward(x):
        return net(x.mean(0, keepdim=True).expand_as(x))

    inputs = bright_images(2)
    with pytest.raises(ValueError, match="scores of each image alone"):
        PCIM(forward).attribute(inputs, target=1)
    alone = PCIM(forward).attribute(inputs, target=1, internal_batch_size=1)
    assert torch.equal(alone, PCIM(net).attribute(inputs, target=1, internal_batch_size=1))


class Counting(nn.Module):
    """Counts its calls in a buffer, and cannot be copied."""

    def __init__(self):
        super().__init__()
        self.network = net
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, x):
        self.n_calls += 1
        return self.network(x)

    def __deepcopy__(self, memo):
        raise TypeError("cannot be copied")


@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: m.forward, lambda m: m.__call__])
def test_buffers_of_a_module_that_cannot_be_copied_stay_as_they_are(wrap):
    module = Counting()
    PCIM(wrap(module)).attribute(bright_images(1), target=1, n_steps=4)
    assert module.n_calls == 0


@pytest.mark.parametrize(
    "wrap",
    [lambda m: lambda x: m(x), lambda m: nn.Sequential(m), lambda m: functools.partial(m)],
    ids=["closure", "inside a module", "partial"],
)
def test_a_program_of_a_fixed_batch_is_filled_up_wherever_it_can_be_reached(wrap):
    program = torch.export.export(small_cnn(), (images(5),)).module()
    expected = PCIM(small_cnn()).attribute(images(), target=1, n_steps=4)
    attributions = PCIM(wrap(program)).attribute(images(), target=1, n_steps=4)
    assert torch.allclose(attributions, expected, atol=1e-4)


def test_chance_in_a_function_is_warned_of():
    def forward(x):
        return net(x) + torch.randn(len(x), 2)

    with pytest.warns(PCIMWarning, match="differ by .* between two calls"):
        PCIM(forward).attribute(bright_images(2), target=1, n_steps=4)


def test_chance_that_rarely_acts_is_warned_of():
    """In four of five calls no image is dropped; random numbers are drawn in each."""

    def forward(x):
        return net(x) * (torch.rand(len(x), 1) > 0.1)

    pcim = PCIM(forward, seed=3)
    with pytest.warns(PCIMWarning, match="between two calls"):
        pcim.attribute(bright_images(1), target=1, n_steps=4)


def test_random_numbers_without_an_effect_are_not_warned_of():
    def forward(x):
        return net(x) + 0 * torch.rand(len(x), 1)

    with warnings.catch_warnings():
        warnings.simplefilter("error", PCIMWarning)
        PCIM(forward).attribute(bright_images(1), target=1)


# Meanings of scores


@pytest.mark.parametrize(
    ("forward_func", "score", "message"),
    [
        (net, "probabilities", 'score="logits"'),
        (net, "binary_probabilities", 'score="logits"'),
        (lambda x: net(x).sigmoid(), "probabilities", 'score="binary_probabilities"'),
        (lambda x: 100 * net(x).softmax(1), "probabilities", "divide them by 100"),
    ],
)
def test_scores_that_contradict_what_was_said_are_refused_with_what_would_fit(
    forward_func, score, message
):
    with pytest.raises(ValueError, match=f"^score: .*{message}"):
        PCIM(forward_func, score=score).attribute(bright_images(2), target=1)


@pytest.mark.parametrize(
    ("forward_func", "kind"),
    [
        (lambda x: net(x).softmax(1), "probabilities"),
        (lambda x: net(x).sigmoid(), "binary_probabilities"),
        (lambda x: 100 * net(x).softmax(1), "probabilities"),
        (lambda x: 100 * net(x).sigmoid(), "binary_probabilities"),
    ],
)
def test_logits_that_look_like_something_else_are_warned_of(forward_func, kind):
    with pytest.warns(PCIMWarning, match=f'^score: .*score="{kind}"'):
        PCIM(forward_func).attribute(bright_images(2), target=1, n_steps=4)


def test_independent_sigmoids_give_the_map_of_their_logits():
    inputs = bright_images(2)
    sigmoids = PCIM(lambda x: net(x).sigmoid(), score="binary_probabilities")
    logits = PCIM(net, score="binary_logits")
    expected = logits.attribute(inputs, target=1)
    assert torch.allclose(sigmoids.attribute(inputs, target=1), expected, atol=5e-2)


@pytest.mark.parametrize(
    ("forward_func", "kind"),
    [
        (lambda x: (4 * net(x)).sigmoid(), "binary_probabilities"),
        (lambda x: (4 * net(x)[:, 1]).sigmoid(), "probabilities"),
        (lambda x: (40 * net(x)).softmax(1), "probabilities"),
        (lambda x: net(x).half().sigmoid(), "binary_probabilities"),
    ],
    ids=["sigmoids", "one sigmoid", "softmax that underflows", "half precision"],
)
def test_probabilities_that_are_1_to_the_last_digit_are_told(forward_func, kind):
    target = 1 if forward_func(bright_images(1)).ndim == 2 else None
    with pytest.warns(PCIMWarning, match=r"^score: the probabilities of images \[0, 1\] are 1 to"):
        PCIM(forward_func, score=kind).attribute(bright_images(2), target=target, n_steps=4)


def test_probabilities_near_1_are_not_told():
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*last digits", category=PCIMWarning)
        for forward_func in (lambda x: net(x).sigmoid(), lambda x: net(x).softmax(1)):
            kind = "probabilities" if forward_func(images(1)).sum() == 1 else "binary_probabilities"
            PCIM(forward_func, score=kind).attribute(bright_images(2), target=1, n_steps=4)


# References and evidence


def test_a_reference_that_shows_the_class_is_named_with_its_images():
    inputs = bright_images(2)
    pcim = PCIM(net, references=[Constant(0.0), Constant(5.0)])
    with pytest.warns(PCIMWarning, match=r"^references: Constant already shows .*\[0, 1\]"):
        _, diagnostics = pcim.attribute(inputs, target=1, n_steps=4, return_diagnostics=True)
    assert diagnostics.verdict == ("a reference already shows the class",) * 2
    assert (diagnostics.reference_probability[:, 1] > 0.5).all()


def test_the_leak_ratio_is_that_of_the_worst_reference():
    inputs = bright_images(1)
    references = [Constant(0.0), Constant(0.3)]
    _, found = PCIM(net, references=references).attribute(
        inputs, target=1, n_steps=8, return_diagnostics=True
    )
    ratios = found.preserved_by_reference / found.full_probability.unsqueeze(1)
    worst = ratios.log().abs().argmax(1, keepdim=True)
    assert torch.equal(found.leak_ratio, ratios.gather(1, worst).squeeze(1))


def test_a_default_reference_that_shows_the_class_is_replaced_for_that_image_alone():
    """A wide spot scored by its mean is as bright in its blur."""
    place = torch.linspace(-1, 1, 48)
    spot = torch.exp(-(place[:, None] ** 2 + place**2) / 0.25)[None, None]

    def by_mean(x):
        mean = x.mean((1, 2, 3))
        return torch.stack([0 * mean, 60 * (mean - 0.1)], 1)

    both = torch.cat([spot, spot * (place > 0)])
    _, found = PCIM(by_mean).attribute(both, target=1, n_steps=4, return_diagnostics=True)
    assert (found.reference_probability < 0.5 * found.full_probability[:, None]).sum() >= 2
    _, alone = PCIM(by_mean).attribute(spot, target=1, n_steps=4, return_diagnostics=True)
    assert torch.allclose(found.reference_probability[:1], alone.reference_probability, atol=1e-5)


def test_the_median_stands_in_first_and_a_dark_quantile_where_the_median_shows_the_class_too():
    def by_mean(x):
        mean = x.mean((1, 2, 3))
        return torch.stack([0 * mean, 60 * (mean - 0.5)], 1)

    mostly_bright, hardly_bright = torch.zeros(2, 1, 1, 20, 20).unbind()
    mostly_bright[..., 6:] = 1.0  # its median, blur and background show the class
    hardly_bright[..., :9] = 1.2  # its blur alone does
    with pytest.warns(PCIMWarning, match=r"^references: Blur already shows .*\[0\]"):
        _, found = PCIM(by_mean).attribute(
            torch.cat([mostly_bright, hardly_bright]), target=1, n_steps=4,
            return_diagnostics=True,
        )  # fmt: skip
    of_black = torch.tensor(-30.0).sigmoid()
    assert_close(found.reference_probability[0, 0], of_black)
    assert_close(found.reference_probability[1], of_black.expand(2))


def test_a_default_reference_stays_and_is_told_where_no_flat_colour_hides_the_class():
    def anywhere(x):
        mean = x.mean((1, 2, 3))
        return torch.stack([0 * mean, 5 + 60 * mean], 1)

    inputs = bright_images(1)
    given = PCIM(anywhere, references=default_references())
    with pytest.warns(PCIMWarning, match="^references: Background already shows the class"):
        maps, found = PCIM(anywhere).attribute(inputs, target=1, n_steps=4, return_diagnostics=True)
    with pytest.warns(PCIMWarning, match="^references: Background already shows the class"):
        assert torch.equal(maps, given.attribute(inputs, target=1, n_steps=4))
    assert (found.reference_probability > 0.5).all()


@pytest.mark.parametrize(
    ("inputs", "baselines"),
    [(torch.zeros(1, 1, 16, 16), None), (bright_images(1), bright_images(1))],
    ids=["blank", "baselines are the inputs"],
)
def test_where_nothing_can_be_evidence_the_map_is_zero_and_it_is_said(inputs, baselines):
    with pytest.warns(PCIMWarning, match=r"^inputs: images \[0\] score exactly"):
        attributions, found = PCIM(net).attribute(
            inputs, baselines=baselines, target=1, return_diagnostics=True
        )
    assert not attributions.any()
    assert found.verdict[0].startswith("nothing can be evidence")


def test_a_score_that_hardly_moves_is_warned_of():
    with pytest.warns(PCIMWarning, match="differ by less than 0.5"):
        PCIM(lambda x: 0.01 * net(x)).attribute(bright_images(1), target=1, n_steps=4)


def test_empty_maps_are_warned_of_and_have_a_verdict():
    pcim = PCIM(net, objective=[Preservation(1e-3), Area(1000.0, 1000.0)])
    with pytest.warns(PCIMWarning, match=r"^attributions: the maps of images \[0, 1\] are all but"):
        _, found = pcim.attribute(bright_images(2), target=1, return_diagnostics=True)
    assert all(text.startswith("empty") for text in found.verdict)


# Precision and warnings


def test_an_outer_autocast_is_the_networks_alone():
    inputs = bright_images(2)
    expected = PCIM(net, autocast_dtype=torch.bfloat16).attribute(inputs, target=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        attributions = PCIM(net).attribute(inputs, target=1)
    assert torch.equal(attributions, expected)
    assert attributions.max() > 0.9


def test_warnings_point_at_the_line_of_the_caller():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        PCIM(lambda x: net(x).softmax(1)).attribute(bright_images(1), target=1, n_steps=4)
    told = [w for w in caught if issubclass(w.category, PCIMWarning)]
    assert told and all(w.filename == __file__ for w in told)


def test_warnings_can_be_made_errors_by_their_category():
    with warnings.catch_warnings():
        warnings.simplefilter("error", PCIMWarning)
        with pytest.raises(PCIMWarning, match=r"^score: "):
            PCIM(lambda x: net(x).softmax(1)).attribute(bright_images(1), target=1)


# Arguments


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: PCIM(net, objective=[]), ValueError, "^objective: expected at least one"),
        (lambda: PCIM(net, references=[]), ValueError, "^references: expected at least one"),
        (lambda: PCIM("resnet"), TypeError, "^forward_func: .*str 'resnet'"),
        (lambda: PCIM(None), TypeError, "^forward_func: .*NoneType"),
        (lambda: Area(-1), ValueError, "^objective: Area expected start >= 0, got -1"),
        (
            lambda: PCIM(small_cnn()).attribute(images()[0], target=0),
            ValueError,
            "^inputs: .*batch axis",
        ),
        (
            lambda: PCIM(small_cnn()).attribute(images().permute(0, 2, 3, 1), target=0),
            ValueError,
            "^inputs: .*channels last",
        ),
        (
            lambda: PCIM(net).attribute(images().to_sparse(), target=0),
            TypeError,
            "^inputs: .*sparse",
        ),
        (lambda: PCIM(net).attribute(images().to("meta"), target=0), TypeError, "^inputs: .*meta"),
        (
            lambda: PCIM(net).attribute(bright_images(1), target=1, n_steps=1),
            ValueError,
            "^n_steps: expected a whole number >= 2",
        ),
        (
            lambda: PCIM(net, references=[lambda x: x]).attribute(bright_images(1), target=1),
            ValueError,
            "^references: expected images of shape",
        ),
        (
            lambda: PCIM(net, objective=[lambda b: b.full.log_odds[:, None]]).attribute(
                bright_images(2), target=1
            ),
            ValueError,
            "^objective: expected one loss per image",
        ),
    ],
)
def test_arguments_that_were_ignored_or_replaced_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_whatever_error_a_doubtful_shape_leads_to_the_doubt_is_told():
    def forward(x):
        return x.mean(3).mean((1, 2))[:, None]

    with pytest.raises(ValueError, match=r"^inputs: .*batch axis.*IndexError"):
        PCIM(forward).attribute(images()[0], target=0)


def test_perturbations_per_eval_is_not_ignored_without_a_word():
    with pytest.warns(PCIMWarning, match="^perturbations_per_eval: only ForwardOnly"):
        PCIM(net).attribute(bright_images(1), target=1, n_steps=4, perturbations_per_eval=4)


def test_diagnostics_inside_captums_tools_say_what_to_leave_out():
    from captum.attr import NoiseTunnel

    tunnel = NoiseTunnel(PCIM(net))
    with pytest.raises(AttributeError, match=r"return_diagnostics=True .*NoiseTunnel"):
        tunnel.attribute(
            bright_images(1), target=1, nt_samples=2, stdevs=0.1, n_steps=4, return_diagnostics=True
        )


def test_diagnostics_inside_captums_metrics_say_so_too():
    """There inputs are a tuple, and the first of the pair is one of maps."""
    from captum.metrics import sensitivity_max

    with pytest.raises(AttributeError, match=r"return_diagnostics=True .*sensitivity_max"):
        sensitivity_max(
            PCIM(net).attribute, bright_images(1), target=1, n_steps=2, return_diagnostics=True
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"references": [Blur]}, r"references: expected Blur\(\), got the class Blur itself"),
        ({"objective": [Preservation]}, r"objective: expected Preservation\(\), got the class"),
        ({"references": [lambda x, y: x]}, r"references: expected callables of one argument, .*"),
        ({"objective": [lambda: 0]}, r"objective: expected callables of one argument, the blended"),
    ],
)
def test_what_cannot_be_called_with_one_argument_is_refused_at_once(arguments, message):
    with pytest.raises(TypeError, match=message):
        PCIM(net, **arguments)


def test_a_term_that_is_not_finite_is_not_blamed_on_the_network_alone():
    def broken(blended):
        return blended.preserved.log_odds * float("nan")

    with pytest.warns(PCIMWarning, match="terms of the objective, were NaN or infinite"):
        PCIM(net, objective=(Preservation(), broken)).attribute(
            bright_images(1), target=1, n_steps=4
        )


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 1, 1), (1, 1, 16, 1)])
def test_baselines_may_be_broadcastable(shape):
    inputs = bright_images(2)
    given = PCIM(net).attribute(inputs, baselines=torch.full(shape, 0.1), target=1, n_steps=4)
    assert torch.equal(given, PCIM(net).attribute(inputs, baselines=0.1, target=1, n_steps=4))


def test_a_feature_mask_without_axes_is_one_group():
    weights = PCIM(net).attribute(
        bright_images(1), target=1, n_steps=4, feature_mask=torch.tensor(3)
    )
    assert weights.unique().numel() == 1


def test_tensor_subclasses_are_explained_as_tensors():
    class Tagged(torch.Tensor):
        def new_empty(self, size, **options):  # type: ignore[override]
            assert isinstance(size, tuple)
            return super().new_empty(size, **options)

    inputs = bright_images(1)
    tagged = PCIM(net).attribute(inputs.as_subclass(Tagged), target=1, n_steps=4)
    assert torch.equal(tagged, PCIM(net).attribute(inputs, target=1, n_steps=4))


def test_forward_only_keeps_its_budget_also_where_a_reference_shows_the_class():
    rows = []

    def forward(x):
        rows.append(len(x))
        return net(x).detach()

    source = ForwardOnly(100)
    PCIM(forward, gradients=source).attribute(bright_images(1) + 1, target=1)
    assert sum(rows) <= 100


@pytest.mark.parametrize("baselines", [255, -30, torch.full((1, 1, 1, 1), 255.0)])
def test_baselines_of_another_scale_are_told(baselines):
    with pytest.warns(PCIMWarning, match=r"baselines: values lie .* outside those of the inputs"):
        PCIM(net).attribute(bright_images(1), baselines=baselines, target=1, n_steps=2)


@pytest.mark.parametrize(
    "reference",
    [ControlImages(torch.full((2, 3, 16, 16), 255, dtype=torch.uint8)), Constant(-30.0)],
)
def test_references_of_another_scale_are_told_once_however_images_are_explained(reference):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        pcim = PCIM(net, references=[Background(), reference])
        pcim.attribute(bright_images(3), target=1, n_steps=2, internal_batch_size=2)
    told = [str(w.message) for w in warned if "outside those of the inputs" in str(w.message)]
    assert len(told) == 1 and told[0].startswith("references: values lie")


def test_references_as_bright_as_other_images_of_the_call_are_not():
    dark_and_bright = torch.cat([bright_images(1) / 100, bright_images(1)])
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="references: values lie", category=PCIMWarning)
        pcim = PCIM(net, references=[ControlImages(bright_images(1))])
        pcim.attribute(dark_and_bright, target=1, n_steps=2, internal_batch_size=2)


@pytest.mark.parametrize("baselines", [0, 1, -2, None])
def test_baselines_near_the_images_are_not(baselines):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="baselines: values lie", category=PCIMWarning)
        PCIM(net).attribute(bright_images(1), baselines=baselines, target=1, n_steps=2)


def test_baselines_beyond_the_inputs_precision_are_refused():
    forward = lambda x: net(x.float())  # noqa: E731
    with pytest.raises(ValueError, match="baselines: expected finite values within"):
        PCIM(forward).attribute(bright_images(1).half(), baselines=1e6, target=1)


def test_weights_that_overflow_are_zero_and_told():
    """Squares of gradients beyond 1e19 do not fit into single precision."""
    with pytest.warns(PCIMWarning, match="NaN or infinite"):
        attributions, diagnostics = PCIM(net).attribute(
            bright_images(2), baselines=1e25, target=1, n_steps=4, return_diagnostics=True
        )
    assert not attributions.any()
    assert diagnostics.verdict == ("scores of blends were not finite",) * 2


@pytest.mark.parametrize("score", ["logits", "probabilities"])
def test_scores_of_several_heads_may_have_their_classes_on_the_last_axis_which_is_told(score):
    def heads(x):
        scores = torch.stack([net(x), net(x.flip(-1))], 1)  # (N, heads, classes)
        return scores if score == "logits" else scores.softmax(1)

    with pytest.warns(PCIMWarning, match=r"target: .* \(3, 2, 2\); their second axis is taken for"):
        PCIM(heads, score=score).attribute(bright_images(3), target=(0, 1), n_steps=3)


@pytest.mark.parametrize("shape", ["a map of classes", "labels of their own", "one class a place"])
def test_nothing_is_told_of_axes_that_can_be_read_in_one_way_only(shape):
    def scores(x):
        two = net(x)
        if shape == "a map of classes":
            return two[:, :, None, None].expand(-1, -1, 2, 2)
        return two.unsqueeze(1) if shape == "one class a place" else two.unsqueeze(2)

    score = "binary_logits" if shape == "labels of their own" else "logits"
    target = {"a map of classes": (1, 0, 0), "one class a place": (0, 1)}.get(shape, (1, 0))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "target: ", PCIMWarning)
        PCIM(scores, score=score).attribute(bright_images(3), target=target, n_steps=3)


@pytest.mark.parametrize(
    "draw", [torch.rand, np.random.rand, random.random], ids=["torch", "numpy", "python"]
)
def test_chance_that_is_drawn_once_for_a_whole_batch_is_told_and_repeats(draw):
    def noisy(x):
        return net(x) * (0.5 + float(draw(1) if draw is torch.rand else draw()))

    maps = []
    for _ in range(2):
        with pytest.warns(PCIMWarning, match="between two calls"):
            maps.append(PCIM(noisy).attribute(bright_images(3), target=1, n_steps=4))
    assert torch.equal(*maps)


def test_an_engine_may_write_its_next_scores_where_the_last_ones_lie():
    memory = torch.empty(1000, 2)

    def engine(x):
        scores = memory[: len(x)]
        scores.copy_(net(x))
        return scores.detach()

    call = {"target": 1, "return_diagnostics": True}
    source = ForwardOnly(n_forwards=60)
    maps, told = PCIM(engine, gradients=source).attribute(bright_images(3), **call)
    expected, plain = PCIM(net, gradients=source).attribute(bright_images(3), **call)
    assert torch.equal(maps, expected)
    assert torch.equal(told.full_probability, plain.full_probability)


def test_a_reference_that_works_in_place_changes_no_image_of_the_caller():
    def darkened(inputs):
        inputs[:, 0] = 0
        return inputs[None]

    inputs = bright_images(3)
    before = inputs.clone()
    maps = PCIM(net, references=[darkened]).attribute(inputs, target=1, n_steps=4)
    assert torch.equal(inputs, before)
    copied = PCIM(net, references=[lambda x: darkened(x.clone())])
    assert torch.equal(maps, copied.attribute(inputs, target=1, n_steps=4))
