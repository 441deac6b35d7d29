"""What the checks of a call cost: gradient, batch, meaning of scores, references, verdicts.

The passes over the references count as checks here, although the method reads their scores too.
"""

from __future__ import annotations

import argparse
import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from unittest import mock

import torch
from torch import Tensor, nn

import captum_pcim.core.prepare as prepare_module
import captum_pcim.pcim as pcim_module
from benchmarks.results import Cell, Spread, Table
from benchmarks.speed.networks import build
from benchmarks.speed.timing import in_turn
from captum_pcim import PCIM
from captum_pcim.core.verdict import Doubts

FEWEST_REPEATS = 15
CASES = {"small CNN": 64, "ResNet-50": 32}
BATCHES = (8, 1)
SEEN = 60.0  # log-odds for a standard deviation of 1
NOTE = (
    "Passes and rows that a call makes for its checks, counted, and seconds inside them as a share "
    "of the call, medians with the lowest and the highest. A pass is one over the batch of the "
    "call. 'With / without' is the time of a call over one whose checks do nothing, in turn. Where "
    "a default reference shows the class, others are tried for that image; here for every image, "
    "and none is found."
)

_CHECKS: dict[tuple[Any, str], Callable[..., Any]] = {
    (pcim_module, "check_mode"): lambda view, eval_mode: None,
    (prepare_module, "check_meaning"): lambda scores, kind: None,
    (prepare_module, "check_gradient"): lambda problem, images, rounding: 0,
    (prepare_module, "reference_log_odds"): lambda problem, images, r: images.full.log_odds - 8,
    (prepare_module, "with_other_references"): lambda problem, images, odds, nothing: (
        images, odds, torch.zeros_like(images.full.log_odds, dtype=torch.int64),
    ),
    (Doubts, "warn"): lambda doubts, names: None,
}  # fmt: skip


def checks(arguments: argparse.Namespace) -> Table:
    """Passes, rows and time of the checks, where no reference shows the class and where all do."""
    repeats = max(FEWEST_REPEATS, arguments.repeats)
    rows: list[list[Cell]] = []
    for network, side in CASES.items():
        for batch in BATCHES:
            for shown in (False, True):
                if shown and batch == 1:
                    continue
                rows.append(_measured(network, side, batch, shown, repeats, arguments.device))
    header = ["case", "passes", "rows", "share of the time", "with / without"]
    return Table("What the checks cost", header, rows, f"{NOTE} {repeats} repeats.")


def _measured(
    network: str, side: int, batch: int, shown: bool, repeats: int, device: str
) -> list[Cell]:
    model = build(network, 3, side, 10, device)
    model = model if shown else Sees(model).eval()
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(batch, 3, side, side, generator=generator).to(device)
    rows_of_checks = rows_of(model, inputs) - rows_of(model, inputs, checked=False)
    shares: list[float] = []

    def with_checks() -> None:
        clock = _Clock()
        started = time.perf_counter()
        with clock.around_checks():
            _attribute(model, inputs)
        shares.append(clock.seconds / (time.perf_counter() - started))

    def without() -> None:
        with _unchecked():
            _attribute(model, inputs)

    pairs = in_turn(with_checks, without, repeats)
    counted = shares[-repeats:]  # the first one does not count
    case = f"{network}, {side} px, batch {batch}{', references show the class' if shown else ''}"
    share = Spread.of(median(counted), min(counted), max(counted))
    return [case, f"{rows_of_checks / batch:.3g}", str(rows_of_checks), share, pairs.spread]


class Sees(nn.Module):
    """A network that has its class where an image has structure, so that no reference shows it."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        scores: Tensor = self.network(images)
        structure = SEEN * (images.flatten(1).std(1) - 0.15)
        return scores + torch.stack([structure * (i == 1) for i in range(scores.shape[1])], 1)


def _attribute(model: Callable[..., Any], inputs: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PCIM(model).attribute(inputs, target=1)


def rows_of(model: nn.Module, inputs: Tensor, checked: bool = True) -> int:
    """Rows that the network sees in a call."""
    seen: list[int] = []

    def counted(images: Tensor) -> Tensor:
        seen.append(len(images))
        scores: Tensor = model(images)
        return scores

    with contextlib.nullcontext() if checked else _unchecked():
        _attribute(counted, inputs)
    return sum(seen)


@contextlib.contextmanager
def _unchecked() -> Iterator[None]:
    """Have the checks do nothing."""
    with contextlib.ExitStack() as stack:
        for (owner, name), nothing in _CHECKS.items():
            stack.enter_context(mock.patch.object(owner, name, nothing))
        yield


@dataclass
class _Clock:
    """Adds up the seconds inside the checks.

    Attributes:
        seconds: So far.
    """

    seconds: float = field(default=0.0)

    @contextlib.contextmanager
    def around_checks(self) -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for owner, name in _CHECKS:
                timed = self._timed(getattr(owner, name))
                stack.enter_context(mock.patch.object(owner, name, timed))
            yield

    def _timed(self, check: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return check(*arguments)
            finally:
                self.seconds += time.perf_counter() - started

        return timed
