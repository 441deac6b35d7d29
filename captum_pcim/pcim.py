"""PCIM as a Captum attribution: Captum's argument forms in, maps out."""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from captum_pcim._compat import (
    BaselineType,
    PerturbationAttribution,
    TargetType,
    TensorOrTuple,
    as_tuple,
    like_inputs,
    log_usage,
    progress,
)
from captum_pcim.core import solver
from captum_pcim.core.channels import GroupedChannels, Isolation, PixelChannels, SharedOverStains
from captum_pcim.core.checks import (
    check_baselines,
    check_callables,
    check_choice,
    check_dtype,
    check_feature_mask,
    check_inputs,
    check_kind,
    check_mode,
    check_positive,
    check_seed,
    check_target,
    is_number,
)
from captum_pcim.core.chunks import in_chunks
from captum_pcim.core.diagnostics import Diagnostics
from captum_pcim.core.explain import Call, MakeReferences
from captum_pcim.core.gradients import (
    Autograd,
    ForwardOnly,
    Gradients,
    GradientSource,
    Load,
    NotDifferentiable,
    check_gradients,
    network_and_solver,
)
from captum_pcim.core.network import CallArguments, Network, frozen_view
from captum_pcim.core.objective import Term, default_objective
from captum_pcim.core.random_state import own_random_state
from captum_pcim.core.references import Background, Blur, Reference, reference_images
from captum_pcim.core.scores import ScoreKind
from captum_pcim.core.smoothing import Smoothing
from captum_pcim.core.solver import Problem, Settings

DEFAULT_STEPS = 48
DEFAULT_LEARNING_RATE = 0.5

Order = Literal["cycle", "sample"]


