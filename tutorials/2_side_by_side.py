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
# # 2. Side by side with Captum's methods
# The same images, the same network, PCIM next to four of Captum's methods: first the maps, then how
# faithful they are to the network (insertion, deletion, infidelity), how steady (sensitivity) and
# how close to the truth.

# %%
# %matplotlib inline
import os

import torch

from captum_pcim import PCIM
from captum_pcim.comparison.compare import compare
from captum_pcim.comparison.methods import grad_cam, integrated_gradients, occlusion
from captum_pcim.comparison.metrics import fidelity_metrics
from captum_pcim.comparison.trivial import random_map
from captum_pcim.core.references import Background, Blur
from captum_pcim.metrics import average_precision, image_infidelity, image_sensitivity_max
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"

# %%
model = load_cnn("fluorescence")
images = synthetic_fluorescence(12, seed=HELD_OUT_SEED)
with torch.no_grad():
    right = model(images.inputs).argmax(1) == images.labels
chosen = (right & (images.labels > 0)).nonzero()[:, 0]
images = images[chosen[:1] if FAST else chosen[:6]]

# %% [markdown]
# ## Methods and metrics
# `compare` takes any Captum object, any function, and settings with them;
# `captum_pcim.comparison.methods` has the settings that suit images. A metric is a function of a
# case and its maps. Insertion and deletion need something to stand where a pixel is not,
# and rankings depend on it, so two such references are used. Random maps show what a figure is
# worth.

# %%
methods = {
    "PCIM": PCIM(model),
    "IntegratedGradients": integrated_gradients(model, "abs"),
    "IntegratedGradients, smoothed": integrated_gradients(model),
    "Occlusion": occlusion(model),
    "Grad-CAM": grad_cam(model, model.stages[-1]),
    "random": random_map,
}


def infidelity(case, maps):
    background = Background()(case.inputs)[0]
    return image_infidelity(case.forward_func, case.inputs, maps, case.target, baselines=background)


metrics = fidelity_metrics(
    {"blur": lambda x: Blur()(x)[0], "background": lambda x: Background()(x)[0]},
    n_points=11 if FAST else 51,
)
metrics["infidelity"] = infidelity
metrics["average precision"] = lambda case, maps: average_precision(maps, case.masks)

comparison = compare(methods, images.inputs, images.labels, images.masks, metrics, trivial=False)
print(comparison)

# %%
comparison.plot()

# %%
comparison.plot_curves()

# %% [markdown]
# ## Sensitivity
# `image_sensitivity_max` is Captum's `sensitivity_max` with noise that is relative to each stain.
# It calls the whole method for every noisy copy; the optimised method gets fewer steps for it.

# %%
few = images[:1]
sensitivity = {
    "PCIM": image_sensitivity_max(
        PCIM(model).attribute, few.inputs, target=few.labels, n_perturb_samples=2, n_steps=20
    ),
    "IntegratedGradients": image_sensitivity_max(
        lambda x, target: integrated_gradients(model).maps(x, target),
        few.inputs,
        target=few.labels,
        n_perturb_samples=2,
    ),
}
for name, values in sensitivity.items():
    print(f"{name:20s} {float(values.mean()):.3f}")

# %% [markdown]
# ## How to read the table
# - Insertion, average precision: higher is better. Deletion, infidelity, sensitivity: lower.
# - No method wins everywhere, and Occlusion costs hundreds of passes.
# - Where every method reaches the same figure, random maps among them, the figure says nothing: a
#   blurred image may still be seen as its class, and then insertion starts at the top.
# - Maps that score well in insertion and badly against the truth are adversarial: they compose
#   something that the network likes. That is why both kinds of figure stand in one table.

# %%
table = {row["method"]: row for row in comparison.table()}
pcim, random = table["PCIM"], table["random"]
assert pcim["insertion, blur"] >= random["insertion, blur"] - 0.02
assert pcim["insertion, background"] > random["insertion, background"] + 0.1
assert pcim["deletion, background"] < random["deletion, background"] - 0.05
assert pcim["average precision"] > random["average precision"] + 0.3
assert pcim["average precision"] > table["IntegratedGradients"]["average precision"]
assert 0 <= float(sensitivity["PCIM"].max()) < 1
