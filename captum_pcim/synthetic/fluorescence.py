"""Synthetic fluorescence fields: translocation, granules and micronuclei."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from captum_pcim.synthetic.cells import (
    MARGIN,
    Cells,
    choose_cells,
    disc_spots,
    draw_cells,
    draw_spots,
    gaussian_spots,
)
from captum_pcim.synthetic.images import Pair, SyntheticImages, generate
from captum_pcim.synthetic.optics import (
    Array,
    blur_matrix,
    corner_spot,
    illumination,
    smooth_noise,
    without_traces,
)

CLASS_NAMES = ("control", "translocation", "granules", "micronuclei")
STAIN_NAMES = ("reporter", "nucleus", "mitochondria", "actin", "lysosomes")
PENETRANCE = {"translocation": (0.2, 0.45), "granules": (0.2, 0.45), "micronuclei": (0.5, 0.9)}
PHOTONS = 2500.0  # expected where an input is 1
_EXCLUSION = 0.35  # reporter in a resting nucleus, relative to the cytosol


@dataclass(frozen=True)
class StainedField:
    """What is in the field, before optics: stain per pixel, and the parts phenotypes change.

    ``reporter`` (K, W, W) is each cell's part of the first stain; ``nuclei`` (K, W, W) in [0, 1]
    says how much of a pixel the nucleus fills; ``thickness`` (K, W, W) is the cell's height;
    ``dna`` (K,) the brightness of its nucleus.
    """

    cells: Cells
    stains: Array  # (C, canvas, canvas)
    reporter: Array
    nuclei: Array
    thickness: Array
    dna: Array


def synthetic_fluorescence(
    n: int,
    size: int = 96,
    stains: int = 3,
    seed: int = 0,
    phenotype: str | None = None,
    shortcut: bool = False,
) -> SyntheticImages:
    """Renders fluorescence fields of cells with exact truth.

    The classes are control; *translocation*: reporter moves from the cytosol into the nucleus, its
    mass per cell unchanged; *granules*: diffuse reporter condenses to spots in the cytosol, mass
    unchanged; *micronuclei*: one to three small DNA bodies beside the nucleus. Only some cells of a
    positive image show it. Every class has mitotic cells, debris, reporter spots and DNA bodies
    away from cells, and stains that say nothing.

    Args:
        n: number of images; labels cycle through the classes, so classes are balanced.
        size: pixels a side, 64 to 512; larger fields hold more cells, not larger ones.
        stains: 1 to 5, in the order of ``STAIN_NAMES``: reporter, nucleus, then decoys. With one
            stain, micronuclei could not be seen: that class is left out, others keep their index.
        seed: of the whole set; image i is the same whatever ``n``.
        phenotype: use only this positive class beside control. Its label stays what it is.
        shortcut: plant a bright artefact in the top left corner of 95 % of the images of the first
            positive class in use, and of 5 % of all others.

    Returns:
        The images, see :class:`SyntheticImages`.

    Raises:
        ValueError: if an argument is out of its range.

    Examples:
        >>> images = synthetic_fluorescence(8, size=96, seed=DEVELOPMENT_SEED)
        >>> images.inputs.shape
        torch.Size([8, 3, 96, 96])
    """
    if not 1 <= stains <= len(STAIN_NAMES):
        raise ValueError(f"stains: expected 1 to {len(STAIN_NAMES)}, got {stains}")

    render_pair = partial(_render_pair, size=size, stains=stains)
    class_names = CLASS_NAMES if stains > 1 else CLASS_NAMES[:3]
    return generate(
        n, size, seed, phenotype, shortcut, render_pair, PHOTONS, class_names, STAIN_NAMES[:stains]
    )


def _render_pair(
    scene: np.random.Generator,
    traits: np.random.Generator,
    phenotype: str | None,
    planted: bool,
    size: int,
    stains: int,
) -> Pair:
    control = draw_sample(scene, size, stains)
    expose = _draw_optics(scene, size, stains)
    artefact = _corner_artefact(size, planted)
    affected = np.zeros(0, np.int64)
    positive = control
    if phenotype is not None:
        affected = choose_cells(traits, control.cells, PENETRANCE[phenotype])
        positive = with_phenotype(traits, control, phenotype, affected)
    render = expose(control.stains) + artefact
    altered = expose(positive.stains) + artefact if phenotype else render
    return Pair(render, altered, artefact > 0, control.cells, affected)


def draw_sample(rng: np.random.Generator, size: int, stains: int) -> StainedField:
    """Draws a field of resting cells with everything that is in it whatever the class."""
    cells = draw_cells(rng, size)
    count, canvas = len(cells), size + 2 * MARGIN
    nuclei = (cells.own * np.clip((1.1 - cells.nuclear_level) / 0.2, 0, 1)).astype(np.float32)
    thickness = (cells.own * np.sqrt(np.clip(1.02 - cells.level**2, 0, 1))).astype(np.float32)
    concentration = 0.34 * rng.lognormal(0, 0.22, count).astype(np.float32)
    dna = 0.42 * rng.lognormal(0, 0.15, count).astype(np.float32)
    dna *= np.where(cells.mitotic, 2, 1)
    kept = np.where(cells.mitotic, 1, _EXCLUSION).astype(np.float32)  # no envelope in mitosis
    texture = cells.windows(np.clip(1 + 0.2 * smooth_noise(rng, canvas, 1.5), 0.3, 2))
    reporter = concentration[:, None, None] * thickness * texture
    reporter *= 1 - (1 - kept[:, None, None]) * nuclei

    drawn = [cells.paint(reporter) + _loose_spots(rng, cells, size)]
    if stains > 1:
        chromatin = 1 + 0.22 * smooth_noise(rng, canvas, 1.3)
        bodies = cells.paint(dna[:, None, None] * nuclei) * chromatin
        drawn.append(bodies + _loose_bodies(rng, cells, size))
    drawn += [_DECOYS[name](rng, cells, thickness) for name in STAIN_NAMES[2:stains]]
    debris = rng.uniform(0.1, 1, (stains, 1, 1)) * _debris(rng, canvas, size)
    signal = (np.stack(drawn) + debris).astype(np.float32)
    return StainedField(cells, signal, reporter, nuclei, thickness, dna)


def with_phenotype(
    rng: np.random.Generator, sample: StainedField, phenotype: str, affected: NDArray[np.int64]
) -> StainedField:
    """The same sample after the ``affected`` cells took on a phenotype."""
    stain, change = _CHANGES[phenotype]
    stains = sample.stains.copy()
    for cell in affected:
        stains[stain][sample.cells.window(cell)] += change(rng, sample, cell)
    return replace(sample, stains=stains)


def _translocate(rng: np.random.Generator, sample: StainedField, cell: int) -> Array:
    """Most of the cytosol's reporter enters the nucleus; the cell's mass stays."""
    before = sample.reporter[cell]
    nucleus = sample.nuclei[cell]
    left = np.float32(rng.uniform(0.3, 0.45))
    cytosol = before * (1 - nucleus)
    gained = (1 - left) * cytosol.sum() * nucleus / nucleus.sum()
    change: Array = gained - (1 - left) * cytosol
    return change


def _condense(rng: np.random.Generator, sample: StainedField, cell: int) -> Array:
    """Part of the reporter gathers in spots in the cytosol; the cell's mass stays."""
    before = sample.reporter[cell]
    cells = sample.cells
    cytosol = cells.own[cell] & (cells.nuclear_level[cell] > 1.2) & (cells.level[cell] < 0.85)
    centres = draw_spots(rng, cytosol, int(rng.integers(5, 10)), 3.0)
    sigma, height = _draw_spots(rng, len(centres))
    spots = gaussian_spots(before.shape, centres, sigma, height)
    spots *= cells.own[cell]
    share = np.float32(rng.uniform(0.4, 0.55))
    change: Array = share * (before.sum() * spots / spots.sum() - before)
    return change