class PCIM(PerturbationAttribution):
    r"""Pixel-wise channel isolation mixing.

    Every pixel is treated as a channel of its own; a blending layer is trained to mix the pixel
    channels until the frozen network sees the target class in the mix and no longer sees it in
    what is left over. The trained weights, in [0, 1], are the attributions.

    After Siegismund, Wieser, Heyse and Steigele, "PCIM: Learning pixel attributions via
    pixel-wise channel isolation mixing in high content imaging", SLAS Discovery 37 (2025)
    100287, arXiv 2412.02275. The paper states isolation, mixing, training for one class and that
    the trained weights are the map; objective, references, smoothing and optimiser are our
    reading and stand in the modules of those names.

    Args:
        forward_func (Callable): The classifier: a module or any function that turns a batch of
            inputs into scores. Modules must be in evaluation mode.
        score (str): What the scores mean: "logits" (default), "probabilities", "binary_logits"
            or "regression", see :mod:`captum_pcim.core.scores`.
        objective (sequence of Term, optional): Terms of the objective, see
            :mod:`captum_pcim.core.objective`. Default: preservation, removal and area.
        references (sequence of Reference, optional): What stands where nothing is mixed in, see
            :mod:`captum_pcim.core.references`. Default: background and blur, in turn.
        isolation (Isolation, optional): What one pixel channel is, see
            :mod:`captum_pcim.core.channels`. Default: one weight per pixel, shared over stains.
        smoothing (Smoothing, optional): Smoothing of the weights in pixels.
        order (str): "cycle" goes through the references in turn, "sample" draws one per step
            with `seed`; the same ones for every image.
        autocast_dtype (torch.dtype, optional): Run the network under autocast in this dtype,
            for example torch.bfloat16. Weights and losses stay in float32.
        eval_mode (bool): Explain a module as it would be in evaluation mode, whatever mode it is
            in, without touching it.
        gradients ("auto", Autograd or ForwardOnly): Where the gradient of the weights comes from,
            see :mod:`captum_pcim.core.gradients`. "auto" is autograd where the forward function is
            differentiable, and forward passes alone, with a warning, where it is not.
        seed (int): For sampled references, for the masks of `ForwardOnly` and for networks that
            draw random numbers.

    Examples:
        >>> # A network over 3 stains and 4 classes, 8 images of 96 x 96 pixels
        >>> attributions = PCIM(model).attribute(inputs, target=1)
        >>> attributions.shape
        torch.Size([8, 3, 96, 96])
    """

    def __init__(
        self,
        forward_func: Callable[..., Any],
        *,
        score: ScoreKind = "logits",
        objective: Sequence[Term] | None = None,
        references: Sequence[Reference] | None = None,
        isolation: Isolation | None = None,
        smoothing: Smoothing | None = None,
        order: Order = "cycle",
        autocast_dtype: torch.dtype | None = None,
        eval_mode: bool = False,
        gradients: Gradients = "auto",
        seed: int = 0,
    ) -> None:
        super().__init__(forward_func)
        check_choice("score", score, get_args(ScoreKind))
        check_choice("order", order, get_args(Order))
        check_gradients(gradients)
        check_callables("objective", objective)
        check_callables("references", references)
        check_kind("isolation", isolation, Isolation)
        check_kind("smoothing", smoothing, Smoothing)
        check_dtype("autocast_dtype", autocast_dtype)
        self.score = score
        self.objective = tuple(objective or default_objective())
        self.references = tuple(references or (Background(), Blur()))
        self.isolation = isolation or SharedOverStains()
        self.smoothing = smoothing or Smoothing()
        self.order = order
        self.autocast_dtype = autocast_dtype
        self.eval_mode = eval_mode
        self.gradients = gradients
        self.seed = check_seed(seed)

    @classmethod
    def get_name(cls) -> str:
        """Return the method's name; Captum would write "P C I M"."""
        return "PCIM"

    @log_usage()
    def attribute(
        self,
        inputs: TensorOrTuple,
        baselines: BaselineType = None,
        target: TargetType = None,
        additional_forward_args: Any = None,
        feature_mask: TensorOrTuple | None = None,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
        *,
        n_steps: int = DEFAULT_STEPS,
        learning_rate: float = DEFAULT_LEARNING_RATE,
        tolerance: float = 0.0,
        perturbations_per_eval: int = 1,
        return_diagnostics: bool = False,
    ) -> Any:
        r"""Train the blending weights for each image and return them.

        Args:
            inputs (Tensor or tuple of Tensor): Images (N, C, *spatial) with 1 to 3 spatial axes,
                or features (N, F), in the network's units; floating point, or with
                :class:`~captum_pcim.core.gradients.ForwardOnly` also integers. Several tensors are
                optimised jointly.
            baselines (scalar, Tensor or tuple, optional): Blend against exactly this, in
                Captum's sense. None: the references of the constructor.
            target (int, tuple, Tensor, list, optional): The class to explain, in all of Captum's
                forms, and NumPy's. None only for networks with a single score.
            additional_forward_args (Any, optional): Passed to the network after the inputs.
                Tensors with one row per image follow their image.
            feature_mask (Tensor or tuple of Tensor, optional): Groups of pixels that share one
                weight, integers from 0, broadcastable to the inputs. Replaces isolation and
                smoothing.
            internal_batch_size (int, optional): Most rows the network sees at once; an image
                takes two, its blend and its complement. None: all at once. With 1, blends and
                complements go one by one.
            show_progress (bool): Show a progress bar over steps.
            n_steps (int): Steps per image, each two forward and one backward passes' worth.
            learning_rate (float): Of Adam, in logits.
            tolerance (float): Finish an image when its weights change by less than this, on
                average over pixels, within five steps. 0 never stops early.
            perturbations_per_eval (int): With `ForwardOnly`, masked images per image in one call
                of the network. Larger is faster where the network takes batches.
            return_diagnostics (bool): Also return :class:`~captum_pcim.Diagnostics`,
                for two more passes per reference.

        Returns:
            Tensor or tuple of Tensor: Weights in [0, 1], in the inputs' form, shape, dtype and
            device (float32 for integers), higher meaning more evidence. With
            `return_diagnostics` a pair of these and the diagnostics.

        Raises:
            TypeError, ValueError, IndexError: For input that cannot be explained; the message
                names the argument, what was expected and what came.
        """
        with torch.inference_mode(False), torch.enable_grad(), own_random_state(self.seed):
            given = check_inputs(inputs, integers=self._takes_integers())
            tensors = tuple(x if x.is_floating_point() else x.float() for x in given)
            network = self._network(given)
            load = self._load(len(tensors[0]), internal_batch_size, perturbations_per_eval)
            arguments = self._arguments(target, additional_forward_args, tensors)
            settings = self._settings(n_steps, learning_rate, tolerance)
            make_references = self._make_references(baselines, tensors)
            channels = self._channels(feature_mask, tensors)
            call = Call(
                problem=Problem(network, self.objective, self.score),
                inputs=tensors,
                make_references=make_references,
                arguments=arguments,
                channels=channels,
                settings=settings,
                solve=solver.solve,
                diagnose=return_diagnostics,
            )
            parts = self._explain(call, network, load, show_progress)
        attributions = tuple(torch.cat(maps) for maps in zip(*(m for m, _ in parts), strict=True))
        result = like_inputs(attributions, inputs)
        if not return_diagnostics:
            return result
        return result, Diagnostics.concatenate([d for _, d in parts if d is not None])

    def _settings(self, n_steps: int, learning_rate: float, tolerance: float) -> Settings:
        if not (is_number(learning_rate) and 0 < learning_rate < math.inf):
            raise ValueError(f"learning_rate: expected a number above 0, got {learning_rate!r}")
        if not (is_number(tolerance) and 0 <= tolerance < 1):
            raise ValueError(
                f"tolerance: expected a mean weight change in [0, 1), got {tolerance!r}"
            )
        n_steps = check_positive("n_steps", n_steps)
        seed = self.seed if self.order == "sample" else None
        return Settings(n_steps, learning_rate, tolerance, seed)

    def _network(self, inputs: tuple[Tensor, ...]) -> Network:
        view = frozen_view(self.forward_func, self.eval_mode)
        check_mode(view)
        return Network(view, tuple(x.dtype for x in inputs), self.autocast_dtype)

    def _load(
        self, n_images: int, internal_batch_size: int | None, perturbations_per_eval: int
    ) -> Load:
        if internal_batch_size is not None:
            internal_batch_size = check_positive("internal_batch_size", internal_batch_size)
        perturbations = check_positive("perturbations_per_eval", perturbations_per_eval)
        return Load(n_images, internal_batch_size, perturbations)

    def _takes_integers(self) -> bool:
        # A module that is given integers under "auto" is far more often a forgotten .float().
        if self.gradients == "auto":
            return not isinstance(self.forward_func, nn.Module)
        return isinstance(self.gradients, ForwardOnly)

    def _make_references(
        self, baselines: BaselineType, inputs: tuple[Tensor, ...]
    ) -> MakeReferences:
        if baselines is not None:
            given = check_baselines(baselines, inputs)
            return lambda chunk, rows: [
                tuple(
                    (b if len(b) == 1 else b[rows]).to(x) for b, x in zip(given, chunk, strict=True)
                )
            ]
        return lambda chunk, rows: _aligned([reference_images(self.references, x) for x in chunk])

    def _arguments(
        self, target: TargetType, additional_forward_args: Any, inputs: tuple[Tensor, ...]
    ) -> CallArguments:
        n_images = len(inputs[0])
        additional = () if additional_forward_args is None else as_tuple(additional_forward_args)
        return CallArguments.of(check_target(target, n_images), additional, n_images)

    def _channels(
        self, feature_mask: TensorOrTuple | None, inputs: tuple[Tensor, ...]
    ) -> PixelChannels | GroupedChannels:
        if feature_mask is None:
            return PixelChannels(inputs, self.isolation, self.smoothing)
        masks = check_feature_mask(feature_mask, inputs)
        return GroupedChannels(masks, 1 + max(int(mask.max()) for mask in masks))

    def _explain(
        self, call: Call, network: Network, load: Load, show_progress: bool
    ) -> list[tuple[tuple[Tensor, ...], Diagnostics | None]]:
        """Explain all images with the gradients that were asked for, or that there are."""

        def run(source: GradientSource, call: Call) -> list[Any]:
            called, solve = network_and_solver(source, network, load, self.seed)
            problem = Problem(called, self.objective, self.score)
            own = replace(call, problem=problem, solve=solve)
            total = load.n_updates(source, call.settings)
            with progress(total=total, desc="PCIM attribution", disable=not show_progress) as bar:
                return in_chunks(
                    load.n_images,
                    load.images_at_once(source),
                    lambda start, stop: own.explain(start, stop, bar.update),
                )

        if isinstance(self.gradients, GradientSource):
            return run(self.gradients, call)
        output = None
        if all(dtype.is_floating_point for dtype in network.dtypes):
            try:
                return run(Autograd(), replace(call, probing=True))
            except NotDifferentiable as found:
                output = found.output
        warnings.warn(
            "forward_func: not differentiable with respect to its inputs; explaining it from "
            f"{ForwardOnly().n_forwards} forward passes per image (pass "
            "gradients=ForwardOnly(...) to choose, or gradients=Autograd() to insist)",
            stacklevel=4,
        )
        return run(ForwardOnly(), replace(call, known_output=output))


def _aligned(per_input: list[list[Tensor]]) -> list[tuple[Tensor, ...]]:
    """Turn the references of each input into references of all inputs, repeating short lists."""
    n_references = max(map(len, per_input))
    return [tuple(own[i % len(own)] for own in per_input) for i in range(n_references)]
