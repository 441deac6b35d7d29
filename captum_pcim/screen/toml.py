"""A TOML file, checked against data classes; pydantic does the checking."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from captum_pcim._extras import needed

Tables = TypeVar("Tables")
UNION_MEMBER = re.compile(
    r"bool|int|str|float|(?:dict|literal)\[.*\]"
)  # how pydantic calls an entry's types


class ConfigError(ValueError):
    """The configuration of a screen is wrong; the message names the entry."""


class Table:
    """A data class whose entries are all that a table may hold."""

    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012  (a ClassVar would be no setting)


def check(condition: bool, entry: str, expected: str, got: object) -> None:
    """Raises the error that names an entry, what was expected and what came."""
    if not condition:
        raise ConfigError(f"{entry}: expected {expected}, got {got!r}")


def read_toml(path: str | Path) -> dict[str, Any]:
    """Reads a TOML file.

    Raises:
        ConfigError: It cannot be read or is no TOML; the message names the file and the line.
        ImportError: Before Python 3.11, where tomli is not installed.
    """
    module = "tomllib" if sys.version_info >= (3, 11) else "tomli"
    tomllib = needed(module, "reading TOML files before Python 3.11 needs", "screen")
    try:
        text = Path(path).read_text(encoding="utf-8-sig")  # Windows' editors write a mark before it
        tables: dict[str, Any] = tomllib.loads(text)
        return tables
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: {error}; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        escaped = "Unescaped" in str(error) or "escape" in str(error).lower()
        advice = "; in single quotes a backslash is itself" if escaped else ""
        raise ConfigError(f"{path}: {error}{advice}") from error


def from_tables(kind: type[Tables], tables: Mapping[str, Any]) -> Tables:
    """Makes data classes of nested tables.

    Raises:
        ConfigError: Entries are unknown, missing or of the wrong type; a line for each.
        ImportError: pydantic is not installed.
    """
    pydantic = needed("pydantic", "reading a screen's configuration needs", "screen")
    try:
        # As JSON: of Python's objects, strict types would want the data classes themselves.
        text = json.dumps(tables, default=str)
        made: Tables = pydantic.TypeAdapter(kind).validate_json(text, strict=True)
        return made
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False)
        raise ConfigError("\n".join(_told(kind, each) for each in _united(found))) from error


def _united(errors: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Errors where those of an entry that may be of several types are one."""
    united: dict[tuple[Any, ...], dict[str, Any]] = {}
    for number, error in enumerate(errors):
        *entry, last = error["loc"] or ("",)
        if not (isinstance(last, str) and UNION_MEMBER.fullmatch(last)):
            united[(number,)] = dict(error)
        elif tuple(entry) in united:
            united[tuple(entry)]["msg"] += f" or {error['msg'].removeprefix('Input should be ')}"
        else:
            united[tuple(entry)] = {**error, "loc": tuple(entry)}
    return list(united.values())


def _told(kind: type, error: Mapping[str, Any]) -> str:
    """The entry, what was expected and what came."""
    own = error.get("ctx", {}).get("error")
    if isinstance(own, ConfigError):  # of a data class's own checks
        return str(own)
    entry = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{entry}: expected, but there is none"
    if error["type"] == "unexpected_keyword_argument":
        for name in error["loc"][:-1]:
            kind = get_type_hints(kind)[name]
        known = sorted(field.name for field in fields(kind))
        return f"{entry}: expected one of {known}, got {error['loc'][-1]!r}"
    return f"{entry}: {error['msg'].removeprefix('Value error, ')}, got {error['input']!r}"
