"""A short slice of the fuzz run: the same seeds every time, see docs/testing.md."""

import pytest

from benchmarks.robustness.fuzz import trial

SLICES = [range(start, start + 15) for start in range(0, 90, 15)]


@pytest.mark.parametrize("seeds", SLICES, ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
def test_random_calls_wrapped_networks_and_hostile_files_end_right_or_with_a_word(seeds):
    findings = {seed: outcome.wrong for seed in seeds if (outcome := trial(seed)).wrong}
    assert findings == {}
