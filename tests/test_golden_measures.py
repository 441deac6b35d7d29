"""The numbers that metrics and comparisons give are those that were kept, on any machine.

What they ought to be is told, case by case, in the tests of each; here it is seen that none changes
unasked. After a change that is meant to: `python -m benchmarks.robustness.golden`.
"""

import numpy as np
import pytest

from benchmarks.robustness.golden import kept, measured
from benchmarks.robustness.measures import panel

MEASURES, KEPT = dict(panel()), kept("measures")


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measure_gives_the_numbers_that_were_kept(measure):
    (dtypes, found), (kept_dtypes, *numbers) = measured(MEASURES[measure]), KEPT[measure]
    assert dtypes == kept_dtypes
    expected = np.array(numbers)
    size = np.nanmax(np.abs(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * size)


def test_every_kept_number_is_of_a_measure():
    assert KEPT.keys() == MEASURES.keys()
