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
# # 11. From a plate to a sentence
# A screen gives maps by the hundred. What a biologist wants is a sentence: which treatment is a
# hit, by what, in which stain, where in the cell, in how many cells, and is it the biology or the
# plate. Here a plate is explained, its maps are measured on cells and their compartments, and the
# words and numbers of the sentence are read off tables. What was planted is looked at in the last
# step only.

# %%
# %matplotlib inline
import os
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from PIL import Image

from captum_pcim.profiles import (
    layout_test,
    per_class,
    per_treatment,
    per_well,
    read_results,
    read_table,
)
from captum_pcim.profiles.positions import positions
from captum_pcim.screen import ScreenConfig, run_screen
from captum_pcim.screen.measuring import measure_screen
from captum_pcim.synthetic import HELD_OUT_SEED, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"
warnings.simplefilter("ignore", FutureWarning)

# %% [markdown]
# ## A plate with a trap
# Three treatments are dealt out at random over 96 wells. *A* does nothing. *B* makes granules in
# some of the cells, seen in the first stain, which stands for one of the endoplasmic reticulum
# (ER). *C* does nothing either, but at the plate's edge its cells have micronuclei, as they may
# where wells dry out.

# %%
rows, columns = (6, 8) if FAST else (8, 12)
wells = [f"{'ABCDEFGH'[row]}{column + 1:02d}" for row in range(rows) for column in range(columns)]
at_edge = positions(wells)[:, 2] == 0
treatments = np.random.default_rng(0).permutation(np.resize(["A", "B", "C"], len(wells)))
shown = np.where(treatments == "B", "granules", "control").astype(object)
shown[(treatments == "C") & at_edge] = "micronuclei"

STAINS = ["ER", "DNA", "mitochondria"]
CLASSES = ["control", "translocation", "granules", "micronuclei"]
drawn = synthetic_fluorescence(len(CLASSES) * len(wells), size=64, seed=HELD_OUT_SEED)
of_class = {
    name: iter((drawn.labels == i).nonzero().flatten().tolist()) for i, name in enumerate(CLASSES)
}
field_of = {well: next(of_class[name]) for well, name in zip(wells, shown, strict=True)}

plate = Path("images") / "P1"
plate.mkdir(parents=True)
for well, i in field_of.items():
    for stain, counts in zip(STAINS, drawn.counts[i].numpy(), strict=True):
        Image.fromarray(counts).save(plate / f"{well}_f1_{stain}.png")
    for name, labels in (("cells", drawn.cells[i]), ("nuclei", drawn.nuclei[i])):
        Image.fromarray(labels.numpy().astype("uint16")).save(plate / f"{well}_f1_{name}.png")
plate_map = pd.DataFrame({"well": wells, "treatment": treatments})

# %% [markdown]
# ## Every field explained
# The network tells four classes apart. Each field is explained for the class that was predicted,
# with one weight a stain beside the map, and the maps are kept.

# %%
Path("networks.py").write_text(
    "from captum_pcim.synthetic import load_cnn\n\n\n"
    "def cnn():\n"
    "    return load_cnn('fluorescence')\n"
)
LABELS = r"(?P<plate>\w+)/(?P<well>\w\d\d)_f(?P<field>\d)_{}\.png"
config = ScreenConfig.from_dict(
    {
        "images": {"path": "images", "stains": STAINS, "labels": LABELS.replace("{}", "cells")},
        "windows": {"fixed": {stain: [200, 10200] for stain in STAINS}},
        "model": {"factory": "networks:cnn", "classes": CLASSES},
        "attribution": {"isolation": "factorised"},
        "output": {"path": "results", "maps": True},
        "run": {"workers": 0},
    }
)
summary = run_screen(config)
print(f"{summary.total - len(summary.failures)} of {summary.total} fields explained")

# %% [markdown]
# ## Cells and compartments
# The stored maps are measured on cells, their nuclei, their cytoplasm and, of that, a ring of five
# pixels about the nucleus. No network runs for it, so masks may come later or be changed.

# %%
measured = measure_screen(config, nuclei=LABELS.replace("{}", "nuclei"), ring=5, bins=0)
images = read_results("results")[0]
cells = read_table(Path("results") / measured.table)
print(f"{len(cells)} cells, {sum('Attribution' in name for name in cells)} measurements of each")

# %% [markdown]
# ## What is each treatment called?
# Wells are what was treated, so shares are means over wells, with bootstrap intervals over wells.

# %%
profile = per_well(images, cells, plate_map)
shares = per_treatment(profile, "Metadata_treatment")
shares = shares[shares["Feature"].str.startswith("Image_ClassShare_")]
called = {}
for treatment, own in shares.groupby("Metadata_treatment"):
    hits = own[own["Feature"] != "Image_ClassShare_control"]
    best = hits.loc[hits["Mean"].idxmax()]
    called[treatment] = best["Feature"].removeprefix("Image_ClassShare_")
    interval = f"{best['Low']:.0%} to {best['High']:.0%}"
    print(f"{treatment}: {called[treatment]} in {best['Mean']:.0%} of the wells ({interval})")

