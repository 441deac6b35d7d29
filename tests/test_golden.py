"""The map of every mode, and what is told of it, are those that were kept, on any machine.

From forward passes alone the last digits of scores come back larger: masks are drawn around what
was learned from earlier ones, and those of integer images are rounded. After a change that is meant
to change maps: `python -m benchmarks.robustness.golden`.
"""

from functools import cache

import numpy as np
import pytest

from benchmarks.robustness.golden import GOLDEN, found, kept, path
from benchmarks.robustness.modes import cases

MODES, TOLD = dict(cases()), kept("told")


@cache
def _found(mode):
    return found(MODES[mode])


def _tolerance(mode):
    return 2e-2 if mode.startswith("forward only") else 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_the_map_of_a_mode_is_the_one_that_was_kept(mode):
    weights = np.loadtxt(path(mode))
    np.testing.assert_allclose(_found(mode).weights, weights, rtol=0, atol=_tolerance(mode))


@pytest.mark.parametrize("mode", MODES)
def test_what_is_told_of_a_map_is_what_was_kept(mode):
    own = _found(mode)
    words, *names = TOLD[mode]
    assert own.words == TOLD[mode][words]
    assert [*own.told] == names
    for name, values in own.told.items():
        expected = np.array(TOLD[mode][name])
        size = max(1.0, np.nanmax(np.abs(expected)))
        np.testing.assert_allclose(values, expected, rtol=0, atol=10 * _tolerance(mode) * size)


def test_every_kept_map_is_of_a_mode():
    assert {kept.name for kept in GOLDEN.glob("*.txt")} == {path(mode).name for mode in MODES}
    assert TOLD.keys() == MODES.keys()
