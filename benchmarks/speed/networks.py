"""The networks of the speed benchmark, with random weights: what they compute does not matter.

ResNet-50 (He et al. 2016, arXiv 1512.03385, stride in the 3 x 3 convolution) and ViT-S/16
(Dosovitskiy et al. 2021, arXiv 2010.11929, in the small width of Touvron et al. 2021) are written
out so that nothing has to be installed for them.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from captum_pcim.synthetic.cnn import SmallResNet


def small_cnn(channels: int, side: int, n_classes: int) -> nn.Module:
    """The classifier of the synthetic images; it takes any side."""
    return SmallResNet(channels, n_classes)


def resnet50(channels: int, side: int, n_classes: int) -> nn.Module:
    """ResNet-50; it takes any side from 32 pixels."""
    stages = [
        _stage(64, 64, n_blocks=3, stride=1),
        _stage(256, 128, n_blocks=4, stride=2),
        _stage(512, 256, n_blocks=6, stride=2),
        _stage(1024, 512, n_blocks=3, stride=2),
    ]
    stem = [*_conv_norm(channels, 64, 7, stride=2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, n_classes)]
    return nn.Sequential(*stem, *stages, *head)


def vit_small(channels: int, side: int, n_classes: int) -> nn.Module:
    """ViT-S/16 for one side, a multiple of 16 pixels."""
    return VisionTransformer(channels, side, n_classes)


NETWORKS: dict[str, Callable[[int, int, int], nn.Module]] = {
    "small CNN": small_cnn,
    "ResNet-50": resnet50,
    "ViT-S/16": vit_small,
}


def build(name: str, channels: int, side: int, n_classes: int, device: str) -> nn.Module:
    """A network by name, in evaluation mode, the same weights every time."""
    torch.manual_seed(0)
    return NETWORKS[name](channels, side, n_classes).eval().to(device)


class Bottleneck(nn.Module):
    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = 4 * width
        self.residual = nn.Sequential(
            *_conv_norm(in_channels, width, 1),
            nn.ReLU(inplace=True),
            *_conv_norm(width, width, 3, stride),
            nn.ReLU(inplace=True),
            *_conv_norm(width, out_channels, 1),
        )
        same = stride == 1 and in_channels == out_channels
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(*_conv_norm(in_channels, out_channels, 1, stride))
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu_(self.residual(features) + self.shortcut(features))


class VisionTransformer(nn.Module):
    def __init__(
        self,
        channels: int,
        side: int,
        n_classes: int,
        patch: int = 16,
        width: int = 384,
        depth: int = 12,
        n_heads: int = 6,
    ) -> None:
        super().__init__()
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(0.02 * torch.randn(1, 1 + (side // patch) ** 2, width))
        layer = nn.TransformerEncoderLayer(
            width, n_heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.blocks = nn.TransformerEncoder(
            layer, depth, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.head = nn.Linear(width, n_classes)

    def forward(self, inputs: Tensor) -> Tensor:
        tokens = self.patches(inputs).flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(len(tokens), -1, -1), tokens], 1)
        features = self.blocks(tokens + self.positions)
        return self.head(features[:, 0])


def _stage(in_channels: int, width: int, n_blocks: int, stride: int) -> nn.Sequential:
    first = Bottleneck(in_channels, width, stride)
    return nn.Sequential(first, *(Bottleneck(4 * width, width, 1) for _ in range(n_blocks - 1)))


def _conv_norm(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> list[nn.Module]:
    convolution = nn.Conv2d(
        in_channels, out_channels, kernel, stride, padding=kernel // 2, bias=False
    )
    return [convolution, nn.BatchNorm2d(out_channels)]
