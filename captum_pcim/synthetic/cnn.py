"""Two small classifiers of the synthetic images, one of them with weights that ship."""

from __future__ import annotations

from importlib import resources

import torch
from torch import Tensor, nn

from captum_pcim.synthetic.packing import unpacked

# stains, classes of the shipped classifiers
SHIPPED = {"fluorescence": (3, 4), "brightfield": (1, 4)}


class SmallResNet(nn.Module):
    """A residual network with a stride of 4 and a receptive field about one cell wide.

    Global average pooling lets it take any image from 64 to 512 pixels a side. In evaluation mode
    an output depends on nothing but its own image.

    Args:
        in_channels: number of stains C.
        n_classes: number of logits.
        width: channels of the first stage; the second has twice as many.
    """

    def __init__(self, in_channels: int, n_classes: int, width: int = 16) -> None:
        """Builds the network with random weights."""
        super().__init__()
        # Every ReLU is a module of its own: DeepLift and GuidedBackprop hook modules.
        self.stem = nn.Sequential(*_conv_norm(in_channels, width, 5, stride=2), nn.ReLU())
        self.stages = nn.Sequential(
            _Residual(width, width, stride=1),
            _Residual(width, 2 * width, stride=2),
            _Residual(2 * width, 2 * width, stride=1),
        )
        self.head = nn.Linear(2 * width, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, n_classes) of inputs (N, C, H, W) in [0, 1]."""
        features: Tensor = self.stages(self.stem(inputs))
        logits: Tensor = self.head(features.mean(dim=(2, 3)))
        return logits


class LargeKernelCNN(nn.Module):
    """A plain network of few, large kernels: a classifier unlike :class:`SmallResNet`.

    Args:
        in_channels: number of stains C.
        n_classes: number of logits.
        width: channels of the first layer; the others have twice as many.
    """

    def __init__(self, in_channels: int, n_classes: int, width: int = 16) -> None:
        """Builds the network with random weights."""
        super().__init__()
        self.layers = nn.Sequential(
            _conv_norm(in_channels, width, 11, stride=2),
            nn.ReLU(),
            _conv_norm(width, 2 * width, 7, stride=2),
            nn.ReLU(),
            _conv_norm(2 * width, 2 * width, 7, stride=1),
            nn.ReLU(),
        )
        self.head = nn.Linear(2 * width, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits (N, n_classes) of inputs (N, C, H, W) in [0, 1]."""
        logits: Tensor = self.head(self.layers(inputs).mean(dim=(2, 3)))
        return logits


def load_cnn(name: str) -> SmallResNet:
    """Loads a shipped classifier of the synthetic images, in evaluation mode.

    Args:
        name: ``"fluorescence"``, for ``synthetic_fluorescence`` with its three default stains, or
            ``"brightfield"``. How they were trained stands in ``benchmarks/sets/train_cnn.py``.

    Raises:
        ValueError: if there is no such classifier.

    Examples:
        >>> model = load_cnn("fluorescence")
        >>> model(synthetic_fluorescence(2).inputs).shape
        torch.Size([2, 4])
    """
    if name not in SHIPPED:
        raise ValueError(f"name: expected one of {tuple(SHIPPED)}, got {name!r}")
    model = SmallResNet(*SHIPPED[name])
    weights = resources.files("captum_pcim.synthetic") / "weights" / f"{name}.pt"
    with resources.as_file(weights) as path:
        numbers = torch.load(path, map_location="cpu", weights_only=True)
    model.load_state_dict(unpacked(numbers, model.state_dict()))
    return model.eval()


class _Residual(nn.Module):
    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = _conv_norm(in_channels, out_channels, 3, stride)
        self.second = _conv_norm(out_channels, out_channels, 3, stride=1)
        self.relu_inside, self.relu_after = nn.ReLU(), nn.ReLU()
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else _conv_norm(in_channels, out_channels, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        hidden = self.relu_inside(self.first(features))
        activations: Tensor = self.relu_after(self.shortcut(features) + self.second(hidden))
        return activations


def _conv_norm(in_channels: int, out_channels: int, kernel: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
