"""From maps to what treatments do: stain, cells and layout of planted phenotypes on two plates.

    python -m benchmarks.screens.phenotypes --write

Four treatments are dealt out at random over every plate: none, and three phenotypes of synthetic
fluorescence images. One of them, micronuclei, shows in the wells at the plate's edge alone, as an
artefact of the edge would that looks like an effect. The screen knows nothing of it: each field is
explained for its predicted class, one weight a stain beside the map, its map is measured on cells,
nuclei and cytoplasm, and the profiles are made of these tables and the plate map.

One screen tells little of a test that may err once in twenty: the layout test is also done with the
measured fields dealt out anew, each to a well that shows the same phenotype, which is another
screen of the same layout. `--wells 96` does smaller plates.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmarks.results import Table, add_write_option, publish
from benchmarks.screens.plate import what_to_read, write_field
from captum_pcim.cells import measure
from captum_pcim.images.wells import row_letters
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.profiles import layout_test, per_class, per_well, read_results, read_table
from captum_pcim.profiles.positions import positions
from captum_pcim.profiles.tables import features_of
from captum_pcim.screen import ScreenConfig, run_screen
from captum_pcim.screen.measuring import measure_screen
from captum_pcim.synthetic import HELD_OUT_SEED, SyntheticImages, synthetic_fluorescence

CLASSES = ["control", "translocation", "granules", "micronuclei"]
TREATMENTS = dict(zip(["untreated", "A", "B", "C"], CLASSES, strict=True))
COMPARTMENTS = ("Nuclei", "Ring", "Cytoplasm")
RING = 5  # pixels about a nucleus: as far as micronuclei lie from it
RINGS = (3, 4, 5, 6)  # with which it is tried what the width does
CONFOUNDED = "C"
FORMATS = {24: (4, 6), 96: (8, 12), 384: (16, 24)}
PLATES = ("P1", "P2")
SIZE = 64
NUCLEI = r"(?P<plate>\w+)/(?P<well>\w\d\d)_f(?P<field>\d)_nuclei\.png"
TREATMENT = "Metadata_treatment"
OTHERS = "any other"
PLACE = ["Metadata_Plate", "Metadata_Well"]


@dataclass
class Truth:
    """What was planted.

    Attributes:
        plate_map: Plate, well, treatment.
        shows: The phenotype of each plate and well; "control" for none.
        changed: Whether each cell of a plate and well was changed, by its number.
    """

    plate_map: pd.DataFrame
    shows: dict[tuple[str, str], str] = field(default_factory=dict)
    changed: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def write_plates(folder: Path, n_wells: int, seed: int) -> Truth:
    """Writes a field a well and returns what is in it."""
    rows, columns = FORMATS[n_wells]
    wells = [f"{row_letters(r)}{c + 1:02d}" for r in range(rows) for c in range(columns)]
    at_edge = positions(wells)[:, 2] == 0
    rng = np.random.default_rng(seed)
    parts = []
    for plate in PLATES:
        dealt = rng.permutation(np.resize(list(TREATMENTS), n_wells))
        parts.append(pd.DataFrame({"plate": plate, "well": wells, "treatment": dealt}))
    truth = Truth(pd.concat(parts, ignore_index=True))
    edge = np.tile(at_edge, len(PLATES))
    shown = truth.plate_map["treatment"].map(TREATMENTS).to_numpy(object)
    shown[(truth.plate_map["treatment"] == CONFOUNDED).to_numpy() & ~edge] = "control"
    for phenotype in CLASSES:
        places = truth.plate_map.loc[shown == phenotype, ["plate", "well"]]
        for place, image in zip(places.itertuples(index=False), _images(phenotype, len(places)),
                                strict=True):  # fmt: skip
            key = (str(place.plate), str(place.well))
            _write(folder / key[0], key[1], image)
            truth.shows[key] = phenotype
            truth.changed[key] = image.cell_has_phenotype[0].numpy()
    return truth


def _images(phenotype: str, count: int) -> list[SyntheticImages]:
    """Held-out images of one class, no image in two classes."""
    other = "granules" if phenotype == "control" else phenotype
    drawn = synthetic_fluorescence(2 * count, SIZE, seed=HELD_OUT_SEED, phenotype=other)
    of_class = drawn[drawn.labels == CLASSES.index(phenotype)]
    return [of_class[i] for i in range(count)]


def _write(folder: Path, well: str, image: SyntheticImages) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cells, nuclei = (part[0].numpy().astype("uint16") for part in (image.cells, image.nuclei))
    write_field(f"{folder / well}_f1", image.counts[0].numpy(), cells)
    Image.fromarray(nuclei).save(f"{folder / well}_f1_nuclei.png")


def screen_config(folder: Path, steps: int) -> ScreenConfig:
    return ScreenConfig.from_dict(
        {
            **what_to_read(folder),
            "model": {"factory": "benchmarks.screens.plate:cnn", "classes": CLASSES},
            "attribution": {"isolation": "factorised", "n_steps": steps},
            "output": {"path": str(folder / "results"), "previews": False, "maps": True},
            "run": {"workers": 0},
        }
    )


def named_stain(means: pd.DataFrame) -> tuple[str, str]:
    """The stain of the largest mean weight, and that weight with its interval."""
    own = means[means["Feature"].str.startswith("Image_Stain_Weight_")]
    best = own.loc[own["Mean"].idxmax()]
    return best["Feature"].removeprefix("Image_Stain_Weight_"), _with_interval(best)


def carrying(objects: pd.DataFrame, stain: str) -> pd.DataFrame:
    """The cells with more of the map than their area's share; others say little of compartments."""
    return objects[objects[f"Cells_Attribution_Enrichment_{stain}"] > 1]


