"""The pixels and the object numbers of one field, from the files that show it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from captum_pcim.images import labels as label_images
from captum_pcim.images.labels import Labels
from captum_pcim.images.read import decoding, joined, read_image
from captum_pcim.images.stack import ImageError, Pixels, project
from captum_pcim.screen import zarr_plate
from captum_pcim.screen.config import ImageSettings
from captum_pcim.screen.plate import Field


def read_pixels(field: Field, images: ImageSettings) -> Pixels:
    """Reads the stains of a field.

    Returns:
        Array of shape (C, H, W) in the stored type.

    Raises:
        ImageError: A file is missing, damaged, or not what the field's files should be.
    """
    if field.problem:
        raise ImageError(field.problem)
    if not field.together:
        pixels = joined([_read_stain(field, paths)[None] for paths in field.files])
    elif os.path.isdir(path := field.files[0][0]):
        pixels = zarr_plate.read_field(path, images.channels, field.z, field.t)
    else:
        pixels = read_image([Path(path)], field.z, field.t, images.channels)
    if len(pixels) != len(images.stains):
        raise ImageError(f"expected {len(images.stains)} stains, the file has {len(pixels)}")
    if not field.illumination:
        return pixels
    lights = [_read_illumination(path) for path in field.illumination]
    return np.stack(
        [correct(stain, light, images.illumination == "divide")
         for stain, light in zip(pixels, lights, strict=True)]
    )  # fmt: skip


def read_object_numbers(field: Field, shape: tuple[int, ...]) -> Labels:
    """Reads the label image of a field whose pixels are of a shape (H, W)."""
    read = zarr_plate.read_labels if os.path.isdir(field.labels) else _read_label_file
    try:
        labels = read(field.labels, field.z, field.t)
    except ImageError as error:
        raise ImageError(f"labels: {error}") from error
    if labels.shape != shape:
        raise ImageError(f"labels: expected the shape {shape}, got {labels.shape}")
    return labels


def correct(stain: Pixels, light: Pixels, divide: bool) -> Pixels:
    """Corrects a stain as CellProfiler's CorrectIlluminationApply does.

    CellProfiler works on intensities from 0 to 1 of their type; what falls out of that is clipped.
    Whole numbers stay whole, so that windows are in the files' own intensities.
    """
    if light.shape != stain.shape:
        raise ImageError(f"the illumination image is {light.shape}, the image {stain.shape}")
    whole = np.issubdtype(stain.dtype, np.integer)
    largest = np.iinfo(stain.dtype).max if whole else 1.0
    if divide and (light <= 0).any():
        raise ImageError("the illumination image is not above 0 everywhere")
    corrected = stain / light if divide else stain - light.astype(np.float64) * largest
    corrected = np.clip(corrected, 0, largest)
    stored: Pixels = (np.rint(corrected) if whole else corrected).astype(stain.dtype)
    return stored


def _read_stain(field: Field, paths: Sequence[str]) -> Pixels:
    if len(paths) == 1:
        stain: Pixels = read_image([Path(paths[0])], field.z, field.t, one_stain=True)[0]
        return stain
    planes = (read_image([Path(path)], t=field.t, one_stain=True)[0] for path in paths)
    return project(planes, field.z)


def _read_label_file(path: str, z: int | str | None, t: int | None) -> Labels:
    return label_images.read_labels(Path(path), z, t)


def _read_illumination(path: str) -> Pixels:
    """An illumination image as CellProfiler saves it: NumPy's format, or a TIFF of floats."""
    with decoding():
        if path.endswith(".npy"):
            return np.asarray(np.load(path, allow_pickle=False), dtype=np.float64)
        pixels: Pixels = read_image([Path(path)], one_stain=True)[0]
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ImageError(
            f"the illumination image holds {pixels.dtype}, not floats: save it as .npy"
        )
    return pixels
