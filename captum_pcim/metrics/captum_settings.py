"""captum.metrics with settings that make sense for images."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor

from captum_pcim.core.checks import check_count, check_positive
from captum_pcim.core.scores import ScoreKind
from captum_pcim.metrics.curves import as_baseline_images, call_arguments, target_scores
from captum_pcim.metrics.relevance import pixel_relevance


def image_infidelity(
    forward_func: Callable[..., Tensor],
    inputs: Tensor,
    attributions: Tensor,
    target: Any = None,
    baselines: Tensor | float = 0.0,
    patch_size: int = 8,
    fraction: float = 0.2,
    noise: float = 0.1,
    n_perturb_samples: int = 20,
    additional_forward_args: Any = None,
    max_examples_per_batch: int | None = None,
    score: ScoreKind = "logits",
    seed: int = 0,
) -> Tensor:
    r"""Infidelity to the removal of random squares: Captum's `infidelity` for images.

    min_beta E_u [(beta * sum_p u_p a_p - (f(x) - f(x - u * (x - b'))))^2]: how badly the
    attributions of the squares u in {0, 1}^P that were removed predict the fall of the score. Range
    [0, inf), at most E[(f(x) - f(x'))^2], **lower is better**. Source: Yeh et al. (NeurIPS 2019,
    arXiv 1901.09392), square removal with a noisy baseline.

    What is set here and why: independent noise on each pixel leaves a model of images unmoved, so
    squares are removed, over all stains together; the noise on the baseline is relative to each
    stain's standard deviation; `normalize=True`, as attributions of different methods differ in
    scale and would otherwise be ranked by it. The removed part is what attributions are multiplied
    by, which suits those that stand for a contribution (PCIM, Occlusion, IntegratedGradients,
    InputXGradient). Multiply a plain gradient by inputs - baselines first.

    Args:
        forward_func: Returns logits of shape (N, K), or (N,) for one logit an image.
        inputs: Images of shape (N, C, H, W).
        attributions: Attributions of shape (N, C, H, W), or (N, 1, H, W), which count for each
            stain.
        target: Target class in Captum's sense.
        baselines: What removed squares show: a number or a tensor that broadcasts to the inputs.
        patch_size: Side of the squares in pixels.
        fraction: Expected fraction of the squares that are removed.
        noise: Standard deviation of the noise on the baseline, in units of the standard deviation
            of each image's stain.
        n_perturb_samples: Number of perturbed copies of each image, the same squares for each; at
            least 2.
        additional_forward_args: Further arguments of forward_func.
        max_examples_per_batch: Upper limit of the images in one forward pass, at least N.
        score: What the outputs mean, as in `insertion`.
        seed: Seed of squares and noise.

    Returns:
        Infidelities of shape (N,).

    Raises:
        ValueError: if the baselines do not broadcast to the inputs or a number is out of range.

    Examples:
        >>> maps = PCIM(model).attribute(inputs, target=1)
        >>> image_infidelity(model, inputs, maps, target=1, baselines=background)
    """
    check_positive("patch_size", patch_size)
    # Attributions are scaled to fit, and to one sample any do.
    check_positive("n_perturb_samples", n_perturb_samples, least=2)
    if not 0 < fraction < 1:
        raise ValueError(f"fraction: expected a number between 0 and 1, got {fraction}")
    told = call_arguments(forward_func, target, additional_forward_args, inputs)
    pixel_relevance(attributions)  # refuses what is no map
    check_count("attributions", len(attributions), len(inputs))
    references = as_baseline_images(baselines, inputs)
    spread = noise * inputs.std(dim=(2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(seed)

    def remove_squares(images: Tensor) -> tuple[Tensor, Tensor]:
        # Captum repeats each image next to itself, so draws follow each other within an image.
        n_draws, n_images = len(images) // len(inputs), len(inputs)
        draws = [_draw(inputs, patch_size, fraction, generator) for _ in range(n_draws)]
        removed = torch.cat([square for square, _ in draws]).repeat(n_images, 1, 1, 1)
        field = torch.cat([gauss for _, gauss in draws]).repeat(n_images, 1, 1, 1)
        shown = references.repeat_interleave(n_draws, 0) + field * spread.repeat_interleave(
            n_draws, 0
        )
        return removed.expand_as(images).to(images), torch.where(removed, shown, images)

    def scores(images: Tensor) -> Tensor:
        rows = torch.arange(len(inputs), device=inputs.device)
        own = told.take(rows.repeat_interleave(len(images) // len(inputs)))
        return target_scores(forward_func, images, own, score)

    values: Tensor = infidelity(
        scores,
        remove_squares,
        inputs,
        attributions.expand_as(inputs),
        n_perturb_samples=n_perturb_samples,
        max_examples_per_batch=max_examples_per_batch,
        normalize=True,
    )
    return values


def image_sensitivity_max(
    explanation_func: Callable[..., Tensor],
    inputs: Tensor,
    noise: float = 0.05,
    n_perturb_samples: int = 3,
    max_examples_per_batch: int | None = None,
    seed: int = 0,
    **kwargs: Any,
) -> Tensor:
    r"""Largest change of the map under small noise: Captum's `sensitivity_max` for images.

    max_{|e| <= noise * sd} ||a(x + e) - a(x)|| / ||a(x)||, over a few draws, uniform in the ball of
    the maximum norm. Range [0, inf), **lower is better**; a constant map scores 0, so read it
    beside a measure of fidelity. Source: Yeh et al. (NeurIPS 2019, arXiv 1901.09392).

    What is set here and why: the radius is relative to the standard deviation of each image's
    stain, as 0.02 means nothing for a 16-bit image; gradients are enabled, which Captum switches
    off and optimised maps need; and few samples, as each is a full explanation. Optimised maps stay
    cheap with few steps as well, passed on as a keyword:

        image_sensitivity_max(PCIM(model).attribute, inputs, target=1, n_perturb_samples=2,
                              n_steps=10)

    Captum 0.9 does not repeat a `feature_mask` for the copies of an image: pass one mask for all
    images, of shape (1, 1, H, W). A method that starts at random shows that as sensitivity; fix
    its seed.

    Args:
        explanation_func: Called as explanation_func(inputs, **kwargs), returns attributions of
            shape (M, C, H, W): the `attribute` of a Captum or PCIM object.
        inputs: Images of shape (N, C, H, W).
        noise: Radius of the noise, in units of the standard deviation of each image's stain.
        n_perturb_samples: Number of perturbed copies of each image, the same noise for each.
        max_examples_per_batch: Upper limit of the images explained together, at least N.
        seed: Seed of the noise.
        **kwargs: Arguments of explanation_func, e.g. target and baselines.

    Returns:
        Sensitivities of shape (N,).
    """
    spread = noise * inputs.std(dim=(2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(seed)

    def perturb(images: Tensor) -> Tensor:
        n_draws = len(images) // len(inputs)
        shape = (n_draws, *inputs.shape[1:])
        draws = torch.rand(shape, generator=generator, dtype=torch.float32).to(inputs)
        field = (2 * draws - 1).repeat(len(inputs), 1, 1, 1)
        return images + spread.repeat_interleave(n_draws, 0) * field

    def explain(images: Any, **arguments: Any) -> Any:
        # Captum hands over a tuple for the images themselves and a tensor for perturbed copies,
        # and expects the same back.
        single = isinstance(images, Tensor)
        with torch.enable_grad():
            maps = explanation_func(images if single else images[0], **arguments)
        maps = maps.detach().contiguous()
        return maps if single else (maps,)

    values: Tensor = sensitivity_max(
        explain,
        inputs,
        perturb,
        n_perturb_samples=n_perturb_samples,
        max_examples_per_batch=max_examples_per_batch,
        **kwargs,
    )
    return values


def _draw(
    inputs: Tensor, patch_size: int, fraction: float, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """One mask of removed squares on a randomly shifted grid, and one field of noise."""
    height, width = inputs.shape[2:]
    # One square more than fits, so that the grid can be shifted.
    grid = (1, 1, height // patch_size + 2, width // patch_size + 2)
    cells = (torch.rand(grid, generator=generator, dtype=torch.float32) < fraction).float()
    squares = F.interpolate(cells, scale_factor=patch_size, mode="nearest") > 0
    top, left = torch.randint(patch_size, (2,), generator=generator).tolist()
    field = torch.randn((1, *inputs.shape[1:]), generator=generator, dtype=torch.float32)
    removed = squares[..., top : top + height, left : left + width]
    return removed.to(inputs.device), field.to(inputs)
