"""What a call makes lies where its inputs lie, on any device."""

import pytest
import torch
from elsewhere import Elsewhere, Host, on_host
from networks import images, small_cnn

from benchmarks.robustness.measures import panel, tensors_in
from benchmarks.robustness.modes import cases
from captum_pcim import PCIM, Background, Blur, ControlImages

MODES, MEASURES = dict(cases()), dict(panel())
MODES_ASKED = (
    "target list", "factorised", "groups per image", "early stop per stain", "chunks",
    "baselines per image", "references", "no smoothing", "double", "regression", "probabilities",
    "features", "stacks", "tuple", "forward only", "forward only, groups", "evidence, early stop",
    "predicted", "contrast per image", "place per image", "dark", "chance", "quantity",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", MODES_ASKED)
def test_a_mode_mixes_no_tensors_of_host_and_device(mode):
    with Elsewhere():
        maps, diagnostics = MODES[mode]()
    assert not any(isinstance(own, Host) for own in (maps if isinstance(maps, tuple) else [maps]))
    told = [value for value in vars(diagnostics).values() if torch.is_tensor(value)]
    assert all(isinstance(own, Host) for own in (*told, *(diagnostics.stain_weights or ())))


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_mixes_no_tensors_of_host_and_device(measure):
    with Elsewhere():
        assert tensors_in(MEASURES[measure]())


@pytest.mark.parametrize("reference", [Background(0.2), Blur(), ControlImages(images())])
def test_a_reference_lies_where_the_images_lie(reference):
    inputs = images()
    with Elsewhere():
        assert not isinstance(reference(inputs), Host)


def test_targets_baselines_arguments_masks_and_contrasts_may_lie_on_the_host():
    network, inputs = small_cnn(), images()
    mask = torch.arange(256).view(1, 1, 16, 16) // 8
    call = {
        "baselines": on_host(images(seed=4)),
        "target": on_host(torch.tensor([0, 1, 2])),
        "feature_mask": on_host(mask),
        "contrast": on_host(torch.tensor([1, 2, 0])),
        "n_steps": 3,
        "internal_batch_size": 4,
        "tolerance": 0.01,
    }
    with Elsewhere():
        assert not isinstance(PCIM(network).attribute(inputs, **call), Host)


def test_the_stand_in_refuses_what_a_gpu_refuses():
    device = torch.ones(3)
    with Elsewhere():
        host = torch.ones(3)
        for mixed in (lambda: host + device, lambda: torch.stack([host, device]),
                      lambda: device.gather(0, torch.arange(3))):  # fmt: skip
            with pytest.raises(RuntimeError, match="two devices"):
                mixed()
        with pytest.raises(TypeError, match="cpu"):
            device.numpy()


def test_the_stand_in_takes_what_a_gpu_takes():
    device = torch.ones(3)
    with Elsewhere():
        host = torch.arange(3.0)
        moved = host.to(device), host.to(device.device), torch.arange(3, device=device.device)
        device[:] = host
        assert not any(isinstance(own, Host) for own in (*moved, device * torch.tensor(2.0)))
        assert isinstance(device.cpu(), Host)
        assert device.cpu().numpy().tolist() == host.tolist() == [0.0, 1.0, 2.0]
