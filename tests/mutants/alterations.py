"""Random faults: operators, constants, axes and comparisons of the rooms that compute are changed, one at a time.

Left alone are texts, annotations, decorators, imports, what is said in errors, assertions and logs, `strict=` of zips,
and the constants of `PERFORMANCE`.
"""

import ast
import random
from collections.abc import Iterator
from pathlib import Path

from tests.mutants.faults import Fault

SOURCE = Path(__file__).parents[2] / "src" / "maskreel"
ROOMS = ("criteria", "data", "inference", "evaluation", "kernels")

OPERATORS: dict[type[ast.operator], str] = {
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.Mod: "*",
    ast.Pow: "*",
    ast.BitAnd: "|",
    ast.BitOr: "&",
    ast.BitXor: "&",
    ast.LShift: ">>",
    ast.RShift: "<<",
}
COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Lt: ">=",
    ast.LtE: ">",
    ast.Gt: "<=",
    ast.GtE: "<",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
AXES = {"dim", "axis", "dims", "axes"}
REDUCTIONS = {
    *(
        "sum",
        "mean",
        "max",
        "min",
        "amax",
        "amin",
        "any",
        "all",
        "argmax",
        "argmin",
        "softmax",
        "log_softmax",
        "cumsum",
    ),
    *("cat", "stack", "concatenate", "flatten", "unflatten", "unsqueeze", "squeeze", "sort", "argsort", "topk", "roll"),
    *("transpose", "split", "chunk", "prod", "std", "norm", "unbind", "flip", "diff", "gather", "take_along_axis"),
}
"""Calls whose whole numbers are axes, or count along one."""

PERFORMANCE: dict[str, dict[str, str]] = {}
"""By file, constants that decide how fast something is done and not what: why none of them can be noticed."""


def altered(count: int, seed: int) -> list[Fault]:
    """So many different changes, the same for the same seed and sources."""
    candidates = [fault for room in ROOMS for path in sorted((SOURCE / room).rglob("*.py")) for fault in changes(path)]
    return random.Random(seed).sample(candidates, count)


def changes(path: Path) -> list[Fault]:
    """All changes of a file."""
    source = path.read_text()
    tree, file = ast.parse(source), path.relative_to(SOURCE).as_posix()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    found = []
    for line, column, before, after in _Changes(source, starts, PERFORMANCE.get(file, {})).of(tree):
        place = starts[line - 1] + column
        assert source[place:].startswith(before), (file, line, before)
        says = f"line {line}: {source.splitlines()[line - 1].strip()!r}, {before!r} is {after!r}"
        found.append(Fault(file=file, before=before, after=after, says=says, place=place))
    return found


Change = tuple[int, int, str, str]
"""Line, column in characters, the text and what is written instead."""


class _Changes:
    def __init__(self, source: str, starts: list[int], performance: dict[str, str]) -> None:
        self.source, self.starts, self.performance = source, starts, performance

    def of(self, node: ast.AST, *, in_axis_call: bool = False) -> Iterator[Change]:
        if self._is_left_alone(node):
            return
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            yield from self._between(node.left, node.right, OPERATORS[type(node.op)])
        elif isinstance(node, ast.BoolOp):
            for left, right in zip(node.values, node.values[1:], strict=False):
                yield from self._between(left, right, "or" if isinstance(node.op, ast.And) else "and")
        elif isinstance(node, ast.Compare):
            for left, op, right in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False):
                yield from self._between(left, right, COMPARISONS[type(op)])
        elif isinstance(node, ast.AugAssign) and type(node.op) in OPERATORS:
            yield from self._between(node.target, node.value, OPERATORS[type(node.op)] + "=")
        elif isinstance(node, ast.UnaryOp):
            if negative := _negative(node):
                yield from self._constant(node, negative, in_axis_call)
                return
            if isinstance(node.op, ast.Not | ast.Invert | ast.USub):
                word = {ast.Not: "not ", ast.Invert: "~", ast.USub: "-"}[type(node.op)]
                yield node.lineno, self._column(node), word, ""
        elif isinstance(node, ast.Constant):
            yield from self._constant(node, node.value, in_axis_call)
            return
        yield from self._inside(node)

    def _inside(self, node: ast.AST) -> Iterator[Change]:
        axes = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in REDUCTIONS
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list", "type_params", "type_comment", "msg"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.keyword):
                    if child.arg != "strict":
                        yield from self.of(child.value, in_axis_call=child.arg in AXES)
                elif isinstance(child, ast.AST):
                    yield from self.of(child, in_axis_call=axes and name == "args")

    def _is_left_alone(self, node: ast.AST) -> bool:
        if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom | ast.Assert):
            return True
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            called = ast.unparse(node.value.func)
            if called.startswith(("logger.", "log.", "logging.", "warnings.")):
                return True
        targets = node.targets if isinstance(node, ast.Assign) else []
        names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
        return any(name in self.performance for name in names)

    def _between(self, left: ast.expr, right: ast.expr, new: str) -> Iterator[Change]:
        """The operator's own text, which stands between its operands, beside brackets and comments."""
        begin = self._offset(left.end_lineno or 0, left.end_col_offset or 0)
        end = self._offset(right.lineno, right.col_offset)
        gap = self.source[begin:end]
        old = gap.strip().strip("()").strip() if "#" not in gap and "\n" not in gap.strip().strip("()").strip() else ""
        if old:
            place = begin + gap.index(old)
            line = self.source.count("\n", 0, place) + 1
            yield line, place - self.starts[line - 1], old, new

    def _constant(self, node: ast.expr, value: object, in_axis_call: bool) -> Iterator[Change]:
        if isinstance(value, bool):
            new = repr(not value)
        elif isinstance(value, int):
            new = repr(_other_axis(value)) if in_axis_call else repr(value + 1)
        elif isinstance(value, float):
            new = repr(value * 2 if value else 1.0)
        else:
            return
        old = ast.get_source_segment(self.source, node)
        assert old is not None
        yield node.lineno, self._column(node), old, new

    def _column(self, node: ast.expr) -> int:
        return self._offset(node.lineno, node.col_offset) - self.starts[node.lineno - 1]

    def _offset(self, line: int, column: int) -> int:
        """Characters before a place whose column counts bytes."""
        start = self.starts[line - 1]
        text = self.source[start : self.starts[line]]
        return start + len(text.encode()[:column].decode())


def _negative(node: ast.UnaryOp) -> int | float | None:
    """A negative number, which Python reads as an operator and a number."""
    if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        return -value if isinstance(value, int | float) and not isinstance(value, bool) else None
    return None


def _other_axis(axis: int) -> int:
    return {-1: 0, 0: 1, 1: 0, -2: -1}.get(axis, axis - 1)
