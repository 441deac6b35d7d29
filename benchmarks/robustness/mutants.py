"""Single changes of a module's source, of the kind that a reader of the diff could overlook.

Left alone is what cannot change a result: docstrings, annotations, type aliases, imports, the text
of errors and warnings, and what only guards against slips (`strict=`, `frozen=`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=", ast.LtE: "<", ast.Gt: ">=", ast.GtE: ">", ast.Eq: "!=", ast.NotEq: "==",
    ast.Is: "is not", ast.IsNot: "is", ast.In: "not in", ast.NotIn: "in",
}  # fmt: skip
ARITHMETIC: dict[type[ast.operator], str] = {
    ast.Add: "-", ast.Sub: "+", ast.Mult: "/", ast.Div: "*", ast.FloorDiv: "/", ast.Mod: "*",
    ast.Pow: "*", ast.BitAnd: "|", ast.BitOr: "&", ast.MatMult: "*",
}  # fmt: skip
PAIRS = (
    ("min", "max"), ("amin", "amax"), ("all", "any"), ("sum", "mean"), ("zeros", "ones"),
    ("zeros_like", "ones_like"), ("argmin", "argmax"), ("floor", "ceil"), ("log", "exp"),
    ("clamp_min", "clamp_max"), ("cumsum", "cumprod"), ("repeat", "repeat_interleave"),
    ("softmax", "log_softmax"), ("rand", "randn"), ("sigmoid", "tanh"),
)  # fmt: skip
TWINS = dict(PAIRS) | {other: one for one, other in PAIRS}
SILENT_CALLS = {"warn", "TypeVar", "cast", "overload"}
GUARDS = {"strict", "frozen"}

Text = Callable[[ast.AST], str]
Change = tuple[str, ast.AST, str]  # its kind, the node that is replaced, by what


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        path: Of the module, below the repository.
        line: On which it is.
        kind: What kind of change.
        before: The line as it was.
        after: The line as it is.
        source: The changed module.
    """

    path: str
    line: int
    kind: str
    before: str
    after: str
    source: bytes = field(repr=False)

    def compiles(self) -> bool:
        """Whether Python reads the changed module; a text that was moved may not fit."""
        try:
            compile(self.source, self.path, "exec")
        except SyntaxError:
            return False
        return True


def mutants(path: Path, root: Path) -> Iterator[Mutant]:
    """All changes of one module."""
    whole = path.read_bytes()
    starts = [0, *accumulate(map(len, whole.splitlines(keepends=True)))]

    def place(line: int, column: int) -> int:
        return starts[line - 1] + column

    def span(node: ast.AST) -> slice:
        first = place(node.lineno, node.col_offset)  # type: ignore[attr-defined]
        last = place(node.end_lineno, node.end_col_offset)  # type: ignore[attr-defined]
        return slice(first, last)

    def text(node: ast.AST) -> str:
        return whole[span(node)].decode()

    for node in _living(ast.parse(whole)):
        for kind, replaced, new in _changes(node, text):
            at = span(replaced)
            source = whole[: at.start] + new.encode() + whole[at.stop :]
            if source != whole:
                number, before, after = _first_difference(whole, source)
                name = path.relative_to(root).as_posix()
                yield Mutant(name, number, kind, before, after, source)


def _changes(node: ast.AST, text: Text) -> Iterator[Change]:
    for changes in (_of_operators, _of_values, _of_statements, _of_calls):
        yield from changes(node, text)


def _of_operators(node: ast.AST, text: Text) -> Iterator[Change]:
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        new = COMPARISONS[type(node.ops[0])]
        yield "comparison", node, f"{text(node.left)} {new} {text(node.comparators[0])}"
    elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC:
        left, right = _operand(node.left, text), _operand(node.right, text)
        yield "arithmetic", node, f"{left} {ARITHMETIC[type(node.op)]} {right}"
    elif isinstance(node, ast.BoolOp):
        word = " or " if isinstance(node.op, ast.And) else " and "
        yield "logic", node, f"({word.join(_operand(value, text) for value in node.values)})"
    elif isinstance(node, ast.UnaryOp):
        yield "sign or negation", node, text(node.operand)


def _operand(node: ast.AST, text: Text) -> str:
    compound = isinstance(node, (ast.BinOp, ast.BoolOp, ast.IfExp, ast.Lambda))
    return f"({text(node)})" if compound else text(node)


def _of_values(node: ast.AST, text: Text) -> Iterator[Change]:
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool):
            yield "constant", node, str(not value)
        elif isinstance(value, int):
            yield "constant", node, str(value + 1)
        elif isinstance(value, float):
            yield "constant", node, repr(2 * value or 1.0)


def _of_statements(node: ast.AST, text: Text) -> Iterator[Change]:
    if isinstance(node, (ast.If, ast.IfExp, ast.While)):
        yield "condition", node.test, f"not ({text(node.test)})"
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "return value", node.value, "None"
    elif isinstance(node, ast.AugAssign) or _stores(node) or _calls(node):
        yield "statement", node, "pass"


def _stores(node: ast.AST) -> bool:
    """Whether a statement changes an attribute or an element; without a name it might not run."""
    return isinstance(node, ast.Assign) and isinstance(
        node.targets[0], (ast.Attribute, ast.Subscript)
    )


def _calls(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)


def _of_calls(node: ast.AST, text: Text) -> Iterator[Change]:
    if isinstance(node, ast.Attribute) and node.attr in TWINS:
        yield "function", node, f"{text(node.value)}.{TWINS[node.attr]}"
    elif isinstance(node, ast.Name) and node.id in TWINS:
        yield "function", node, TWINS[node.id]
    elif isinstance(node, ast.Call):
        parts = [*node.args, *node.keywords]
        for dropped in (k for k in node.keywords if k.arg and k.arg not in GUARDS):
            kept = ", ".join(text(part) for part in parts if part is not dropped)
            yield "argument", node, f"{text(node.func)}({kept})"


def _living(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes whose change may change a result."""
    for part, value in ast.iter_fields(tree):
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _is_silent(tree, part, child):
                yield child
                yield from _living(child)


def _is_silent(parent: ast.AST, field: str, child: ast.AST) -> bool:
    if field in ("annotation", "returns") or getattr(child, "arg", "") in GUARDS:
        return True
    if isinstance(child, (ast.Raise, ast.Assert, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(child, ast.Expr):
        call = child.value
        if isinstance(call, ast.Constant):
            return True
        name = getattr(call, "func", None)
        return getattr(name, "attr", getattr(name, "id", "")) in SILENT_CALLS
    if isinstance(child, ast.If) and getattr(child.test, "id", "") == "TYPE_CHECKING":
        return True
    if isinstance(parent, ast.Module) and isinstance(child, ast.Assign):
        name = getattr(child.targets[0], "id", "")
        return name.startswith("__") or (name[:1].isupper() and not name.isupper())
    return False


def _first_difference(old: bytes, new: bytes) -> tuple[int, str, str]:
    """The number of the first line that differs, and both forms of it."""
    before, after = old.decode().splitlines(), new.decode().splitlines()
    at = next(i for i, (b, a) in enumerate(zip(before, after, strict=False)) if b != a)
    return at + 1, before[at].strip(), after[at].strip()
