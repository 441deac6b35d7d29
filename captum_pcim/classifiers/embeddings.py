r"""Networks without classes as scorers: how far an image is from controls, and which way.

A scorer wraps a network that turns images into embeddings, (N, D), and returns one quantity per
image, (N, 1), which is explained as it is:

    scorer = DistanceToControls(network).fit(controls)
    attributions = PCIM(scorer).attribute(inputs)

With the embedding :math:`e` of an image, the mean :math:`m` of the controls' and their whitening
:math:`W`, all scorers read the profile :math:`z = W (e - m)`.

**Whitening** is :math:`W = \Sigma^{-1/2}`, so that a unit is a standard deviation of the controls
in any direction: what varies among untreated wells counts little. :math:`\Sigma` is the controls'
covariance, shrunk towards a multiple of the identity by the oracle approximating shrinkage of
Chen, Wiesel, Eldar and Hero (IEEE Transactions on Signal Processing 58, 2010), which serves fewer
controls than features too. With ``whiten=False`` it is the identity, and distances are Euclidean.

**What is fitted** stands in buffers: ``state_dict`` holds it beside the network's weights, and
``load_state_dict`` of a scorer that was never fitted takes it, whatever the number of features.

**References.** Where nothing is mixed in, four typical controls stand, unless the caller says
otherwise: a flat or blurred image is far from controls as well, and against it a map would show
what makes the image alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from captum_pcim.core.references import ControlImages, Reference
from captum_pcim.core.scores import ScoreKind

IMAGES_AT_ONCE = 64
N_EXAMPLES = 4


class EmbeddingScorer(nn.Module):
    """What the scorers share: a network, and the controls that its embeddings are read against.

    Args:
        network: Images (N, C, H, W) to embeddings (N, D); in evaluation mode.
        whiten: Read embeddings in standard deviations of the controls.
    """

    score_kind: ScoreKind = "regression"
    """What the scores are, for :class:`~captum_pcim.PCIM` and the commands."""

    centre: Tensor
    whitening: Tensor
    examples: Tensor

    def __init__(self, network: Callable[..., Any], whiten: bool = True) -> None:
        super().__init__()
        self.network, self.whiten = network, whiten
        for name in ("centre", "whitening", "examples"):
            self.register_buffer(name, torch.empty(0))
        self.training = getattr(network, "training", False)

    def profiles(self, inputs: Tensor) -> Tensor:
        """Profiles of images, relative to the controls.

        Args:
            inputs: Images (N, C, H, W).

        Returns:
            Profiles (N, D), in standard deviations of the controls where they are whitened.

        Raises:
            ValueError: If nothing was fitted yet.
        """
        self._check_fitted()
        return self._whitened(_embeddings(self.network(inputs), len(inputs)) - self.centre)

    def default_references(self) -> tuple[Reference, ...]:
        """What PCIM blends against where the caller names nothing: four typical controls."""
        self._check_fitted()
        return (ControlImages(self.examples),)

    def _check_fitted(self) -> None:
        if self.centre.numel() == 0:
            raise ValueError(
                f"{type(self).__name__}: expected controls, got none; call fit, or load_state_dict "
                "with the state of one that was fitted"
            )

    @torch.no_grad()
    def _fit_controls(self, controls: Tensor) -> Tensor:
        """Measures centre and spread of controls, keeps the most typical ones."""
        embeddings = self._embed("controls", controls)
        if len(embeddings) < 2:
            raise ValueError(f"controls: expected at least 2 images, got {len(embeddings)}")
        self.centre = embeddings.mean(0)
        centred = embeddings - self.centre
        self.whitening = whitening(centred) if self.whiten else embeddings.new_empty(0)
        distances = torch.linalg.vector_norm(self._whitened(centred), dim=1)
        self.examples = controls[distances.argsort(stable=True)[:N_EXAMPLES]].clone()
        return embeddings

    def _embed(self, name: str, images: Tensor) -> Tensor:
        if not isinstance(images, Tensor) or images.ndim < 2 or len(images) == 0:
            came = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ValueError(f"{name}: expected a tensor of images (N, C, H, W), got {came}")
        if getattr(self.network, "training", False):
            raise ValueError("network: expected evaluation mode; call network.eval()")
        parts = [_embeddings(self.network(x), len(x)) for x in images.split(IMAGES_AT_ONCE)]
        embeddings = torch.cat(parts)
        if not bool(embeddings.isfinite().all()):
            raise ValueError(f"{name}: expected finite embeddings, got NaN or infinity")
        return embeddings

    def _whitened(self, centred: Tensor) -> Tensor:
        return centred @ self.whitening if self.whitening.numel() else centred

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Takes what was fitted, whose shapes the scorer does not know before."""
        for name, buffer in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if isinstance(saved, Tensor) and buffer is not None:
                setattr(self, name, buffer.new_empty(saved.shape, dtype=saved.dtype))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class DistanceToControls(EmbeddingScorer):
    r"""How far an image's profile is from the centre of the controls, :math:`\|z\|`.

    Whitened it is the Mahalanobis distance from the controls. No class is needed: what makes an
    image unlike untreated ones is what its map shows.

    Args:
        network: Images (N, C, H, W) to embeddings (N, D); in evaluation mode.
        whiten: Read embeddings in standard deviations of the controls.

    Examples:
        >>> scorer = DistanceToControls(network).fit(controls)
        >>> scorer(inputs).shape
        torch.Size([8, 1])
        >>> attributions = PCIM(scorer).attribute(inputs)
    """

    def fit(self, controls: Tensor) -> DistanceToControls:
        """Measure the controls.

        Args:
            controls: Images of untreated wells, (N, C, H, W), in the network's units.

        Returns:
            The scorer itself.

        Raises:
            ValueError: If there are fewer than two, or their embeddings are not finite.
        """
        self._fit_controls(controls)
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the distances (N, 1) of images (N, C, H, W), from 0."""
        distances: Tensor = torch.linalg.vector_norm(self.profiles(inputs), dim=1, keepdim=True)
        return distances


class Similarity(EmbeddingScorer):
    r"""The cosine of an image's profile to the profile of a treatment, told from no change at all.

    .. math:: \frac{z \cdot p}{\|p\| \sqrt{\|z\|^2 + \rho^2}}

    The profile :math:`p` is the mean over images of the treatment, such as a compound of known
    mechanism; :math:`\rho` is the root mean square length of the controls' profiles. Near 1 is the
    same change from controls, 0 another one or none, near -1 the opposite. The plain cosine has no
    :math:`\rho` and gives untreated images, whose profiles are noise, any value; the term is ours.

    Args:
        network: Images (N, C, H, W) to embeddings (N, D); in evaluation mode.
        whiten: Read embeddings in standard deviations of the controls.

    Examples:
        >>> scorer = Similarity(network).fit(controls, known)
        >>> attributions = PCIM(scorer).attribute(inputs)  # what makes them like the known ones
    """

    profile: Tensor
    noise: Tensor

    def __init__(self, network: Callable[..., Any], whiten: bool = True) -> None:
        super().__init__(network, whiten)
        self.register_buffer("profile", torch.empty(0))
        self.register_buffer("noise", torch.empty(0))

    @torch.no_grad()
    def fit(self, controls: Tensor, treated: Tensor) -> Similarity:
        """Measure the controls, and the profile that images are compared with.

        Args:
            controls: Images of untreated wells, (N, C, H, W), in the network's units.
            treated: Images of the treatment.

        Returns:
            The scorer itself.

        Raises:
            ValueError: If there are too few, or their embeddings are not finite.
        """
        centred = self._fit_controls(controls) - self.centre
        mean = self._embed("treated", treated).mean(0)
        self.profile = nn.functional.normalize(self._whitened(mean - self.centre), dim=0)
        self.noise = self._whitened(centred).square().sum(1).mean()
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the cosines (N, 1) of images (N, C, H, W), in (-1, 1)."""
        profiles = self.profiles(inputs)
        lengths = (profiles.square().sum(1, keepdim=True) + self.noise).sqrt()
        return profiles @ self.profile.unsqueeze(1) / lengths


