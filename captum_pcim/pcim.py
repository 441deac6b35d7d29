"""PCIM as a Captum attribution: Captum's argument forms in, maps out."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

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
from captum_pcim.call import Call, MakeReferences
from captum_pcim.checks import (
    check_baselines,
    check_choice,
    check_feature_mask,
    check_inputs,
    check_mode,
    check_positive,
    check_target,
)
from captum_pcim.chunks import in_chunks
from captum_pcim.diagnostics import Diagnostics
from captum_pcim.forward import CallArguments, Network, frozen_view
from captum_pcim.isolation import GroupedChannels, Isolation, PixelChannels, SharedOverStains
from captum_pcim.objective import Term, default_objective
from captum_pcim.random_state import own_random_state
from captum_pcim.references import Background, Blur, Reference, reference_images
from captum_pcim.scores import ScoreKind
from captum_pcim.smoothing import Smoothing
from captum_pcim.solver import Problem, Settings

DEFAULT_STEPS = 40
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
            inputs into scores, differentiable with respect to them. Modules must be in
            evaluation mode.
        score (str): What the scores mean: "logits" (default), "probabilities", "binary_logits"
            or "regression", see :mod:`captum_pcim.scores`.
        objective (sequence of Term, optional): Terms of the objective, see
            :mod:`captum_pcim.objective`. Default: preservation, removal and area.
        references (sequence of Reference, optional): What stands where nothing is mixed in, see
            :mod:`captum_pcim.references`. Default: background and blur, in turn.
        isolation (Isolation, optional): What one pixel channel is, see
            :mod:`captum_pcim.isolation`. Default: one weight per pixel, shared over stains.
        smoothing (Smoothing, optional): Smoothing of the weights in pixels.
        order (str): "cycle" goes through the references in turn, "sample" draws one per step
            with `seed`; the same ones for every image.
        autocast_dtype (torch.dtype, optional): Run the network under autocast in this dtype,
            for example torch.bfloat16. Weights and losses stay in float32.
        eval_mode (bool): Explain a module as it would be in evaluation mode, whatever mode it is
            in, without touching it.
        seed (int): For sampled references and for networks that draw random numbers.

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
        seed: int = 0,
    ) -> None:
        super().__init__(forward_func)
        check_choice("score", score, get_args(ScoreKind))
        check_choice("order", order, get_args(Order))
        self.score = score
        self.objective = tuple(objective or default_objective())
        self.references = tuple(references or (Background(), Blur()))
        self.isolation = isolation or SharedOverStains()
        self.smoothing = smoothing or Smoothing()
        self.order = order
        self.autocast_dtype = autocast_dtype
        self.eval_mode = eval_mode
        self.seed = seed

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
        return_diagnostics: bool = False,
    ) -> Any:
        r"""Train the blending weights for each image and return them.

        Args:
            inputs (Tensor or tuple of Tensor): Images (N, C, *spatial) with 1 to 3 spatial axes,
                or features (N, F), floating point, in the network's units. Several tensors are
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
            return_diagnostics (bool): Also return :class:`~captum_pcim.diagnostics.Diagnostics`,
                for two more passes per reference.

        Returns:
            Tensor or tuple of Tensor: Weights in [0, 1], in the inputs' form, shape, dtype and
            device, higher meaning more evidence. With `return_diagnostics` a pair of these and
            the diagnostics.

        Raises:
            TypeError, ValueError, IndexError: For input that cannot be explained; the message
                names the argument, what was expected and what came.
        """
        with torch.inference_mode(False), torch.enable_grad(), own_random_state(self.seed):
            tensors = check_inputs(inputs)
            settings = self._settings(n_steps, learning_rate, tolerance)
            one_row = internal_batch_size == 1
            call = Call(
                problem=Problem(self._network(tensors, one_row), self.objective, self.score),
                inputs=tensors,
                make_references=self._make_references(baselines, tensors),
                arguments=self._arguments(target, additional_forward_args, tensors),
                channels=self._channels(feature_mask, tensors),
                settings=settings,
                diagnose=return_diagnostics,
            )
            at_once = _images_at_once(internal_batch_size, len(tensors[0]))
            parts = self._run(call, at_once, show_progress)
        attributions = tuple(torch.cat(maps) for maps in zip(*(m for m, _ in parts), strict=True))
        result = like_inputs(attributions, inputs)
        if not return_diagnostics:
            return result
        return result, Diagnostics.concatenate([d for _, d in parts if d is not None])

    def _settings(self, n_steps: int, learning_rate: float, tolerance: float) -> Settings:
        if not 0 < learning_rate < math.inf:
            raise ValueError(f"learning_rate: expected a number above 0, got {learning_rate!r}")
        if not 0 <= tolerance < 1:
            raise ValueError(
                f"tolerance: expected a mean weight change in [0, 1), got {tolerance!r}"
            )
        n_steps = check_positive("n_steps", n_steps)
        seed = self.seed if self.order == "sample" else None
        return Settings(n_steps, learning_rate, tolerance, seed)

    def _network(self, inputs: tuple[Tensor, ...], one_row: bool) -> Network:
        view = frozen_view(self.forward_func, self.eval_mode)
        check_mode(view)
        dtypes = tuple(x.dtype for x in inputs)
        return Network(view, dtypes, self.autocast_dtype, one_row)

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

    def _run(
        self, call: Call, images_at_once: int, show_progress: bool
    ) -> list[tuple[tuple[Tensor, ...], Diagnostics | None]]:
        n_images = len(call.inputs[0])
        n_updates = math.ceil(n_images / images_at_once) * call.settings.n_steps
        with progress(total=n_updates, desc="PCIM attribution", disable=not show_progress) as bar:
            return in_chunks(
                n_images, images_at_once, lambda start, stop: call.explain(start, stop, bar.update)
            )


def _images_at_once(internal_batch_size: int | None, n_images: int) -> int:
    """Return how many images fit into a chunk: each takes two rows."""
    if internal_batch_size is None:
        return n_images
    return max(1, check_positive("internal_batch_size", internal_batch_size) // 2)


def _aligned(per_input: list[list[Tensor]]) -> list[tuple[Tensor, ...]]:
    """Turn the references of each input into references of all inputs, repeating short lists."""
    n_references = max(map(len, per_input))
    return [tuple(own[i % len(own)] for own in per_input) for i in range(n_references)]
