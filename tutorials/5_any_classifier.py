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
# # 5. Any classifier: ONNX, without gradients
# The paper asks nothing of a network but its answers, and neither does PCIM: where there are no
# gradients it learns from forward passes alone. Here the classifier is a file for ONNX Runtime; a
# scikit-learn pipeline or a web service works the same way, through `NumpyForward`.

# %%
# %matplotlib inline
import os
import tempfile
from pathlib import Path

import torch

from captum_pcim import PCIM, ForwardOnly, visualize
from captum_pcim.classifiers.adapters import OnnxForward
from captum_pcim.metrics import average_precision, chance_levels, rank_correlation
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"

# %% [markdown]
# ## A file instead of a network

# %%
size = 64 if FAST else 96
images = synthetic_fluorescence(4, size=size, seed=HELD_OUT_SEED)[1 : 2 if FAST else 4]
model = load_cnn("fluorescence")

path = Path(tempfile.mkdtemp()) / "classifier.onnx"
torch.onnx.export(
    model,
    (images.inputs[:1],),
    path,
    dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
    verbose=False,
)
classifier = OnnxForward(path)
print(f"{path.name}, {path.stat().st_size // 1024} kB")
print(classifier(images.inputs).softmax(1).max(1))

# %% [markdown]
# ## Its map
# `n_forwards` is the budget of passes per image. Left to itself, PCIM notices that there are no
# gradients, says so and takes the default.

# %%
n_forwards = 300 if FAST else 1000
pcim = PCIM(classifier, gradients=ForwardOnly(n_forwards=n_forwards))
attributions, diagnostics = pcim.attribute(
    images.inputs, target=images.labels, perturbations_per_eval=16, return_diagnostics=True
)
visualize.plot_explanation(images.inputs[0], attributions[0], vmax=1)

# %% [markdown]
# ## Against the map with gradients
# The same network in PyTorch, whose gradients may be used. The map from passes alone is coarser.

# %%
with_gradients = PCIM(model).attribute(images.inputs, target=images.labels)
visualize.plot_maps(
    {f"{n_forwards} passes": attributions[0], "gradients": with_gradients[0]}, vmax=1
)

# %%
chance = float(chance_levels(images.masks)["average_precision"].mean())
precision = float(average_precision(attributions, images.masks).mean())
best = float(average_precision(with_gradients, images.masks).mean())
likeness = float(rank_correlation(attributions, with_gradients).mean())
print(f"average precision: passes alone {precision:.2f}, gradients {best:.2f}, chance {chance:.2f}")
print(f"rank correlation of the two maps: {likeness:.2f}")
print("passes per image", diagnostics.n_forwards.tolist())

# %%
assert int(diagnostics.n_forwards.max()) <= n_forwards
assert precision > 2 * chance
assert likeness > 0.1
