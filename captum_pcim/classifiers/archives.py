"""Model archives made safe to load: nothing in them can run Python code or touch other files.

Both of torch's archive formats are zip files, and loading them as they come is not safe:
``torch.export.load`` unpickles some records, evaluates symbolic shapes and guards as Python and
looks operators up by any dotted name (``torch.os.system`` among them); TorchScript cannot run
Python, but its ``torch.save`` and ``torch.from_file`` write and map any file. So an archive is
copied in memory, record by record, with only what a network needs; what could do more is left
out where the network does not need it, and refused otherwise. The copy, not the file, is loaded.
"""

from __future__ import annotations

import ast
import io
import json
import re
import zipfile
from typing import Any

Records = dict[str, bytes]

_FILE_ACCESS = re.compile(rb"\b(?:torch|ops\s*\.\s*\w+)\s*\.\s*(save|from_file|load_tensor)\b")
_PLAIN_CONTEXT = re.compile(r"(?:null|\[[\w\s\",]*\])?")  # of a dict: its keys
_EXPORT_RECORDS = re.compile(
    r"archive_format|archive_version|byteorder|\.data/[\w]+|models/model\.json"
    r"|data/(?:weights|constants)/\w+(?:\.json)?|data/sample_inputs/model\.pt"
)
_PLAIN = re.compile(r"[\w.,:+>-]*")
_TARGETS = re.compile(
    r"torch\.ops\.(?:aten|prims|torchvision)\.(?!from_file|save|load)\w+\.\w+"
    r"|torch\.ops\.higher_order\.wrap_with_(?:set_grad_enabled|autocast)"
    r"|_operator\.(?:add|sub|mul|truediv|floordiv|mod|pow|neg|getitem|eq|ne|lt|le|gt|ge|and_|or_)"
    r"|math\.(?:ceil|floor|trunc)"
    r"|torch\.sym_(?:int|float|max|min|not|ite|sum)"
)
_SHAPE_FUNCTIONS = frozenset(  # as sympy.srepr writes them
    (
        *("Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod"),
        *("Equality", "Unequality", "LessThan", "GreaterThan", "StrictLessThan"),
        *("StrictGreaterThan", "And", "Or", "Not", "FloorDiv", "CeilDiv", "CleanDiv"),
        *("PythonMod", "ModularIndexing", "Where", "IntTrueDiv", "ToFloat", "TruncToInt"),
    )
)
_SYMBOL = re.compile(r"[a-z]\w*")
_SHAPE_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Name, ast.Constant, ast.Call,
    ast.keyword, ast.Load, ast.operator, ast.unaryop, ast.cmpop,
)  # fmt: skip


class ArchiveError(ValueError):
    """An archive is damaged, of another kind, or asks for more than a network needs."""


def is_script(data: bytes) -> bool:
    """Whether the bytes are a zip archive as ``torch.jit.save`` writes it."""
    return {"data.pkl", "constants.pkl"} <= _record_names(data)


def is_export(data: bytes) -> bool:
    """Whether the bytes are a zip archive as ``torch.export.save`` writes it."""
    return {"archive_format", "models/model.json"} <= _record_names(data)


def checked_script(data: bytes) -> io.BytesIO:
    """Copy a TorchScript archive whose code reads and writes no files.

    Args:
        data: The archive.

    Returns:
        The copy, for ``torch.jit.load``.

    Raises:
        ArchiveError: If the archive is damaged or its code calls ``torch.save`` or
            ``torch.from_file``.
    """
    records = _read(data)
    for name, content in records.items():
        access = _FILE_ACCESS.search(content) if name.startswith("code/") else None
        if access:
            raise ArchiveError(f"its code calls {access[0].decode()}, which reaches files")
    return _written(records)


def checked_export(data: bytes) -> io.BytesIO:
    """Copy an exported program reduced to tensors and a graph of known operators.

    Args:
        data: The archive, as ``torch.export.save`` of torch 2.8 or later writes it.

    Returns:
        The copy, for ``torch.export.load``. Stack traces and input guards are left out of it.

    Raises:
        ArchiveError: If the archive is damaged, holds pickled objects, compiled code or operators
            beyond those of torch and torchvision, or was exported in training mode.
    """
    records = _read(data)
    unknown = [name for name in records if not _EXPORT_RECORDS.fullmatch(name)]
    if unknown:
        raise ArchiveError(f"it holds more than tensors and a graph: {unknown[0]!r}")
    for name in records:
        if name.endswith("_config.json"):
            _check_tensors(_parsed(records[name]))
    _check_sample_inputs(records.get("data/sample_inputs/model.pt", b""))
    program = _checked(_parsed(records["models/model.json"]), "")
    records["models/model.json"] = json.dumps(program).encode()
    return _written(records)