class Direction(EmbeddingScorer):
    r"""How far an image has gone from one treatment to another, :math:`z \cdot d / \|d\|^2`.

    :math:`d` leads from the centre of the first treatment to that of the second in profiles
    relative to the first, so 0 is where the first one is and 1 where the second one is.

    Args:
        network: Images (N, C, H, W) to embeddings (N, D); in evaluation mode.
        whiten: Read embeddings in standard deviations of the first treatment.

    Examples:
        >>> scorer = Direction(network).fit(start=low_dose, end=high_dose)
        >>> attributions = PCIM(scorer).attribute(high_dose)
    """

    direction: Tensor

    def __init__(self, network: Callable[..., Any], whiten: bool = True) -> None:
        super().__init__(network, whiten)
        self.register_buffer("direction", torch.empty(0))

    @torch.no_grad()
    def fit(self, start: Tensor, end: Tensor) -> Direction:
        """Measure both treatments.

        Args:
            start: Images (N, C, H, W) of the first treatment, in the network's units.
            end: Images of the second one.

        Returns:
            The scorer itself.

        Raises:
            ValueError: If there are too few, their embeddings are not finite, or the two do not
                differ.
        """
        self._fit_controls(start)
        step = self._whitened(self._embed("end", end).mean(0) - self.centre)
        length = step.square().sum()
        if float(length) == 0:
            raise ValueError("end: expected other embeddings than those of start, got the same")
        self.direction = step / length
        return self

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the places (N, 1) of images (N, C, H, W): 0 at the start, 1 at the end."""
        return self.profiles(inputs) @ self.direction.unsqueeze(1)


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


def _embeddings(output: Any, n_images: int) -> Tensor:
    if not isinstance(output, Tensor) or output.ndim != 2 or len(output) != n_images:
        came = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
        raise ValueError(
            f"network: expected embeddings of shape ({n_images}, D), got {came}; wrap it in a "
            "module that returns them"
        )
    return output
