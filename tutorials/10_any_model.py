# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10. Any model, in colour
# One call explains a vision transformer and a convolutional network of Hugging Face, and a network
# of your own. Nothing is downloaded: all three are made with random weights and learn a toy task on
# colour pictures in some seconds. With weights of yours, only the lines that make the networks
# change. `timm.create_model(...)` and the models of torchvision go the same way as your own: the
# [recipes](../recipes.md) have a snippet of each.

# %%
# %matplotlib inline
import os

import torch
from torch import nn
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from captum_pcim import PCIM, pixel_maps, visualize
from captum_pcim.metrics import average_precision, chance_levels

FAST = os.environ.get("PCIM_FAST") == "1"
SIZE = 48
torch.manual_seed(0)

# %% [markdown]
# ## Pictures
# Red, green and blue. Every picture has a soft background and four discs. Green and grey ones say
# nothing and are all there is in class 0; one disc is red in class 1, and blue in class 2. Class 0
# is what the networks see in an empty picture too, so there is something to lose in 1 and 2.


# %%
def pictures(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Colour pictures (n, 3, H, W), their classes (n,), and where the telling disc is."""
    chance = torch.Generator().manual_seed(seed)
    coarse = torch.rand(n, 3, 6, 6, generator=chance)
    images = 0.3 + 0.2 * nn.functional.interpolate(coarse, SIZE, mode="bicubic")
    labels, masks = torch.arange(n) % 3, torch.zeros(n, 1, SIZE, SIZE, dtype=torch.bool)
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    colours = torch.tensor([[0.7, 0.7, 0.7], [0.9, 0.25, 0.2], [0.2, 0.3, 0.9], [0.2, 0.8, 0.3]])
    for i in range(n):
        corners = torch.randperm(4, generator=chance)
        telling = int(labels[i])
        for corner, colour in zip(corners.tolist(), (telling, 3, 0, 3), strict=True):
            shift = torch.randint(8, 16, (2,), generator=chance)
            row, column = shift + torch.tensor([corner // 2, corner % 2]) * (SIZE // 2)
            disc = (rows - row) ** 2 + (columns - column) ** 2 < 36
            images[i, :, disc] = colours[colour][:, None]
            if telling and colour == telling:
                masks[i, 0] = disc
    noise = 0.02 * torch.randn(images.shape, generator=chance)
    return (images + noise).clamp(0, 1), labels, masks


training, training_labels, _ = pictures(384, seed=1)
inputs, labels, masks = (part[1:3] for part in pictures(3, seed=2))  # one red, one blue

# %% [markdown]
# ## Three networks
# Networks are given images as they were trained on them. Where a model comes with a processor of
# its own (`AutoImageProcessor`, timm's `create_transform`), the input is what that returns.

# %%
convolutional = ResNetForImageClassification(
    ResNetConfig(
        embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=3
    )
)
transformer = ViTForImageClassification(
    ViTConfig(
        image_size=SIZE,
        patch_size=8,
        hidden_size=48,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_labels=3,
    )
)
of_my_own = nn.Sequential(
    nn.Conv2d(3, 16, 5, stride=2),
    nn.ReLU(),
    nn.Conv2d(16, 32, 3, stride=2),
    nn.ReLU(),
    nn.AdaptiveMaxPool2d(1),
    nn.Flatten(),
    nn.Linear(32, 3),
)
networks = {"ResNet": convolutional, "ViT": transformer, "my own": of_my_own}


def scores(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Logits, which Hugging Face's models return within an object."""
    found = network(images)
    return getattr(found, "logits", found)


for name, network in networks.items():
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3)
    network.train()
    for _ in range(25):
        for chosen in torch.randperm(len(training)).split(32):
            loss = nn.functional.cross_entropy(
                scores(network, training[chosen]), training_labels[chosen]
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    network.eval()
    with torch.no_grad():
        right = (scores(network, inputs).argmax(1) == labels).float().mean()
    print(f"{name}: {right:.0%} of the pictures below are called right")

# %% [markdown]
# ## One call
# `.logits` is read by itself. `target="predicted"` explains what each network says.

# %%
maps, verdicts = {}, {}
for name, network in networks.items():
    maps[name], diagnostics = PCIM(network).attribute(
        inputs, target="predicted", return_diagnostics=True, n_steps=12 if FAST else 24
    )
    verdicts[name] = diagnostics.verdict
    print(f"{name}: {', '.join(diagnostics.verdict)}")

# %% [markdown]
# ## In their own colours
# Microscopes give stains, cameras give red, green and blue: `colours="rgb"` draws them as they are.

# %%
visualize.plot_explanations(inputs, maps["my own"], colours="rgb", verdicts=verdicts["my own"])

# %%
visualize.plot_maps({name: own[0] for name, own in maps.items()})

# %% [markdown]
# ## As arrays
# `pixel_maps` drops the axis of colours, which all have the same weight: (N, H, W), as most other
# packages return maps.

# %%
print(pixel_maps(maps["ViT"]).shape)

# %% [markdown]
# Checked: each network's maps rank the telling disc far above chance.

# %%
chance = chance_levels(masks)["average_precision"].mean()
for name, own in maps.items():
    precision = average_precision(own, masks).mean()
    print(f"{name}: average precision {precision:.2f}, by chance {chance:.2f}")
    assert precision > 2 * chance