def _add_micronuclei(rng: np.random.Generator, sample: StainedField, cell: int) -> Array:
    """One to three DNA bodies in the cytosol beside the nucleus."""
    cells = sample.cells
    level = cells.nuclear_level[cell]
    beside = cells.own[cell] & (level > 1.35) & (level < 1.75) & (cells.level[cell] < 0.95)
    centres = draw_spots(rng, beside, int(rng.integers(1, 4)), 5.0)
    radius, height = _draw_bodies(rng, len(centres))
    return disc_spots(level.shape, centres, radius, height)


_CHANGES: dict[str, tuple[int, Callable[[np.random.Generator, StainedField, int], Array]]] = {
    "translocation": (0, _translocate),
    "granules": (0, _condense),
    "micronuclei": (1, _add_micronuclei),
}


def _draw_bodies(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Radius in pixels and brightness of micronuclei, and of the decoys away from cells."""
    radius = rng.uniform(1.6, 2.5, count).astype(np.float32)
    return radius, rng.uniform(0.28, 0.5, count).astype(np.float32)


def _draw_spots(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Sigma in pixels and height of granules, and of the decoys like them."""
    sigma = rng.uniform(0.8, 1.1, count).astype(np.float32)
    return sigma, rng.uniform(0.3, 1.1, count).astype(np.float32)


def _away(cells: Cells) -> NDArray[np.bool_]:
    return cells.nearest_level > 1.25


def _loose_bodies(rng: np.random.Generator, cells: Cells, size: int) -> Array:
    """DNA bodies as in micronuclei, but away from cells."""
    count = int(rng.integers(2, 10) * max(1, (size / 96) ** 2))
    centres = draw_spots(rng, _away(cells), count, 5.0)
    radius, height = _draw_bodies(rng, len(centres))
    return disc_spots(cells.labels.shape, centres, radius, height)


def _loose_spots(rng: np.random.Generator, cells: Cells, size: int) -> Array:
    """Reporter spots as in granules, but away from cells."""
    count = int(rng.integers(2, 10) * max(1, (size / 96) ** 2))
    centres = draw_spots(rng, _away(cells), count, 3.0)
    sigma, height = _draw_spots(rng, len(centres))
    return gaussian_spots(cells.labels.shape, centres, sigma, height)


def _debris(rng: np.random.Generator, canvas: int, size: int) -> Array:
    """A few out-of-focus clumps, anywhere."""
    count = int(rng.integers(0, 4) * max(1, (size / 96) ** 2))
    centres = rng.uniform(MARGIN, MARGIN + size, (count, 2)).astype(np.float32)
    sigma = rng.uniform(2.5, 6, count).astype(np.float32)
    height = rng.uniform(0.05, 0.25, count).astype(np.float32)
    return gaussian_spots((canvas, canvas), centres, sigma, height)


def _mitochondria(rng: np.random.Generator, cells: Cells, thickness: Array) -> Array:
    """A network in the cytosol: the zero lines of smooth noise."""
    network = np.exp(-((smooth_noise(rng, cells.labels.shape[0], 1.8) / 0.35) ** 2))
    around = thickness * np.exp(-(((cells.level - 0.5) / 0.35) ** 2))
    stain: Array = (0.08 + 0.75 * network) * cells.paint(around * (cells.nuclear_level > 1))
    return stain


def _actin(rng: np.random.Generator, cells: Cells, thickness: Array) -> Array:
    """A cortex on the cell's outline and faint fibres within."""
    cortex = 0.5 * np.exp(-(((cells.level - 0.93) / 0.09) ** 2)) * cells.own + 0.15 * thickness
    fibres = 1 + 0.3 * smooth_noise(rng, cells.labels.shape[0], 1.2)
    return cells.paint(cortex) * fibres


def _lysosomes(rng: np.random.Generator, cells: Cells, thickness: Array) -> Array:
    """Spots in the cytosol of every cell, alike in size and brightness to granules."""
    cytosol = cells.paint((thickness * (cells.nuclear_level > 1.2)).astype(np.float32))
    centres = draw_spots(rng, cytosol > 0.3, 5 * len(cells), 3.0)
    sigma, height = _draw_spots(rng, len(centres))
    spots = gaussian_spots(cytosol.shape, centres, sigma, height)
    both: Array = np.float32(0.08) * cytosol + spots
    return both


_DECOYS: dict[str, Callable[[np.random.Generator, Cells, Array], Array]] = {
    "mitochondria": _mitochondria,
    "actin": _actin,
    "lysosomes": _lysosomes,
}


def _draw_optics(rng: np.random.Generator, size: int, stains: int) -> Callable[[Array], Array]:
    """Draws focus, background and illumination; returns what turns stain into a render."""
    canvas = size + 2 * MARGIN
    focus = rng.uniform(0.8, 1.3)
    sharp = [blur_matrix(canvas, focus * rng.uniform(0.9, 1.1), MARGIN) for _ in range(stains)]
    haze = blur_matrix(canvas, 6.0, MARGIN)
    light = np.stack([illumination(rng, size, 0.15) for _ in range(stains)])
    exposure = rng.uniform(0.85, 1.15, (stains, 1, 1)).astype(np.float32)
    background = rng.uniform(0.02, 0.07, (stains, 1, 1)).astype(np.float32)
    uneven = [1 + 0.15 * illumination(rng, size, 0.5) for _ in range(stains)]

    def expose(signal: Array) -> Array:
        blurred = [
            0.88 * matrix @ stain @ matrix.T + 0.12 * haze @ stain @ haze.T
            for matrix, stain in zip(sharp, without_traces(signal), strict=True)
        ]
        render: Array = light * (exposure * np.stack(blurred) + background * np.stack(uneven))
        return render

    return expose


def _corner_artefact(size: int, planted: bool) -> Array:
    """A bright fibre end in the top left corner of every stain, or nothing."""
    artefact: Array = np.float32(0.6 if planted else 0) * corner_spot(size)
    return artefact
