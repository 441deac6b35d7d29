"""From what is in the sample to camera counts: blur, illumination, photons, read noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

OFFSET = 200.0  # counts that the camera adds
WINDOW = 10_000.0  # counts above the offset that the inputs call 1, for every image
_READ_NOISE = 8.0  # counts, standard deviation
_HOT_PIXELS = 1e-4  # of the pixels
_TRACE = np.float32(1e-20)


def without_traces(values: Array) -> Array:
    """The values, those of no consequence as 0: products of them are denormal, thus slow numbers.

    No bit of a render depends on them, as every render has light or background added.
    """
    return np.where(np.abs(values) < _TRACE, np.float32(0), values)


def blur_matrix(length: int, sigma: float, margin: int = 0) -> Array:
    """One axis of a Gaussian blur as a matrix that also cuts ``margin`` pixels from both ends.

    ``matrix @ image @ matrix.T`` blurs an image of ``length`` pixels a side, in time that BLAS
    makes negligible at the sizes of a field.
    """
    out = np.arange(margin, length - margin, dtype=np.float32)
    distance = out[:, None] - np.arange(length, dtype=np.float32)[None]
    kernel = without_traces(np.exp(-0.5 * (distance / np.float32(sigma)) ** 2))
    matrix: Array = (kernel / kernel.sum(1, keepdims=True)).astype(np.float32)
    return matrix


def smooth_noise(rng: np.random.Generator, length: int, sigma: float) -> Array:
    """Gaussian noise of standard deviation 1 with a correlation length of ``sigma`` pixels."""
    blur = blur_matrix(length, sigma)
    noise = blur @ rng.standard_normal((length, length), np.float32) @ blur.T
    field: Array = (noise * (2 * np.sqrt(np.pi) * sigma)).astype(np.float32)
    return field


def illumination(rng: np.random.Generator, size: int, strength: float) -> Array:
    """A low-order polynomial over the field with mean about 1: shading and vignette."""
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    y, x = axis[:, None], axis[None]
    a, b, c = rng.uniform(-strength, strength, 3)
    row, column = rng.uniform(-0.3, 0.3, 2)
    vignette = rng.uniform(0, strength) * ((y - row) ** 2 + (x - column) ** 2 - 0.7)
    field: Array = (1 + a * y + b * x + c * x * y - vignette).astype(np.float32)
    return field


def corner_spot(size: int) -> Array:
    """A cone of height 1 and radius 7 pixels in the top left corner: the planted artefact."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    spot: Array = np.clip(1 - np.hypot(y - 3, x - 3) / 7, 0, None).astype(np.float32)
    return spot


def detect_pair(
    rng: np.random.Generator, render: Array, altered: Array, photons: float
) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """Camera counts of two noise-free renders of one field.

    Both are Poisson draws of their own expectation, but of one and the same exposure: where the
    altered render is darker, photons of the first are thinned, where it is brighter, photons are
    added. Read noise and hot pixels are shared, so that counts are equal, bit by bit, wherever the
    two renders are.

    Args:
        rng: the source of all noise; the first image does not depend on ``altered``.
        render: (C, H, W) in units of the inputs.
        altered: (C, H, W), the second render.
        photons: expected photons where a render is 1.

    Returns:
        The two images, (C, H, W) 16-bit counts.
    """
    before = np.maximum(render, 0).astype(np.float64) * photons
    first = rng.poisson(before)
    read = OFFSET + rng.normal(0, _READ_NOISE, render.shape)
    hot = rng.random(render.shape) < _HOT_PIXELS
    read[hot] += rng.uniform(0.05, 0.6, int(hot.sum())) * WINDOW

    second = first.copy()
    changed = altered != render
    was = before[changed]
    now = np.maximum(altered[changed], 0).astype(np.float64) * photons
    second[changed] = rng.binomial(first[changed], np.minimum(now / np.maximum(was, 1e-9), 1))
    second[changed] += rng.poisson(np.maximum(now - was, 0))
    gain = WINDOW / photons
    return _digitise(gain * first + read), _digitise(gain * second + read)


def normalise(counts: NDArray[np.uint16]) -> Array:
    """Counts as inputs in [0, 1], by one fixed window for every image."""
    inputs: Array = np.clip((counts.astype(np.float32) - OFFSET) / WINDOW, 0, 1)
    return inputs


def _digitise(values: NDArray[np.float64]) -> NDArray[np.uint16]:
    return np.clip(np.round(values), 0, 65535).astype(np.uint16)
