"""The fields of view of a screen, wherever they are listed, and what is not right with them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import pairwise

from captum_pcim.images.wells import row_and_column, well_name
from captum_pcim.screen.config import ConfigError, ImageSettings, ScreenConfig
from captum_pcim.screen.folder import UNFIT, survey_folder
from captum_pcim.screen.layouts import PATTERNS, Layout
from captum_pcim.screen.load_file import survey_load_file
from captum_pcim.screen.plate import UNREADABLE, Field, Survey
from captum_pcim.screen.zarr_plate import survey_zarr


def find_fields(images: ImageSettings) -> list[Field]:
    """Lists a screen's fields in a fixed order; see :func:`survey`."""
    return survey(images).fields


def survey(images: ImageSettings, exclude: str = "") -> Survey:
    """Lists a screen's fields by plate, well and site, and what was passed over or is missing.

    Args:
        images: Where they are.
        exclude: A folder that is not searched: the results, if they lie among the images.

    Raises:
        ConfigError: No image was found, two claim to be the same, or there are planes or time
            points and none was chosen.
        FileNotFoundError: ``images.path`` does not exist.
    """
    if not os.path.exists(images.path):
        raise FileNotFoundError(f"images.path: there is no {images.path}")
    if os.path.isdir(images.path) == (images.source == "load_file"):
        is_, wanted = ("folder", "file") if images.source == "load_file" else ("file", "folder")
        raise ConfigError(
            f"images.path: {images.path} is a {is_}; source = {images.source!r} takes a {wanted}"
        )
    if images.source == "folder":
        found = survey_folder(images, exclude)
    elif images.source == "ome_zarr":
        found = survey_zarr(images, exclude)
    else:
        found = survey_load_file(images)
    found.fields.sort(key=lambda f: (f.plate, row_and_column(f.well), len(f.site), f.site))
    _refuse_twins(found.fields, images.source)
    _refuse_nothing(found, images)
    for one in found.fields:
        if one.problem:
            found.remark(f"{UNREADABLE} ({one.problem})", one, missing=True)
        elif images.labels and not one.labels:
            found.remark("fields without a label image", one, missing=True)
    return found


def survey_screen(config: ScreenConfig) -> Survey:
    """The same for a whole screen: with the control wells that a plate lacks."""
    found = survey(config.images, config.output.path)
    wells: dict[str, set[str]] = {}
    for one in found.fields:
        wells.setdefault(one.plate, set()).add(one.well)
    try:
        controls = [well_name(well) for well in config.controls.wells]
    except ValueError as error:
        raise ConfigError(f"controls.wells: {error}") from error
    for plate, there in wells.items():
        for well in controls:
            if well not in there:
                found.remark("control wells without an image", f"{plate} {well}", missing=True)
    return found


def _refuse_twins(fields: Sequence[Field], source: str) -> None:
    for one, other in pairwise(fields):
        if (one.plate, one.well, one.site) == (other.plate, other.well, other.site):
            two = f"{' '.join(one.files[0])} and {' '.join(other.files[0])}"
            told = "a load file has one row for each Metadata_Site, plane and time point: "
            advice = f"; {told}leave out the others" if source == "load_file" else ""
            raise ConfigError(f"two images are {one}: {two}{advice}")


def _refuse_nothing(found: Survey, images: ImageSettings) -> None:
    if found.fields:
        return
    told = [str(remark) for remark in found.remarks]
    if found.channels:
        told.append(f"channels: {', '.join(found.channels)}")
    told += [_advice(remark.example) for remark in found.remarks if remark.what == UNFIT]
    because = f" ({'; '.join(told)})" if told else ""
    raise ConfigError(f"images.path: no image that fits was found in {images.path}{because}")


def _advice(name: str) -> str:
    """Which pattern would fit a file's name."""
    fitting = [pattern for pattern in PATTERNS if Layout(pattern).read(name)]
    if fitting:
        return f"images.pattern = {' or '.join(map(repr, fitting))} would fit"
    return "describe the names by a regular expression of your own as images.pattern"
