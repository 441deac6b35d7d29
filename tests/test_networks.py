"""Networks that break naive code give the map that their plain twin gives."""

import collections
import dataclasses
import functools

import pytest
import torch
from networks import BrightSquare, bright_images, images, seeded, small_cnn
from torch import nn
from torch.testing import assert_close

from captum_pcim import PCIM
from captum_pcim.core.network import frozen_view

STEPS = 5
ROUND_OFF = 1e-5


def _explain(network, inputs=None, target=1, **arguments):
    inputs = images() if inputs is None else inputs
    call = {"target": target, "n_steps": STEPS, **arguments}
    return PCIM(network).attribute(inputs, **call)


def _finds_the_square(network, dtype=torch.float32, **arguments):
    inputs = bright_images().to(dtype)
    attributions = PCIM(network, **arguments).attribute(inputs, target=1)
    inside = BrightSquare().mask(inputs).expand_as(inputs)
    assert attributions.dtype == dtype
    assert attributions[inside].mean() > 0.5 > 0.3 > attributions[~inside].mean()


def _with_layer(layer):
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3), layer(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
        )
    ).eval()


def test_an_in_place_first_layer_does_not_reach_the_inputs():
    inputs = images() - 0.5
    before = inputs.clone()
    in_place = _explain(nn.Sequential(nn.ReLU(inplace=True), small_cnn()), inputs)
    assert torch.equal(inputs, before)
    assert torch.equal(in_place, _explain(nn.Sequential(nn.ReLU(), small_cnn()), inputs))


def test_a_function_that_works_in_place_does_not_reach_the_inputs():
    inputs, network = images(), small_cnn()
    before = inputs.clone()
    _explain(lambda x: network(x.mul_(2).add_(1)), inputs, internal_batch_size=1)
    assert torch.equal(inputs, before)


def test_an_in_place_relu_gives_the_same_map():
    in_place = _with_layer(lambda: nn.ReLU(inplace=True))
    assert torch.equal(_explain(in_place), _explain(_with_layer(nn.ReLU)))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: nn.BatchNorm2d(4),
        lambda: nn.GroupNorm(2, 4),
        lambda: nn.InstanceNorm2d(4),
        lambda: nn.Dropout2d(0.5),
        lambda: nn.LayerNorm([14, 14]),
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 4, 1)),
        lambda: nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 1)),
    ],
    ids=["BatchNorm", "GroupNorm", "InstanceNorm", "Dropout", "LayerNorm", "weight", "spectral"],
)
def test_layers_that_may_couple_images_give_each_image_what_it_gets_alone(layer):
    """In double precision, as single rounds batches of other sizes otherwise."""
    network, inputs = _with_layer(layer).double(), images().double()
    together = _explain(network, inputs)
    for i in range(3):
        alone = _explain(network, inputs[i : i + 1])
        assert_close(together[i : i + 1], alone, rtol=0, atol=ROUND_OFF)


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
def test_a_module_that_cannot_be_copied_is_used_as_it_is():
    """The old weight_norm keeps a computed tensor, which deepcopy refuses."""
    network = _with_layer(lambda: nn.utils.weight_norm(nn.Conv2d(4, 4, 1)))
    assert frozen_view(network) is network
    by_function = _explain(lambda x: network(x))
    assert torch.equal(_explain(network), by_function)
    assert all(p.grad is None for p in network.parameters())  # type: ignore[attr-defined]


class WithLSTM(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3 * 16, 6, num_layers=2, batch_first=True, dropout=dropout)
        self.head = nn.Linear(6, 3)

    def forward(self, inputs):
        rows = inputs.permute(0, 2, 1, 3).flatten(2)
        return self.head(self.lstm(rows)[0][:, -1])


@pytest.mark.parametrize("training", [False, True])
def test_lstm_heads_are_explained_in_either_mode_where_nothing_is_dropped(training):
    expected = _explain(lambda x: seeded(WithLSTM).eval()(x))
    assert_close(_explain(seeded(WithLSTM).train(training)), expected, rtol=0, atol=ROUND_OFF)


