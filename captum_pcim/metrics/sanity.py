"""Does the map depend on what the model learned, and on nothing else?"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from captum_pcim.core.blur import gaussian_blur
from captum_pcim.core.checks import check_positive
from captum_pcim.core.random_state import own_random_state
from captum_pcim.metrics.localisation import middle_ranks
from captum_pcim.metrics.randomised import randomised_models
from captum_pcim.metrics.relevance import pixel_relevance

AttributeFunc = Callable[[Any, Tensor, Any], Tensor]


@dataclass(frozen=True)
class LayerwiseSimilarity:
    """Similarity of a map to the maps of a model whose layers lose their training one by one.

    Attributes:
        layers: Names of the layers in the order of randomisation, length L; each is randomised in
            addition to those before.
        similarities: Rank correlation with the original map after each layer, shape (N, L).
    """

    layers: list[str]
    similarities: Tensor

    @property
    def score(self) -> Tensor:
        """Mean similarity over the layers, shape (N,); lower is better."""
        return self.similarities.mean(dim=1)


def smooth_mprt(
    model: nn.Module,
    attribute_func: AttributeFunc,
    inputs: Tensor,
    target: Any = None,
    n_samples: int = 10,
    noise: float = 0.1,
    seed: int = 0,
) -> LayerwiseSimilarity:
    r"""Smooth model parameter randomisation test.

    Layers are re-initialised from the input to the output, each in addition to those before. After
    each, the map, averaged over noisy copies of the image so that its noise does not pass for
    sensitivity, is compared with that of the trained model:
    similarity_l = spearman(mean_n r(x + e_n; trained), mean_n r(x + e_n; layers 1 ... l random)).
    Range [-1, 1], **lower is better** (near 0: the map follows the parameters). Source: Hedstroem
    et al. (2024, arXiv 2401.06465), with rank correlation (Adebayo et al. 2018, arXiv 1810.03292)
    in the place of structural similarity. No sanity metric is fully reliable (arXiv 2405.02383).

    Args:
        model: Trained model. A copy is randomised; the model itself is not touched.
        attribute_func: Called as attribute_func(model, inputs, target), returns attributions of
            shape (N, C, H, W), e.g. `lambda m, x, t: Saliency(m).attribute(x, target=t)`. It is
            called `n_samples` times for each layer and for the trained model.
        inputs: Images of shape (N, C, H, W).
        target: Target class in Captum's sense.
        n_samples: Number of noisy copies that a map is averaged over (the paper: 50).
        noise: Standard deviation of the noise, in units of each image's range (max - min).
        seed: Seed of noise and parameters; the global random state is restored afterwards.

    Returns:
        `LayerwiseSimilarity` with similarities (N, L), their layers and `score` (N,).

    Raises:
        ValueError: if the model has no parameters or `n_samples` is less than 1.

    Examples:
        >>> def explain(model, inputs, target):
        ...     return PCIM(model).attribute(inputs, target=target, n_steps=10)
        >>> smooth_mprt(model, explain, inputs, target=1, n_samples=2).score
    """
    check_positive("n_samples", n_samples)
    spread = noise * (inputs.amax((1, 2, 3), keepdim=True) - inputs.amin((1, 2, 3), keepdim=True))

    def smooth_map(some_model: nn.Module) -> Tensor:
        # Every model sees the same noise: what differs between maps is then the model's doing.
        generator = torch.Generator().manual_seed(seed)
        total = torch.zeros_like(inputs[:, 0])
        for _ in range(n_samples):
            field = torch.randn(inputs.shape[1:], generator=generator, dtype=torch.float32)
            noisy = (inputs + spread * field.to(inputs)).detach()
            total = total + pixel_relevance(attribute_func(some_model, noisy, target))
        return total

    layers, similarities = [], []
    with own_random_state(seed):
        original = smooth_map(model)
        for name, randomised in randomised_models(model, seed):
            layers.append(name)
            similarities.append(_spearman(original, smooth_map(randomised)))
    return LayerwiseSimilarity(layers, torch.stack(similarities, dim=1))


def efficient_mprt(
    model: nn.Module,
    attribute_func: AttributeFunc,
    inputs: Tensor,
    target: Any = None,
    n_bins: int = 100,
    seed: int = 0,
) -> Tensor:
    r"""Efficient model parameter randomisation test.

    The relative rise of the map's complexity when all parameters are randomised:
    (H(random) - H(trained)) / H(trained), where H is the entropy of the histogram of the map's
    relevances. No similarity, no order of layers and only two maps. Range [-1, inf), **higher is
    better**. Source: Hedstroem et al. (2024, arXiv 2401.06465).

    Args:
        model: Trained model. A copy is randomised; the model itself is not touched.
        attribute_func: As in `smooth_mprt`; called twice.
        inputs: Images of shape (N, C, H, W).
        target: Target class in Captum's sense.
        n_bins: Number of equal bins between each map's minimum and maximum.
        seed: Seed of the parameters; the global random state is restored afterwards.

    Returns:
        Rises of shape (N,); NaN where the trained model's map is constant.

    Raises:
        ValueError: if the model has no parameters or `n_bins` is less than 2.

    Examples:
        >>> def explain(model, inputs, target):
        ...     return PCIM(model).attribute(inputs, target=target)
        >>> efficient_mprt(model, explain, inputs, target=1)
    """
    check_positive("n_bins", n_bins, least=2)
    with own_random_state(seed):
        trained = _histogram_entropy(attribute_func(model, inputs, target), n_bins)
        *_, (_, randomised) = randomised_models(model, seed)
        random = _histogram_entropy(attribute_func(randomised, inputs, target), n_bins)
    rise = (random - trained) / trained
    return rise.masked_fill(trained == 0, float("nan"))


def seed_agreement(
    forward_func: Callable[..., Tensor],
    attribute_func: AttributeFunc,
    inputs: Tensor,
    target: Any = None,
    n_seeds: int = 3,
    seed: int = 0,
) -> Tensor:
    r"""Agreement of the maps of several seeds.

    The mean rank correlation over all pairs of seeds. Range [-1, 1], **higher is better**; 1 for a
    deterministic method.

    Args:
        forward_func: Passed on to attribute_func.
        attribute_func: As in `smooth_mprt`, called once a seed, with torch's global generators
            set to it. A method that keeps its own seed can read it from
            `torch.initial_seed()`.
        inputs: Images of shape (N, C, H, W).
        target: Target class in Captum's sense.
        n_seeds: Number of seeds, at least 2.
        seed: The first seed; the global random state is restored afterwards.

    Returns:
        Agreements of shape (N,).

    Raises:
        ValueError: if `n_seeds` is less than 2.

    Examples:
        >>> def explain(model, inputs, target):
        ...     pcim = PCIM(model, order="sample", seed=torch.initial_seed())
        ...     return pcim.attribute(inputs, target=target)
        >>> seed_agreement(model, explain, inputs, target=1)
    """
    check_positive("n_seeds", n_seeds, least=2)
    maps = []
    for offset in range(n_seeds):
        with own_random_state(seed + offset):
            maps.append(pixel_relevance(attribute_func(forward_func, inputs, target)))
    pairs = [_spearman(first, second) for first, second in itertools.combinations(maps, 2)]
    return torch.stack(pairs).mean(dim=0)


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    r"""Spearman's rank correlation of two sets of maps.

    Pearson's correlation of the pixels' ranks, equal values sharing their middle rank. Range
    [-1, 1], **higher is more alike**, 0 for unrelated maps.

    Args:
        first: Attributions of shape (N, C, H, W), summed over the stains.
        second: Attributions of the same images.

    Returns:
        Correlations of shape (N,); 0 where a map is constant and has no order to agree with.

    Raises:
        ValueError: if shapes do not fit or attributions are not finite.
    """
    return _spearman(*_same_images(first, second))


def structural_similarity(first: Tensor, second: Tensor, sigma: float = 1.5) -> Tensor:
    r"""Mean structural similarity (SSIM) of two sets of maps.

    Each map is brought to [0, 1] by its own range. Over Gaussian windows with means, variances and
    covariance m, v and c: SSIM = (2 m_1 m_2 + .01^2) (2 c + .03^2) / ((m_1^2 + m_2^2 + .01^2)
    (v_1 + v_2 + .03^2)), averaged over the pixels. Range [-1, 1], **higher is more alike**. Source:
    Wang et al. (IEEE TIP 2004), for maps of randomised models Adebayo et al. (2018, arXiv
    1810.03292). Two maps that are nearly 0 nearly everywhere are alike by it: read it beside
    `rank_correlation`.

    Args:
        first: Attributions of shape (N, C, H, W), summed over the stains.
        second: Attributions of the same images.
        sigma: Standard deviation of the windows in pixels.

    Returns:
        Similarities of shape (N,).

    Raises:
        ValueError: if shapes do not fit or attributions are not finite.
    """
    one, other = (_in_own_range(maps) for maps in _same_images(first, second))

    def mean(values: Tensor) -> Tensor:
        return gaussian_blur(values, sigma)

    mean_one, mean_other = mean(one), mean(other)
    variances = mean(one**2) - mean_one**2 + mean(other**2) - mean_other**2
    covariance = mean(one * other) - mean_one * mean_other
    luminance = (2 * mean_one * mean_other + 0.01**2) / (mean_one**2 + mean_other**2 + 0.01**2)
    structure = (2 * covariance + 0.03**2) / (variances + 0.03**2)
    return (luminance * structure).mean((1, 2, 3))


def _same_images(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    one, other = pixel_relevance(first), pixel_relevance(second)
    if one.shape != other.shape:
        raise ValueError(
            f"second: expected maps of the same images as first, {tuple(first.shape)}, got "
            f"{tuple(second.shape)}"
        )
    return one, other


def _in_own_range(relevance: Tensor) -> Tensor:
    """Bring maps (N, H, W) to [0, 1], a constant one to 0; returns (N, 1, H, W)."""
    low, high = relevance.amin((1, 2), keepdim=True), relevance.amax((1, 2), keepdim=True)
    return ((relevance - low) / (high - low).clamp(min=torch.finfo(low.dtype).tiny))[:, None]


def _spearman(first: Tensor, second: Tensor) -> Tensor:
    one, other = (middle_ranks(maps.flatten(1)) for maps in (first, second))
    one, other = (ranks - ranks.mean(1, keepdim=True) for ranks in (one, other))
    norm = (one.square().sum(1) * other.square().sum(1)).sqrt()
    correlation = torch.where(norm > 0, (one * other).sum(1) / norm, torch.zeros_like(norm))
    return correlation.to(first.dtype)


def _histogram_entropy(attributions: Tensor, n_bins: int) -> Tensor:
    relevance = pixel_relevance(attributions).flatten(1)
    low, high = relevance.amin(1, keepdim=True), relevance.amax(1, keepdim=True)
    scaled = torch.where(high > low, (relevance - low) / (high - low), torch.zeros_like(relevance))
    bins = (scaled * n_bins).long().clamp(max=n_bins - 1)
    counts = relevance.new_zeros(len(relevance), n_bins)
    counts.scatter_add_(1, bins, torch.ones_like(relevance))
    entropies: Tensor = torch.special.entr(counts / relevance.shape[1]).sum(1)
    return entropies
