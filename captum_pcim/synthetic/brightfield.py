"""Synthetic bright field: inclusions, vacuoles and rounding, seen as transport of intensity."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from captum_pcim.synthetic.cells import (
    HALF_WINDOW,
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

CLASS_NAMES = ("control", "inclusions", "vacuoles", "rounding")
STAIN_NAMES = ("bright field",)
PENETRANCE = {"inclusions": (0.35, 0.6), "vacuoles": (0.35, 0.6), "rounding": (0.15, 0.3)}
PHOTONS = 6000.0  # expected where an input is 1
_LIGHT = 0.5  # the empty field, in units of the inputs
_HEIGHT = 3.0  # of a spread cell, in units in which one pixel is one


@dataclass(frozen=True)
class UnstainedField:
    """The optical thickness of the field, before optics.

    ``parts`` (K, W, W) is each cell's share of ``thickness`` (canvas, canvas).
    """

    cells: Cells
    thickness: Array
    parts: Array


def synthetic_brightfield(
    n: int, size: int = 96, seed: int = 0, phenotype: str | None = None, shortcut: bool = False
) -> SyntheticImages:
    """Renders bright field images of unstained cells with exact truth.

    The classes are control; *inclusions*: dense granules in the cytoplasm; *vacuoles*: round
    hollows in it; *rounding*: the cell lets go and draws together, its volume unchanged. Only some
    cells of a positive image show it. Every class has small rounded cells, debris, and particles
    and bubbles away from cells.

    The image is that of a slightly defocused phase object: intensity grows with the Laplacian of
    the optical thickness (transport of intensity, Teague, J. Opt. Soc. Am. 73, 1983), to which a
    broad halo and absorption are added.

    Args:
        n: number of images; labels cycle through the classes, so classes are balanced.
        size: pixels a side, 64 to 512; larger fields hold more cells, not larger ones.
        seed: of the whole set; image i is the same whatever ``n``.
        phenotype: use only this positive class beside control. Its label stays what it is.
        shortcut: plant a dark artefact in the top left corner of 95 % of the images of the first
            positive class in use, and of 5 % of all others.

    Returns:
        The images, with one stain; see :class:`SyntheticImages`.

    Raises:
        ValueError: if an argument is out of its range.
    """
    render_pair = partial(_render_pair, size=size)
    return generate(
        n, size, seed, phenotype, shortcut, render_pair, PHOTONS, CLASS_NAMES, STAIN_NAMES
    )


def _render_pair(
    scene: np.random.Generator,
    traits: np.random.Generator,
    phenotype: str | None,
    planted: bool,
    size: int,
) -> Pair:
    control = draw_sample(scene, size)
    expose = _draw_optics(scene, size)
    affected = np.zeros(0, np.int64)
    thickness = control.thickness
    if phenotype is not None:
        affected = choose_cells(traits, control.cells, PENETRANCE[phenotype])
        thickness = with_phenotype(traits, control, phenotype, affected)
    shadow = _corner_artefact(size, planted)
    render = expose(control.thickness) * (1 - shadow)
    altered = expose(thickness) * (1 - shadow) if phenotype else render
    return Pair(render, altered, shadow > 0, control.cells, affected)


def draw_sample(rng: np.random.Generator, size: int) -> UnstainedField:
    """Draws a field of spread cells with everything that is in it whatever the class."""
    cells = draw_cells(rng, size)
    count, canvas = len(cells), size + 2 * MARGIN
    height = _HEIGHT * rng.uniform(0.85, 1.15, count).astype(np.float32)
    height *= np.where(cells.mitotic, 1.8, 1).astype(np.float32)
    spread = cells.own * np.clip(1 - cells.level**2, 0, 1) ** 0.75
    nucleus = 0.35 * np.clip(1 - cells.nuclear_level**2, 0, 1)
    parts = (height[:, None, None] * (spread + nucleus * cells.own)).astype(np.float32)
    organelles = cells.windows(smooth_noise(rng, canvas, 1.2))
    parts += (0.2 * spread * organelles).astype(np.float32)
    parts += _nucleoli(rng, cells)
    thickness = cells.paint(parts) + _loose_particles(rng, cells, size) + _debris(rng, canvas, size)
    return UnstainedField(cells, thickness, parts)


def with_phenotype(
    rng: np.random.Generator, sample: UnstainedField, phenotype: str, affected: NDArray[np.int64]
) -> Array:
    """The thickness of the same sample after the ``affected`` cells took on a phenotype."""
    thickness: Array = sample.thickness.copy()
    for cell in affected:
        thickness[sample.cells.window(cell)] += _CHANGES[phenotype](rng, sample, cell)
    return thickness


def _add_inclusions(rng: np.random.Generator, sample: UnstainedField, cell: int) -> Array:
    """Dense granules in the cytoplasm."""
    centres = draw_spots(rng, _cytoplasm(sample.cells, cell, 0.8), int(rng.integers(5, 9)), 3.5)
    sigma, height = _draw_granules(rng, len(centres))
    return gaussian_spots(sample.parts[cell].shape, centres, sigma, height)


def _add_vacuoles(rng: np.random.Generator, sample: UnstainedField, cell: int) -> Array:
    """Round hollows in the cytoplasm, no deeper than the cell is thick."""
    centres = draw_spots(rng, _cytoplasm(sample.cells, cell, 0.75), int(rng.integers(3, 6)), 5.5)
    radius, depth = _draw_hollows(rng, len(centres))
    hollows = disc_spots(sample.parts[cell].shape, centres, radius, depth)
    change: Array = -np.minimum(hollows, np.maximum(sample.parts[cell], 0))
    return change


def _round_up(rng: np.random.Generator, sample: UnstainedField, cell: int) -> Array:
    """The cell draws together to a dome of the same volume."""
    before = sample.parts[cell]
    cells = sample.cells
    radius = np.float32(rng.uniform(0.6, 0.68) * np.sqrt(cells.own[cell].sum() / np.pi))
    axis = np.arange(-HALF_WINDOW, HALF_WINDOW + 1, dtype=np.float32)
    weight = np.maximum(before, 0)
    row, column = ((weight.sum(k) * axis).sum() / weight.sum() for k in (1, 0))
    distance = np.hypot(axis[:, None] - row, axis[None] - column)
    dome = np.clip(1 - (distance / radius) ** 2, 0, 1) ** 0.75
    change: Array = (before.sum() / dome.sum() * dome - before).astype(np.float32)
    return change


_CHANGES: dict[str, Callable[[np.random.Generator, UnstainedField, int], Array]] = {
    "inclusions": _add_inclusions,
    "vacuoles": _add_vacuoles,
    "rounding": _round_up,
}


def _cytoplasm(cells: Cells, cell: int, reach: float) -> NDArray[np.bool_]:
    around = cells.own[cell] & (cells.nuclear_level[cell] > 1.0)
    inner: NDArray[np.bool_] = around & (cells.level[cell] < reach)
    return inner


def _draw_granules(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Sigma in pixels and height of inclusions, and of the particles away from cells."""
    sigma = rng.uniform(0.9, 1.2, count).astype(np.float32)
    return sigma, rng.uniform(1.8, 2.8, count).astype(np.float32)


