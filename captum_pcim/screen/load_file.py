"""The fields of view that a CellProfiler load file lists: CSV, ``.csv.gz`` or Parquet."""

from __future__ import annotations

import csv
import gzip
import os
import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import unquote, urlsplit

from captum_pcim._extras import needed
from captum_pcim._files import csv_rows
from captum_pcim.images.wells import well_name
from captum_pcim.screen.config import ConfigError, ImageSettings
from captum_pcim.screen.plate import Field, Survey

Row = dict[str, Any]

SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C: is a drive
WINDOWS = re.compile(r"/?[A-Za-z]:[\\/]|\\\\[^\\/]+")  # a drive, in a URL too, or a server's share
FLOAT = re.compile(r"\d+\.0")  # a whole number as pandas writes it in a column that lacks one
SITES = ("Metadata_Site", "Metadata_Field", "Metadata_FieldID")
PLANES = ("Frame", "Series")  # CellProfiler's numbers, from 0, of a plane within a file
REMOTE = "its files are not on this machine but at {}: copy them and change the paths"


def survey_load_file(images: ImageSettings) -> Survey:
    """Lists the rows of a load file as fields.

    Columns are CellProfiler's, with or without the prefix ``Image_``: ``FileName_`` and
    ``PathName_``, or ``URL_``, with a channel's name; ``ObjectsFileName_`` and so on with that of
    the label images; ``Metadata_Plate``, ``Metadata_Well``, ``Metadata_Site``. Other ``Metadata_``
    columns are kept; ``Frame_`` and ``Series_`` are to be 0. ``Illum`` images are those of
    ``FileName_IllumDNA``, or ``URL_IllumDNA``, for ``OrigDNA`` or ``DNA``.

    Raises:
        ConfigError: It is no such file, or does not say where a row belongs.
    """
    found = Survey()
    for number, (line, row) in enumerate(_rows(images.path), start=1):
        row = {key.removeprefix("Image_"): value for key, value in row.items()}
        if number == 1:
            _check_columns(images, row, found)
        if any(map(_text, row.values())):  # a row without a value counts, but is no image
            found.fields.append(_field(images, row, number, f"{images.path}, line {line}"))
    if not found.fields:
        raise ConfigError(
            f"images.path: {images.path} is no load file with a row: expected columns such as "
            "FileName_DNA, Metadata_Plate and Metadata_Well, and a row for each field"
        )
    return found


def _field(images: ImageSettings, row: Row, number: int, where: str) -> Field:
    folder = os.path.dirname(images.path)
    site = next((name for name in SITES if name in row), "")
    files = [_file(row, "", name, folder) for name in images.channels]
    lights = [_file(row, "", _illumination(name), folder) for name in images.channels]
    corrected = images.illumination in ("divide", "subtract")
    labels = _file(row, "Objects", images.labels, folder) if images.labels else ""
    _require_first_planes(images, row, where)
    lacking = [stain for stain, path in zip(images.stains, files, strict=True) if not path]
    unlit = [stain for stain, path in zip(images.stains, lights, strict=True) if not path]
    problem = ""
    if lacking:
        problem = f"no file for stain {', '.join(lacking)}"
    elif corrected and unlit:
        problem = f"no illumination image for stain {', '.join(unlit)}"
    elif away := _elsewhere([*files, labels, *(lights if corrected else [])]):
        problem = REMOTE.format(away)
    told = ("Metadata_Plate", "Metadata_Well", site, "Metadata_Z", "Metadata_T")
    return Field(
        plate=_cell(row, "Metadata_Plate", where),
        well=_well(row, where),
        site=_cell(row, site, where) if site else "1",
        files=tuple((path,) if path else () for path in files),
        labels=labels,
        z=images.z,
        t=images.t,
        plane=_place(row.get("Metadata_Z")) or str(images.z or 1),
        time=_place(row.get("Metadata_T")) or str(images.t or 1),
        number=number,
        metadata=tuple(
            (name, _text(value))
            for name, value in row.items()
            if name.startswith("Metadata_") and name not in told
        ),
        illumination=tuple(lights) if corrected else (),
        problem=problem,
    )


def _check_columns(images: ImageSettings, row: Row, found: Survey) -> None:
    """Checks that the file has what is asked for, before its rows are looked at."""
    for name in row:
        kind, _, channel = name.partition("_")
        if kind in ("FileName", "URL") and not channel.startswith("Illum"):
            found.channels[channel] = None
    for name in images.channels:
        if not {f"FileName_{name}", f"URL_{name}"} & set(row):
            raise ConfigError(
                f"{images.path}: expected columns such as FileName_{name}; "
                f"the channels are {list(found.channels)}"
            )
        lights = (f"{kind}_{_illumination(name)}" for kind in ("FileName", "URL"))
        light = next((light for light in lights if light in row), None)
        if light and not images.illumination:
            raise ConfigError(
                f"images.illumination: {images.path} names illumination images ({light}); expected "
                "'divide' or 'subtract', as CellProfiler's CorrectIlluminationApply did, or 'none' "
                "for images that are corrected already"
            )

    objects = {name.partition("_")[2] for name in row if name.startswith("Objects")}
    if images.labels and images.labels not in objects:
        raise ConfigError(
            f"images.labels: {images.path} has no column ObjectsFileName_{images.labels}; its "
            f"label images are {sorted(objects)}"
        )


