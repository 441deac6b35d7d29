"""Tables in and out: a screen's results, plate maps, and CSV, Parquet or AnnData files."""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from captum_pcim import _extras
from captum_pcim._files import csv_rows, write_bytes
from captum_pcim.core.warn import warn
from captum_pcim.profiles.positions import well_names

if TYPE_CHECKING:
    import pandas as pd

METADATA = "Metadata_"
PLATE, WELL, CLASS = "Metadata_Plate", "Metadata_Well", "Metadata_Class"
GIVEN_CLASS = "Metadata_Class_Given"  # of a load file or plate map, not the one explained
MEASURED = "Attribution|AreaShape|Stain_Weight|Probability|Score|ClassShare"
FEATURES = re.compile(
    rf"(?!{METADATA}).+?_({MEASURED})_.+", re.DOTALL
)  # whatever objects are called
# What stands for no number. Of texts, such as a treatment called "None", an empty cell alone does.
NO_NUMBER = ["", "nan", "NaN", "NA", "N/A", "null", "None"]
_CALLED_WELL = ("metadata_well", "well", "well_position", "well_id")
_CLASSES = ("Class", "Predicted")
_CALLED_PLATE = ("metadata_plate", "plate", "plate_id", "barcode")


class ProfileError(ValueError):
    """Tables do not say what a profile needs; the message says what."""


def needed(module: str) -> Any:
    """Import a module that profiles need, or say how to have it."""
    return _extras.needed(module, "profiles need", "profiles")


def read_results(
    folder: str | Path, objects: str | Path | None = None
) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """Read the tables that a screen wrote.

    Args:
        folder: The results folder.
        objects: Another table of objects, such as one measured later. None: that of the folder,
            of cells that were explained by themselves or else of labelled objects.

    Returns:
        The table of images, and that of objects; None where there is none.

    Raises:
        ProfileError: If there is no table of images.
    """
    images = _table_in(Path(folder), "images")
    if images is None:
        raise ProfileError(
            f"results: no images.csv or images.parquet in {str(folder)!r}; expected the results "
            "folder of captum-pcim screen"
        )
    in_folder = _table_in(Path(folder), "cells") or _table_in(Path(folder), "objects")
    own = in_folder if objects is None else Path(objects)
    return read_table(images), None if own is None else read_table(own)


