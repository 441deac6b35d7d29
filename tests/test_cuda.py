"""The same on a GPU; skipped without one."""

import numpy as np
import pytest
import torch
from networks import BrightSquare, bright_images, images, seeded, small_cnn
from screen_plates import config, rows
from test_networks import WithLSTM
from torch.testing import assert_close

from benchmarks.robustness.modes import cases
from captum_pcim import (
    PCIM,
    Area,
    Autograd,
    Background,
    Factorised,
    LogArea,
    PerStain,
    Preservation,
    Removal,
    SharedOverStains,
)

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STEPS = 10
MODES = dict(cases("cuda")) if torch.cuda.is_available() else {}


@pytest.mark.parametrize("isolation", [SharedOverStains(), PerStain(), Factorised()], ids=repr)
def test_maps_are_those_of_the_cpu_and_on_the_device_of_the_inputs(isolation):
    on_cpu = PCIM(small_cnn(), isolation=isolation).attribute(images(), target=1, n_steps=STEPS)
    pcim = PCIM(small_cnn().cuda(), isolation=isolation)
    on_gpu = pcim.attribute(images().cuda(), target=1, n_steps=STEPS)
    assert on_gpu.device.type == "cuda"
    assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-3)


def test_diagnostics_are_on_the_cpu():
    pcim = PCIM(small_cnn().cuda(), isolation=Factorised())
    _, diagnostics = pcim.attribute(
        images().cuda(), target=1, n_steps=STEPS, tolerance=0.01, return_diagnostics=True
    )
    told = [value for value in vars(diagnostics).values() if torch.is_tensor(value)]
    assert {value.device.type for value in (*told, *diagnostics.stain_weights)} == {"cpu"}


def test_targets_baselines_arguments_and_masks_may_come_from_the_cpu():
    network = small_cnn().cuda()
    mask = torch.arange(256).view(1, 1, 16, 16) // 8
    call = {
        "baselines": images(seed=4),
        "target": torch.tensor([0, 1, 2]),
        "feature_mask": mask,
        "n_steps": STEPS,
        "internal_batch_size": 4,
    }
    attributions = PCIM(network).attribute(images().cuda(), **call)
    assert attributions.device.type == "cuda"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_finds_the_evidence(dtype):
    network, inputs = BrightSquare().cuda(), bright_images().cuda()
    attributions = PCIM(network, autocast_dtype=dtype).attribute(inputs, target=1)
    inside = network.mask(inputs).expand_as(inputs)
    assert attributions[inside].mean() > 0.5 > 0.3 > attributions[~inside].mean()


def test_recurrent_layers_in_evaluation_mode_are_explained():
    on_cpu = PCIM(seeded(WithLSTM).eval()).attribute(images(), target=1, n_steps=STEPS)
    on_gpu = PCIM(seeded(WithLSTM).eval().cuda()).attribute(
        images().cuda(), target=1, n_steps=STEPS
    )
    assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-3)


def test_random_states_of_the_gpu_are_given_back():
    network = small_cnn().cuda()  # which seeds the GPU too
    torch.rand(1, device="cuda")
    before = torch.cuda.get_rng_state()
    PCIM(lambda x: network(x + 0.1 * torch.randn_like(x))).attribute(
        images().cuda(), target=1, n_steps=STEPS
    )
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_no_memory_stays_behind():
    network, inputs = small_cnn().cuda(), images(size=64).cuda()
    PCIM(network).attribute(inputs, target=1, n_steps=2)
    before = torch.cuda.memory_allocated()
    PCIM(network).attribute(inputs, target=1, n_steps=2)
    assert torch.cuda.memory_allocated() == before


