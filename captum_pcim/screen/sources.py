"""The fields of view of a screen, wherever they are listed."""

from __future__ import annotations

import os
from collections.abc import Iterable
from itertools import pairwise

from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.plate import Field, folder_fields, load_file_fields, row_and_column
from captum_pcim.screen.zarr_plate import plate_fields


def find_fields(images: ImageSettings) -> list[Field]:
    """Lists a screen's fields in a fixed order: by plate, well and site.

    Raises:
        ConfigError: No image was found, or two files claim to be the same plane.
        FileNotFoundError: ``images.path`` does not exist.
    """
    if not os.path.exists(images.path):
        raise FileNotFoundError(f"images.path: there is no {images.path}")
    sources = {"folder": folder_fields, "load_file": load_file_fields, "ome_zarr": plate_fields}
    found: Iterable[Field] = sources[images.source](images)
    fields = sorted(found, key=lambda f: (f.plate, row_and_column(f.well), len(f.site), f.site))
    for one, other in pairwise(fields):
        if (one.plate, one.well, one.site) == (other.plate, other.well, other.site):
            raise ConfigError(f"two images are {one.plate} {one.well} field {one.site}")
    if not fields:
        raise ConfigError(f"images.path: no image that fits was found in {images.path}")
    return fields
