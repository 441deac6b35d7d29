"""Tiny networks for tests: deterministic, milliseconds a pass."""

import torch
from torch import Tensor, nn


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
