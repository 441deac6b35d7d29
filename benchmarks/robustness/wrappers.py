"""Everything that has been seen around a network, for `fuzz_wrappers`: one function a kind.

A kind changes a `Wrapped`: the network, the inputs, or how it is called. Kinds stand in the order
in which they are applied; each has the item of the list of silent faults that it stands for.
"""

from __future__ import annotations

import contextlib
import functools
import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Wrapped:
    """A network with what is around it, and how it is called.

    Attributes:
        forward_func: The network so far.
        inputs: Images of shape (N, C, H, W).
        constructor: Arguments of `PCIM`.
        call: Arguments of `attribute`.
        meaning: What the plain network's scores mean where its map is to be the same.
        has_truth: Whether the map of the plain network is what a right one shows; where it is
            not, only an error or a warning will do.
        around: Opened around the call, in its thread.
        owned: The caller's modules, which a call may not change.
        n_threads: Calls at the same time.
    """

    forward_func: Callable[..., Any]
    inputs: Tensor
    constructor: dict[str, Any] = field(default_factory=dict)
    call: dict[str, Any] = field(default_factory=dict)
    meaning: str = "logits"
    has_truth: bool = True
    around: Callable[[], contextlib.AbstractContextManager[Any]] = contextlib.nullcontext
    owned: list[nn.Module] = field(default_factory=list)
    n_threads: int = 1

    def before(self, dice: random.Random, part: nn.Module) -> None:
        """Put a part before the network."""
        self._chain(dice, part, self.forward_func)

    def after(self, dice: random.Random, part: nn.Module) -> None:
        """Put a part behind the network."""
        self._chain(dice, self.forward_func, part)

    def _chain(self, dice: random.Random, first: Callable[..., Any], then: Any) -> None:
        modules = isinstance(first, nn.Module) and isinstance(then, nn.Module)
        if modules and dice.random() < 0.7:
            self.own(nn.Sequential(first, then))
        else:
            self.forward_func = lambda x: then(first(x))

    def module(self) -> nn.Module:
        """The network, if it is a module."""
        if not isinstance(self.forward_func, nn.Module):
            raise UnfitError
        return self.forward_func

    def eager_module(self) -> nn.Module:
        """The network, if it is one that TorchScript, quantisation and export take."""
        unfit = (PartsInAList, Uncopyable, torch.jit.ScriptModule)
        if any(isinstance(part, unfit) or part.training for part in self.module().modules()):
            raise UnfitError
        return self.module()

    def own(self, module: nn.Module) -> None:
        """Take a module in the network's place."""
        self.owned.append(module)
        self.forward_func = module


class UnfitError(Exception):
    """A kind cannot be put around what is there already."""


Wrap = Callable[[random.Random, Wrapped], None]


@dataclass(frozen=True)
class Kind:
    """A kind of wrapper.

    Attributes:
        item: Of the list of silent faults.
        wrap: Does it.
        group: Of kinds that exclude each other.
    """

    item: int
    wrap: Wrap
    group: str = ""


KINDS: dict[str, Kind] = {}


def _kind(name: str, item: int, group: str = "") -> Callable[[Wrap], Wrap]:
    def keep(wrap: Wrap) -> Wrap:
        KINDS[name] = Kind(item, wrap, group or name)
        return wrap

    return keep


# 1. Parts without a gradient; TorchScript can take all of them


class Rounds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 255).round() / 255


class CastsToIntegers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 255).to(torch.uint8).float() / 255


class Thresholds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x > 0.5).float()