def test_an_lstm_with_dropout_in_evaluation_mode_drops_nothing():
    with_dropout = seeded(lambda: WithLSTM(dropout=0.5)).eval()
    assert torch.equal(_explain(with_dropout), _explain(seeded(WithLSTM).eval()))
    assert with_dropout.lstm.dropout == 0.5 and not with_dropout.lstm.training


def test_recurrent_layers_of_the_view_can_go_backward_in_cudnn():
    """It refuses backward in evaluation mode; training mode without dropout is the same."""
    network = seeded(lambda: WithLSTM(dropout=0.5)).eval()
    view = frozen_view(network)
    assert view.lstm.training and view.lstm.dropout == 0 and not view.training  # type: ignore[attr-defined]
    assert torch.equal(view(images()), network(images()))


def test_frozen_parameters_give_the_same_map():
    frozen = small_cnn().requires_grad_(False)
    assert torch.equal(_explain(frozen), _explain(small_cnn()))


def test_torchscript_gives_the_same_map():
    scripted, traced = torch.jit.script(small_cnn()), torch.jit.trace(small_cnn(), images())
    assert_close(_explain(scripted), _explain(small_cnn()), rtol=0, atol=ROUND_OFF)
    assert_close(_explain(traced), _explain(small_cnn()), rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_compiled_networks_give_the_same_map(backend):
    compiled = torch.compile(small_cnn(), backend=backend)
    assert_close(_explain(compiled), _explain(small_cnn()), rtol=0, atol=ROUND_OFF)


def test_a_network_compiled_in_place_gives_the_same_map():
    network = small_cnn()
    network.compile(backend="eager")
    assert_close(_explain(network), _explain(small_cnn()), rtol=0, atol=ROUND_OFF)


def test_an_exported_program_gives_the_same_map():
    batch = {0: torch.export.Dim("batch", min=2)}
    exported = torch.export.export(small_cnn(), (images(),), dynamic_shapes=(batch,)).module()
    attributions = _explain(exported)
    assert_close(attributions, _explain(small_cnn()), rtol=0, atol=ROUND_OFF)


@pytest.mark.parametrize("n_images", [1, 4, 5])
def test_a_program_of_a_fixed_batch_is_filled_up(n_images):
    """Blend and complement of each image are twice as many rows: fewer, one more, and twice."""
    exported = torch.export.export(small_cnn(), (images(5),)).module()
    inputs = images(n_images)
    found = PCIM(exported).attribute(inputs, target=1, n_steps=3)
    expected = PCIM(small_cnn()).attribute(inputs, target=1, n_steps=3)
    assert_close(found, expected, rtol=0, atol=ROUND_OFF)


def test_data_parallel_gives_the_same_map():
    assert torch.equal(_explain(nn.DataParallel(small_cnn())), _explain(small_cnn()))


def test_hooks_that_change_the_output_take_part():
    hooked, doubled = small_cnn(), small_cnn()
    hooked[-1].register_forward_hook(lambda module, args, output: 2 * output)
    assert torch.equal(_explain(hooked), _explain(lambda x: 2 * doubled(x)))


def test_hooks_on_gradients_take_part():
    seen = []
    network = small_cnn()
    network[0].register_full_backward_hook(lambda module, before, after: seen.append(1))
    assert_close(_explain(network), _explain(small_cnn()), rtol=0, atol=ROUND_OFF)
    assert len(seen) == STEPS + 2  # and an even blend with each of the two references


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_networks_of_any_precision_are_explained_in_theirs(dtype):
    class Typed(BrightSquare):
        def __init__(self):
            super().__init__()
            self.factor = nn.Parameter(torch.ones((), dtype=dtype))

        def forward(self, inputs):
            assert inputs.dtype == dtype
            return super().forward(inputs) * self.factor

    _finds_the_square(Typed(), dtype)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_convolutions_run(dtype):
    attributions = _explain(small_cnn().to(dtype), images().to(dtype))
    expected = _explain(small_cnn())
    assert attributions.dtype == dtype
    assert_close(attributions.float(), expected, rtol=0, atol=0.1)


def test_autocast_runs_the_network_in_its_dtype_and_the_weights_in_float32():
    seen = collections.Counter()
    network = small_cnn()
    network[0].register_forward_hook(lambda module, args, output: seen.update([output.dtype]))
    attributions = PCIM(network, autocast_dtype=torch.bfloat16).attribute(
        images(), target=1, n_steps=STEPS
    )
    # Once it may be asked for its gradient without rounding.
    assert seen.total() - seen[torch.bfloat16] == seen[torch.float32] <= 1
    assert attributions.dtype == torch.float32
    assert_close(attributions, _explain(small_cnn()), rtol=0, atol=0.1)


def test_a_half_precision_network_behind_float32_inputs_says_what_is_wrong():
    with pytest.raises(RuntimeError, match=r"(?i)type|dtype|half"):
        _explain(small_cnn().half())


@dataclasses.dataclass
class Output:
    logits: torch.Tensor


@pytest.mark.parametrize(
    ("inside", "pick"),
    [
        (lambda x: (x, None), lambda output: output[0]),
        (lambda x: {"logits": x}, lambda output: output["logits"]),
        (Output, lambda output: output.logits),
    ],
    ids=["tuple", "dict", "dataclass"],
)
def test_outputs_of_any_kind_are_explained_through_a_wrapper(inside, pick):
    network = small_cnn()
    assert torch.equal(_explain(lambda x: pick(inside(network(x)))), _explain(network))


def test_one_class():
    network = BrightSquare()
    _finds_the_square(lambda x: network(x)[:, [1, 1]] * torch.tensor([0.0, 1.0]))
    inputs = bright_images()
    attributions = PCIM(lambda x: network(x)[:, 1:]).attribute(inputs)
    inside = network.mask(inputs).expand_as(inputs)
    assert attributions[inside].mean() > 0.5 > 0.3 > attributions[~inside].mean()


def test_5000_classes():
    """The others are noise that all images share; it lowers every probability alike."""
    network = BrightSquare(scale=60.0)
    others = torch.linspace(-1, 0, 4998)
    _finds_the_square(lambda x: torch.cat([network(x), others.expand(len(x), -1)], 1))


def test_a_network_that_takes_one_row_at_a_time():
    network = small_cnn()

    def one_row(inputs, scale):
        assert inputs.shape[0] == scale.shape[0] == 1
        return network(inputs) * scale

    scale = torch.tensor([[1.0], [2.0], [3.0]])
    attributions = _explain(
        one_row,
        target=torch.tensor([0, 1, 2]),
        additional_forward_args=scale,
        internal_batch_size=1,
    )
    expected = _explain(
        lambda x, s: network(x) * s, target=[0, 1, 2], additional_forward_args=scale
    )
    assert_close(attributions, expected, rtol=0, atol=ROUND_OFF)


def test_a_network_with_a_fixed_batch_size_of_one_is_explained_row_by_row():
    exported = torch.export.export(small_cnn(), (images(n=1),)).module()
    attributions = _explain(exported, internal_batch_size=1, n_steps=24)
    assert_close(attributions, _explain(small_cnn(), n_steps=24), rtol=0, atol=ROUND_OFF)


def test_weights_shared_between_layers_stay_shared():
    network = nn.Sequential(nn.Linear(5, 5), nn.ReLU(), nn.Linear(5, 5))
    network[2].weight = network[0].weight
    view = frozen_view(network)
    assert view[2].weight is view[0].weight
    assert view[0].weight.data_ptr() == network[0].weight.data_ptr()


def test_attention_is_explained():
    class WithAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Conv2d(3, 8, 4, stride=4)
            self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
            self.head = nn.Linear(8, 3)

        def forward(self, inputs):
            tokens = self.embed(inputs).flatten(2).transpose(1, 2)
            return self.head(self.encoder(tokens).mean(1))

    network = seeded(WithAttention).eval()
    together = _explain(network)
    assert together[:, 0].flatten(1).std(1).min() > 1e-5
    alone = torch.cat([_explain(network, x) for x in images().split(1)])
    assert_close(together, alone, rtol=0, atol=1e-4)


def test_any_callable_is_explained():
    network = small_cnn()
    for forward in (network.forward, lambda *args: network(*args), functools.partial(network)):
        assert torch.equal(_explain(forward), _explain(network))
