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
# # 9. No labels: what makes a well unlike the controls
# Many screens have no classes, only a network that turns an image into an embedding, and untreated
# wells. Here a plate of untold compounds is ranked by its distance to the controls, the map shows
# what the distance is made of, and the stain and the cells that carry it are named. What was
# planted is looked at in the last step only.

# %%
# %matplotlib inline
import os
from itertools import pairwise

import matplotlib.pyplot as plt
import torch
import torch.nn.functional as F
from IPython.display import display
from torch import nn

from captum_pcim import PCIM, Background, Blur, Factorised, pixel_maps
from captum_pcim.classifiers import DistanceToControls
from captum_pcim.metrics import object_shares, relevance_mass_accuracy
from captum_pcim.synthetic import HELD_OUT_SEED, synthetic_fluorescence
from captum_pcim.visualize import plot_explanations

FAST = os.environ.get("PCIM_FAST") == "1"

# %% [markdown]
# ## A plate
# Untreated fields and five compounds. Four do nothing; one makes granules in some of the cells.

# %%
n_controls, n_each = (40, 8) if FAST else (80, 20)
fields = synthetic_fluorescence(
    2 * (n_controls + 4 * n_each),
    size=64 if FAST else 96,
    seed=HELD_OUT_SEED,
    phenotype="granules",
)
untreated, changed = fields[fields.labels == 0], fields[fields.labels > 0]
controls = untreated[:n_controls]
compounds = {f"compound {i + 1}": untreated[n_controls + i * n_each :][:n_each] for i in range(4)}
compounds["compound 5"] = changed[:n_each]


# %% [markdown]
# ## A network without classes
# Any module from images to embeddings will do: a self-supervised network, the body of a classifier.
# This one is not even trained. It measures texture: how much of each stain there is in bands of
# several widths, and how much two stains lie in the same place.


# %%
class Texture(nn.Module):
    def __init__(self, sigmas=(0.7, 1.4, 2.8, 5.6), reach=16):
        super().__init__()
        places = torch.arange(-reach, reach + 1).float()
        kernels = [torch.exp(-(places**2) / (2 * sigma**2)) for sigma in sigmas]
        self.register_buffer("kernels", torch.stack([k / k.sum() for k in kernels]))
        self.reach = reach

    def blurred(self, images, kernel):
        line = kernel.expand(images.shape[1], 1, 1, -1)
        both = (self.reach,) * 2
        images = F.conv2d(F.pad(images, (*both, 0, 0), mode="reflect"), line, groups=len(line))
        column = line.transpose(2, 3)
        return F.conv2d(F.pad(images, (0, 0, *both), mode="reflect"), column, groups=len(line))

    def forward(self, images):
        levels = [self.blurred(images, kernel) for kernel in self.kernels]
        bands = [F.relu(fine - coarse) for fine, coarse in pairwise(levels)]
        texture = [part for band in bands for part in (band, band**2)]
        pairs = [
            (one[:, i] * other[:, j]).unsqueeze(1)
            for one, other in (levels[1:3], (bands[0], levels[3]), (bands[1], levels[3]))
            for i in range(images.shape[1])
            for j in range(images.shape[1])
        ]
        return torch.cat([part.mean((2, 3)).add(1e-8).sqrt() for part in (*texture, *pairs)], 1)


# %% [markdown]
# ## Ranked by distance
# The controls say where untreated images lie and how much they vary; a distance is in standard
# deviations of the controls, whichever way it goes. One compound stands out.

# %%
scorer = DistanceToControls(Texture().eval()).fit(controls.inputs)
with torch.no_grad():
    distances = {name: scorer(images.inputs)[:, 0] for name, images in compounds.items()}
ranking = sorted(distances, key=lambda name: float(distances[name].median()), reverse=True)
for name in ranking:
    print(f"{name}: median distance {distances[name].median():.2f}")

figure, axes = plt.subplots(figsize=(7, 2.4))
axes.boxplot([distances[name] for name in ranking])
axes.set_xticks(range(1, len(ranking) + 1), ranking)
axes.set_ylabel("distance to the controls")
display(figure)
plt.close(figure)

# %% [markdown]
# ## What the distance is made of
# The farthest fields of the first compound. No score and no target is named: the scorer says that
# it gives a quantity, and puts typical controls where nothing is mixed in.

# %%
hit = ranking[0]
n_explained = 2 if FAST else 6
farthest = compounds[hit][distances[hit].topk(n_explained).indices]
attributions = PCIM(scorer).attribute(farthest.inputs)
figure = plot_explanations(farthest.inputs[:3], attributions[:3])
display(figure)
plt.close(figure)

# %% [markdown]
# Which stain? One weight per stain beside the map.

# %%
_, diagnostics = PCIM(scorer, isolation=Factorised()).attribute(
    farthest.inputs, return_diagnostics=True
)
stains = dict(zip(farthest.stain_names, diagnostics.stain_weights[0].mean(0).tolist(), strict=True))
print(", ".join(f"{name} {weight:.2f}" for name, weight in stains.items()))

# %% [markdown]
# ## Was it that?
# Now the truth is uncovered: the pixels that the granules changed, and the cells that have them.

# %%
area = farthest.masks.float().mean().item()
mass = relevance_mass_accuracy(attributions, farthest.masks).mean().item()
print(f"{mass:.0%} of the map lies where the compound changed the image, {area:.0%} of its area")

shares = object_shares(attributions, farthest.cells)[:, 1:]
sizes = torch.stack(
    [F.one_hot(cells.long(), shares.shape[1] + 1).sum((0, 1))[1:] for cells in farthest.cells]
)
has = farthest.cell_has_phenotype[:, 1 : shares.shape[1] + 1]
density = shares / sizes.clamp_min(1)
above = (density[has & (sizes > 0)][:, None] > density[~has & (sizes > 0)]).float().mean().item()
print(f"a cell with granules stands above one without in {above:.0%} of the pairs")

# %% [markdown]
# ## Why controls stand behind
# A flat or a blurred image is far from the controls as well, farther than the compound. Against it
# a map shows what is *like* a control, and misses what was asked for.

# %%
flat = PCIM(scorer, references=[Background(), Blur()]).attribute(farthest.inputs)
mass_flat = relevance_mass_accuracy(flat, farthest.masks).mean().item()
print(f"against background and blur: {mass_flat:.0%}")

# %%
assert hit == "compound 5"
assert max(stains, key=stains.get) == "reporter"
assert mass > 3 * area
assert above > 0.75
assert mass > mass_flat
assert pixel_maps(attributions).shape == farthest.inputs[:, 0].shape
