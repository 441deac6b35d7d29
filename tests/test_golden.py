"""The maps of every mode are those that were kept, on any machine.

From forward passes alone the last digits of scores come back larger: masks are drawn around what
was learned from earlier ones, and those of integer images are rounded. After a change that is meant
to change maps: `python -m benchmarks.robustness.golden`.
"""

import numpy as np
import pytest

from benchmarks.robustness.golden import GOLDEN, numbers, path
from benchmarks.robustness.modes import cases

MODES = dict(cases())


@pytest.mark.parametrize("mode", MODES)
def test_the_map_of_a_mode_is_the_one_that_was_kept(mode):
    tolerance = 2e-2 if mode.startswith("forward only") else 1e-4
    np.testing.assert_allclose(numbers(MODES[mode]), np.loadtxt(path(mode)), rtol=0, atol=tolerance)


def test_every_kept_map_is_of_a_mode():
    assert {kept.name for kept in GOLDEN.glob("*.txt")} == {path(mode).name for mode in MODES}
