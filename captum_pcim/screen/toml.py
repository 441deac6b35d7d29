"""Tables of a TOML file, checked against a data class entry by entry."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """The configuration of a screen is wrong; the message names the entry."""


def check(condition: bool, entry: str, expected: str, got: object) -> None:
    """Raises the error that names an entry, what was expected and what came."""
    if not condition:
        raise ConfigError(f"{entry}: expected {expected}, got {got!r}")


def all_names(value: object) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def read_toml(path: str | Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        ConfigError: It is no TOML; the message names the file and the line.
        ImportError: Before Python 3.11, where tomli is not installed.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise ImportError(
                "reading TOML files before Python 3.11 needs tomli: pip install tomli"
            ) from error
    with open(path, "rb") as file:
        try:
            return tomllib.load(file)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: {error}") from error


def from_table(name: str, kind: type, entries: Any) -> Any:
    """Makes a data class of a table's entries.

    Raises:
        ConfigError: An entry is unknown, missing or of the wrong type.
    """
    check(isinstance(entries, Mapping), name, "a table", entries)
    known = {entry.name: entry for entry in dataclasses.fields(kind)}
    for entry, value in entries.items():
        check(entry in known, f"{name}.{entry}", f"one of {sorted(known)}", entry)
        if "None" in str(known[entry].type):
            check(type(value) in (int, str), f"{name}.{entry}", "a number or a text", value)
            continue
        expected = {"str": str, "int": int, "bool": bool}.get(
            str(known[entry].type), dict if "dict" in str(known[entry].type) else list
        )
        check(type(value) is expected, f"{name}.{entry}", str(known[entry].type), value)
    missing = [
        entry.name
        for entry in known.values()
        if entry.name not in entries
        and entry.default is dataclasses.MISSING
        and entry.default_factory is dataclasses.MISSING
    ]
    check(not missing, name, f"the entries {missing}", "none")
    return kind(**entries)
