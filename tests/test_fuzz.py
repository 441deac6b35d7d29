"""A short slice of the fuzz run, the same seeds every time, and its judge; see docs/testing.md."""

import random
import warnings

import pytest
import torch

from benchmarks.robustness import fuzz_wrappers
from benchmarks.robustness.fuzz import trial
from benchmarks.robustness.fuzz_wrappers import KINDS
from captum_pcim import PCIM
from captum_pcim.core.reachable import reachable_modules

# A map of forward passes alone is always told of, so it is never compared.
pytestmark = pytest.mark.usefixtures("few_forwards")
SLICES = [range(start, start + 15) for start in range(0, 90, 15)]


@pytest.mark.parametrize("seeds", SLICES, ids=lambda seeds: f"{seeds.start} to {seeds.stop - 1}")
def test_random_calls_wrapped_networks_and_hostile_files_end_right_or_with_a_word(seeds):
    findings = {seed: outcome.wrong for seed in seeds if (outcome := trial(seed)).wrong}
    assert findings == {}


def wrapped(kind, explainer=PCIM, seed=0):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fuzz_wrappers.trial(random.Random(seed), explainer, (kind,))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_wrapper_can_be_put_around_a_network_and_ends_right_or_with_a_word(kind):
    outcome = wrapped(kind)
    assert outcome.kinds == (kind,)
    assert outcome.wrong == ""


# The judge


@pytest.mark.parametrize(
    "kind", ["scores that do not move", "blank images", "baselines that are the inputs"]
)
def test_a_map_is_reported_where_the_warnings_of_the_package_are_taken_away(kind, monkeypatch):
    assert wrapped(kind).end == "warned"
    monkeypatch.setattr("captum_pcim.core.warn.warnings.warn", lambda *_, **__: None)
    outcome = wrapped(kind)
    assert outcome.end == "wrong" and outcome.wrong == "a map without a word"


def explaining(change):
    """Return an explainer whose maps are changed without a word."""

    class Wrong(PCIM):
        def attribute(self, inputs, **arguments):
            return change(self, super().attribute(inputs, **arguments))

    return Wrong


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda pcim, maps: torch.full_like(maps, 0.5), "rank correlation"),
        (lambda pcim, maps: maps * torch.nan, "weights from nan"),
        (lambda pcim, maps: maps.roll(8, -1), "rank correlation"),
        (lambda pcim, maps: 0.1 * maps, "highest weight 0.10 times"),
        (lambda pcim, maps: 0.6 + 0.4 * maps, "mean weight"),
        (lambda pcim, maps: 2 * maps, "weights from"),
        (lambda pcim, maps: 1 / 0, "ZeroDivisionError"),
    ],
    ids=["flat", "NaN", "elsewhere", "faint", "everywhere", "above one", "another error"],
)
def test_a_wrong_map_is_reported(change, found):
    assert wrapped("in a closure").end == "right"
    outcome = wrapped("in a closure", explaining(change))
    assert outcome.end == "wrong" and found in outcome.wrong


def test_a_call_that_changes_a_module_of_the_callers_is_reported():
    def change(pcim, maps):
        network = next(iter(reachable_modules(pcim.forward_func).values()))
        network[-1].bias.data += 1
        return maps

    assert "changed [" in wrapped("in a closure", explaining(change)).wrong


def test_the_map_of_the_plain_network_agrees_with_itself_up_to_a_little():
    plain = torch.zeros(16, 16)
    plain[4:9, 4:9] = 1
    assert fuzz_wrappers.disagreement(plain, plain) == ""
    assert fuzz_wrappers.disagreement(0.8 * plain + 0.01, plain) == ""
