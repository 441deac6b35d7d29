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
# # 6. Finding a shortcut
# A classifier with a perfect score may have learned the wrong thing: a scratch, a label, a plate
# that was read on another day. Here the training set has such an artefact, a bright spot in the
# corner of nearly every positive image, and the map gives it away.

# %%
# %matplotlib inline
import os

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from captum_pcim import PCIM, visualize
from captum_pcim.metrics import relevance_mass_accuracy
from captum_pcim.synthetic import HELD_OUT_SEED, TRAIN_SEED, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"
torch.manual_seed(0)

# %% [markdown]
# ## A classifier that is trained on flawed images

# %%
settings = {"size": 64, "stains": 2, "phenotype": "granules"}
train = synthetic_fluorescence(96 if FAST else 240, seed=TRAIN_SEED, shortcut=True, **settings)
flawed = synthetic_fluorescence(40, seed=HELD_OUT_SEED, shortcut=True, **settings)
clean = synthetic_fluorescence(40, seed=HELD_OUT_SEED, shortcut=False, **settings)
POSITIVE = train.class_names.index("granules")

model = nn.Sequential(
    nn.Conv2d(2, 8, 5, stride=2, padding=2),
    nn.ReLU(),
    nn.Conv2d(8, 8, 5, stride=2, padding=2),
    nn.ReLU(),
    nn.AdaptiveAvgPool2d(4),
    nn.Flatten(),
    nn.Linear(128, 3),
)
optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
for _ in range(20):
    for rows in torch.randperm(len(train)).split(16):
        optimiser.zero_grad()
        cross_entropy(model(train.inputs[rows]), train.labels[rows]).backward()
        optimiser.step()
model.eval()


def accuracy(images):
    with torch.no_grad():
        return float((model(images.inputs).argmax(1) == images.labels).float().mean())


print(f"accuracy on held-out images made like the training set: {accuracy(flawed):.2f}")

# %% [markdown]
# A good score. Would you ship it?
#
# ## The map

# %%
with torch.no_grad():
    called = model(flawed.inputs).argmax(1) == POSITIVE
positives = flawed[(called & (flawed.labels == POSITIVE)).nonzero()[: 2 if FAST else 6, 0]]
attributions, diagnostics = PCIM(model).attribute(
    positives.inputs, target=POSITIVE, return_diagnostics=True
)
visualize.plot_explanation(positives.inputs[0], attributions[0], vmax=1)

# %%
on_artefact = relevance_mass_accuracy(attributions, positives.shortcut_masks).nanmean()
on_phenotype = relevance_mass_accuracy(attributions, positives.masks).nanmean()
artefact_area = positives.shortcut_masks.float().mean()
print(
    f"share of the map on the artefact: {on_artefact:.2f}, of its area {artefact_area:.2f}; "
    f"on the phenotype: {on_phenotype:.2f}"
)

# %% [markdown]
# The map lies on the corner. The cells, which are what the classes differ in, hardly matter.
#
# ## The proof
# Take the artefact away, and the score falls.

# %%
print(f"accuracy on the same cells without the artefact: {accuracy(clean):.2f}")

# %%
assert accuracy(flawed) > accuracy(clean) + 0.15
assert on_artefact > 10 * artefact_area
assert on_artefact > on_phenotype + 0.2