# %% [markdown]
# ## By which stain, in which cells, where in them?
# Maps of different classes answer different questions, so only wells that were called alike are
# averaged. A cell carries the call if it has more of the map than its share of the area: then its
# `Enrichment` is above 1. Compartments are compared within these cells alone, as a cell that the
# map passes over says nothing of them.


# %%
def mean_of(by_class, treatment, prefix):
    """The feature of the largest mean among those that begin alike, over wells called alike."""
    means = per_class(by_class, "Metadata_treatment")
    own = means[
        (means["Metadata_treatment"] == treatment)
        & (means["Metadata_Class"] == called[treatment])
        & means["Feature"].str.match(prefix)
    ]
    best = own.loc[own["Mean"].idxmax()]
    print(
        f"{treatment}: {best['Feature']} {best['Mean']:.2f} [{best['Low']:.2f}, {best['High']:.2f}]"
    )
    return best["Feature"]


PLACES = {
    "Nuclei": "in the nucleus",
    "Ring": "in the cytoplasm close to the nucleus",
    "Cytoplasm": "in the cytoplasm",
}
by_class = per_well(images, cells, plate_map, by_class=True)
class_of = images.set_index("Metadata_Well")["Class"]
treatment_of = plate_map.set_index("well")["treatment"]
stains, places, carry = {}, {}, {}
for treatment in ("B", "C"):
    weight = mean_of(by_class, treatment, "Image_Stain_Weight_")
    stains[treatment] = weight.removeprefix("Image_Stain_Weight_")
    carrying = cells[f"Cells_Attribution_Enrichment_{stains[treatment]}"] > 1
    own = cells["Metadata_Well"].map(class_of) == called[treatment]
    own &= cells["Metadata_Well"].map(treatment_of) == treatment
    carry[treatment] = own & carrying
    within = per_well(images, cells[carry[treatment]], plate_map, by_class=True)
    enriched = rf"\w+_Attribution_EnrichmentOverCells_{stains[treatment]}"
    places[treatment] = PLACES[mean_of(within, treatment, enriched).partition("_")[0]]
    print(f"   {carry[treatment].sum()} of {own.sum()} cells carry it")

# %% [markdown]
# ## The biology or the plate?
# Wells that were treated alike should not differ by where they lie. The test exchanges the places
# of wells of one treatment, and is corrected for all measurements at once.

# %%
layout = layout_test(profile, "Metadata_treatment")
follows = {
    treatment: sorted(own.loc[own["Flagged"], "Factor"].str.lower().unique())
    for treatment, own in layout.groupby("Metadata_treatment")
}
for treatment in "ABC":
    least = layout.loc[layout["Metadata_treatment"] == treatment, "P_Corrected"].min()
    print(f"{treatment}: follows {follows[treatment] or 'nothing'}, smallest p = {least:.4f}")

figure, axes = plt.subplots(1, 3, figsize=(11, 2.6))
order = profile.set_index("Metadata_Well").loc[wells]
for axis, name in zip(axes, ("granules", "micronuclei"), strict=False):
    values = order[f"Image_Probability_{name}"].to_numpy()
    axis.imshow(values.reshape(rows, columns), cmap="cividis", vmin=0, vmax=1)
    axis.set_title(f"probability of {name}")
axes[2].imshow(np.searchsorted(list("ABC"), treatments).reshape(rows, columns), cmap="Set2")
axes[2].set_title("treatments A, B, C")
for axis in axes:
    axis.set_xticks(range(columns), range(1, columns + 1), fontsize=7)
    axis.set_yticks(range(rows), "ABCDEFGH"[:rows], fontsize=7)
display(figure)
plt.close(figure)


# %% [markdown]
# ## The sentence


# %%
def sentence(treatment):
    own = cells["Metadata_Well"].map(treatment_of) == treatment
    share = carry[treatment].sum() / own.sum()
    position = (
        f"and follows the plate's {', '.join(follows[treatment])}: it may be the plate"
        if follows[treatment]
        else "not by its position"
    )
    return (
        f"Treatment {treatment} is called by the {called[treatment]} in the {stains[treatment]} "
        f"stain of {share:.0%} of the cells, {places[treatment]}, {position}."
    )


print(sentence("B"))
print(sentence("C"))

# %% [markdown]
# ## Was it that?
# Now the truth is uncovered: which cells were changed.

# %%
changed = np.array(
    [
        bool(drawn.cell_has_phenotype[field_of[well]][number])
        for well, number in zip(cells["Metadata_Well"], cells["ObjectNumber"], strict=True)
    ]
)
of_b = (cells["Metadata_Well"].map(treatment_of) == "B").to_numpy()
found = carry["B"].to_numpy()[of_b]
print(f"granules were planted in {changed[of_b].mean():.0%} of the cells of B")
print(f"{changed[of_b][found].mean():.0%} of the cells that were named have them,")
print(f"and {found[changed[of_b]].mean():.0%} of those that have them were named")

# %%
assert called["B"] == "granules"
assert stains == {"B": "ER", "C": "DNA"}
assert places["B"] == PLACES["Ring"]
assert follows["A"] == follows["B"] == []
assert follows["C"] == ["edge"]
assert abs(found.mean() - changed[of_b].mean()) < 0.05
