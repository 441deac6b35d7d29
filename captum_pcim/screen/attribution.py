"""``[attribution]`` of a screen: the options of PCIM as a configuration names them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from types import ModuleType
from typing import Any, Literal

import torch

from captum_pcim.core import objective, references
from captum_pcim.core.channels import Factorised, Isolation, PerStain, SharedOverStains
from captum_pcim.core.gradients import Autograd, ForwardOnly, Gradients
from captum_pcim.core.smoothing import Smoothing
from captum_pcim.pcim import DEFAULT_LEARNING_RATE, DEFAULT_STEPS
from captum_pcim.screen.toml import ConfigError, Table, check, from_tables

IsolationName = Literal["shared", "per_stain", "factorised"]
Named = str | dict[str, Any]
"""The name of a class, or a table of its ``name`` and its arguments."""

ISOLATIONS: dict[str, Callable[[], Isolation]] = {
    "shared": SharedOverStains,
    "per_stain": PerStain,
    "factorised": Factorised,
}
N_FORWARDS = ForwardOnly().n_forwards


@dataclass(frozen=True)
class AttributionSettings(Table):
    """How PCIM explains an image; what is left out is as :class:`captum_pcim.PCIM` has it.

    Args:
        contrast: Names or numbers of the classes to tell the target from, as in ``["control"]``;
            empty: all others. An image of one of them is told from all others.
        isolation: ``"shared"`` over the stains, ``"per_stain"`` or ``"factorised"``.
        smoothing: Standard deviation in pixels, or a table of the arguments of
            :class:`captum_pcim.Smoothing`.
        objective: Terms of :mod:`captum_pcim.core.objective`, each its name, or a table of its name
            and arguments: ``["Preservation", {name = "Area", start = 2, end = 20}]``.
        references: Those of :mod:`captum_pcim.core.references`, written likewise.
        order: ``"cycle"`` through the references, or ``"sample"`` one per step.
        gradients: ``"auto"``, ``"autograd"``, ``"cuda_graphs"`` (the same with its steps replayed
            on a GPU), or ``"forward_only"``.
        n_forwards: Passes per image with ``"forward_only"``.
        perturbations_per_eval: With it, masked images per image in one call of the network.
        autocast: Run the network in ``"float16"`` or ``"bfloat16"``; empty: as it is.
        eval_mode: Explain the network as it would be in evaluation mode.
        n_steps: Optimisation steps; 0 means PCIM's own default.
        learning_rate: Of the optimiser.
        tolerance: Stop an image whose weights change by less.
        seed: Part of every image's own seed.
    """

    contrast: list[int | str] = field(default_factory=list)
    isolation: IsolationName = "shared"
    smoothing: float | dict[str, Any] | None = None
    objective: list[Named] = field(default_factory=list)
    references: list[Named] = field(default_factory=list)
    order: Literal["cycle", "sample"] = "cycle"
    gradients: Literal["auto", "autograd", "cuda_graphs", "forward_only"] = "auto"
    n_forwards: int = N_FORWARDS
    perturbations_per_eval: int = 1
    autocast: Literal["", "float16", "bfloat16"] = ""
    eval_mode: bool = False
    n_steps: int = 0
    learning_rate: float = DEFAULT_LEARNING_RATE
    tolerance: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Checks the entries, by making of them what they stand for."""
        steps = self.n_steps == 0 or self.n_steps >= 2
        check(steps, "attribution.n_steps", "2 or more, or 0 for PCIM's own", self.n_steps)
        for name in ("n_forwards", "perturbations_per_eval"):
            value = getattr(self, name)
            check(value >= 1, f"attribution.{name}", "1 or more", value)
        rate, tolerance = self.learning_rate, self.tolerance
        check(0 < rate < math.inf, "attribution.learning_rate", "a number above 0", rate)
        check(0 <= tolerance < 1, "attribution.tolerance", "0 or more and below 1", tolerance)
        forward_only = self.gradients == "forward_only"
        check(
            forward_only or self.n_forwards == N_FORWARDS,
            "attribution.n_forwards",
            "gradients = 'forward_only'",
            self.gradients,
        )
        self.options()

    def options(self) -> dict[str, Any]:
        """Arguments of :class:`captum_pcim.PCIM`."""
        return {
            "isolation": ISOLATIONS[self.isolation](),
            "smoothing": _smoothing(self.smoothing),
            "objective": _made("attribution.objective", objective, self.objective),
            "references": _made("attribution.references", references, self.references),
            "order": self.order,
            "gradients": self._gradients(),
            "autocast_dtype": getattr(torch, self.autocast) if self.autocast else None,
            "eval_mode": self.eval_mode,
            "seed": self.seed,
        }

    def arguments(self) -> dict[str, Any]:
        """Arguments of its `attribute`."""
        return {
            "n_steps": self.n_steps or DEFAULT_STEPS,
            "learning_rate": self.learning_rate,
            "tolerance": self.tolerance,
            "perturbations_per_eval": self.perturbations_per_eval,
        }

    def said(self) -> list[str]:
        """The same as texts, equal where they mean the same."""
        return [f"{name}={value!r}" for name, value in (self.options() | self.arguments()).items()]

    def _gradients(self) -> Gradients:
        if self.gradients == "forward_only":
            return ForwardOnly(self.n_forwards)
        if self.gradients == "auto":
            return "auto"
        return Autograd(cuda_graphs=self.gradients == "cuda_graphs")


def _smoothing(given: float | dict[str, Any] | None) -> Smoothing | None:
    if given is None:
        return None
    arguments = given if isinstance(given, dict) else {"sigma": given}
    made: Smoothing = _one("attribution.smoothing", Smoothing, arguments)
    return made


def _made(entry: str, module: ModuleType, given: Sequence[Named]) -> tuple[Any, ...] | None:
    """The objects of a module's classes that names and tables stand for; None for none."""
    kinds: dict[Any, Any] = {
        name: kind
        for name, kind in vars(module).items()
        if is_dataclass(kind) and "__call__" in vars(kind) and name != "ControlImages"
    }
    made = []
    for one in given:
        arguments = {"name": one} if isinstance(one, str) else dict(one)
        name = arguments.pop("name", None)
        check(name in kinds, entry, f"names among {sorted(kinds)}", one)
        made.append(_one(f"{entry}.{name}", kinds[name], arguments))
    return tuple(made) or None


def _one(entry: str, kind: Any, arguments: dict[str, Any]) -> Any:
    known = sorted(each.name for each in fields(kind))
    for name in arguments:
        check(name in known, entry, f"some of {known}", name)
    try:
        return from_tables(kind, arguments)
    except ConfigError as error:
        lines = (line.removeprefix(": ") for line in str(error).splitlines())
        raise ConfigError("\n".join(f"{entry}: {line}" for line in lines)) from error