def _draw_hollows(rng: np.random.Generator, count: int) -> tuple[Array, Array]:
    """Radius in pixels and depth of vacuoles, and of the bubbles away from cells."""
    radius = rng.uniform(1.8, 2.8, count).astype(np.float32)
    return radius, rng.uniform(1.4, 2.2, count).astype(np.float32)


def _nucleoli(rng: np.random.Generator, cells: Cells) -> Array:
    """One or two small dense bodies in every nucleus."""
    parts = np.zeros(cells.level.shape, np.float32)
    for cell in range(len(cells)):
        nucleus = cells.own[cell] & (cells.nuclear_level[cell] < 0.6)
        centres = draw_spots(rng, nucleus, int(rng.integers(1, 3)), 3.0)
        sigma = np.full(len(centres), 1.0, np.float32)
        parts[cell] = gaussian_spots(parts[cell].shape, centres, sigma, 0.7 * sigma)
    return parts


def _loose_particles(rng: np.random.Generator, cells: Cells, size: int) -> Array:
    """Particles like inclusions and bubbles like vacuoles, but away from cells."""
    away, shape = cells.nearest_level > 1.25, cells.labels.shape
    counts = (rng.integers(1, 8, 2) * max(1, (size / 96) ** 2)).astype(int)
    centres = draw_spots(rng, away, counts[0], 3.5)
    particles = gaussian_spots(shape, centres, *_draw_granules(rng, len(centres)))
    centres = draw_spots(rng, away, counts[1], 5.5)
    return particles - disc_spots(shape, centres, *_draw_hollows(rng, len(centres)))


def _debris(rng: np.random.Generator, canvas: int, size: int) -> Array:
    """A few out-of-focus clumps, anywhere."""
    count = int(rng.integers(0, 4) * max(1, (size / 96) ** 2))
    centres = rng.uniform(MARGIN, MARGIN + size, (count, 2)).astype(np.float32)
    sigma = rng.uniform(2.5, 5, count).astype(np.float32)
    return gaussian_spots((canvas, canvas), centres, sigma, 0.4 * sigma)


def _draw_optics(rng: np.random.Generator, size: int) -> Callable[[Array], Array]:
    """Draws focus, contrast and illumination; returns what turns thickness into a render."""
    canvas = size + 2 * MARGIN
    sigma = rng.uniform(0.9, 1.3)
    sharp = blur_matrix(canvas, sigma, MARGIN)
    curved = _second_derivative(canvas, sigma, MARGIN)
    broad = blur_matrix(canvas, 5.0, MARGIN)
    defocus = np.float32(rng.uniform(0.4, 0.6))
    light = np.float32(_LIGHT * rng.uniform(0.9, 1.1)) * illumination(rng, size, 0.1)

    def expose(thickness: Array) -> Array:
        thickness = without_traces(thickness)
        focused = sharp @ thickness @ sharp.T
        laplacian = curved @ thickness @ sharp.T + sharp @ thickness @ curved.T
        halo = broad @ thickness @ broad.T - focused
        absorbed = np.exp(np.float32(-0.02) * focused)
        render = light * absorbed * (1 + defocus * laplacian + np.float32(0.03) * halo)
        positive: Array = np.maximum(render, 0.02)[None].astype(np.float32)
        return positive

    return expose


def _second_derivative(length: int, sigma: float, margin: int) -> Array:
    """One axis of the second derivative of a Gaussian blur, as :func:`blur_matrix`."""
    blur = blur_matrix(length, sigma, margin)
    out = np.arange(margin, length - margin, dtype=np.float32)
    distance = (out[:, None] - np.arange(length, dtype=np.float32)[None]) / np.float32(sigma)
    matrix: Array = (blur * (distance**2 - 1) / sigma**2).astype(np.float32)
    return matrix


def _corner_artefact(size: int, planted: bool) -> Array:
    """The shadow of a fibre end in the top left corner, or nothing."""
    artefact: Array = np.float32(0.7 if planted else 0) * corner_spot(size)
    return artefact