def read_table(path: str | Path) -> pd.DataFrame:
    """Read a table: CSV, or Parquet by its name. What begins with ``Metadata_`` stays text.

    Raises:
        ProfileError: If it cannot be read.
    """
    pandas = needed("pandas")
    if Path(path).suffix == ".parquet":
        needed("pyarrow")
    read = pandas.read_parquet if Path(path).suffix == ".parquet" else _read_csv
    try:
        table: pd.DataFrame = read(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own are ValueErrors
        raise ProfileError(f"{str(path)!r} cannot be read as a table: {error}") from error
    return table


def _read_csv(path: str | Path) -> pd.DataFrame:
    pandas = needed("pandas")
    names = pandas.read_csv(path, nrows=0).columns
    texts = {name: str for name in names if name.startswith(METADATA) or name in _CLASSES}
    missing = {name: [""] if name in texts else NO_NUMBER for name in names}
    table: pd.DataFrame = pandas.read_csv(
        path, dtype=texts, keep_default_na=False, na_values=missing
    )
    return table


def _table_in(folder: Path, name: str) -> Path | None:
    found = (folder / f"{name}{suffix}" for suffix in (".csv", ".parquet"))
    return next((path for path in found if path.is_file()), None)


def read_plate_map(path: str | Path) -> pd.DataFrame:
    """Read what was done to each well.

    Cells of a CSV file are words, without the blanks about them; empty ones are missing.

    Args:
        path: A CSV or Parquet file with a column ``well`` (or ``Well``, ``Metadata_Well``,
            ``well_position``), where plates differ also ``plate``, and any others.

    Returns:
        The table with all columns named ``Metadata_...`` and wells as ``A01``. A column ``Class``
        is ``Metadata_Class_Given``: ``Metadata_Class`` is the class that was explained.

    Raises:
        ProfileError: If it names no wells, or a well or a column twice, or if it cannot be read.
    """
    pandas = needed("pandas")
    path = Path(path)
    if path.suffix == ".parquet":
        return as_plate_map(read_table(path))
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            names, rows = csv_rows(file)
            told = [row for _, row in rows if any(row.values())]
    except UnicodeDecodeError as error:
        raise ProfileError(f"plate_map: {str(path)!r}: {error}; save it as UTF-8") from error
    except (OSError, ValueError, csv.Error) as error:
        raise ProfileError(f"plate_map: {str(path)!r} cannot be read: {error}") from error
    table = pandas.DataFrame(told, columns=names, dtype=object)
    return as_plate_map(table.mask(table == ""))


def as_plate_map(table: pd.DataFrame) -> pd.DataFrame:
    """Return a plate map in the names of the tables.

    Raises:
        ProfileError: If it names no wells, or one twice.
    """
    given = list(table.columns)
    names = [_called(str(name)) for name in given]
    if names.count(WELL) != 1:
        raise ProfileError(f"plate_map: expected one column 'well', got {given}")
    found = with_given_class(table.set_axis(names, axis=1), "plate_map")
    if twice := sorted(set(found.columns[found.columns.duplicated()])):
        raise ProfileError(f"plate_map: expected one column for {', '.join(twice)}, got {given}")
    found[WELL] = well_names(found[WELL], "plate_map")
    key = [name for name in (PLATE, WELL) if name in found]
    twice = found.loc[found.duplicated(key), key]
    if len(twice):
        raise ProfileError(
            f"plate_map: expected every well once, got {' '.join(twice.iloc[0])} twice"
        )
    return found


def _called(column: str) -> str:
    """What the tables call a column of a plate map."""
    lower = column.lower()
    known = WELL if lower in _CALLED_WELL else PLATE if lower in _CALLED_PLATE else None
    return known or METADATA + column.removeprefix(METADATA)


def with_given_class(table: pd.DataFrame, argument: str) -> pd.DataFrame:
    """Rename a class that a load file or plate map tells, as it is not the one explained."""
    if CLASS not in table:
        return table
    warn(
        f"{argument}: {CLASS} (or Class) is called {GIVEN_CLASS} here, since {CLASS} is the class "
        "that was explained"
    )
    return table.rename(columns={CLASS: GIVEN_CLASS})


def features_of(table: pd.DataFrame) -> list[str]:
    """The columns of a table that are measurements of a profile."""
    pandas = needed("pandas")
    return [
        name
        for name in table.columns
        if FEATURES.fullmatch(name) and pandas.api.types.is_numeric_dtype(table[name])
    ]


def write_table(table: pd.DataFrame, path: str | Path) -> None:
    """Write a table, complete or not at all.

    Args:
        table: Profiles of wells, or another table.
        path: Its name says how: ``.csv``, ``.parquet``, or ``.h5ad`` for AnnData with the
            measurements as ``X`` and the other columns as ``obs``.

    Raises:
        ProfileError: If the name says none of these.
        ImportError: If a package for it is not installed.
    """
    path = Path(path)
    writers = {".csv": _csv, ".parquet": _parquet, ".h5ad": _h5ad}
    if path.suffix not in writers:
        raise ProfileError(f"path: expected a name with one of {list(writers)}, got {path.name!r}")
    write_bytes(path, writers[path.suffix](table))


def _csv(table: pd.DataFrame) -> bytes:
    text: str = table.to_csv(index=False)
    return text.encode()


def _parquet(table: pd.DataFrame) -> bytes:
    needed("pyarrow")
    data: bytes = table.to_parquet(index=False)
    return data


def _h5ad(table: pd.DataFrame) -> bytes:
    import tempfile

    anndata, pandas = needed("anndata"), needed("pandas")
    names = features_of(table)
    # Plain objects: readers of older releases know no other texts.
    about = table.drop(columns=names)
    about = about.astype(str).where(about.notna(), "").astype(object)
    about.index = pandas.Index([str(i) for i in range(len(table))], dtype=object)
    measured = pandas.DataFrame(index=pandas.Index(names, dtype=object))
    values = anndata.AnnData(X=table[names].to_numpy("float64"), obs=about, var=measured)
    with tempfile.TemporaryDirectory() as folder:  # HDF5 wants a file of its own
        values.write_h5ad(Path(folder) / "profiles.h5ad")
        return (Path(folder) / "profiles.h5ad").read_bytes()
