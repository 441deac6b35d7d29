"""Files that are either complete or not there, whenever the process is stopped."""

from __future__ import annotations

import csv
import io
import itertools
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

_PREFIX = ".tmp-"


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path``, replacing what is there in one step.

    The bytes go to a temporary name in the same folder, are flushed to the disk, and only then
    take the final name: a reader sees the old file or the new one, never a part.

    Args:
        path: Where to write. Its folder must exist.
        data: The whole content.

    Raises:
        OSError: If the folder cannot be written to. Nothing is left behind.
    """
    temporary = path.parent / f"{_PREFIX}{os.getpid()}-{secrets.token_hex(4)}"
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # as on a full disk
            raise OSError(error.errno, error.strerror, str(path)) from error
        raise


def csv_bytes(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Return a CSV file of rows by column name; what a row lacks is left empty."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return escaped(text.getvalue()).encode()


def escaped(text: str) -> str:
    r"""Return a text that UTF-8 holds: bytes of names that are not UTF-8 become ``\udcff``."""
    return text.encode(errors="backslashreplace").decode()


def delimiter(file: TextIO) -> str:
    """What separates the cells of a CSV file, by its first line: comma, semicolon or tab.

    Spreadsheets write semicolons where the comma is the decimal point. The file is read from its
    beginning afterwards.
    """
    header = file.readline()
    file.seek(0)
    return max(",;\t", key=header.count)


def csv_rows(file: TextIO) -> tuple[list[str], Iterator[tuple[int, dict[str, str]]]]:
    """Read a CSV file of a spreadsheet: the names of its columns, and its rows by these.

    Blanks about cells are dropped, and so are empty cells beyond the header, as spreadsheets write
    them; what a row lacks is empty. Empty lines are no rows, columns without a name are no columns.

    Returns:
        The names, and each row with its line.

    Raises:
        ValueError: A column is there twice, or, as rows are read, one has more cells than columns.
        csv.Error: It is no CSV.
    """
    separator = delimiter(file)
    reader = csv.reader(file, delimiter=separator, skipinitialspace=True)
    names = [name.strip() for name in next(reader, [])]
    if twice := sorted({name for name in names if name and names.count(name) > 1}):
        raise ValueError(f"has columns twice: {twice}")

    def rows() -> Iterator[tuple[int, dict[str, str]]]:
        for cells in filter(None, reader):
            values = [cell.strip() for cell in cells]
            if any(values[len(names) :]):
                raise ValueError(
                    f"line {reader.line_num}: expected {len(names)} cells, got {len(cells)}; quote "
                    f"what holds {separator!r}"
                )
            row = itertools.zip_longest(names, values[: len(names)], fillvalue="")
            yield reader.line_num, {name: value for name, value in row if name}

    return [name for name in names if name], rows()


def remove_leftovers(folder: Path) -> None:
    """Delete the temporary files that a killed process left anywhere below ``folder``."""
    for leftover in folder.rglob(f"{_PREFIX}*"):
        leftover.unlink(missing_ok=True)
