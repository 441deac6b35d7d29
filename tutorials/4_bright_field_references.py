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
# # 4. Bright field: choosing references, and what a wrong one does
# PCIM asks what the network sees when a pixel is *not* mixed in. Something has to stand there: the
# reference. In fluorescence black is nothing. In bright field nothing is grey, and black is a hole.

# %%
# %matplotlib inline
import os

import torch

from captum_pcim import PCIM, Background, Blur, Constant, ControlImages, visualize
from captum_pcim.metrics import average_precision, insertion
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_brightfield

FAST = os.environ.get("PCIM_FAST") == "1"

# %%
model = load_cnn("brightfield")
images = synthetic_brightfield(8, seed=HELD_OUT_SEED)
controls = images[images.labels == 0]
with torch.no_grad():
    right = model(images.inputs).argmax(1) == images.labels
chosen = (right & (images.labels > 0)).nonzero()[:, 0]
images = images[chosen[1:3] if FAST else chosen]
print(f"{len(images)} images, mean intensity {images.inputs.mean():.2f}")

# %% [markdown]
# ## What the network makes of a reference
# A reference should look like nothing of interest: the network should not see the target in it.


# %%
def probability_of_target(inputs):
    with torch.no_grad():
        return model(inputs).softmax(1).gather(1, images.labels[:, None]).mean()


references = {
    "zero": [Constant(0.0)],
    "background": [Background()],
    "blur": [Blur()],
    "background and blur (default)": [Background(), Blur()],
    "control wells": [ControlImages(controls.inputs)],
}
for name, chosen_references in references.items():
    seen = [
        probability_of_target(image.expand_as(images.inputs))
        for reference in chosen_references
        for image in reference(images.inputs)
    ]
    print(f"{name:30s} probability of the target {max(seen):.3f}")

# %% [markdown]
# ## Maps with each of them

# %%
maps, rows = {}, {}
neutral = Background()(images.inputs)[0]
for name, chosen_references in references.items():
    attributions, diagnostics = PCIM(model, references=chosen_references).attribute(
        images.inputs, target=images.labels, n_steps=20 if FAST else 40, return_diagnostics=True
    )
    maps[name] = attributions[0]
    faithful = insertion(model, images.inputs, attributions, images.labels, neutral, n_points=11)
    rows[name] = {
        "average precision": float(average_precision(attributions, images.masks).mean()),
        "insertion": float(faithful.auc.mean()),
        "area": float(diagnostics.area.mean()),
    }
    print(f"{name:30s}", *(f"{key} {value:.2f}  " for key, value in rows[name].items()))

# %%
visualize.plot_maps(maps, vmax=1)

# %%
visualize.plot_explanation(images.inputs[0], maps["background and blur (default)"], vmax=1)

# %% [markdown]
# With zero the map grows large and lies beside the truth: in front of a black reference every
# border of a kept region is an edge, so whole regions have to be kept to look like an image at all.
# Captum's `baselines=0`, the default of its perturbation methods, has the same trouble. What to do:
#
# - Leave the default, which reads the background off each image's own histogram.
# - With control wells of the same plate, hand some of them over as `ControlImages`: the map then
#   shows what differs from *those images*, which also holds their cells, so use several.
# - Print the table above for your own network: a reference in which it sees the target is none.

# %%
default, zero = rows["background and blur (default)"], rows["zero"]
assert default["average precision"] > zero["average precision"] + 0.1
assert default["area"] < zero["area"]
assert default["insertion"] > 0.8