@pytest.mark.parametrize(
    "target",
    [1, (1,), [0, 1, 2], [(0,), (1,), (2,)], torch.tensor([0, 1, 2]), np.array([0, 1, 2])],
    ids=lambda target: type(target).__name__,
)
def test_the_loop_does_not_wait_for_the_device(target):
    """A step that waited would raise in this mode; the calls before and after it may wait."""
    network, inputs = small_cnn().cuda(), images().cuda()
    modes = []

    class Quiet:
        def __call__(self, blended):
            modes.append(torch.cuda.get_sync_debug_mode())
            torch.cuda.set_sync_debug_mode("error" if blended.progress < 1 else "default")
            return blended.preserved.log_odds.neg() + blended.weights[0].mean((1, 2, 3))

    try:
        PCIM(network, objective=[Quiet()]).attribute(inputs, target=target, n_steps=STEPS)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len(modes) == STEPS


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", MODES)
def test_a_mode_runs_on_the_device(mode):
    maps, diagnostics = MODES[mode]()
    assert {own.device.type for own in (maps if isinstance(maps, tuple) else [maps])} == {"cuda"}
    told = [value for value in vars(diagnostics).values() if torch.is_tensor(value)]
    assert {value.device.type for value in told} == {"cpu"}


class Called(torch.nn.Module):
    """A network that counts how often the host calls it."""

    def __init__(self, network):
        super().__init__()
        self.network, self.count = network, [0]  # a list, as views of a module share it

    def forward(self, inputs):
        self.count[0] += 1
        return self.network(inputs)


GRAPHS = Autograd(cuda_graphs=True)
VARIANTS = {
    "default": {},
    "per stain": {"isolation": PerStain()},
    "factorised": {"isolation": Factorised()},
    "sampled references": {"order": "sample"},
    "one reference": {"references": [Background()]},
}


