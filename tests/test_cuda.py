"""The same on a GPU; skipped without one."""

import numpy as np
import pytest
import torch
from networks import BrightSquare, bright_images, images, seeded, small_cnn
from test_networks import WithLSTM
from torch.testing import assert_close

from captum_pcim import PCIM, Factorised, PerStain, SharedOverStains

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

STEPS = 10


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
    torch.rand(1, device="cuda")
    before = torch.cuda.get_rng_state()
    network = small_cnn().cuda()
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
