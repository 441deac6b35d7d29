"""The loop leaves the device alone: nothing in it copies between devices or waits for an answer.

The meta device stands in for a GPU: it has no values, so whatever needs one to go on (`item`,
`nonzero`, a boolean index, an `if` on a tensor) raises there, and copies from the host are seen as
they are dispatched.
"""

import numpy as np
import pytest
import torch
from networks import images, small_cnn
from torch.utils._python_dispatch import TorchDispatchMode

from captum_pcim import (
    PCIM,
    Area,
    DistributionPreservation,
    Factorised,
    PerStain,
    Preservation,
    Removal,
    SharedOverStains,
    Smoothing,
    Smoothness,
)
from captum_pcim.core.channels import GroupedChannels, PixelChannels
from captum_pcim.core.network import CallArguments, Network
from captum_pcim.core.problem import Images, Problem, Settings
from captum_pcim.core.scores import Calibration, Scores
from captum_pcim.core.solver import solve
from captum_pcim.core.stakes import Stakes
from captum_pcim.core.targets import check_target

META = torch.device("meta")
N_IMAGES, N_STEPS = 3, 7
TERMS = Preservation(), Removal(), Area(), Smoothness(), DistributionPreservation()

ONE_SCORE = {
    "int": 1,
    "NumPy integer": np.int64(1),
    "tuple": (1,),
    "tensor of one": torch.tensor([1]),
    "tensor": torch.tensor([0, 1, 2]),
    "column": torch.tensor([[0], [1], [2]]),
    "NumPy array": np.array([0, 1, 2]),
    "list": [0, 1, 2],
    "list of tuples": [(0,), (1,), (2,)],
}
SCORE_GRIDS = {"pair": (1, 3), "list of pairs": [(0, 3), (1, 2), (2, 0)]}


class Waits(TorchDispatchMode):
    """Notes the operators that bring something to or from the host, or ask for a value."""

    ASKING = ("item", "_local_scalar_dense", "nonzero", "masked_select", "unique", "equal")
    COPYING = ("_to_copy", "copy_", "lift_fresh", "lift_fresh_copy")

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        name = function.overloadpacket.__name__
        tensors = [x for x in (*args, result) if isinstance(x, torch.Tensor)]
        # Scalars of the host are arguments of a kernel, no copies.
        devices = {x.device.type for x in tensors if x.ndim or name in self.COPYING}
        by_mask = name.startswith("index") and any(
            x is not None and x.dtype in (torch.bool, torch.uint8) for x in args[1]
        )
        if name in self.ASKING or by_mask or len(devices) > 1:
            self.found.append(name)
        return result


def _on_meta(target, *, grid=False, most_rows=None, isolation=None, mask=None, terms=TERMS):
    """Return a problem and images without values, as a call has them when it begins to train."""
    network = small_cnn().to(META)
    inputs = (images(N_IMAGES).to(META),)
    scores = torch.randn(N_IMAGES, 3, device=META)

    def forward(x):
        return torch.stack([network(x)] * 4, dim=2) if grid else network(x)

    channels = PixelChannels(inputs, isolation or SharedOverStains(), Smoothing(2.0))
    if mask is not None:
        channels = GroupedChannels((mask.to(META),), 4)
    calibration = Calibration(scores[:, :1], scores[:, :1])
    arguments = CallArguments.of(check_target(target, N_IMAGES), (), N_IMAGES, META)
    references = [(inputs[0],), (inputs[0][:1],)]
    full = Scores(scores[:, 0], scores)
    problem = Problem(Network(forward, (torch.float32,), most_rows=most_rows), terms, "logits")
    stakes = Stakes.between(scores[:, :2], scores[:, 0])
    return problem, Images(
        inputs, references, references, arguments, channels, full, calibration, stakes
    )


def _waits(target, **setting):
    problem, chunk = _on_meta(target, **setting)
    with Waits() as waits:
        solution = solve(problem, chunk, Settings(N_STEPS, 0.5, tolerance=0.0), lambda: None)
    assert solution.loss_history.shape == (N_IMAGES, N_STEPS)
    return waits.found


@pytest.mark.parametrize("target", ONE_SCORE.values(), ids=ONE_SCORE)
@pytest.mark.parametrize("most_rows", [None, 1])
def test_nothing_waits_from_the_first_step_to_the_result(target, most_rows):
    assert _waits(target, most_rows=most_rows) == []


@pytest.mark.parametrize("target", SCORE_GRIDS.values(), ids=SCORE_GRIDS)
def test_nothing_waits_where_a_target_is_several_numbers(target):
    assert _waits(target, grid=True) == []


@pytest.mark.parametrize("isolation", [PerStain(), Factorised()], ids=repr)
def test_nothing_waits_however_pixels_and_stains_are_taken_apart(isolation):
    assert _waits([0, 1, 2], isolation=isolation) == []


def test_nothing_waits_where_pixels_are_grouped():
    groups = torch.arange(4).repeat_interleave(64).view(1, 1, 16, 16)
    assert _waits([0, 1, 2], mask=groups) == []


def test_what_waits_is_found():
    """Or the tests above would show nothing."""
    on_host = torch.arange(3)
    with Waits() as waits:
        torch.zeros(3, device=META)[on_host.to(META)]
        on_host[on_host > 1]
        int(on_host[0])
        torch.zeros(3, device=META).copy_(on_host)
    assert waits.found[0] == "_to_copy" and waits.found[-1] == "copy_"
    assert {"index", "_local_scalar_dense"} < set(waits.found)


def test_a_whole_call_asks_for_no_value_between_its_steps():
    """On real values: what is asked for is asked for before the first step or after the last."""
    asked = []

    class Noting(Area):
        def __call__(self, blended):
            asked.append(len(waits.found))
            return super().__call__(blended)

    pcim = PCIM(small_cnn(), objective=[Preservation(), Removal(), Noting()])
    with Waits() as waits:
        pcim.attribute(images(N_IMAGES), target=[0, 1, 2], n_steps=N_STEPS)
    assert len(asked) == N_STEPS and len(set(asked)) == 1 and asked[0] > 0