def named_compartment(means: pd.DataFrame, stain: str) -> tuple[str, str]:
    """The compartment of the largest enrichment within cells, and that with its interval."""
    enriched = [f"{name}_Attribution_EnrichmentOverCells_{stain}" for name in COMPARTMENTS]
    own = means[means["Feature"].isin(enriched)]
    best = own.loc[own["Mean"].idxmax()]
    return best["Feature"].partition("_")[0], _with_interval(best)


def planted_change(phenotype: str, ring: int) -> tuple[str, str]:
    """The stain and the compartment that a phenotype changes most, measured as a map is."""
    images = synthetic_fluorescence(SIZE, SIZE, seed=HELD_OUT_SEED, phenotype=phenotype)
    images = images[images.labels > 0]
    change = (images.inputs - images.counterfactual).abs()
    stain = images.stain_names[int(change.sum(dim=(0, 2, 3)).argmax())]
    rows = pd.DataFrame(
        measure(change, images.cells, images.nuclei, stains=images.stain_names, ring=ring, bins=0)
    )
    changed = images.cell_has_phenotype[rows["ImageNumber"] - 1, rows["ObjectNumber"]].numpy()
    enriched = [f"{name}_Attribution_EnrichmentOverCells_{stain}" for name in COMPARTMENTS]
    return stain, str(rows.loc[changed, enriched].mean().idxmax()).partition("_")[0]


def _of_phenotype(by_class: pd.DataFrame, treatment: str) -> pd.DataFrame:
    """The profile of the wells of a treatment that were called as its phenotype."""
    means = per_class(by_class, TREATMENT)
    called = means["Metadata_Class"] == TREATMENTS[treatment]
    return means[(means[TREATMENT] == treatment) & called]


def _with_interval(row: pd.Series) -> str:
    return f"{row['Mean']:.2f} [{row['Low']:.2f}, {row['High']:.2f}]"


def separation(objects: pd.DataFrame, images: pd.DataFrame, truth: Truth, treatment: str) -> float:
    """AUROC of mean attribution, changed against unchanged cells, in fields rightly called."""
    named = images.set_index("ImageNumber")["Class"]
    own = objects[objects["ImageNumber"].map(named) == TREATMENTS[treatment]]
    keys = list(zip(own["Metadata_Plate"], own["Metadata_Well"], strict=True))
    right = np.array([truth.shows[key] == TREATMENTS[treatment] for key in keys])
    own, keys = own[right], [key for key, is_right in zip(keys, right, strict=True) if is_right]
    pairs = zip(keys, own["ObjectNumber"], strict=True)
    changed = np.array([truth.changed[key][int(number)] for key, number in pairs])
    values = own.filter(like="Cells_Attribution_Mean").sum(axis=1).to_numpy()
    higher = values[changed][:, None] - values[~changed][None]
    return float((higher > 0).mean() + (higher == 0).mean() / 2)


def layout_flags(found: pd.DataFrame, treatment: str) -> str:
    """The factors that a treatment's profile is flagged to follow, and how surely."""
    own = found[(found[TREATMENT] == treatment) & found["Flagged"]]
    return ", ".join(
        f"{factor} ({len(part)}), p = {part['P_Corrected'].min():.4f}"
        for factor, part in own.groupby("Factor")
    )


def dealt_anew(wells: pd.DataFrame, truth: Truth, rng: np.random.Generator) -> pd.DataFrame:
    """The same wells with measurements of fields exchanged among those of one phenotype."""
    shown = pd.Series([truth.shows[key] for key in wells[PLACE].itertuples(index=False, name=None)])
    names = features_of(wells)
    values = wells[names].to_numpy(copy=True)
    for phenotype in CLASSES:
        rows = np.flatnonzero(shown == phenotype)
        values[rows] = values[rng.permutation(rows)]
    return wells.assign(**dict(zip(names, values.T, strict=True)))


