"""Tiny networks for tests: deterministic, milliseconds a pass."""

import torch
from torch import Tensor, nn

from captum_pcim import SharedOverStains, Smoothing
from captum_pcim.core.channels import PixelChannels
from captum_pcim.core.network import CallArguments, Network
from captum_pcim.core.objective import default_objective
from captum_pcim.core.problem import Images, Problem
from captum_pcim.core.scores import Calibration, read_scores
from captum_pcim.core.stakes import Stakes


def seeded(build, seed: int = 0):
    """Build a module with weights drawn from a seed, leaving the global state alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def small_cnn(n_stains: int = 3, n_classes: int = 3, **conv) -> nn.Module:
    """Return a convolution, a ReLU, mean pooling and a linear head; the same one every time."""
    return seeded(
        lambda: nn.Sequential(
            nn.Conv2d(n_stains, 4, 3, padding=1, **conv),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(16, n_classes),
        )
    ).eval()


def images(n: int = 3, n_stains: int = 3, size: int = 16, seed: int = 1) -> Tensor:
    """Return images of uniform noise, the same ones every time."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, n_stains, size, size, generator=generator)


class BrightSquare(nn.Module):
    """Two classes; the log-odds of class 1 are the mean brightness of one square, scaled.

    Nothing outside the square, and no stain but the first, has any influence.
    """

    def __init__(self, top: int = 4, left: int = 4, side: int = 6, scale: float = 20.0) -> None:
        super().__init__()
        self.rows = slice(top, top + side)
        self.columns = slice(left, left + side)
        self.scale = scale

    def forward(self, inputs: Tensor) -> Tensor:
        brightness = inputs[:, 0, self.rows, self.columns].flatten(1).mean(1)
        odds = self.scale * (brightness - 0.5)
        return torch.stack([torch.zeros_like(odds), odds], dim=1)

    def mask(self, inputs: Tensor) -> Tensor:
        """Return the square, of shape (1, 1, H, W)."""
        mask = torch.zeros(1, 1, *inputs.shape[2:], dtype=torch.bool, device=inputs.device)
        mask[..., self.rows, self.columns] = True
        return mask


def bright_images(n: int = 2, size: int = 16, seed: int = 1) -> Tensor:
    """Return dim noise with the square of :class:`BrightSquare` at nearly 1."""
    inputs = 0.1 * images(n, 3, size, seed)
    inputs[:, 0, 4:10, 4:10] += 0.9
    return inputs


def prepared(forward_func, inputs: Tensor, target: int = 1) -> tuple[Problem, Images]:
    """Return a problem and its images against a reference of zero, as a call prepares them."""
    n_images = len(inputs)
    classes, ones = torch.full((n_images,), target), torch.ones(n_images, 1)
    full = read_scores(forward_func(inputs), classes, "logits")
    chunk = Images(
        inputs=(inputs,),
        references=[(torch.zeros_like(inputs),)],
        unreplaced=[(torch.zeros_like(inputs),)],
        arguments=CallArguments.of(target, (), n_images, inputs.device),
        channels=PixelChannels((inputs,), SharedOverStains(), Smoothing()),
        full=full,
        calibration=Calibration(0 * ones, ones),
        stakes=Stakes.between(-4 * ones, full.log_odds),
    )
    return Problem(Network(forward_func, (inputs.dtype,)), default_objective(), "logits"), chunk
