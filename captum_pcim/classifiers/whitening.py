r"""Whitening of embeddings: a unit becomes a standard deviation in any direction.

The covariance :math:`\Sigma` is shrunk towards a multiple of the identity by the oracle
approximating shrinkage of Chen, Wiesel, Eldar and Hero (IEEE Transactions on Signal Processing 58,
2010), which serves fewer embeddings than features too.
"""

from __future__ import annotations

import torch
from torch import Tensor


def whitening(centred: Tensor) -> Tensor:
    r"""The symmetric matrix :math:`\Sigma^{-1/2}` that whitens embeddings.

    Args:
        centred: Embeddings (N, D) of mean 0.

    Returns:
        Matrix (D, D) in the embeddings' dtype; directions without spread are as the mean one.

    Raises:
        ValueError: If all embeddings are the same.
    """
    values = centred.double()
    n, d = values.shape
    covariance = values.T @ values / n
    mean = covariance.trace() / d
    if float(mean) == 0:
        raise ValueError("controls: expected embeddings that differ, got the same for all")
    shrinkage = _oracle_approximating_shrinkage(covariance, n)
    shrunk = (1 - shrinkage) * covariance
    shrunk.diagonal().add_(shrinkage * mean)
    variances, axes = torch.linalg.eigh(shrunk)
    floor = variances[-1] * torch.finfo(torch.float32).eps
    roots = variances.clamp_min(floor).sqrt()
    whitened: Tensor = ((axes / roots) @ axes.T).to(centred)
    return whitened


def _oracle_approximating_shrinkage(covariance: Tensor, n: int) -> float:
    """Equation 23 of Chen et al. in the form of scikit-learn's ``oas``, without the 2 / D."""
    d = len(covariance)
    squares, mean = covariance.square().mean(), covariance.trace() / d
    spread = (n + 1) * (squares - mean**2 / d)
    return 1.0 if float(spread) <= 0 else min(1.0, float((squares + mean**2) / spread))
