"""One call of `attribute`: its images chunk by chunk, their maps, and what is told about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from captum_pcim.core.call import Call, Maps
from captum_pcim.core.channels import per_image
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.gradients import Autograd, ForwardOnly, Gradients, GradientSource
from captum_pcim.core.network import CallArguments
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.prepare import Prepared, prepare, targets_of_all
from captum_pcim.core.probe import NoGradient
from captum_pcim.core.problem import Problem
from captum_pcim.core.progress import chunks_with_progress
from captum_pcim.core.scores import Calibration, ScoreKind
from captum_pcim.core.solver import Solution, Solve
from captum_pcim.core.verdict import Doubts, is_empty
from captum_pcim.core.warn import warn

Explained = tuple[Maps, Diagnostics | None, Doubts]


def explain(call: Call, gradients: Gradients) -> tuple[Maps, Diagnostics | None]:
    """Explain all images with the gradients that were asked for, or that there are.

    Raises:
        ValueError: If gradients were insisted on and there are none.
    """
    if isinstance(gradients, GradientSource):
        try:
            return _explain_with(gradients, call)
        except NoGradient as found:
            raise ValueError(
                f"forward_func: expected scores that autograd can differentiate, but "
                f"{found.cause}; use gradients=ForwardOnly(...) or 'auto'"
            ) from found
    cause = "integers have none"
    if all(dtype.is_floating_point for dtype in call.network.dtypes):
        try:
            return _explain_with(Autograd(), call)
        except NoGradient as found:
            cause = found.cause
    source = ForwardOnly()
    warn(
        f"forward_func: not differentiable with respect to its inputs: {cause}; explaining it "
        f"from {source.n_forwards} forward passes per image (pass gradients=ForwardOnly(...) to "
        "choose, or gradients=Autograd() to insist)"
    )
    return _explain_with(source, call)


def _explain_with(source: GradientSource, call: Call) -> tuple[Maps, Diagnostics | None]:
    network, solve = source.solver(call.network, call.load, call.seed)
    problem = Problem(network, call.objective, call.score)
    explainer = _Explainer(call, problem, solve, source.differentiates)
    parts = chunks_with_progress(
        call.load.n_images,
        source.images_at_once(call.load),
        source.n_updates(call.settings.n_steps),
        explainer,
        call.show_progress,
    )
    if source.differentiates and call.load.perturbations_per_eval != 1:
        warn("perturbations_per_eval: only ForwardOnly has a use for it; autograd ignores it")
    Doubts.concatenate([doubts for *_, doubts in parts]).warn(call.reference_names)
    return _joined(parts)


def _joined(parts: Sequence[Explained]) -> tuple[Maps, Diagnostics | None]:
    maps = tuple(torch.cat(own) for own in zip(*(m for m, *_ in parts), strict=True))
    diagnostics = [d for _, d, _ in parts if d is not None]
    return maps, Diagnostics.concatenate(diagnostics) if diagnostics else None


@dataclass(frozen=True)
class _Explainer:
    """Explains chunks of a call with one source of gradients.

    Args:
        call (Call): The call.
        problem (Problem): Network, objective and the meaning of scores.
        solve (Callable): The solver, or what stands in for it.
        differentiates (bool): Whether the network needs a gradient.
        chosen (list of CallArguments): Those of all images with the targets that a function chose,
            where it had to be asked before the first chunk.
    """

    call: Call
    problem: Problem
    solve: Solve
    differentiates: bool
    chosen: list[CallArguments] = field(default_factory=list)

    def __call__(self, start: int, stop: int, on_step: Callable[..., object]) -> Explained:
        """Explain the images from start to stop together."""
        call = self.call
        in_parts = stop - start < call.load.n_images and callable(call.arguments.target)
        if in_parts:
            call = replace(call, arguments=self._with_targets(stop - start))
        prepared = prepare(call, self.problem, start, stop, self.differentiates)
        if in_parts:
            prepared = replace(prepared, n_forwards=prepared.n_forwards + 1)
        images = prepared.images
        solution = self.solve(self.problem, images, self.call.settings, on_step)
        with torch.no_grad():
            trained = images.channels.weights(solution.factors)
            lost = ~_finite(trained)
            nothing = prepared.nothing | lost
            weights = tuple(torch.where(per_image(nothing, w), 0.0, w) for w in trained)
            maps = tuple(
                w.expand_as(x).to(x.dtype).contiguous()
                for w, x in zip(weights, (x[start:stop] for x in self.call.inputs), strict=True)
            )
            doubts = _doubts(prepared, solution, weights, lost, self.problem.score)
            if not self.call.diagnose:
                return maps, None, doubts
            diagnostics = self._diagnose(prepared, solution, weights, doubts)
            return maps, diagnostics, doubts

    def _with_targets(self, at_once: int) -> CallArguments:
        """Have a function choose from the scores of all images, as it may look at all of them."""
        if not self.chosen:
            target = targets_of_all(self.call, self.problem, at_once)
            self.chosen.append(replace(self.call.arguments, target=target))
        return self.chosen[0]

    def _diagnose(
        self, prepared: Prepared, solution: Solution, weights: Maps, doubts: Doubts
    ) -> Diagnostics:
        """Score the blends and complements of the trained weights against every reference."""
        images = prepared.images
        scale = images.calibration.scale
        full, references = images.full.probability, prepared.reference_odds.sigmoid()
        if self.problem.score != "regression":
            full = (images.full.log_odds / scale.squeeze(1)).sigmoid()
            references = (prepared.reference_odds / scale).sigmoid()
            images = replace(images, calibration=Calibration(0 * scale, torch.ones_like(scale)))
        n_references = len(images.references)
        at_once = self.call.load.blends_at_once
        both = [
            self.problem.probabilities(images, weights, r, at_once) for r in range(n_references)
        ]
        preserved, removed = (torch.stack(own, dim=1) for own in zip(*both, strict=True))
        half = full.unsqueeze(1) / 2
        measured = replace(
            doubts,
            not_preserved=(preserved < half).any(1),
            not_removed=(removed >= half).any(1),
        )
        n_forwards = prepared.n_forwards + solution.n_forwards
        n_forwards = n_forwards + 2 * n_references * preserved.isfinite().all(1)
        stains = images.channels.stain_weights(solution.factors)
        return Diagnostics(
            target=prepared.classes.cpu(),
            full_probability=full.cpu(),
            preserved_probability=preserved.mean(1).cpu(),
            removed_probability=removed.mean(1).cpu(),
            area=mean_weight(weights).cpu(),
            leak_ratio=_leak_ratio(preserved, full).cpu(),
            n_steps=solution.n_steps.cpu(),
            n_forwards=n_forwards.cpu(),
            verdict=measured.verdicts(),
            reference_probability=references.cpu(),
            preserved_by_reference=preserved.cpu(),
            removed_by_reference=removed.cpu(),
            loss_history=solution.loss_history.cpu(),
            stain_weights=stains and tuple(s.cpu() for s in stains),
        )


def _doubts(
    prepared: Prepared, solution: Solution, weights: Maps, lost: Tensor, kind: ScoreKind
) -> Doubts:
    """Return what is known of the maps without further passes."""
    images = prepared.images
    steps = torch.arange(solution.loss_history.shape[1], device=solution.n_steps.device)
    taken = steps < solution.n_steps.unsqueeze(1)
    # A quantity is -4 on the references by definition, on average.
    shows = prepared.reference_odds >= images.held_log_odds.unsqueeze(1)
    shows = shows & (kind != "regression")
    none = torch.zeros_like(prepared.nothing)
    return Doubts(
        no_evidence=prepared.nothing,
        little_evidence=prepared.little,
        rounded_up=prepared.rounded,
        no_gradient=~solution.reached,
        not_finite=(taken & ~solution.loss_history.isfinite()).any(1) | lost,
        not_differentiable=~solution.differentiable,
        reference_shows=shows,
        empty=is_empty(weights),
        not_preserved=none,
        not_removed=none,
    )


def _finite(weights: Maps) -> Tensor:
    """Tell which images have finite weights only; squares of gradients can overflow."""
    return torch.stack([w.isfinite().flatten(1).all(1) for w in weights]).all(0)


def _leak_ratio(preserved: Tensor, full: Tensor) -> Tensor:
    """Return the ratio of the reference where it is farthest from 1, of shape (N,)."""
    tiny = torch.finfo(full.dtype).tiny
    ratios = preserved / full.clamp_min(tiny).unsqueeze(1)
    worst = ratios.clamp_min(tiny).log().abs().argmax(1, keepdim=True)
    return ratios.gather(1, worst).squeeze(1)
