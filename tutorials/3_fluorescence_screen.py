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
# # 3. A fluorescence screen: which cells made it a hit?
# A classifier calls a field a hit. A biologist wants to know which cells did that, and in which
# stain. A map, a label image and one matrix product answer both.

# %%
# %matplotlib inline
import os

import torch

from captum_pcim import PCIM, Factorised, visualize
from captum_pcim.metrics import object_shares
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"

# %% [markdown]
# ## The hits
# Fields of treated and untreated wells; the classifier's hits are those it calls *granules*.

# %%
model = load_cnn("fluorescence")
fields = synthetic_fluorescence(8 if FAST else 24, seed=HELD_OUT_SEED, phenotype="granules")
GRANULES = fields.class_names.index("granules")
with torch.no_grad():
    probabilities = model(fields.inputs).softmax(1)[:, GRANULES]
hits = fields[(probabilities > 0.9).nonzero()[: 2 if FAST else 6, 0]]
print(
    f"{int((probabilities > 0.9).sum())} hits in {len(fields)} fields, "
    f"{int((hits.labels == GRANULES).sum())} of the first {len(hits)} are true"
)

# %% [markdown]
# ## The cells of each hit
# The share of the map that lies on each cell, against the cell's share of the area: a cell with
# more of the first than of the second is evidence.

# %%
attributions = PCIM(model).attribute(hits.inputs, target=GRANULES)
shares = object_shares(attributions, hits.cells)
areas = object_shares(torch.ones_like(attributions), hits.cells)

rows = [
    (
        field,
        cell,
        float(shares[field, cell]),
        float(shares[field, cell] / areas[field, cell]),
        bool(hits.cell_has_phenotype[field, cell]),
    )
    for field in range(len(hits))
    for cell in range(1, shares.shape[1])
    if areas[field, cell] > 0
]
rows.sort(key=lambda row: -row[3])
print("field  cell  share  share/area  has granules")
for field, cell, share, enrichment, true in rows[:10]:
    print(f"{field:5d} {cell:5d} {share:6.2f} {enrichment:11.1f}  {true}")

# %%
marked = hits.cell_has_phenotype[0].nonzero()[:, 0].tolist()
visualize.plot_objects(attributions[0], hits.cells[0], marked=marked)

# %%
visualize.plot_explanation(hits.inputs[0], attributions[0], vmax=1)

# %% [markdown]
# Orange bars are the cells that do have granules. In a real screen nobody knows; the table is what
# you would sort by, and gate on, as on any other measurement of a cell.
#
# ## Which stain?
# With `Factorised` a weight is that of a pixel times that of a stain, as in DCMIX, which weighs
# whole stains. The stain weights come with the diagnostics.

# %%
factorised = PCIM(model, isolation=Factorised())
_, diagnostics = factorised.attribute(hits.inputs, target=GRANULES, return_diagnostics=True)
stain_weights = diagnostics.stain_weights[0].mean(0)
for name, weight in zip(hits.stain_names, stain_weights, strict=True):
    print(f"{name:14s} {weight:.2f}")

# %% [markdown]
# Granules are a change of the reporter alone, and the reporter is the stain that the network needs.

# %%
true_rank = torch.tensor([row[4] for row in rows])
enrichments = torch.tensor([row[3] for row in rows])
with_granules, without = enrichments[true_rank], enrichments[~true_rank]
wins = (with_granules[:, None] > without).float().mean()
print(f"a cell with granules is ranked above one without with probability {wins:.2f}")
assert wins > 0.75
assert int(stain_weights.argmax()) == hits.stain_names.index("reporter")
