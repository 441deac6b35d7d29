"""Nothing hangs on torch's global state: neither on the default dtype nor on the default seed."""

import pytest
import torch
from torch.testing import assert_close

from benchmarks.robustness.measures import panel, tensors_in
from benchmarks.robustness.modes import cases
from captum_pcim.comparison import captum_methods

MODES, MEASURES = dict(cases()), dict(panel())
OF_CAPTUM = {*captum_methods(torch.nn.Conv2d(1, 1, 1), torch.nn.Conv2d(1, 1, 1))}
MODES_ASKED = {
    "early stop per stain": torch.bfloat16,
    "groups per image": torch.float64,
    "sampled references": torch.bfloat16,
    "signals": torch.float64,
    "tuple": torch.bfloat16,
    "forward only, per stain": torch.float64,
}


@pytest.fixture
def global_state():
    """A function that changes torch's default dtype and seed; the dtype is set back."""

    def change(dtype=torch.bfloat16):
        torch.set_default_dtype(dtype)
        torch.manual_seed(99)

    yield change
    torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(("mode", "dtype"), MODES_ASKED.items())
def test_a_map_does_not_depend_on_the_global_state(mode, dtype, global_state):
    found = tensors_in(MODES[mode]())
    global_state(dtype)
    assert_close(tensors_in(MODES[mode]()), found, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("measure", [name for name in MEASURES if name not in OF_CAPTUM])
def test_a_measure_does_not_depend_on_the_global_state(measure, global_state):
    found = tensors_in(MEASURES[measure]())
    global_state()
    assert_close(tensors_in(MEASURES[measure]()), found, rtol=0, atol=1e-6, equal_nan=True)
