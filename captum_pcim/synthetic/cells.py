"""Where the synthetic cells are and what shape they have: drawn once, before any stain or class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

HALF_WINDOW = 20  # pixels; no cell reaches further from its centre
MARGIN = 32  # pixels drawn beyond each edge of the field, so that cells may be cut by it
_WINDOW = 2 * HALF_WINDOW + 1
_SPILL = 8.0  # centres lie up to this far outside the field
_AREA_PER_CELL = 1000.0  # square pixels
_COUNT_RANGE = (0.75, 1.3)  # times the count that _AREA_PER_CELL gives
_SPACING = 16.0  # pixels between centres, at least
_ELIGIBLE_INSET = 9.0  # a cell that can carry a phenotype has its nucleus inside the field


@dataclass(frozen=True)
class Cells:
    """The K cells of one field, each in its own square window.

    ``level`` and ``nuclear_level`` are distances from the cell's centre relative to the outline of
    the cell and of its nucleus (1 on the outline). ``own`` marks the pixels of the window that
    belong to the cell: inside its outline and nearer to it than to any neighbour.
    """

    corners: NDArray[np.int64]  # (K, 2) of the windows, on the canvas
    level: Array  # (K, W, W)
    nuclear_level: Array  # (K, W, W)
    own: NDArray[np.bool_]  # (K, W, W)
    labels: NDArray[np.int32]  # (canvas, canvas); 0 is background
    nearest_level: Array  # (canvas, canvas) smallest level of any cell
    mitotic: NDArray[np.bool_]  # (K,) distractors: rounded, condensed, in every class
    eligible: NDArray[np.bool_]  # (K,) may carry a phenotype

    def __len__(self) -> int:
        """Number of cells."""
        return len(self.corners)

    def window(self, cell: int) -> tuple[slice, slice]:
        """Slices of the canvas that a cell's window covers."""
        row, column = self.corners[cell]
        return slice(row, row + _WINDOW), slice(column, column + _WINDOW)

    def windows(self, canvas: Array) -> Array:
        """Cuts every cell's window, (K, W, W), out of a canvas."""
        return np.stack([canvas[self.window(cell)] for cell in range(len(self))])

    def nuclei(self) -> NDArray[np.int32]:
        """The nuclei of the label image: a cell's number where its nucleus is, on the canvas."""
        canvas = np.zeros_like(self.labels)
        for cell, inside in enumerate(self.own & (self.nuclear_level < 1)):
            canvas[self.window(cell)][inside] = cell + 1
        return canvas

    def paint(self, patches: Array) -> Array:
        """Adds one patch per cell, (K, W, W), onto an empty canvas."""
        canvas = np.zeros(self.labels.shape, np.float32)
        for cell, patch in enumerate(patches):
            canvas[self.window(cell)] += patch
        return canvas


def max_cells(size: int) -> int:
    """The largest number of cells that a field of ``size`` pixels can hold."""
    return int(np.ceil(_COUNT_RANGE[1] * (size + 2 * _SPILL) ** 2 / _AREA_PER_CELL)) + 1


def draw_cells(rng: np.random.Generator, size: int) -> Cells:
    """Draws the cells of one square field of ``size`` pixels."""
    centres = _place(rng, size)
    count = len(centres)
    mitotic = rng.random(count) < 0.12
    mitotic[0] = False
    nuclear_radius = rng.uniform(5.4, 7.0, count) * np.where(mitotic, 0.72, 1.0)
    radius = rng.uniform(11.0, 14.5, count) * np.where(mitotic, 0.75, 1.0)
    aspect = np.where(mitotic, 1.0, rng.uniform(1.0, 1.5, count))
    angle = rng.uniform(0, np.pi, count)

    corners = np.floor(centres).astype(np.int64) - HALF_WINDOW + MARGIN
    offsets = centres - np.floor(centres)
    wobble = np.where(mitotic, 0.02, 0.09)
    level = _outline(rng, offsets, radius, aspect, angle, wobble)
    nuclear_level = _outline(rng, offsets, nuclear_radius, np.sqrt(aspect), angle, wobble / 3)
    labels, nearest = _divide(level, corners, size + 2 * MARGIN)

    own = np.empty(level.shape, bool)
    for cell, (row, column) in enumerate(corners):
        own[cell] = labels[row : row + _WINDOW, column : column + _WINDOW] == cell + 1
    inside = (centres > _ELIGIBLE_INSET) & (centres < size - _ELIGIBLE_INSET)
    eligible = inside.all(axis=1) & ~mitotic
    return Cells(corners, level, nuclear_level, own, labels, nearest, mitotic, eligible)


def choose_cells(
    rng: np.random.Generator, cells: Cells, penetrance: tuple[float, float]
) -> NDArray[np.int64]:
    """Draws the cells that carry a phenotype: a random share of the eligible ones, at least one."""
    eligible = np.flatnonzero(cells.eligible)
    share = rng.uniform(*penetrance)
    count = int(np.clip(round(share * len(eligible)), 1, len(eligible)))
    return np.sort(rng.permutation(eligible)[:count])