def _require_first_planes(images: ImageSettings, row: Row, where: str) -> None:
    """Refuses a plane that a row chooses within a file: ``z`` and ``t`` choose for all rows."""
    names = list(images.channels)
    if images.illumination in ("divide", "subtract"):
        names += map(_illumination, images.channels)
    columns = [f"{kind}_{name}" for name in names for kind in PLANES]
    columns += [f"Objects{kind}_{images.labels}" for kind in PLANES if images.labels]
    for column in columns:
        if (value := _place(row.get(column))) not in ("", "0"):
            raise ConfigError(
                f"{where}: {column} is {value}; expected 0, as rows do not choose planes of a "
                "file: save every plane as a file, or leave the column out and choose by images.z "
                "and images.t"
            )


def _illumination(channel: str) -> str:
    return f"Illum{channel.removeprefix('Orig')}"


def _rows(path: str) -> Iterator[tuple[int, Row]]:
    """The rows of a file, each with its line."""
    if path.lower().endswith((".parquet", ".pq")):
        yield from enumerate(_parquet_rows(path), start=2)
        return
    try:
        yield from _csv_rows(path)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"images.path: {path} is no CSV file in UTF-8: {error}; save it as UTF-8"
        ) from error
    except (csv.Error, EOFError, gzip.BadGzipFile) as error:
        raise ConfigError(f"images.path: {path} is no CSV file: {error}") from error
    except ValueError as error:
        raise ConfigError(f"images.path: {path} {error}") from error


def _csv_rows(path: str) -> Iterator[tuple[int, Row]]:
    opened = gzip.open if path.lower().endswith(".gz") else open
    with opened(path, "rt", newline="", encoding="utf-8-sig") as file:
        yield from csv_rows(file)[1]


def _parquet_rows(path: str) -> Iterator[Row]:
    what = "reading Parquet load files needs"
    pyarrow, parquet = (needed(name, what, "table") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        for batch in parquet.ParquetFile(path).iter_batches():
            yield from batch.to_pylist()
    except pyarrow.ArrowException as error:
        raise ConfigError(f"images.path: {path} is no Parquet file: {error}") from error


def _text(value: Any) -> str:
    """A cell as text; empty where it holds nothing, as pandas' NaN does.

    Where a column lacks a number, pandas makes floats of the others.
    """
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None or value != value else str(value)


def _place(value: Any) -> str:
    """A plate, site, plane or time as text: in CSV files too, pandas' 1.0 is 1."""
    text = _text(value)
    return text.removesuffix(".0") if FLOAT.fullmatch(text) else text


def _cell(row: Row, column: str, where: str) -> str:
    value = _place(row.get(column))
    if not value:
        raise ConfigError(
            f"{where}: expected a value in column {column}, got none; the columns are {list(row)}"
        )
    return value


def _well(row: Row, where: str) -> str:
    well = _cell(row, "Metadata_Well", where)
    try:
        return well_name(well)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error


def _file(row: Row, kind: str, name: str, folder: str) -> str:
    """The file that a row names, or an empty name."""
    file_name = _text(row.get(f"{kind}FileName_{name}"))
    if file_name:
        path_name = _located(_text(row.get(f"{kind}PathName_{name}")), folder)
        return os.path.join(path_name, file_name)
    url = _text(row.get(f"{kind}URL_{name}"))
    return _located(url, folder) if url else ""


def _located(text: str, folder: str) -> str:
    """A path or a URL as a path; a URL that is no file's is left as it is.

    RFC 8089 writes a file's URL ``file:///path`` or ``file:/path``, RFC 3986 its blanks as ``%20``.
    """
    if WINDOWS.match(text):
        return text
    scheme = SCHEME.match(text)
    parts = urlsplit(text)
    if scheme and scheme[1].lower() == "file" and parts.netloc in ("", "localhost"):
        return unquote(parts.path)
    return text if scheme else os.path.join(folder, text.replace("\\", "/"))


def _elsewhere(paths: Sequence[str]) -> str:
    """Where files are that are not on this machine, as far as their bucket, server or drive."""
    for path in paths:
        if drive := WINDOWS.match(path):
            return drive[0].lstrip("/")
        if scheme := SCHEME.match(path):
            return f"{scheme[0]}//{urlsplit(path).netloc}"
    return ""
