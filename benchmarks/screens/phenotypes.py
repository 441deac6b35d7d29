"""From maps to what treatments do: stain, cells and layout of planted phenotypes on two plates.

    python -m benchmarks.screens.phenotypes --write

Four treatments are dealt out at random over every plate: none, and three phenotypes of synthetic
fluorescence images. One of them, micronuclei, shows in the wells at the plate's edge alone, as an
artefact of the edge would that looks like an effect. The screen knows nothing of it: each field is
explained for its predicted class, one weight a stain beside the map, and the profiles are made of
its tables and the plate map. `--wells 96` does smaller plates.
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

from benchmarks.results import Table, add_write_option, publish
from benchmarks.screens.plate import what_to_read, write_field
from captum_pcim.images.wells import row_letters
from captum_pcim.pcim import DEFAULT_STEPS
from captum_pcim.profiles import layout_test, per_class, per_well, read_results
from captum_pcim.profiles.positions import positions
from captum_pcim.screen import ScreenConfig, run_screen
from captum_pcim.synthetic import HELD_OUT_SEED, SyntheticImages, synthetic_fluorescence

CLASSES = ["control", "translocation", "granules", "micronuclei"]
TREATMENTS = dict(zip(["untreated", "A", "B", "C"], CLASSES, strict=True))
CHANGED_STAIN = {"A": "reporter", "B": "reporter", "C": "nucleus"}
CONFOUNDED = "C"
FORMATS = {24: (4, 6), 96: (8, 12), 384: (16, 24)}
PLATES = ("P1", "P2")
SIZE = 64
TREATMENT = "Metadata_treatment"


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
    cells = image.cells[0].numpy().astype("uint16")
    write_field(f"{folder / well}_f1", image.counts[0].numpy(), cells)


def screen_config(folder: Path, steps: int) -> ScreenConfig:
    return ScreenConfig.from_dict(
        {
            **what_to_read(folder),
            "model": {"factory": "benchmarks.screens.plate:cnn", "classes": CLASSES},
            "attribution": {"isolation": "factorised", "n_steps": steps},
            "output": {"path": str(folder / "results"), "previews": False},
            "run": {"workers": 0},
        }
    )


def named_stain(by_class: pd.DataFrame, treatment: str) -> tuple[str, str]:
    """The stain of the largest mean weight in the maps of a treatment's phenotype, and its mean."""
    means = per_class(by_class, TREATMENT)
    own = means[
        (means[TREATMENT] == treatment) & (means["Metadata_Class"] == TREATMENTS[treatment])
    ]
    own = own[own["Feature"].str.startswith("Image_Stain_Weight_")]
    best = own.loc[own["Mean"].idxmax()]
    stain = best["Feature"].removeprefix("Image_Stain_Weight_")
    return stain, f"{best['Mean']:.2f} [{best['Low']:.2f}, {best['High']:.2f}]"


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


def layout_flags(wells: pd.DataFrame, treatment: str) -> str:
    """The factors that a treatment's profile is flagged to follow, and how surely."""
    found = layout_test(wells, TREATMENT)
    own = found[(found[TREATMENT] == treatment) & found["Flagged"]]
    return ", ".join(
        f"{factor} ({len(part)}), p = {part['P_Corrected'].min():.4f}"
        for factor, part in own.groupby("Factor")
    )


def phenotypes(folder: Path, options: argparse.Namespace) -> Table:
    truth = write_plates(folder / "images", options.wells, options.seed)
    started = time.perf_counter()
    summary = run_screen(screen_config(folder, options.steps))
    minutes = (time.perf_counter() - started) / 60
    images, objects = read_results(folder / "results")
    assert objects is not None and not summary.failures
    wells = per_well(images, objects, truth.plate_map)
    by_class = per_well(images, objects, truth.plate_map, by_class=True)
    rows = []
    for treatment, phenotype in TREATMENTS.items():
        own = wells[wells[TREATMENT] == treatment]
        row = [f"{treatment}: {phenotype}{' at the edge' if treatment == CONFOUNDED else ''}"]
        row += [str(len(own)), f"{own[f'Image_ClassShare_{phenotype}'].mean():.2f}"]
        if treatment in CHANGED_STAIN:
            stain, weight = named_stain(by_class, treatment)
            row += [f"{stain} {weight}", CHANGED_STAIN[treatment]]
            row += [f"{separation(objects, images, truth, treatment):.3f}"]
        else:
            row += ["", "", ""]
        rows.append([*row, layout_flags(wells, treatment)])
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Table(
        "Planted phenotypes by treatment",
        ["treatment", "wells", "called so", "stain", "changed stain", "cells, AUROC ↑", "layout"],
        rows,
        f"{len(PLATES)} plates of {options.wells} wells, a field of {SIZE} pixels each, "
        f"{options.steps} steps, one process: {minutes:.1f} minutes, {memory:.0f} MiB at most. "
        "Stain: that of the largest mean weight over the wells called so, with its 95 % interval. "
        "AUROC: mean attribution of changed against unchanged cells, in fields rightly called. "
        "Layout: factors flagged at .05 after correction, with the number of measurements and "
        "the smallest corrected p-value; without any layout one in twenty such tables has a flag.",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_write_option(parser)
    parser.add_argument("--wells", type=int, choices=tuple(FORMATS), default=384)
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        publish("screens/phenotypes", phenotypes(Path(folder), options), options.write)


if __name__ == "__main__":
    main()