def draw_spots(
    rng: np.random.Generator, allowed: NDArray[np.bool_], count: int, spacing: float
) -> Array:
    """Draws up to ``count`` positions (row, column) where ``allowed``, ``spacing`` apart."""
    rows, columns = np.nonzero(allowed)
    if not len(rows):
        return np.zeros((0, 2), np.float32)
    picks = rng.integers(0, len(rows), 4 * count)
    candidates = np.stack([rows[picks], columns[picks]], 1) + rng.uniform(-0.5, 0.5, (4 * count, 2))
    return _keep_apart(candidates, count, spacing).astype(np.float32)


def gaussian_spots(shape: tuple[int, int], centres: Array, sigma: Array, height: Array) -> Array:
    """Sums Gaussian spots with the given centres (row, column), sigmas in pixels and heights."""
    rows = np.arange(shape[0], dtype=np.float32)[None] - centres[:, :1]
    columns = np.arange(shape[1], dtype=np.float32)[None] - centres[:, 1:]
    scale = 2 * sigma[:, None] ** 2
    profile_rows = height[:, None] * np.exp(-(rows**2) / scale)
    spots: Array = (profile_rows.T @ np.exp(-(columns**2) / scale)).astype(np.float32)
    return spots


def disc_spots(shape: tuple[int, int], centres: Array, radius: Array, height: Array) -> Array:
    """Sums discs with soft edges, given centres (row, column), radii in pixels and heights."""
    canvas = np.zeros(shape, np.float32)
    for (row, column), r, h in zip(centres, radius, height, strict=True):
        top, left = max(int(row - r - 2), 0), max(int(column - r - 2), 0)
        bottom, right = int(row + r + 3), int(column + r + 3)
        patch = canvas[top:bottom, left:right]
        y = np.arange(top, top + patch.shape[0], dtype=np.float32)[:, None] - row
        x = np.arange(left, left + patch.shape[1], dtype=np.float32)[None] - column
        patch += h * np.clip(r + 0.5 - np.hypot(y, x), 0, 1)
    return canvas


def _place(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """Draws centres in pixels, one of them always in the middle half of the field."""
    extent = size + 2 * _SPILL
    count = round(rng.uniform(*_COUNT_RANGE) * extent**2 / _AREA_PER_CELL)
    first = rng.uniform(0.25 * size, 0.75 * size, (1, 2))
    others = rng.uniform(-_SPILL, size + _SPILL, (6 * count, 2))
    return _keep_apart(np.concatenate([first, others]), count, _SPACING)


def _keep_apart(candidates: NDArray[np.float64], count: int, spacing: float) -> NDArray[np.float64]:
    """Takes candidates in order while they are ``spacing`` from those taken, up to ``count``."""
    kept = np.empty((count, 2))
    taken = 0
    for candidate in candidates:
        gaps = kept[:taken] - candidate
        if taken < count and (np.einsum("ij,ij->i", gaps, gaps) >= spacing**2).all():
            kept[taken] = candidate
            taken += 1
    return kept[:taken]


def _outline(
    rng: np.random.Generator,
    offsets: NDArray[np.float64],
    radius: NDArray[np.float64],
    aspect: NDArray[np.float64],
    angle: NDArray[np.float64],
    wobble: NDArray[np.float64],
) -> Array:
    """Relative distance from the centre of a Fourier-perturbed ellipse, (K, W, W)."""
    axis = np.arange(-HALF_WINDOW, HALF_WINDOW + 1, dtype=np.float32)
    y = axis[None, :, None] - offsets[:, 0, None, None].astype(np.float32)
    x = axis[None, None, :] - offsets[:, 1, None, None].astype(np.float32)
    cos, sin = (f(angle)[:, None, None].astype(np.float32) for f in (np.cos, np.sin))
    stretch = np.sqrt(aspect)[:, None, None].astype(np.float32)
    along, across = (x * cos + y * sin) / stretch, (y * cos - x * sin) * stretch
    # cos(m a + phase) is the real part of e^(i m a) e^(i phase): powers of one unit phasor
    distance = np.hypot(along, across) + 1e-6
    phasor = (along + 1j * across) / distance
    phases = np.exp(1j * rng.uniform(0, 2 * np.pi, (3, len(radius), 1, 1))).astype(np.complex64)
    outline = np.ones_like(distance)
    harmonic = phasor
    for phase in phases:
        harmonic = harmonic * phasor
        outline += wobble[:, None, None].astype(np.float32) * (harmonic * phase).real
    level: Array = (distance / (outline * radius[:, None, None])).astype(np.float32)
    return level


def _divide(
    level: Array, corners: NDArray[np.int64], canvas: int
) -> tuple[NDArray[np.int32], Array]:
    """Gives each pixel to the cell whose outline it is deepest in, so that cells do not overlap."""
    nearest = np.full((canvas, canvas), np.inf, np.float32)
    labels = np.zeros((canvas, canvas), np.int32)
    for cell, (row, column) in enumerate(corners):
        window = slice(row, row + _WINDOW), slice(column, column + _WINDOW)
        closer = level[cell] < nearest[window]
        nearest[window][closer] = level[cell][closer]
        labels[window][closer] = cell + 1
    labels[nearest >= 1] = 0
    return labels, nearest
