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
# # 1. A first map in five minutes
# Which pixels made a classifier decide? Here a small network tells four phenotypes of synthetic
# cells apart, and PCIM shows what it looked at. The images come with exact truth, so the map can be
# checked.

# %%
# %matplotlib inline
import os

import torch

from captum_pcim import PCIM, Background, visualize
from captum_pcim.metrics import average_precision, chance_levels
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"

# %% [markdown]
# ## The classifier and its images
# Any function that turns a batch of images into scores will do. This one ships with the package; it
# takes three stains and returns logits of four classes.

# %%
model = load_cnn("fluorescence")
images = synthetic_fluorescence(4, seed=HELD_OUT_SEED)[1 : 2 if FAST else 4]
with torch.no_grad():
    probabilities = model(images.inputs).softmax(1)
for row, label in zip(probabilities, images.labels, strict=True):
    predicted = int(row.argmax())
    print(
        f"true {images.class_names[label]:14s} predicted {images.class_names[predicted]:14s} "
        f"with probability {row[predicted]:.3f}"
    )

# %%
visualize.plot_stains(images.inputs[0], images.stain_names)

# %% [markdown]
# ## The map
# `attribute` has Captum's arguments. It trains one weight per pixel: an image mixed with these
# weights is still seen as the class, and what is left over no longer is.

# %%
pcim = PCIM(model)
attributions, diagnostics = pcim.attribute(
    images.inputs, target=images.labels, return_diagnostics=True
)
print(attributions.shape, f"from {attributions.min():.3f} to {attributions.max():.3f}")

# %%
figure = visualize.plot_explanation(images.inputs[0], attributions[0], vmax=1)
visualize.draw_scale_bar(figure.axes[0], pixel_size=0.65).get_figure()

# %% [markdown]
# White and yellow outlines are the smallest regions that hold 50 % and 80 % of the map.
#
# ## What the network kept and what it lost
# The two pictures that the weights were trained on, with the image's own background where nothing
# is mixed in.

# %%
visualize.plot_blends(images.inputs[0], attributions[0], Background()(images.inputs)[0, 0])

# %% [markdown]
# ## Is the map any good?
# The diagnostics answer for the network: the blend should show the class (the leak ratio, its share
# of the probability on the image, between 0.5 and 1), and the complement should not. Where one of
# them is not so, `verdict` says it in words: the class can be seen in what the map leaves out, so
# there is more evidence than the map shows. Because these images have truth, the map can be
# compared with it as well.

# %%
precision = average_precision(attributions, images.masks)
chance = chance_levels(images.masks)["average_precision"]
for i, label in enumerate(images.labels):
    print(
        f"{images.class_names[label]:14s} kept {diagnostics.preserved_probability[i]:.3f}, "
        f"lost {1 - diagnostics.removed_probability[i]:.3f}, "
        f"leak ratio {diagnostics.leak_ratio[i]:.2f}, area {diagnostics.area[i]:.3f}, "
        f"average precision {precision[i]:.2f} (chance {chance[i]:.2f})\n"
        f"{'':14s} {diagnostics.verdict[i]}"
    )

# %% [markdown]
# The headline figures, checked:

# %%
assert attributions.shape == images.inputs.shape
assert attributions.min() >= 0 and attributions.max() <= 1
assert (diagnostics.leak_ratio.sub(0.8).abs() < 0.4).all()
explained = torch.tensor([verdict == "explained" for verdict in diagnostics.verdict])
assert (diagnostics.removed_probability < diagnostics.preserved_probability)[explained].all()
assert explained[0]
assert precision.mean() > 5 * chance.mean()
