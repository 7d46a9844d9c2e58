"""One-place mutants of Python and SQL source: every small change that could go unnoticed.

A mutant replaces one span of one file. Python is read through its syntax tree, so that comments,
docstrings, messages and annotations stay as they are; SQL, in files and in the queries that Python
holds, is read by its words.
"""

import ast
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDERS = ("pipelines", "transforms")


@dataclass(frozen=True, slots=True)
class Mutant:
    """The bytes from *start* to *end* of the file at *path*, replaced by *new*."""

    path: str
    start: int
    end: int
    new: str
    line: int
    before: str
    after: str

    def applied(self, source: bytes) -> bytes:
        return source[: self.start] + self.new.encode() + source[self.end :]


Span = tuple[int, int, str]
"""Where a change starts and ends in the bytes of a file, and what stands there instead."""

COMPARISONS: dict[type[ast.cmpop], tuple[str, str]] = {
    ast.Lt: (r"<", "<="),
    ast.LtE: (r"<=", "<"),
    ast.Gt: (r">", ">="),
    ast.GtE: (r">=", ">"),
    ast.Eq: (r"==", "!="),
    ast.NotEq: (r"!=", "=="),
    ast.In: (r"\bin\b", "not in"),
    ast.NotIn: (r"\bnot\s+in\b", "in"),
    ast.Is: (r"\bis\b", "is not"),
    ast.IsNot: (r"\bis\s+not\b", "is"),
}
OPERATORS: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: (r"\+", "-"),
    ast.Sub: (r"-", "+"),
    ast.Mult: (r"\*", "/"),
    ast.Div: (r"/", "*"),
    ast.FloorDiv: (r"//", "*"),
    ast.Mod: (r"%", "*"),
    ast.BitAnd: (r"&", "|"),
    ast.BitOr: (r"\|", "&"),
}
NAMES = {
    "min": "max",
    "max": "min",
    "any": "all",
    "all": "any",
    "any_horizontal": "all_horizontal",
    "all_horizontal": "any_horizontal",
    "min_horizontal": "max_horizontal",
    "max_horizontal": "min_horizontal",
    "is_null": "is_not_null",
    "is_not_null": "is_null",
    "first": "last",
    "last": "first",
    "ceil": "floor",
    "floor": "ceil",
    "startswith": "endswith",
    "endswith": "startswith",
    "removeprefix": "removesuffix",
    "removesuffix": "removeprefix",
}
# Calls that a chain of frames may lose.
LINKS = {"filter", "unique", "drop_nulls", "fill_null", "clip", "over", "round"}

_SQL = re.compile(
    r"""\s*["']*\s*(with|select|from|insert|update|delete|create|set|\(select)\b""", re.IGNORECASE
)
# In the queries: what is found, what stands there instead.
WORDS = tuple(
    (re.compile(found, re.IGNORECASE), new)
    for found, new in (
        (r"(?<=\s)and(?=\s)", "or"),
        (r"(?<=\s)or(?=\s)(?! replace)", "and"),
        (r"(?<=\s)<=(?=\s)", "<"),
        (r"(?<=\s)>=(?=\s)", ">"),
        (r"(?<=\s)<>(?=\s)", "="),
        (r"(?<=\s)<(?=\s)", "<="),
        (r"(?<=\s)>(?=\s)", ">="),
        (r"(?<=\s)=(?=\s)", "<>"),
        (r"(?<=\s)\+(?=\s)", "-"),
        (r"(?<=\s)-(?=\s)", "+"),
        (r"\bis not null\b", "is null"),
        (r"\bis null\b", "is not null"),
        (r"\bis not distinct from\b", "is distinct from"),
        (r"\bis distinct from\b", "is not distinct from"),
        (r"(?<!is )(?<!if )\bnot (?!null\b|distinct\b)", ""),
        (r"\bmin\(", "max("),
        (r"\bmax\(", "min("),
        (r"\barg_min\(", "arg_max("),
        (r"\barg_max\(", "arg_min("),
        (r"\bleast\(", "greatest("),
        (r"\bgreatest\(", "least("),
        (r"\bbool_or\(", "bool_and("),
        (r"\bbool_and\(", "bool_or("),
        (r"\bleft join\b", "join"),
        (r"\banti join\b", "semi join"),
        (r"\bsemi join\b", "anti join"),
        (r"\bdesc\b", ""),
        (r"\bdistinct\s+(?!from\b)", ""),
        (r"\btrue\b", "false"),
        (r"\bfalse\b", "true"),
    )
)
_COMMENT = re.compile(r"--[^\n]*")
_NUMBER = re.compile(r"(?<![\w.$'{,-])(?<!, )(?<!\()\d+(?![\w.'}])")


def mutants_of(root: Path) -> list[Mutant]:
    """Every mutant of the source under *root*, in the order of files and places."""
    paths = sorted(
        path.relative_to(root)
        for folder in FOLDERS
        for ending in ("*.py", "*.sql")
        for path in (root / folder).rglob(ending)
    )
    return [
        mutant for path in paths for mutant in mutants_in(str(path), (root / path).read_bytes())
    ]


def mutants_in(path: str, source: bytes) -> list[Mutant]:
    """Every mutant of one file, Python or SQL by its name."""
    if not path.endswith(".py"):
        return [_mutant(path, source, *span) for span in sorted(set(_of_sql(source, 0)))]
    python = _Python(source)
    mutants = [_mutant(path, source, *span) for span in sorted(set(python.spans()))]
    return [each for each in mutants if python.stays_python(each)]


