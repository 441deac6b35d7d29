"""One call of `attribute`: its images chunk by chunk, their maps, and what is told about them."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_pcim._compat import progress
from captum_pcim.core.call import Call, Maps
from captum_pcim.core.checks import check_class_range, check_scores
from captum_pcim.core.chunks import in_chunks
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.gradients import (
    Autograd,
    ForwardOnly,
    Gradients,
    GradientSource,
    NotDifferentiable,
    differentiable_output,
)
from captum_pcim.core.network import CallArguments, usable
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.scores import (
    Calibration,
    between,
    read_scores,
    select_classes,
    tempered,
    warn_of_probabilities,
)
from captum_pcim.core.solver import Solution, Solve

Explained = tuple[Maps, Diagnostics | None]


def explain(call: Call, gradients: Gradients) -> Explained:
    """Explain all images with the gradients that were asked for, or that there are."""
    if isinstance(gradients, GradientSource):
        return _explain_with(gradients, call)
    output = None
    if all(dtype.is_floating_point for dtype in call.network.dtypes):
        try:
            return _explain_with(Autograd(), call, probing=True)
        except NotDifferentiable as found:
            output = found.output
    warnings.warn(
        "forward_func: not differentiable with respect to its inputs; explaining it from "
        f"{ForwardOnly().n_forwards} forward passes per image (pass "
        "gradients=ForwardOnly(...) to choose, or gradients=Autograd() to insist)",
        stacklevel=4,
    )
    return _explain_with(ForwardOnly(), call, known_output=output)


def _explain_with(
    source: GradientSource,
    call: Call,
    probing: bool = False,
    known_output: Tensor | None = None,
) -> Explained:
    network, solve = source.solver(call.network, call.load, call.seed)
    problem = Problem(network, call.objective, call.score)
    explainer = _Explainer(call, problem, solve, probing, known_output)
    total = source.n_updates(call.load, call.settings.n_steps)
    hidden = not call.show_progress
    with progress(total=total, desc="PCIM attribution", disable=hidden) as bar:
        parts = in_chunks(
            call.load.n_images,
            source.images_at_once(call.load),
            lambda start, stop: explainer(start, stop, bar.update),
        )
    return _joined(parts)


def _joined(parts: Sequence[Explained]) -> Explained:
    maps = tuple(torch.cat(own) for own in zip(*(m for m, _ in parts), strict=True))
    diagnostics = [d for _, d in parts if d is not None]
    return maps, Diagnostics.concatenate(diagnostics) if diagnostics else None


@dataclass(frozen=True)
class _Explainer:
    """Explains chunks of a call with one source of gradients.

    Args:
        call (Call): The call.
        problem (Problem): Network, objective and the meaning of scores.
        solve (Callable): The solver, or what stands in for it.
        probing (bool): See at the first images whether the network is differentiable.
        known_output (Tensor, optional): The network's output of the first images, where it was
            already called with them.
    """

    call: Call
    problem: Problem
    solve: Solve
    probing: bool
    known_output: Tensor | None

    def __call__(self, start: int, stop: int, on_step: Callable[..., object]) -> Explained:
        """Explain the images from start to stop together."""
        images = self._prepare(start, stop)
        solution = self.solve(self.problem, images, self.call.settings, on_step)
        with torch.no_grad():
            weights = images.channels.weights(solution.factors)
            maps = tuple(
                w.expand_as(x).to(x.dtype).contiguous()
                for w, x in zip(weights, (x[start:stop] for x in self.call.inputs), strict=True)
            )
            diagnose = self.call.diagnose
            return maps, self._diagnose(images, solution, weights) if diagnose else None

    def _prepare(self, start: int, stop: int) -> Images:
        """Gather the images of one chunk and score them as they are."""
        rows = torch.arange(start, stop, device=self.call.inputs[0].device)
        inputs = tuple(training_dtype(x[start:stop]) for x in self.call.inputs)
        references = [tuple(map(usable, r)) for r in self.call.make_references(inputs, rows)]
        arguments = self.call.arguments.take(rows)
        with torch.no_grad():
            output = self._output(start, inputs, arguments)
            scores, classes = select_classes(output, arguments.target)
            check_scores(scores)
            check_class_range(classes, scores.shape[1])
            if self.problem.score == "logits":
                warn_of_probabilities(scores)
            if self.problem.score == "regression":
                empty = self._reference_scores(inputs, references, arguments)
                calibration = between(empty, scores)
            else:
                calibration = tempered(read_scores(scores, classes, self.problem.score).log_odds)
            full = read_scores(scores, classes, self.problem.score, calibration)
        channels = self.call.channels.take(rows)
        return Images(inputs, references, arguments, channels, full, calibration)

    def _output(self, start: int, inputs: Maps, arguments: CallArguments) -> Tensor:
        """Return the network's output of the images, without asking twice for what is known."""
        if self.probing and start == 0:
            return differentiable_output(self.problem.network, inputs, arguments)
        known = self.known_output[: len(inputs[0])] if self.known_output is not None else None
        n_known = len(known) if known is not None and start == 0 else 0
        unknown = torch.arange(n_known, len(inputs[0]), device=inputs[0].device)
        parts = [known] if known is not None and n_known else []
        if len(unknown):
            # Indexing copies, because a network may work in place on what it is given.
            rest = tuple(x[unknown] for x in inputs)
            parts.append(self.problem.network(rest, arguments.take(unknown)))
        return torch.cat(parts)

    def _scores(self, inputs: Maps, arguments: CallArguments) -> tuple[Tensor, Tensor]:
        return select_classes(self.problem.network(inputs, arguments), arguments.target)

    def _reference_scores(
        self, inputs: Maps, references: list[Maps], arguments: CallArguments
    ) -> Tensor:
        """Return the scores averaged over the references, of shape (N, K)."""
        batches = (
            tuple(r.expand_as(x).clone() for r, x in zip(reference, inputs, strict=True))
            for reference in references
        )
        scores = [training_dtype(self._scores(batch, arguments)[0]) for batch in batches]
        return torch.stack(scores).mean(0)

    def _diagnose(self, images: Images, solution: Solution, weights: Maps) -> Diagnostics:
        """Score the blends and complements of the trained weights against every reference."""
        n_references = len(images.references)
        n_forwards = 1 + solution.n_forwards
        full = images.full.probability
        if self.problem.score == "regression":
            n_forwards = n_forwards + n_references
        else:
            untempered = torch.ones_like(images.calibration.scale)
            odds = images.full.log_odds / images.calibration.scale.squeeze(1)
            full = odds.sigmoid()
            images = replace(images, calibration=Calibration(0 * untempered, untempered))
        both = [self.problem.scores(images, weights, r) for r in range(n_references)]
        preserved = torch.stack([kept.probability for kept, _ in both]).mean(0)
        removed = torch.stack([lost.probability for _, lost in both]).mean(0)
        n_forwards = n_forwards + 2 * n_references * preserved.isfinite()
        tiny = torch.finfo(full.dtype).tiny
        stains = images.channels.stain_weights(solution.factors)
        return Diagnostics(
            full_probability=full.cpu(),
            preserved_probability=preserved.cpu(),
            removed_probability=removed.cpu(),
            area=mean_weight(weights).cpu(),
            leak_ratio=(preserved / full.clamp_min(tiny)).cpu(),
            n_steps=solution.n_steps.cpu(),
            n_forwards=n_forwards.cpu(),
            loss_history=solution.loss_history.cpu(),
            stain_weights=stains and tuple(s.cpu() for s in stains),
        )


def training_dtype(tensor: Tensor) -> Tensor:
    """Return a tensor in the dtype its weights are trained in: float64 stays, all else float32."""
    tensor = usable(tensor)
    return tensor if tensor.dtype == torch.float64 else tensor.float()