def flag_rates(wells: pd.DataFrame, truth: Truth, repeats: int, seed: int) -> dict[str, float]:
    """How often each treatment is flagged, and `any other` than the confounded one."""
    rng = np.random.default_rng(seed)
    counts = dict.fromkeys([*TREATMENTS, OTHERS], 0)
    for repeat in range(repeats):
        found = layout_test(dealt_anew(wells, truth, rng), TREATMENT, seed=repeat)
        flagged = set(found.loc[found["Flagged"], TREATMENT]) & set(TREATMENTS)
        for name in flagged:
            counts[name] += 1
        counts[OTHERS] += bool(flagged - {CONFOUNDED})
    return {name: count / repeats for name, count in counts.items()}


def measured_objects(config: ScreenConfig, ring: int) -> pd.DataFrame:
    """The cells of the stored maps, with their compartments."""
    found = measure_screen(config, nuclei=NUCLEI, ring=ring, bins=0)
    assert not found.failures
    return read_table(Path(config.output.path) / found.table)


def _by_ring(
    named: dict[tuple[int, str], tuple[str, ...]], planted: dict[tuple[int, str], tuple[str, ...]]
) -> str:
    right = {ring: 0 for ring in RINGS}
    for key, found in named.items():
        right[key[0]] += found[:2] == planted[key]
    told = ", ".join(f"{count} with {ring} pixels" for ring, count in right.items())
    return f"Of {len(named) // len(RINGS)} phenotypes stain and compartment are right: {told}."


def phenotypes(folder: Path, options: argparse.Namespace) -> Table:
    truth = write_plates(folder / "images", options.wells, options.seed)
    config = screen_config(folder, options.steps)
    started = time.process_time()
    summary = run_screen(config)
    minutes = (time.process_time() - started) / 60
    assert not summary.failures
    of_ring = {ring: measured_objects(config, ring) for ring in RINGS}
    images, objects = read_results(folder / "results")[0], of_ring[RING]
    wells = per_well(images, objects, truth.plate_map)
    by_class = per_well(images, objects, truth.plate_map, by_class=True)
    layout = layout_test(wells, TREATMENT)
    rates = flag_rates(wells, truth, options.repeats, options.seed)
    rows, named, planted = [], {}, {}
    for treatment, phenotype in TREATMENTS.items():
        own = wells[wells[TREATMENT] == treatment]
        row = [f"{treatment}: {phenotype}{' at the edge' if treatment == CONFOUNDED else ''}"]
        row += [str(len(own)), f"{own[f'Image_ClassShare_{phenotype}'].mean():.2f}"]
        if phenotype == "control":
            row += [""] * 4
        else:
            stain, weight = named_stain(_of_phenotype(by_class, treatment))
            for ring, cells in of_ring.items():
                carry = per_well(images, carrying(cells, stain), truth.plate_map, by_class=True)
                profile = _of_phenotype(carry, treatment)
                named[ring, treatment] = stain, *named_compartment(profile, stain)
                planted[ring, treatment] = planted_change(phenotype, ring)
            _, compartment, enriched = named[RING, treatment]
            row += [f"{stain} {weight}", f"{compartment} {enriched}"]
            row += [", ".join(planted[RING, treatment])]
            row += [f"{separation(objects, images, truth, treatment):.3f}"]
        rows.append([*row, layout_flags(layout, treatment), f"{rates[treatment]:.3f}"])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Table(
        "Planted phenotypes by treatment",
        [
            "treatment", "wells", "called so", "stain", "compartment", "changed", "cells, AUROC ↑",
            "layout", "flagged when dealt anew",
        ],
        rows,
        f"{len(PLATES)} plates of {options.wells} wells, a field of {SIZE} pixels each, "
        f"{options.steps} steps, one process: {minutes:.1f} minutes of CPU, {memory:.0f} MiB at "
        "most. "
        "Stain: that of the largest mean weight over the wells called so, with its 95 % interval. "
        "Compartment: nucleus, cytoplasm, or the cytoplasm within "
        f"{RING} pixels of the nucleus, whichever is most enriched within the cells that have more "
        "of the map than of the area. Changed: what differs most from the same field without the "
        f"phenotype, measured likewise. {_by_ring(named, planted)} "
        "AUROC: mean attribution of changed against unchanged cells, in fields rightly called. "
        "Layout: factors flagged at .05 after correction, with the number of measurements and "
        "the smallest corrected p-value. Dealt anew: how often a treatment is flagged when the "
        f"fields change places within each phenotype, {options.repeats} times; any but "
        f"{CONFOUNDED} in {rates[OTHERS]:.3f} of them, where .05 is what the test allows.",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_write_option(parser)
    parser.add_argument("--wells", type=int, choices=tuple(FORMATS), default=384)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=200, help="layout tests of dealt fields")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        publish("screens/phenotypes", phenotypes(Path(folder), options), options.write)


if __name__ == "__main__":
    main()
