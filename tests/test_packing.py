"""Weights that ship: rounded by half a scale at most, and what ships is what was scored."""

from importlib import resources

import pytest
import torch

from benchmarks.sets import train_cnn
from captum_pcim.synthetic import LargeKernelCNN, SmallResNet
from captum_pcim.synthetic.cnn import SHIPPED
from captum_pcim.synthetic.packing import packed, unpacked

WEIGHTS = resources.files("captum_pcim.synthetic") / "weights"


@pytest.fixture(params=[SmallResNet, LargeKernelCNN])
def network(request):
    torch.manual_seed(0)
    return request.param(in_channels=2, n_classes=3).eval()


def convolutions(network):
    return {
        f"{name}.weight"
        for name, module in network.named_modules()
        if isinstance(module, torch.nn.Conv2d)
    }


def test_a_convolution_changes_by_half_a_scale_at_most_and_all_else_is_in_half_precision(network):
    state = network.state_dict()
    restored = unpacked(packed(state), state)
    assert restored.keys() == state.keys()
    for name, values in state.items():
        if name in convolutions(network):
            scales = values.abs().amax((1, 2, 3), keepdim=True) / 127
            errors = (restored[name] - values).abs() / scales
            assert errors.max() <= 0.5 + 1e-4  # of a scale; the rest is single precision's own
            assert errors.max() > 0.4  # not stored in more than 8 bits
        else:
            torch.testing.assert_close(restored[name].to(values.dtype), values, rtol=5e-4, atol=0)


def test_a_file_read_as_weights_only_gives_the_same_network(network, tmp_path):
    first = packed(network.state_dict())
    torch.save(first, tmp_path / "weights.pt")
    network.load_state_dict(unpacked(first, network.state_dict()))
    again = type(network)(in_channels=2, n_classes=3).eval()
    read = torch.load(tmp_path / "weights.pt", weights_only=True)
    again.load_state_dict(unpacked(read, again.state_dict()))
    inputs = torch.rand(2, 2, 64, 64)
    assert torch.equal(network(inputs), again(inputs))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_channels_of_zeros_and_of_next_to_nothing_stay_what_they_are(dtype):
    weights = torch.rand(3, 2, 5, 5).to(dtype)
    weights[0] = 0
    weights[1] = torch.finfo(dtype).smallest_normal
    state = {"weight": weights, "bias": torch.zeros(3)}
    restored = unpacked(packed(state), state)["weight"]
    assert restored[0].eq(0).all()
    torch.testing.assert_close(restored[1], weights[1].float(), rtol=1e-6, atol=1e-37)


@pytest.mark.parametrize("name", SHIPPED)
def test_what_ships_holds_all_convolutions_as_8_bit_integers(name):
    with resources.as_file(WEIGHTS / f"{name}.pt") as path:
        numbers = torch.load(path, weights_only=True)
    state = SmallResNet(*SHIPPED[name]).state_dict().values()
    channels = [weights[0].numel() for weights in state if weights.ndim == 4 for _ in weights]
    assert numbers["integers"].dtype == torch.int8 and numbers["scales"].dtype == torch.float32
    assert len(numbers["scales"]) == len(channels)
    for integers in numbers["integers"].split(channels):
        assert integers.int().abs().max() == 127  # no bit is left unused


def test_training_scores_what_it_writes(monkeypatch, tmp_path):
    scored = []

    def generate(n, seed):
        return train_cnn.synthetic_brightfield(min(n, 32), size=64, seed=seed)

    def score(model, images):
        scored.append(model)
        return train_cnn.predict(model, images.inputs).double().mean().item(), 0.0

    monkeypatch.setitem(train_cnn.GENERATORS, "brightfield", generate)
    monkeypatch.setattr(train_cnn, "accuracy_and_flip_rate", score)
    out = tmp_path / "new" / "brightfield.pt"
    command = ["train_cnn", "brightfield", "--n", "32", "--epochs", "1", "--out", str(out)]
    monkeypatch.setattr("sys.argv", command)
    train_cnn.main()

    (model,) = scored
    written = unpacked(torch.load(out, weights_only=True), SmallResNet(1, 4).state_dict())
    for name, values in model.state_dict().items():
        if values.is_floating_point():
            assert torch.equal(values, written[name].to(values.dtype)), name
