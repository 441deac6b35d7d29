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
# # 8. How much to trust a map
# A map always looks like something. Six questions tell evidence from decoration. None of them needs
# truth, so all can be asked of your own network and images; the truth of the synthetic images is
# only used at the very end.

# %%
# %matplotlib inline
import os

import torch

from captum_pcim import PCIM, visualize
from captum_pcim.core.references import Background
from captum_pcim.metrics import (
    average_precision,
    rank_correlation,
    second_classifier_agreement,
    seed_agreement,
    wrong_class_success,
)
from captum_pcim.metrics.sanity import randomised_models
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"
STEPS = 20 if FAST else 40

# %%
model = load_cnn("fluorescence")
images = synthetic_fluorescence(4, seed=HELD_OUT_SEED)[1 : 2 if FAST else 4]
background = Background()(images.inputs)[0]


def attribute(forward_func, inputs, target):
    """The method under test, in the form that the metrics take."""
    pcim = PCIM(forward_func, seed=torch.initial_seed() % 2**31)
    return pcim.attribute(inputs, target=target, n_steps=STEPS)


attributions, diagnostics = PCIM(model).attribute(
    images.inputs, target=images.labels, n_steps=STEPS, return_diagnostics=True
)

# %% [markdown]
# ## 1. Does the network agree?
# The blend should show the class (leak ratio 0.5 to 1), the complement less of it. A blend that is
# better than the image (leak ratio well above 1) means that the mask itself draws the class.

# %%
print("leak ratio", diagnostics.leak_ratio.tolist())
print("probability of the complement", diagnostics.removed_probability.tolist())

# %% [markdown]
# ## 2. Does a seed matter?
# PCIM starts from equal weights and draws nothing, so maps of different seeds are the same.

# %%
agreement = seed_agreement(model, attribute, images.inputs, images.labels, n_seeds=2)
print("agreement of seeds", agreement.tolist())

# %% [markdown]
# ## 3. Does another classifier see it too?
# Adversarial patterns are made for one network. A second one, trained independently, should still
# name the class when it is shown nothing but the most relevant pixels. Where there is no second
# one, the first one looking at the mirrored image is a cheap, weaker stand-in.


# %%
def second(inputs):
    """Score the mirrored image."""
    return model(inputs.flip(-1))


seconded = second_classifier_agreement(
    second, images.inputs, attributions, images.labels, baselines=background
)
print("probability that the second classifier gives", seconded.tolist())

# %% [markdown]
# ## 4. Can the method be talked into anything?
# Ask for a class that is not there. A method that finds a convincing mask for it, no larger than
# that of the true class, can show evidence for anything.

# %%
absent = images.labels % 3 + 1  # another phenotype
fooled = wrong_class_success(
    model, attribute, images.inputs, images.labels, absent, baselines=background
)
print("made the network see what is not there:", fooled.tolist())

# %% [markdown]
# ## 5. Does the map depend on what the network learned?
# With random parameters the map should be another one. If it is not, the method shows the image.

# %%
*_, (_, untrained) = randomised_models(model)
of_untrained = attribute(untrained, images.inputs, images.labels)
likeness = rank_correlation(attributions, of_untrained)
print("rank correlation with the map of an untrained network", likeness.tolist())

# %%
visualize.plot_maps({"trained": attributions[0], "untrained": of_untrained[0]}, vmax=1)

# %% [markdown]
# ## 6. Is there enough optimisation?
# Maps after more and more steps: they should settle.

# %%
steps = (5, 10, 20) if FAST else (5, 10, 20, 40, 80)
path = {
    f"{n} steps": PCIM(model).attribute(images.inputs[:1], target=images.labels[:1], n_steps=n)[0]
    for n in steps
}
visualize.plot_maps(path, vmax=1)

# %%
*_, before, last = path.values()
settled = float(rank_correlation(before[None], last[None]))
print(f"rank correlation of the last two: {settled:.2f}")

# %% [markdown]
# ## The answers
# Trust a map as far as all six hold. A map that fails one of them may still be right, but then
# something else has to say so. Here the truth does.

# %%
precision = average_precision(attributions, images.masks)
print("average precision", precision.tolist(), "chance", images.masks.float().mean().item())

# %%
assert (diagnostics.leak_ratio < 1.25).all()
assert (agreement > 0.999).all()
assert seconded.mean() > 0.5
assert fooled.nanmean() < 0.5 or fooled.isnan().all()
assert likeness.mean() < 0.7
assert settled > 0.5
assert precision.mean() > 0.4
