"""Any set of attribution methods on the same images, side by side."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from captum_pcim._compat import scores_of
from captum_pcim._errors import noting_warnings
from captum_pcim.comparison.methods import LogOdds, Method, as_method
from captum_pcim.comparison.metrics import Case, Metric, default_metrics
from captum_pcim.comparison.result import Comparison, MethodResult
from captum_pcim.comparison.trivial import trivial_methods
from captum_pcim.core.checks import check_positive, kind_of
from captum_pcim.core.scores import ScoreKind
from captum_pcim.core.targets import check_target
from captum_pcim.core.warn import PCIMWarning
from captum_pcim.metrics import Curve, chance_levels
from captum_pcim.metrics.relevance import as_masks

# What Captum says when its methods are used as they are meant to be used.
_NOTICES = (
    "Input Tensor . did not already require gradients",
    "Setting forward, backward hooks",
    "Setting backward hooks on ReLU",
    "You are providing multiple inputs for Lime",
)


def compare(
    methods: Mapping[str, Any],
    inputs: Tensor,
    target: int | Sequence[int] | Tensor | None = None,
    masks: Tensor | None = None,
    metrics: Mapping[str, Metric] | None = None,
    *,
    forward_func: Callable[..., Tensor] | None = None,
    score: ScoreKind | None = None,
    trivial: bool = True,
    batch_size: int = 8,
    seed: int = 0,
) -> Comparison:
    """Run methods on the same images and score their maps with the same metrics.

    Args:
        methods: By name: a :class:`~captum_pcim.comparison.Method`, or an attribution object, an
            (object, arguments) pair or a function of (inputs, target=...), all three with the
            signed mean over stains.
        inputs: Images of shape (N, C, H, W), floating point.
        target: Class of all images or of each; None for a network with a single output.
        masks: Truth, bool or labels of shape (N, 1, H, W) or (N, H, W), for localisation.
        metrics: By name, functions of a case and maps, see
            :mod:`captum_pcim.comparison.metrics`. Default:
            :func:`~captum_pcim.comparison.default_metrics`.
        forward_func: The network. Default: that of the first attribution object.
        score: What the network's scores mean, see :mod:`captum_pcim.core.scores`. Default: what the
            methods were told, as PCIM is, and "logits" where none was.
        trivial: Also run the maps of :mod:`captum_pcim.comparison.trivial`, which any method has
            to beat.
        batch_size: Images that a method is given at once.
        seed: Of torch's and NumPy's global generators at the start of each method; their state is
            put back.

    Returns:
        The maps, scores, curves and costs.

    Raises:
        TypeError, ValueError: For arguments that do not fit; the message names the argument.

    Examples:
        >>> comparison = compare(
        ...     {"PCIM": PCIM(model), "Occlusion": (Occlusion(model), {"strides": (3, 4, 4),
        ...      "sliding_window_shapes": (3, 9, 9)}), "mine": my_function},
        ...     inputs, target=1, masks=masks)
        >>> print(comparison)
        >>> comparison.plot().savefig("maps.png")
    """
    targets = _checked_target(inputs, target)
    batch_size = check_positive("batch_size", batch_size)
    if masks is not None:
        as_masks(masks, inputs[:, 0])  # refused now, not when the first method is done
    chosen = {name: as_method(value) for name, value in methods.items()}
    if not chosen:
        raise ValueError("methods: expected at least one, got none")
    network = forward_func or _first_forward_func(chosen.values())
    if trivial:
        chosen |= {name: Method(function) for name, function in trivial_methods().items()}
    case = Case(network, inputs, targets, masks, score or _score_of(chosen))
    if metrics is None:
        metrics = default_metrics(masks is not None)
    runs = {name: _run(method, case, metrics, batch_size, seed) for name, method in chosen.items()}
    levels = {} if masks is None else chance_levels(masks)
    return Comparison(case, runs, {name: levels[name] for name in metrics if name in levels})


def _checked_target(inputs: Tensor, target: int | Sequence[int] | Tensor | None) -> Tensor | None:
    if not isinstance(inputs, Tensor) or inputs.ndim != 4 or not inputs.is_floating_point():
        found = tuple(inputs.shape) if isinstance(inputs, Tensor) else type(inputs).__name__
        raise ValueError(f"inputs: expected a floating point tensor (N, C, H, W), got {found}")
    if isinstance(target, str) or callable(target):
        raise TypeError(
            f"target: expected classes, the same for all methods, got {target!r}; pass "
            "model(inputs).argmax(1)"
        )
    checked = check_target(target, len(inputs))
    if isinstance(checked, tuple) or (isinstance(checked, Tensor) and checked.ndim > 1):
        raise ValueError(f"target: expected one class, or one for each image, got {target!r}")
    if checked is None:
        return None
    return torch.as_tensor(checked, device=inputs.device).expand(len(inputs))


def _forward_func(method: Method) -> Any:
    return getattr(method.attribution, "forward_func", getattr(method.attribution, "model", None))


def _first_forward_func(methods: Iterable[Method]) -> Callable[..., Tensor]:
    for method in methods:
        found = _forward_func(method)
        if found is not None:
            network: Callable[..., Tensor] = found
            return network.forward_func if isinstance(network, LogOdds) else network
    raise ValueError("forward_func: needed where no method is an attribution object, got None")


def _score_of(methods: Mapping[str, Method]) -> ScoreKind:
    """What the methods that were told what scores mean were told."""
    told: dict[str, ScoreKind] = {}
    for name, method in methods.items():
        for holder in (method.attribution, _forward_func(method)):
            kind: Any = getattr(holder, "score", None)
            if kind in get_args(ScoreKind):
                told[name] = kind
    if len(set(told.values())) > 1:
        raise ValueError(f"score: the methods were told different things, {told}; say which holds")
    return next(iter(told.values()), "logits")


def _run(
    method: Method, case: Case, metrics: Mapping[str, Metric], batch_size: int, seed: int
) -> MethodResult:
    n_images = len(case.inputs)
    with (
        _counting(method, case.forward_func) as passes,
        _seeded(seed),
        _without_notices(),
        noting_warnings() as warned,
    ):
        started = _now(case.inputs)
        maps = torch.cat(
            [
                method.maps(case.inputs[rows], None if case.target is None else case.target[rows])
                for rows in torch.arange(n_images, device=case.inputs.device).split(batch_size)
            ]
        )
        seconds = (_now(case.inputs) - started) / n_images
    results = {name: _scored(name, metric(case, maps)) for name, metric in metrics.items()}
    return MethodResult(
        maps=maps,
        reduce=method.reduce,
        seconds=seconds,
        forwards=None if passes is None else passes.forwards / n_images,
        backwards=None if passes is None else passes.backwards / n_images,
        scores={n: r.auc if isinstance(r, Curve) else r for n, r in results.items()},
        curves={n: r for n, r in results.items() if isinstance(r, Curve)},
        notes=tuple(dict.fromkeys(w.note for w in warned if isinstance(w, PCIMWarning))),
    )


def _scored(name: str, result: Any) -> Tensor | Curve:
    if isinstance(result, (Tensor, Curve)):
        return result
    raise TypeError(
        f"metrics: expected {name!r} to return scores (N,) or a Curve, got {kind_of(result)}"
    )


def _now(inputs: Tensor) -> float:
    if inputs.is_cuda:
        torch.cuda.synchronize(inputs.device)
    return time.perf_counter()


@dataclass
class Passes:
    """Rows (images, however they were batched) that went through a network.

    Attributes:
        forwards: Rows that were scored.
        backwards: Rows that a gradient was propagated back from.
    """

    forwards: int = 0
    backwards: int = 0


@contextlib.contextmanager
def count_passes(module: nn.Module) -> Iterator[Passes]:
    """Count what goes through a module while the context is open.

    A forward hook looks at the scores and a tensor hook at their gradient; neither changes
    anything, so methods that use hooks themselves work as without it. Copies of the module made
    inside the context are counted too.

    Args:
        module: The network; it must return a tensor with one row per image.

    Yields:
        The counts so far.
    """
    passes = Passes()
    # A function rather than a method of Passes: copy.deepcopy(module) would copy the counts.
    handle = module.register_forward_hook(lambda _module, _inputs, output: _note(passes, output))
    try:
        yield passes
    finally:
        handle.remove()


def counted(function: Callable[..., Any], passes: Passes) -> Callable[..., Any]:
    """Return a function that does the same as a forward function and counts its rows.

    Args:
        function: Returns a tensor with one row per image.
        passes: Where to count.
    """

    def forward(*args: Any, **kwargs: Any) -> Any:
        scores = function(*args, **kwargs)
        _note(passes, scores)
        return scores

    return forward


def _note(passes: Passes, output: Any) -> None:
    scores = scores_of(output)
    passes.forwards += len(scores)
    if scores.requires_grad:
        scores.register_hook(lambda gradient: _note_gradient(passes, gradient))


def _note_gradient(passes: Passes, gradient: Tensor) -> None:
    passes.backwards += len(gradient)


@contextlib.contextmanager
def _counting(method: Method, network: Callable[..., Tensor]) -> Iterator[Passes | None]:
    """Count the passes of the network that the method holds, else of the comparison's."""
    own = _forward_func(method)
    counted_network = network if own is None else own
    scripted = isinstance(counted_network, torch.jit.ScriptModule)
    if isinstance(counted_network, nn.Module) and not scripted:
        with count_passes(counted_network) as passes:
            yield passes
        return
    if own is None:
        yield None
        return
    # Functions and TorchScript take no hooks, so the attribution object is lent a counting one.
    passes = Passes()
    owners = [method.attribution, getattr(method.attribution, "attribution_method", None)]
    holders = [owner for owner in owners if getattr(owner, "forward_func", None) is own]
    for holder in holders:
        holder.forward_func = counted(own, passes)  # type: ignore[union-attr]
    try:
        yield passes
    finally:
        for holder in holders:
            holder.forward_func = own  # type: ignore[union-attr]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators, which some of Captum's methods draw from, for a while."""
    state = np.random.get_state()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


@contextlib.contextmanager
def _without_notices() -> Iterator[None]:
    with warnings.catch_warnings():
        for notice in _NOTICES:
            warnings.filterwarnings("ignore", message=notice, category=UserWarning)
        yield