class RoundsScores(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.round()


class Detaches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class BadGradient(nn.Module):
    """Adds nothing, with a gradient that is infinite or NaN where an input is above a limit."""

    def __init__(self, network: nn.Module, limit: float, factor: float) -> None:
        super().__init__()
        self.network = network
        self.limit = limit
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        bad = x > self.limit
        ones = torch.ones_like(x)
        roots = torch.where(bad, x - x.detach(), ones).sqrt() - torch.where(bad, 0 * ones, ones)
        return self.network(x) + (self.factor * roots).sum([1, 2, 3]).unsqueeze(1)


class PartsInAList(nn.Module):
    """Its parameters and its network are where no module looks for them."""

    def __init__(self, network: nn.Module, gradient: bool) -> None:
        super().__init__()
        self.parts = [network]
        self.factors = [torch.ones(1, requires_grad=True)]
        self.gradient = gradient

    def forward(self, x: Tensor) -> Tensor:
        with torch.set_grad_enabled(self.gradient and torch.is_grad_enabled()):
            scores = self.parts[0](x)
        return scores * self.factors[0]


class InNoGrad(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            scores = self.network(x)
        return self.scale * scores


@_kind("rounded inputs", 1)
def _rounded(dice: random.Random, to: Wrapped) -> None:
    to.before(dice, Rounds())


@_kind("inputs cast to integers", 1)
def _cast(dice: random.Random, to: Wrapped) -> None:
    to.before(dice, CastsToIntegers())


@_kind("a hard threshold", 1)
def _threshold(dice: random.Random, to: Wrapped) -> None:
    to.before(dice, Thresholds())


@_kind("rounded scores", 1)
def _rounded_scores(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, RoundsScores())


@_kind("a detached head", 1)
def _detached(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, Detaches())


@_kind("an inner no_grad", 1)
def _no_grad(dice: random.Random, to: Wrapped) -> None:
    if isinstance(to.forward_func, nn.Module):
        to.own(InNoGrad(to.forward_func))
    else:
        to.forward_func = torch.no_grad()(to.forward_func)


@_kind("parts in plain lists", 1)
def _lists(dice: random.Random, to: Wrapped) -> None:
    to.own(PartsInAList(to.module(), gradient=dice.random() < 0.5))


@_kind("NaN or infinite gradients", 1)
def _nan_gradients(dice: random.Random, to: Wrapped) -> None:
    to.own(BadGradient(to.module(), limit=-1.0, factor=dice.choice((0.0, 1.0))))


@_kind("NaN or infinite gradients of some pixels", 1)
def _some_nan_gradients(dice: random.Random, to: Wrapped) -> None:
    limit = float(to.inputs[-1].quantile(dice.choice((0.1, 0.5, 0.999))))
    to.own(BadGradient(to.module(), limit, factor=dice.choice((0.0, 1.0))))


# 3. What scores mean


class Percent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 100 * x


class OneLogit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, 1:2] - x[:, :1]


def _declared(dice: random.Random, to: Wrapped, right: str, *others: str) -> None:
    """Declare what scores mean: mostly right, else nothing or something else."""
    lot = dice.random()
    if lot < 0.5:
        to.constructor["score"] = right
    elif lot > 0.8:
        to.constructor["score"] = dice.choice(others)


@_kind("independent sigmoids", 3, "meaning")
def _sigmoids(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, nn.Sigmoid())
    to.meaning = "binary_logits"
    _declared(dice, to, "binary_probabilities", "probabilities", "binary_logits")


@_kind("softmax", 3, "meaning")
def _softmax(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, nn.Softmax(1))
    _declared(dice, to, "probabilities", "binary_probabilities", "binary_logits")


@_kind("percentages", 3, "meaning")
def _percentages(dice: random.Random, to: Wrapped) -> None:
    kind = dice.choice((nn.Softmax(1), nn.Sigmoid()))
    to.meaning = "logits" if isinstance(kind, nn.Softmax) else "binary_logits"
    to.after(dice, nn.Sequential(kind, Percent()))
    if dice.random() < 0.3:
        to.constructor["score"] = dice.choice(("probabilities", "binary_probabilities"))


@_kind("log-probabilities", 3, "meaning")
def _log_probabilities(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, nn.LogSoftmax(1))
    if dice.random() < 0.3:
        to.constructor["score"] = dice.choice(("probabilities", "binary_probabilities"))


@_kind("logits declared as probabilities", 3, "meaning")
def _called_probabilities(dice: random.Random, to: Wrapped) -> None:
    to.constructor["score"] = dice.choice(("probabilities", "binary_probabilities"))
    to.has_truth = False


@_kind("a network of one logit", 8, "meaning")
def _one_logit(dice: random.Random, to: Wrapped) -> None:
    to.after(dice, OneLogit())
    to.meaning = "first two"
    if dice.random() < 0.4:
        to.after(dice, nn.Sigmoid())
        _declared(dice, to, "probabilities", "binary_probabilities", "binary_logits")
    to.call["target"] = dice.choice((None, 0, 1))
    to.has_truth = to.call["target"] != 1


@_kind("scores that do not move", 5)
def _unmoved(dice: random.Random, to: Wrapped) -> None:
    inner, fixed = to.forward_func, to.inputs[:1].clone()
    to.forward_func = lambda x: inner(fixed.expand_as(x)) + 0 * inner(x)
    to.has_truth = False


# 2. Modes, chance, and what the rest of the batch decides


def _module_in_training(dice: random.Random, to: Wrapped) -> nn.Module:
    part: nn.Module = dice.choice((nn.Dropout(0.5), nn.Dropout2d(0.3), nn.BatchNorm2d(3)))
    if isinstance(to.forward_func, nn.Module):
        module = nn.Sequential(part, to.forward_func)
    else:
        module = nn.Sequential(part)
    module.train()
    return module


@_kind("training mode", 2, "mode")
def _training(dice: random.Random, to: Wrapped) -> None:
    network = to.forward_func
    module = _module_in_training(dice, to)
    if not isinstance(network, nn.Module):
        to.owned.append(module)
        to.forward_func = lambda x: network(module(x))
        return
    to.own(module)
    if dice.random() < 0.3:
        to.own(nn.Sequential(torch.jit.script(nn.Sequential(module[0])), network))
    to.constructor["eval_mode"] = dice.random() < 0.4


@_kind("traced in training mode", 2, "mode")
def _traced_in_training(dice: random.Random, to: Wrapped) -> None:
    module = _module_in_training(dice, to)
    rest = (lambda x: x) if isinstance(to.forward_func, nn.Module) else to.forward_func
    try:
        with torch.no_grad():
            traced = torch.jit.trace(module, to.inputs, check_trace=False).eval()
    except RuntimeError as error:  # parts in lists are constants to TorchScript
        raise UnfitError from error
    to.owned.append(traced)
    to.forward_func = lambda x: rest(traced(x))


@_kind("batch statistics in a function", 2, "mode")
def _batch_statistics(dice: random.Random, to: Wrapped) -> None:
    inner = to.forward_func
    if dice.random() < 0.3:
        norm = nn.BatchNorm2d(to.inputs.shape[1], track_running_stats=False).eval()
        to.owned.append(norm)
        to.forward_func = lambda x: inner(norm(x))
    else:
        to.forward_func = lambda x: inner(F.batch_norm(x, None, None, training=True))


@_kind("functional dropout", 2)
def _dropout(dice: random.Random, to: Wrapped) -> None:
    inner, share = to.forward_func, dice.choice((0.1, 0.3, 0.5))
    to.forward_func = lambda x: inner(F.dropout(x, share, training=True))


@_kind("stochastic depth", 2)
def _stochastic_depth(dice: random.Random, to: Wrapped) -> None:
    inner, share = to.forward_func, dice.choice((0.1, 0.3, 0.5))

    def forward(x: Tensor) -> Any:
        scores = inner(x)
        return scores * (torch.rand(len(x), 1) >= share)

    to.forward_func = forward


# 2 and 9. Forms that a module comes in


@_kind("scripted", 2, "form")
def _scripted(dice: random.Random, to: Wrapped) -> None:
    to.own(torch.jit.script(to.eager_module()))


@_kind("traced", 2, "form")
def _traced(dice: random.Random, to: Wrapped) -> None:
    to.own(torch.jit.trace(to.eager_module(), to.inputs, check_trace=False))


@_kind("quantised to int8", 1, "form")
def _int8(dice: random.Random, to: Wrapped) -> None:
    to.own(torch.ao.quantization.quantize_dynamic(to.eager_module(), {nn.Linear}))


@_kind("exported with a static batch", 9, "form")
def _exported(dice: random.Random, to: Wrapped) -> None:
    rows = torch.rand(dice.choice((1, 2, 3, 5)), *to.inputs.shape[1:])
    to.own(torch.export.export(to.eager_module(), (rows,)).module())


@_kind("compiled", 2, "form")
def _compiled(dice: random.Random, to: Wrapped) -> None:
    torch._dynamo.reset()  # or it gives up compiling after a few of them
    to.own(torch.compile(to.module(), backend="eager"))


class Uncopyable(nn.Module):
    """A module that holds a lock and counts its calls."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.lock = threading.Lock()
        self.register_buffer("n_calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        with self.lock:
            self.n_calls += 1
        return self.network(x)


@_kind("a module that cannot be copied", 2, "form")
def _uncopyable(dice: random.Random, to: Wrapped) -> None:
    to.own(Uncopyable(to.module()).train(to.module().training))


# 2 and 9. What holds a network


class Owner:
    def __init__(self, network: Callable[..., Any]) -> None:
        self.parts = {"network": [network]}

    def __call__(self, x: Tensor) -> Any:
        return self.parts["network"][0](x)

    def scores(self, x: Tensor) -> Any:
        return self(x)


HOLDERS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "a closure": lambda f: lambda x: f(x),
    "a default value": lambda f: lambda x, f=f: f(x),
    "a partial function": lambda f: functools.partial(lambda g, x: g(x), f),
    "a keyword of a partial function": lambda f: functools.partial(lambda x, g: g(x), g=f),
    "an object": Owner,
    "a bound method": lambda f: Owner(f).scores,
    "a decorator": lambda f: functools.wraps(f)(lambda x: f(x)) if _named(f) else lambda x: f(x),
}


def _named(f: Any) -> bool:
    return hasattr(f, "__name__")


def _holder(name: str) -> None:
    @_kind(f"in {name}", 2)
    def wrap(dice: random.Random, to: Wrapped) -> None:
        to.forward_func = HOLDERS[name](to.forward_func)


for _name in HOLDERS:
    _holder(_name)


@_kind("NumPy inside or returned", 9)
def _numpy(dice: random.Random, to: Wrapped) -> None:
    inner, how = to.forward_func, dice.randrange(3)

    def forward(x: Tensor) -> Any:
        if how == 0:
            return inner(torch.from_numpy(x.numpy()))
        scores = inner(x.detach()).detach().numpy()
        return scores if how == 1 else torch.from_numpy(scores)

    to.forward_func = forward


# 5, 7, 8 and 9. How it is called


@_kind("an outer autocast", 7)
def _autocast(dice: random.Random, to: Wrapped) -> None:
    dtype = dice.choice((torch.bfloat16, torch.float16))
    to.around = functools.partial(torch.autocast, "cpu", dtype=dtype)


@_kind("threads", 10)
def _threads(dice: random.Random, to: Wrapped) -> None:
    to.n_threads = 2


@_kind("blank images", 5, "inputs")
def _blank(dice: random.Random, to: Wrapped) -> None:
    to.inputs = torch.full_like(to.inputs, dice.choice((0.0, 0.3, 1.0)))
    to.has_truth = False


@_kind("baselines that are the inputs", 5, "inputs")
def _same(dice: random.Random, to: Wrapped) -> None:
    to.call["baselines"] = to.inputs.clone()
    to.has_truth = False


class Tagged(Tensor):
    """A tensor whose `new_empty` wants a tuple, as MONAI's."""

    def new_empty(self, size: Any, **options: Any) -> Any:  # type: ignore[override]
        assert isinstance(size, tuple)
        return super().new_empty(size, **options)


@_kind("a tensor subclass", 9, "inputs")
def _subclass(dice: random.Random, to: Wrapped) -> None:
    to.inputs = to.inputs.as_subclass(Tagged)


@_kind("one image without a batch axis", 8, "inputs")
def _no_batch(dice: random.Random, to: Wrapped) -> None:
    to.inputs = to.inputs[0]
    to.has_truth = False


@_kind("channels last", 8, "inputs")
def _channels_last(dice: random.Random, to: Wrapped) -> None:
    to.inputs = to.inputs.permute(0, 2, 3, 1).contiguous()
    to.has_truth = False


@_kind("gradients insisted on", 1)
def _insisted(dice: random.Random, to: Wrapped) -> None:
    from captum_pcim import Autograd

    to.constructor["gradients"] = Autograd()


@_kind("evaluation mode asked for", 2)
def _asked(dice: random.Random, to: Wrapped) -> None:
    to.constructor["eval_mode"] = True


@_kind("small batches", 2)
def _small_batches(dice: random.Random, to: Wrapped) -> None:
    to.call["internal_batch_size"] = dice.choice((1, 2, 3))


@contextlib.contextmanager
def unchanged(modules: list[nn.Module]) -> Iterator[list[str]]:
    """Yield a list that afterwards names what has changed of modules: tensors, modes, gradients."""
    before = [_state(module) for module in modules]
    changed: list[str] = []
    yield changed
    for module, was in zip(modules, before, strict=True):
        changed += [
            name for name, value in _state(module).items() if not _same_value(value, was.get(name))
        ]


def _state(module: nn.Module) -> dict[str, Any]:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    values: dict[str, Any] = {name: value.detach().clone() for name, value in tensors.items()}
    for name, parameter in module.named_parameters():
        values[f"{name}.requires_grad"] = parameter.requires_grad
        values[f"{name}.grad"] = parameter.grad is None
    modes = {f"{name}.training": part.training for name, part in module.named_modules()}
    return values | modes


def _same_value(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))
    return bool(one == other)
