"""A short slice of the fuzz run: the same seeds every time, see docs/testing.md."""

import pytest

from benchmarks.robustness.fuzz import trial

SLICES = [range(start, start + 15) for start in range(0, 90, 15)]


@pytest.mark.parametrize("seeds", SLICES, ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
def test_random_calls_and_hostile_files_end_in_a_right_answer_or_a_clear_error(seeds):
    findings = {seed: wrong for seed in seeds for _, wrong in [trial(seed)] if wrong}
    assert findings == {}