def _mutant(path: str, source: bytes, start: int, end: int, new: str) -> Mutant:
    """The change with the lines around it, as they are and as they become."""
    left = source.rfind(b"\n", 0, start) + 1
    right = source.find(b"\n", end)
    right = len(source) if right < 0 else right
    before = source[left:right].decode()
    after = (source[left:start] + new.encode() + source[end:right]).decode()
    line = source.count(b"\n", 0, start) + 1
    return Mutant(path, start, end, new, line, _on_one_line(before), _on_one_line(after))


def _on_one_line(text: str) -> str:
    return " ".join(text.split())


def _of_sql(text: bytes, offset: int) -> Iterator[Span]:
    sql = _COMMENT.sub(lambda comment: " " * len(comment[0].encode()), text.decode("latin-1"))
    for word, new in WORDS:
        for found in word.finditer(sql):
            yield offset + found.start(), offset + found.end(), new
    for found in _NUMBER.finditer(sql):
        yield offset + found.start(), offset + found.end(), str(int(found[0]) + 1)


class _Python:
    """The spans of one Python file that a mutant may change."""

    def __init__(self, source: bytes) -> None:
        self._source = source
        self._lines = [0, *(found.end() for found in re.finditer(b"\n", source))]
        self._tree = ast.parse(source)
        self._starts = [self._start(each) for each in self._tree.body]

    def spans(self) -> Iterator[Span]:
        yield from self._visit(self._tree)

    def stays_python(self, mutant: Mutant) -> bool:
        """Whether the statement of the file in which the mutant is can still be read."""
        place = bisect_right(self._starts, mutant.start) - 1
        start, end = self._starts[place], self._end(self._tree.body[place])
        text = self._source[start : mutant.start] + mutant.new.encode()
        try:
            ast.parse(text + self._source[mutant.end : end])
        except SyntaxError:
            return False
        return True

    def _visit(self, node: ast.AST) -> Iterator[Span]:
        # The places of what an f-string holds are not known in Python 3.11.
        if isinstance(node, ast.JoinedStr):
            if self._text(node)[:1] != b"f" or _is_sql(ast.unparse(node)[1:]):
                yield from self._query(node)
            return
        yield from self._here(node)
        for name, field in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in field if isinstance(field, list) else [field]:
                if isinstance(child, ast.AST) and not _is_docstring(child):
                    yield from self._visit(child)

    def _here(self, node: ast.AST) -> Iterator[Span]:
        match node:
            case ast.Compare():
                sides = [node.left, *node.comparators]
                for n, op in enumerate(node.ops):
                    if change := COMPARISONS.get(type(op)):
                        yield from self._between(sides[n], sides[n + 1], *change)
            case ast.BoolOp():
                change = (r"\band\b", "or") if isinstance(node.op, ast.And) else (r"\bor\b", "and")
                for left, right in zip(node.values, node.values[1:], strict=False):
                    yield from self._between(left, right, *change)
            case ast.BinOp() if not _is_type(node):
                if change := OPERATORS.get(type(node.op)):
                    yield from self._between(node.left, node.right, *change)
            case ast.UnaryOp(op=ast.Not() | ast.Invert()):
                yield self._start(node), self._start(node.operand), ""
            case ast.Constant():
                yield from self._constant(node)
            case ast.Call(func=ast.Attribute(attr=attr, value=receiver)) if attr in LINKS:
                yield self._end(receiver), self._end(node), ""
            case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in NAMES:
                yield self._end(node.func) - len(name), self._end(node.func), NAMES[name]
            case ast.If() | ast.IfExp() | ast.While() if not _is_for_types(node):
                text = self._text(node.test).decode()
                yield self._start(node.test), self._end(node.test), f"(not ({text}))"
            case ast.Expr(value=ast.Call()) | ast.Raise():
                yield self._start(node), self._end(node), "pass"
            case ast.Break():
                yield self._start(node), self._end(node), "continue"
            case ast.Continue():
                yield self._start(node), self._end(node), "break"
            case ast.AugAssign(op=ast.Add()):
                yield from self._between(node.target, node.value, r"\+=", "-=")

    def _constant(self, node: ast.Constant) -> Iterator[Span]:
        start, end = self._start(node), self._end(node)
        if isinstance(node.value, bool):
            yield start, end, str(not node.value)
        elif isinstance(node.value, int | float):
            yield start, end, repr(node.value + 1)
        elif isinstance(node.value, str) and _is_sql(node.value):
            yield from self._query(node)

    def _query(self, node: ast.expr) -> Iterator[Span]:
        yield from _of_sql(self._text(node), self._start(node))

    def _between(self, left: ast.expr, right: ast.expr, found: str, new: str) -> Iterator[Span]:
        start, end = self._end(left), self._start(right)
        operator = re.search(found.encode(), self._source[start:end])
        if operator:
            yield start + operator.start(), start + operator.end(), new

    def _start(self, node: ast.expr | ast.stmt) -> int:
        return self._lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr | ast.stmt) -> int:
        return self._lines[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)

    def _text(self, node: ast.expr) -> bytes:
        return self._source[self._start(node) : self._end(node)]


def _is_sql(text: str) -> bool:
    return len(text) > 24 and _SQL.match(text) is not None


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_for_types(node: ast.If | ast.IfExp | ast.While) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _is_type(node: ast.BinOp) -> bool:
    """Whether this is a union of types that is written as a value."""
    sides = (node.left, node.right)
    return isinstance(node.op, ast.BitOr) and any(
        (isinstance(side, ast.Constant) and side.value is None)
        or (isinstance(side, ast.Name) and (side.id in ("str", "int") or side.id[:1].isupper()))
        for side in sides
    )