def _record_names(data: bytes) -> set[str]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return {name.partition("/")[2] for name in archive.namelist()}
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return set()


def _read(data: bytes) -> Records:
    """All records by their name below the archive's root folder."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            # Tensors are stored as they are; only TorchScript's few code records are compressed.
            if sum(record.file_size for record in archive.infolist()) > 2 * len(data) + 2**26:
                raise ArchiveError("it unpacks to far more than its size")
            names = archive.namelist()
            records = {name.partition("/")[2]: archive.read(name) for name in names}
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(f"it is damaged ({error})") from error
    if len(records) != len(names):
        raise ArchiveError("it holds two records of one name")
    return records


def _written(records: Records) -> io.BytesIO:
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w", zipfile.ZIP_STORED) as archive:
        for name, content in records.items():
            archive.writestr(f"model/{name}", content)
    copy.seek(0)
    return copy


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"it is damaged ({error})") from error


def _check_tensors(config: Any) -> None:
    try:
        entries = list(config["config"].values())
        pickled = any(entry["use_pickle"] is not False for entry in entries)
        named = all(re.fullmatch(r"(weight|tensor)_\d+", entry["path_name"]) for entry in entries)
    except (KeyError, TypeError, AttributeError) as error:
        raise ArchiveError(f"it is damaged ({error!r})") from error
    if pickled or not named:
        raise ArchiveError("it holds pickled objects beside tensors")


def _check_sample_inputs(content: bytes) -> None:
    """torch.export.load falls back to full unpickling where this load fails."""
    import torch

    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except Exception as error:
        raise ArchiveError("its sample inputs are not plain tensors") from error


def _checked(value: Any, key: str) -> Any:
    """Copy the program, letting through only strings that are names, operators or shapes."""
    if key in ("metadata", "guards_code"):
        return type(value)()
    if isinstance(value, dict):
        _check_mode(value)
        return {_plain(name): _checked(item, name) for name, item in value.items()}
    if isinstance(value, list):
        return [_checked(item, key) for item in value]
    if isinstance(value, str):
        return _CHECKS.get(key, _plain)(value)
    return value


def _check_mode(value: dict[str, Any]) -> None:
    if value.get("name") in ("train", "training") and value.get("arg") == {"as_bool": True}:
        raise ArchiveError("it was exported in training mode: call model.eval() before the export")


def _plain(text: str) -> str:
    if not _PLAIN.fullmatch(text):
        raise ArchiveError(f"{text[:60]!r} is not a name")
    return text


def _operator(target: str) -> str:
    if not _TARGETS.fullmatch(target):
        raise ArchiveError(f"the operator {target[:60]!r} is not one of torch's for tensors")
    return target


def _shape(expression: str) -> str:
    """A symbolic size, which torch hands to sympy, which evaluates it as Python."""
    try:
        nodes = list(ast.walk(ast.parse(expression, mode="eval")))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ArchiveError(f"{expression[:60]!r} is not a size") from error
    if not all(isinstance(node, _SHAPE_NODES) and _is_arithmetic(node) for node in nodes):
        raise ArchiveError(f"{expression[:60]!r} is not a size")
    return expression


def _is_arithmetic(node: ast.AST) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (int, float)) or bool(_SYMBOL.fullmatch(str(node.value)))
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _SHAPE_FUNCTIONS
    return True


def _structure(text: str) -> str:
    """A nesting of tuples, lists and dicts; other containers import what they name."""
    _check_structure(_parsed(text.encode()))
    return text


def _check_structure(node: Any) -> None:
    if isinstance(node, list):
        for child in node:
            _check_structure(child)
    elif isinstance(node, dict):
        known = (None, "builtins.tuple", "builtins.list", "builtins.dict")
        context = node.get("context")
        plain = context is None or _PLAIN_CONTEXT.fullmatch(str(context))
        if node.get("type") not in known or not plain:
            raise ArchiveError(f"its arguments are nested in {node.get('type')!r}")
        _check_structure(node.get("children_spec"))


_CHECKS = {"target": _operator, "expr_str": _shape, "in_spec": _structure, "out_spec": _structure}