@pytest.fixture
def exact(monkeypatch):
    """Let cuDNN repeat itself to the bit."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)


@pytest.mark.parametrize("variant", VARIANTS)
def test_replayed_steps_are_those_that_are_launched_one_by_one(exact, variant):
    network, inputs = small_cnn().cuda(), images().cuda()
    call = {"inputs": inputs, "target": [0, 1, 2], "n_steps": 20}
    one_by_one = PCIM(network, **VARIANTS[variant]).attribute(**call)
    replayed = PCIM(network, gradients=GRAPHS, **VARIANTS[variant]).attribute(**call)
    assert torch.equal(replayed, one_by_one)


@pytest.mark.parametrize("start", [0, 10])
def test_replayed_prices_follow_the_progress(exact, start):
    """Up to rounding: the host has the progress in double precision."""
    network, inputs = small_cnn().cuda(), images().cuda()
    terms = [Preservation(), Removal(), Area(start, 40)]
    one_by_one = PCIM(network, objective=terms).attribute(inputs, target=1, n_steps=20)
    pcim = PCIM(network, objective=terms, gradients=GRAPHS)
    assert_close(pcim.attribute(inputs, target=1, n_steps=20), one_by_one, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "call",
    [
        {"target": torch.tensor([0, 1, 2])},
        {"target": 1, "tolerance": 0.005, "n_steps": 48},
        {"target": 1, "internal_batch_size": 4},
        {"target": 1, "internal_batch_size": 1},
        {"target": 1, "feature_mask": torch.arange(256).view(1, 1, 16, 16) // 8},
    ],
    ids=["per image", "early stop", "chunks", "rows", "groups"],
)
def test_replayed_steps_of_a_call_are_those_that_are_launched_one_by_one(exact, call):
    network, call = small_cnn().cuda(), {"inputs": images().cuda(), "n_steps": 20} | call
    one_by_one = PCIM(network).attribute(**call)
    assert torch.equal(PCIM(network, gradients=GRAPHS).attribute(**call), one_by_one)


def test_replayed_steps_do_not_call_the_network():
    called = Called(small_cnn()).cuda()
    PCIM(called, gradients=GRAPHS).attribute(images().cuda(), target=1, n_steps=10)
    before = called.count[0]
    PCIM(called, gradients=GRAPHS).attribute(images().cuda(), target=1, n_steps=40)
    assert called.count[0] == 2 * before


def _asks(network):
    return lambda x: network(x) * (1 if x.sum().item() > 0 else 2)


def _goes_to_the_host(network):
    return lambda x: network(x) + torch.ones(3).to(x.device)


class AsksForTheProgress:
    def __call__(self, blended):
        return blended.preserved.log_odds * (1 if blended.progress < 0.5 else 2)


@pytest.mark.parametrize("make", [_asks, _goes_to_the_host])
def test_networks_that_wait_for_the_device_go_on_without_graphs(exact, make):
    network, inputs = make(small_cnn().cuda()), images().cuda()
    expected = PCIM(network).attribute(inputs, target=1, n_steps=STEPS)
    with pytest.warns(UserWarning, match="gradients: a step has no CUDA graph"):
        maps = PCIM(network, gradients=GRAPHS).attribute(inputs, target=1, n_steps=STEPS)
    assert torch.equal(maps, expected)
    torch.cuda.synchronize()
    assert torch.randn(5, device="cuda").isfinite().all()


def test_terms_that_ask_for_the_progress_go_on_without_graphs(exact):
    network, inputs = small_cnn().cuda(), images().cuda()
    terms = [AsksForTheProgress(), Removal(), LogArea()]
    expected = PCIM(network, objective=terms).attribute(inputs, target=1, n_steps=STEPS)
    pcim = PCIM(network, objective=terms, gradients=GRAPHS)
    with pytest.warns(UserWarning, match="gradients: a step has no CUDA graph"):
        maps = pcim.attribute(inputs, target=1, n_steps=STEPS)
    assert torch.equal(maps, expected)


def test_networks_that_draw_on_the_device_draw_anew_at_every_replay():
    network = small_cnn().cuda()
    sums = torch.zeros(100, device="cuda")

    def noisy(x):
        noise = torch.randn_like(x)
        sums.copy_(sums.roll(1))
        sums[0] = noise.sum()
        return network(x + 0.1 * noise)

    PCIM(noisy, gradients=GRAPHS).attribute(images().cuda(), target=1, n_steps=40)
    drawn = sums[:38].tolist()
    assert len(set(drawn)) == len(drawn)


def test_graphs_leave_no_memory_behind():
    network, inputs = small_cnn().cuda(), images(size=64).cuda()
    PCIM(network, gradients=GRAPHS).attribute(inputs, target=1, n_steps=8)
    before = torch.cuda.memory_allocated()
    PCIM(network, gradients=GRAPHS).attribute(inputs, target=1, n_steps=8)
    assert torch.cuda.memory_allocated() == before


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_graphs_and_autocast_go_together(exact, dtype):
    network, inputs = small_cnn().cuda(), images().cuda()
    call = {"inputs": inputs, "target": 1, "n_steps": STEPS}
    expected = PCIM(network, autocast_dtype=dtype).attribute(**call)
    pcim = PCIM(network, autocast_dtype=dtype, gradients=GRAPHS)
    assert torch.equal(pcim.attribute(**call), expected)


@pytest.mark.parametrize("run", [{"workers": 0}, {"workers": 1}], ids=str)
@pytest.mark.parametrize("gradients", ["autograd", "cuda_graphs"])
def test_a_screen_on_the_device_tells_what_one_on_the_cpu_does(screen, gradients, run):
    pytest.importorskip("pydantic")
    from captum_pcim.screen import run_screen

    attribution = {"gradients": gradients, "n_steps": 12}
    told = {}
    for device in ("cpu", "cuda"):
        changes = {"output": {"path": str(screen / device / "results")}, "attribution": attribution}
        summary = run_screen(config(screen, "Linear", run=run | {"device": device}, **changes))
        assert summary.failures == {}
        told[device] = [float(row["full_probability"]) for row in rows(screen / device)]
        told[device] += [float(row["area"]) for row in rows(screen / device)]
    assert told["cuda"] == pytest.approx(told["cpu"], abs=2e-3)
