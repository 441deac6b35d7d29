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
# # 7. A whole plate: interrupted, resumed, and on Ray
# `captum-pcim screen` explains every field of a plate. Here it is stopped with Ctrl-C, then killed
# outright, and does each time only what is missing. At the end the same plate goes through Ray,
# and the results are the same bytes.

# %%
# %matplotlib inline
import csv
import importlib.util
import os
import signal
import subprocess
import sysconfig
import tempfile
import time
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from IPython.display import Image as Picture
from IPython.display import display
from PIL import Image

from captum_pcim.screen import ScreenConfig, run_screen
from captum_pcim.synthetic import HELD_OUT_SEED, load_cnn, synthetic_fluorescence

FAST = os.environ.get("PCIM_FAST") == "1"
warnings.simplefilter("ignore", FutureWarning)  # what torch.export says about itself
os.environ["PYTHONWARNINGS"] = "ignore::FutureWarning"  # in the commands, too

# %% [markdown]
# ## A plate
# Four columns of wells: untreated, then one for each of three phenotypes. Files as a microscope
# writes them, 16 bits, one per stain and field, with the label images of a segmentation.

# %%
folder = Path(tempfile.mkdtemp())
rows, sites = ("AB", 1) if FAST else ("ABCDEF", 2)
places = [
    (f"{row}{column:02d}", site)
    for row in rows
    for site in range(1, sites + 1)
    for column in range(1, 5)
]
fields = synthetic_fluorescence(len(places), size=64 if FAST else 96, seed=HELD_OUT_SEED)
expected = {
    well: fields.class_names[label]
    for (well, _), label in zip(places, fields.labels.tolist(), strict=True)
}

(folder / "plates" / "P1").mkdir(parents=True)
for i, (well, site) in enumerate(places):
    name = folder / "plates" / "P1" / f"{well}_f{site}"
    for stain, counts in zip(fields.stain_names, fields.counts[i].numpy(), strict=True):
        Image.fromarray(counts).save(f"{name}_{stain}.png")
    Image.fromarray(fields.cells[i].numpy().astype("uint16")).save(f"{name}_cells.png")
print(f"{len(places)} fields in {len(expected)} wells, for example {name.name}_*.png")

# %% [markdown]
# The classifier goes into a file, as `torch.export` writes it, with a batch of any size.

# %%
program = torch.export.export(
    load_cnn("fluorescence"),
    (fields.inputs[:2],),
    dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=1024)},),
)
torch.export.save(program, folder / "classifier.pt2")

# %% [markdown]
# ## One file says what to do
# Where the images are, what their names mean, which intensities become 0 and 1, the network. Images
# go through it one by one: a batch of another size may round differently in the last bits, and
# here bits are compared.

# %%
SCREEN = r"""
[images]
path = "plates"
stains = ["reporter", "nucleus", "mitochondria"]
labels = '(?P<plate>[^/]+)/(?P<well>\w\d\d)_f(?P<field>\d+)_cells\.png'

[windows]
fixed = {reporter = [200, 10200], nucleus = [200, 10200], mitochondria = [200, 10200]}

[model]
path = "classifier.pt2"
trust = true
classes = ["control", "translocation", "granules", "micronuclei"]

[output]
path = "results"

[run]
batch_size = 1
"""
(folder / "screen.toml").write_text(SCREEN)


# %% [markdown]
# ## Stopped twice, on the way
# The command runs in a process of its own. Once a few more fields are done it gets the signal that
# Ctrl-C sends, and in a second run the one that nothing can catch: a crash, an empty battery.


