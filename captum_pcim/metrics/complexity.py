"""How concentrated is the map? A sparse map is easy to read, and may still be wrong."""

import torch
from torch import Tensor

from captum_pcim.metrics.relevance import pixel_relevance


@torch.no_grad()
def gini(attributions: Tensor) -> Tensor:
    r"""Gini index of the absolute relevances, the sparseness of the map.

    G = sum_k (2k - P - 1) r_k / (P sum_k r_k) with |relevance| in ascending order, k = 1 ... P.
    Range [0, 1 - 1/P]: 0 for a constant map, the upper end for a single pixel. **Higher is
    sparser**, which is better between maps that are equally faithful only. Source: Chalasani et
    al. (ICML 2020, arXiv 1810.06583), after Hurley and Rickard (2009).

    Args:
        attributions: Attributions of shape (N, C, H, W), summed over the stains.

    Returns:
        Gini indices of shape (N,); 0 for a map that is zero everywhere.

    Raises:
        ValueError: if the shape is not (N, C, H, W) or attributions are not finite.

    Examples:
        >>> gini(torch.tensor([[[[0.0, 0.0], [0.0, 5.0]]]]))
        tensor([0.7500])
    """
    ascending = pixel_relevance(attributions).abs().flatten(1).sort(dim=1).values
    n_pixels = ascending.shape[1]
    places = torch.arange(1, n_pixels + 1, device=ascending.device, dtype=ascending.dtype)
    total = ascending.sum(1)
    weighted = (ascending * (2 * places - n_pixels - 1)).sum(1)
    return torch.where(total > 0, weighted / (n_pixels * total), torch.zeros_like(total))


@torch.no_grad()
def entropy(attributions: Tensor) -> Tensor:
    r"""Entropy of the absolute relevances, the complexity of the map.

    H = -sum_p q_p ln q_p with q_p = |r_p| / sum |r|, in nats. Range [0, ln P]: 0 for a single
    pixel, ln P for a constant map. **Lower is simpler**, which is better between maps that are
    equally faithful only. Source: Bhatt, Weller, Moura (IJCAI 2020, arXiv 2005.00631).

    Args:
        attributions: Attributions of shape (N, C, H, W), summed over the stains.

    Returns:
        Entropies of shape (N,); ln P for a map that is zero everywhere.

    Raises:
        ValueError: if the shape is not (N, C, H, W) or attributions are not finite.

    Examples:
        >>> entropy(torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]]))
        tensor([0.6931])
    """
    relevance = pixel_relevance(attributions).abs().flatten(1)
    total = relevance.sum(1, keepdim=True)
    uniform = torch.full_like(relevance, 1 / relevance.shape[1])
    shares = torch.where(total > 0, relevance / total, uniform)
    entropies: Tensor = torch.special.entr(shares).sum(1)
    return entropies
