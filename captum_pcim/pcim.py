"""PCIM as a Captum attribution: Captum's argument forms in, maps out."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import torch

from captum_pcim._compat import (
    BaselineType,
    PerturbationAttribution,
    TargetType,
    TensorOrTuple,
    as_tuple,
    like_inputs,
    log_usage,
)
from captum_pcim.core.buffers import buffers_kept
from captum_pcim.core.call import (
    Call,
    made_channels,
    make_load,
    make_settings,
    references_of,
)
from captum_pcim.core.channels import Isolation, SharedOverStains
from captum_pcim.core.checks import (
    check_callables,
    check_choice,
    check_dtype,
    check_forward_func,
    check_inputs,
    check_kind,
    check_seed,
)
from captum_pcim.core.contrast import asked_contrast
from captum_pcim.core.copies import KeptCopies
from captum_pcim.core.diagnostics import paired
from captum_pcim.core.explain import explain
from captum_pcim.core.gradients import Gradients, check_gradients, takes_integers
from captum_pcim.core.network import CallArguments, Choice, Network, frozen_view, outer_autocast
from captum_pcim.core.objective import Term, default_objective
from captum_pcim.core.random_state import own_random_state
from captum_pcim.core.reachable import check_mode
from captum_pcim.core.references import Reference, default_references
from captum_pcim.core.scores import DEFAULT_KIND, ScoreKind, kind_of_scores
from captum_pcim.core.smoothing import Smoothing
from captum_pcim.core.summary import summary
from captum_pcim.core.targets import asked_target

DEFAULT_STEPS = 46
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
        score (str): What the scores mean, "logits" (default), "probabilities", "binary_logits",
            "binary_probabilities" or "regression"; the function may say it itself, see
            :mod:`captum_pcim.core.scores`.
        objective (sequence of Term, optional): Terms of the objective, see
            :mod:`captum_pcim.core.objective`. Default: preservation, removal and a price on the
            area.
        references (sequence of Reference, optional): What stands where nothing is mixed in, see
            :mod:`captum_pcim.core.references`. Default: the function's own, or background and blur.
        isolation (Isolation, optional): What one pixel channel is, see
            :mod:`captum_pcim.core.channels`. Default: one weight per pixel, shared over stains.
        smoothing (Smoothing, optional): How smooth the weights are, in pixels and in intensity.
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
        score: ScoreKind = DEFAULT_KIND,
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
        check_forward_func(forward_func)
        super().__init__(forward_func)
        check_choice("score", score, get_args(ScoreKind))
        check_choice("order", order, get_args(Order))
        check_gradients(gradients)
        check_callables("objective", objective, of="the blended images")
        check_callables("references", references, of="the images")
        check_kind("isolation", isolation, Isolation)
        check_kind("smoothing", smoothing, Smoothing)
        check_dtype("autocast_dtype", autocast_dtype)
        self.score = kind_of_scores(forward_func, score)
        self.objective = default_objective() if objective is None else tuple(objective)
        own = default_references(forward_func) if references is None else references
        self.references = tuple(own)
        self.replaceable = references is None
        self.isolation = isolation or SharedOverStains()
        self.smoothing = smoothing or Smoothing()
        self.order = order
        self.autocast_dtype = autocast_dtype
        self.eval_mode = eval_mode
        self.gradients = gradients
        self.seed = check_seed(seed)
        self._copies = KeptCopies()

    __repr__ = summary

    @classmethod
    def get_name(cls) -> str:
        """Return the method's name; Captum would write "P C I M"."""
        return "PCIM"

    @log_usage()
    def attribute(
        self,
        inputs: TensorOrTuple,
        baselines: BaselineType = None,
        target: TargetType | Choice = None,
        additional_forward_args: Any = None,
        feature_mask: TensorOrTuple | None = None,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
        *,
        contrast: int | Sequence[int] | torch.Tensor | None = None,
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
            target (int, tuple, Tensor, list, str, Callable, optional): The class to explain, in
                all of Captum's forms, and NumPy's. "predicted" is each image's class of the
                highest score; a function gets the scores of the images, one row each, and returns
                a target. None only for networks with a single score.
            additional_forward_args (Any, optional): Passed to the network after the inputs.
                Tensors with one row per image follow their image.
            feature_mask (Tensor or tuple of Tensor, optional): Groups of pixels that share one
                weight, integers from 0, broadcastable to the inputs. Replaces isolation and
                smoothing.
            internal_batch_size (int, optional): Most rows the network sees at once; an image
                takes two, its blend and its complement. None: all at once. With 1, blends and
                complements go one by one.
            show_progress (bool): Show one progress bar, over the steps of all images.
            contrast (int, sequence of int or Tensor, optional): The class or classes to tell the
                target from, as in "why treated rather than control"; other classes then count for
                nothing. A tensor of integers (N,) names one for each image, one of bool (N, K) any.
                None: all others.
            n_steps (int): Steps per image, each two forward and two backward passes.
            learning_rate (float): Of Adam, in logits.
            tolerance (float): Finish an image when its weights change by less than this, on
                average over pixels, within five steps. 0 never stops early. Maps of images that
                finish early hold more area than the class needs.
            perturbations_per_eval (int): With `ForwardOnly`, masked images per image in one call
                of the network. Larger is faster where the network takes batches.
            return_diagnostics (bool): Also return :class:`~captum_pcim.Diagnostics`,
                for two more passes per reference.

        Returns:
            Tensor or tuple of Tensor: Weights in [0, 1], in the inputs' form, shape, dtype and
            device (float32 for integers), higher meaning more evidence;
            :func:`~captum_pcim.pixel_maps` makes them (N, *spatial). With `return_diagnostics` a
            pair of these and the diagnostics.

        Raises:
            TypeError, ValueError, IndexError: For input that cannot be explained; the message
                names the argument, what was expected and what came.
        """
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            own_random_state(self.seed),
            self._copies.lent() as copies,
        ):
            given = check_inputs(inputs, integers=takes_integers(self.gradients, self.forward_func))
            tensors = tuple(x if x.is_floating_point() else x.float() for x in given)
            device, n_images = given[0].device, len(given[0])
            view = frozen_view(self.forward_func, self.eval_mode, copies)
            check_mode(view, self.eval_mode)
            autocast_dtype = self.autocast_dtype or outer_autocast(device)
            additional = () if additional_forward_args is None else additional_forward_args
            make_references, names = references_of(self.references, baselines, tensors)
            call = Call(
                network=Network(view, tuple(x.dtype for x in given), autocast_dtype),
                objective=self.objective,
                score=self.score,
                inputs=tensors,
                make_references=make_references,
                arguments=CallArguments.of(
                    asked_target(target, n_images), as_tuple(additional), n_images, device
                ),
                make_channels=made_channels(feature_mask, tensors, self.isolation, self.smoothing),
                settings=make_settings(
                    n_steps,
                    learning_rate,
                    tolerance,
                    seed=self.seed if self.order == "sample" else None,
                ),
                load=make_load(n_images, internal_batch_size, perturbations_per_eval),
                reference_names=names,
                replaceable=baselines is None and self.replaceable,
                seed=self.seed,
                diagnose=return_diagnostics,
                show_progress=show_progress,
                contrast=asked_contrast(contrast, n_images),
            )
            # The arithmetic of blends and weights is ours; the network alone gets the caller's.
            own_arithmetic = torch.autocast(device.type, enabled=False)
            with own_arithmetic, buffers_kept(self.forward_func, view):
                attributions, diagnostics = explain(call, self.gradients)
        result = like_inputs(attributions, inputs)
        return result if diagnostics is None else paired(result, diagnostics)