# %%
def start(config):
    command = Path(sysconfig.get_path("scripts")) / "captum-pcim"
    return subprocess.Popen(
        [command, "screen", "--config", folder / config],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finished(results):
    """Return when each finished result was written."""
    manifests = (folder / results / "done").glob("*/*/manifest.json")
    return {path.parent.name: path.stat().st_mtime_ns for path in manifests}


def stop(process, sent, after):
    """Send a signal once so many results are there."""
    while len(finished("results")) < after and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(sent)
    said, _ = process.communicate()
    print(f"{sent.name}: exit status {process.returncode}, {len(finished('results'))} done.")
    print(*(line for line in said.splitlines() if line.startswith("captum-pcim")), sep="\n")


third = len(places) // 3
stop(start("screen.toml"), signal.SIGINT, after=third)
after_ctrl_c = finished("results")
stop(start("screen.toml"), signal.SIGKILL, after=len(after_ctrl_c) + third)
after_kill = finished("results")

# %% [markdown]
# ## Resumed
# The same call a third time, from Python for a change. It does what is missing and leaves every
# finished result as it was. A fourth finds nothing to do.

# %%
config = ScreenConfig.from_toml(folder / "screen.toml")
resumed = run_screen(config)
print(f"{len(places)} = {len(after_kill)} found done + {resumed.computed} done now")
again = run_screen(config)
print(f"once more: {again.computed} done now")

# %% [markdown]
# ## What came out
# A page per plate to open in a browser (`results/plates/P1.html`), a row per field and a row per
# cell.


# %%
def table(name):
    with open(folder / "results" / name, newline="") as file:
        return list(csv.DictReader(file))


images = table("images.csv")
right = sum(row["Class"] == expected[row["Metadata_Well"]] for row in images) / len(images)
print(f"{right:.0%} of the fields are called what their well was treated with\n")

wells = sorted({row["Metadata_Well"] for row in images})
letters, numbers = sorted({well[0] for well in wells}), sorted({well[1:] for well in wells})
granules = torch.zeros(len(letters), len(numbers))
for row in images:
    place = letters.index(row["Metadata_Well"][0]), numbers.index(row["Metadata_Well"][1:])
    granules[place] = max(float(granules[place]), float(row["Probability_granules"]))
figure, axis = plt.subplots(figsize=(3, 2.4))
shown = axis.imshow(granules, cmap="cividis", vmin=0, vmax=1)
axis.set(xticks=range(len(numbers)), xticklabels=numbers, yticks=range(len(letters)))
axis.set(yticklabels=letters, title="probability of granules")
figure.colorbar(shown)
plt.show()

# %%
hit = max(images, key=lambda row: float(row["Probability_granules"]))
print(f"{hit['Metadata_Well']} field {hit['Metadata_Site']}, image and map:")
for picture in ("image.png", "map.png"):
    display(Picture(folder / "results" / hit["Result"] / picture, width=240))

# %% [markdown]
# The rows of the cells, in the columns of a CellProfiler table, ready to be gated. In the fields
# called *granules*, how often does a cell that has granules stand above one that has none?

# %%
called = {int(row["ImageNumber"]) for row in images if row["Class"] == "granules"}
position = {(well, str(site)): i for i, (well, site) in enumerate(places)}
means: dict[bool, list[float]] = {True: [], False: []}
for row in table("objects.csv"):
    if int(row["ImageNumber"]) in called:
        i = position[row["Metadata_Well"], row["Metadata_Site"]]
        positive = bool(fields.cell_has_phenotype[i, int(row["ObjectNumber"])])
        means[positive].append(float(row["Cells_Attribution_Mean"]))
wins = (torch.tensor(means[True])[:, None] > torch.tensor(means[False])).float().mean()
print(f"{len(means[True])} cells with granules, {len(means[False])} without; above: {wins:.2f}")

# %% [markdown]
# ## On Ray
# `engine = "ray"` is all that changes; here also the folder of the results, to have two to compare.
# Two actors share the plate, and all files that they write are compared byte by byte: the numbers
# of the cells, the diagnostics, the pictures. On a cluster, set `RAY_ADDRESS` and ask for more.


# %%
def contents(results):
    """Return every file of every result."""
    done = folder / results / "done"
    return {str(path.relative_to(done)): path.read_bytes() for path in done.glob("*/*/*")}


HAS_RAY = importlib.util.find_spec("ray") is not None
if HAS_RAY:
    on_ray = SCREEN.replace('"results"', '"results_ray"')
    on_ray += f'engine = "ray"\nworkers = {1 if FAST else 2}\n'
    (folder / "ray.toml").write_text(on_ray)
    for _attempt in range(3):  # Ray gives itself 30 seconds to start, little on a busy machine
        process = start("ray.toml")
        said, _ = process.communicate()
        if process.returncode == 0:
            break
    print(said.splitlines()[-1].replace(f"{folder}/", ""))
    print(f"{len(contents('results_ray'))} files to compare with those of the local engine")
else:
    print("Ray is not installed: this part is skipped (pip install 'captum-pcim[ray]')")

# %%
assert 0 < len(after_ctrl_c) < len(after_kill) < len(places)
assert after_ctrl_c.items() <= after_kill.items() <= finished("results").items()
assert resumed.computed == len(places) - len(after_kill) and not resumed.failures
assert again.computed == 0 and len(finished("results")) == len(places)
assert right > 0.8
assert wins > 0.75
assert not HAS_RAY or contents("results_ray") == contents("results")
