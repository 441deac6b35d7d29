"""Cross-check against Quantus, where it is installed."""

import pytest

pytest.importorskip("quantus", reason="Quantus is optional: pip install --group bench")

from benchmarks.quality.quantus_check import SIZES, largest_differences


@pytest.mark.parametrize("size", SIZES)
def test_measures_agree_with_quantus(size):
    differences = largest_differences(size, seed=1)
    assert differences == pytest.approx(dict.fromkeys(differences, 0), abs=2e-5)
