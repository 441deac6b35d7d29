"""One call of `attribute`: its images chunk by chunk, their maps, and what is told about them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from captum_pcim._errors import describe
from captum_pcim.core.call import Call, Maps
from captum_pcim.core.channels import per_image
from captum_pcim.core.checks import check_scores, shape_doubt
from captum_pcim.core.chunks import is_out_of_memory
from captum_pcim.core.contrast import competing
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.evidence import (
    differences,
    is_little,
    is_nothing,
    reference_log_odds,
    with_other_references,
)
from captum_pcim.core.gradients import Autograd, ForwardOnly, Gradients, GradientSource
from captum_pcim.core.network import CallArguments, usable
from captum_pcim.core.objective import mean_weight
from captum_pcim.core.probe import NoGradient, check_gradient
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.progress import chunks_with_progress
from captum_pcim.core.scores import (
    Calibration,
    ScoreKind,
    Scores,
    between,
    check_meaning,
    is_rounded_up,
    read_scores,
    select_classes,
    tempered,
)
from captum_pcim.core.solver import Solution, Solve
from captum_pcim.core.stakes import Stakes
from captum_pcim.core.targets import check_class_range, check_trailing_range, chosen_target
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
class _Prepared:
    """A chunk before it is solved.

    Args:
        images (Images): The images with the references that are used.
        classes (Tensor): The class of each image that is explained, of shape (N,).
        reference_odds (Tensor): Calibrated log-odds of the references, of shape (N, R).
        nothing (Tensor): Where nothing can be evidence, of shape (N,).
        little (Tensor): Where there is little that can be, of shape (N,).
        rounded (Tensor): Where the probability is 1 to its last digits, of shape (N,).
        n_forwards (Tensor): Passes spent on each image, of shape (N,).
    """

    images: Images
    classes: Tensor
    reference_odds: Tensor
    nothing: Tensor
    little: Tensor
    rounded: Tensor
    n_forwards: Tensor


@dataclass(frozen=True)
class _Explainer:
    """Explains chunks of a call with one source of gradients.

    Args:
        call (Call): The call.
        problem (Problem): Network, objective and the meaning of scores.
        solve (Callable): The solver, or what stands in for it.
        differentiates (bool): Whether the network needs a gradient.
    """

    call: Call
    problem: Problem
    solve: Solve
    differentiates: bool

    def __call__(self, start: int, stop: int, on_step: Callable[..., object]) -> Explained:
        """Explain the images from start to stop together."""
        prepared = self._prepare(start, stop)
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

    def _prepare(self, start: int, stop: int) -> _Prepared:
        """Gather the images of one chunk, and score them and their references as they are."""
        rows = torch.arange(start, stop, device=self.call.inputs[0].device)
        inputs = tuple(training_dtype(x[start:stop]) for x in self.call.inputs)
        references = [tuple(map(usable, r)) for r in self.call.make_references(inputs, rows)]
        arguments = self.call.arguments.take(rows)
        channels = self.call.make_channels(inputs, rows)
        with torch.no_grad():
            output = self._first_output(inputs, arguments)
            target = chosen_target(arguments.target, output, self.problem.score)
            check_trailing_range(target, output)
            scores, classes = select_classes(output, target)
            check_scores(scores)
            check_class_range(classes, scores.shape[1])
            check_meaning(scores, self.problem.score)
            among = competing(self.call.contrast, rows, classes, scores, self.problem.score)
            arguments = replace(arguments, target=target, competing=among)
            plain = read_scores(scores, classes, self.problem.score, competing=among)
        unknown = Stakes.between(
            plain.log_odds.new_zeros(stop - start, len(references)), plain.log_odds
        )
        untempered = Images(
            inputs, references, references, arguments, channels, plain, _as_it_is(plain), unknown
        )
        n_forwards = torch.ones(stop - start, dtype=torch.int64, device=rows.device)
        if self.differentiates and start == 0:
            n_forwards[0] += check_gradient(self.problem, untempered, self.call.network)
        return self._with_references(untempered, scores, classes, n_forwards)

    def _first_output(self, inputs: Maps, arguments: CallArguments) -> Tensor:
        """Score the images, and say what their shape suggests."""
        doubt = next(filter(None, map(shape_doubt, inputs)), "")
        try:
            # A clone, because a network may work in place on what it is given.
            output = self.problem.network(tuple(x.clone() for x in inputs), arguments)
        except Exception as error:
            if not doubt or is_out_of_memory(error):
                raise
            raise ValueError(f"inputs: {doubt} (the network: {describe(error)})") from error
        if "channels last" in doubt:
            warn(f"inputs: {doubt}, unless the network takes it so")
        return output

    def _with_references(
        self, images: Images, scores: Tensor, classes: Tensor, n_forwards: Tensor
    ) -> _Prepared:
        """Score the references, replace what may be replaced, and calibrate the scores."""
        odds = torch.stack(
            [reference_log_odds(self.problem, images, r) for r in images.references], dim=1
        )
        difference = differences(images.full.log_odds, odds)
        nothing = is_nothing(difference, images.full.log_odds, self.problem.score)
        little = is_little(difference, self.problem.score) & ~nothing
        if self.problem.score == "regression":
            calibration = between(odds.mean(1), images.full.log_odds)
        else:
            calibration = tempered(images.full.log_odds)
        among = images.arguments.competing
        full = read_scores(scores, classes, self.problem.score, calibration, among)
        images = replace(images, full=full, calibration=calibration)
        odds = calibration(odds)
        n_forwards = n_forwards + odds.shape[1]
        # Forward passes alone have a budget, which may be paid for.
        replaceable = self.call.replaceable and self.differentiates
        if replaceable and self.problem.score != "regression":
            images, odds, spent = with_other_references(self.problem, images, odds, nothing)
            n_forwards = n_forwards + spent
        images = replace(images, stakes=Stakes.between(odds, images.full.log_odds))
        rounded = is_rounded_up(scores, classes, self.problem.score)
        return _Prepared(images, classes, odds, nothing, little, rounded, n_forwards)

    def _diagnose(
        self, prepared: _Prepared, solution: Solution, weights: Maps, doubts: Doubts
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
    prepared: _Prepared, solution: Solution, weights: Maps, lost: Tensor, kind: ScoreKind
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


def _as_it_is(scores: Scores) -> Calibration:
    ones = torch.ones_like(scores.log_odds).unsqueeze(1)
    return Calibration(0 * ones, ones)


def training_dtype(tensor: Tensor) -> Tensor:
    """Return a tensor in the dtype its weights are trained in: float64 stays, all else float32."""
    tensor = usable(tensor)
    return tensor if tensor.dtype == torch.float64 else tensor.float()
